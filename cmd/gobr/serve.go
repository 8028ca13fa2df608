package main

import (
	"context"
	"errors"
	"io"
	"sync"
)

// serve bridges until ctx ends or stdout takes no more, and then reports. Whatever
// happens, no TAP that it made is left, and none that it found is left changed.
func serve(ctx context.Context, o options, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &output{w: stdout, broken: cancel}
	s, err := assemble(o, out, stderr)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, s.describe()); err != nil {
		return errors.Join(err, s.b.Close())
	}
	var following sync.WaitGroup
	following.Go(func() { s.follow(ctx) }) // ends with ctx
	err = s.b.Serve(ctx)
	cancel()
	following.Wait()
	if err != nil {
		return errors.Join(err, s.b.Close())
	}
	if err := s.reportTree(out); err != nil {
		return err
	}
	return report(out, s.accounts(), s.b.FDB())
}

// output is the standard output, which ends the program when it breaks: nobody
// can read the report then. It is used by one goroutine at a time.
type output struct {
	w      io.Writer
	broken func() // called at the first error
	err    error
}

func (o *output) Write(p []byte) (n int, err error) {
	if o.err == nil {
		if n, err = o.w.Write(p); err != nil {
			o.err = outputError(err)
			o.broken()
		}
	}
	return n, o.err
}
