package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// A sayer prints a line on the standard error. It may be called by any goroutine.
type sayer func(format string, args ...any)

func newSayer(w io.Writer) sayer {
	var mu sync.Mutex // keeps lines whole
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "gobr: "+format+"\n", args...)
	}
}

// tell says what the bridge was told of an interface, or why that failed.
func (say sayer) tell(name string, err error, format string, args ...any) {
	switch {
	case err == nil:
		say(name+": "+format, args...)
	case !isClosed(err):
		say("%s: %v", name, err)
	}
}

// once tells of an error, unless it is what was said last or the end of the bridge.
func (say sayer) once(said *string, what string, err error) {
	if isClosed(err) || err.Error() == *said {
		return
	}
	*said = err.Error()
	say("%s: %v", what, err)
}

// isClosed says that the bridge has ended meanwhile.
func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
