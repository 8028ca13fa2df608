package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
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
	asked := make(chan os.Signal, 1)
	notifyTables(asked)
	defer signal.Stop(asked)
	following.Go(func() { s.follow(ctx) })                 // ends with ctx
	following.Go(func() { s.showTables(ctx, asked, out) }) // and so does this
	err = s.b.Serve(ctx)
	cancel()
	following.Wait()
	if err != nil {
		return errors.Join(err, s.b.Close())
	}
	if err := s.reportTree(out); err != nil {
		return err
	}
	return report(out, s.accounts(), s.b)
}

// showTables prints the tables whenever it is asked to, until ctx ends. A broken output
// ends gobr by itself.
func (s *session) showTables(ctx context.Context, asked <-chan os.Signal, out io.Writer) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			_ = tables(out, s.b)
		}
	}
}

// output is the standard output, which ends the program when it breaks: nobody
// can read the report then. It may be used by any goroutine.
type output struct {
	w      io.Writer
	broken func()     // called at the first error
	mu     sync.Mutex // guards err, and keeps what is written at once together
	err    error
}

func (o *output) Write(p []byte) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		if n, err = o.w.Write(p); err != nil {
			o.err = outputError(err)
			o.broken()
		}
	}
	return n, o.err
}
