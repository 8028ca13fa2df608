// Command filters shows each ready-made filter at work on a switch with four ports,
// and one that is written here. It needs no privilege, and no time.
//
//	go run ./examples/filters
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "filters:", err)
		os.Exit(1)
	}
}

// run prints every lesson.
func run(w io.Writer) error {
	var text strings.Builder
	for i, l := range lessons {
		if i > 0 {
			text.WriteByte('\n')
		}
		if err := l.run(&text); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}
