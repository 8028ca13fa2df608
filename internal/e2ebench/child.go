//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/ddfb540f/bridge/internal/netns"
)

// roleVar is the environment variable that makes this program a child: a station or a
// forwarder. A child does what its parent asks for on its standard input, a line of
// JSON each, and ends with that.
const roleVar = "E2EBENCH_ROLE"

// A request has the fields that its Op needs.
type request struct {
	Op      string
	Address string // where to send
	MAC     []byte // the same, below IP
	Streams int    // of TCP
	Rate    int    // frames a second; 0: as many as can be
	On      bool   // offloads
	Ends    []end  // what a forwarder joins
	Profile string // where a forwarder leaves its CPU profile
}

// A reply has what was asked for, or says why not.
type reply struct {
	Err   string
	MAC   []byte
	Count counts
	Trips trips
}

// counts is what has passed since a station began.
type counts struct {
	At     int64 // when it was counted, in nanoseconds of the monotonic clock
	Bytes  uint64
	Frames uint64 // by the interface
	Sent   uint64 // by blast
}

// trips is what the round trips since the last mark took.
type trips struct {
	N, Lost        int
	P50, P99, P999 int64 // ns
}

// A child is one such process.
type child struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	replies chan reply // closed when the child has ended
	ended   error      // then
	lost    error      // why its answers no longer belong to what is asked
}

// startChild starts this program in a namespace, in a role.
func startChild(ns *netns.NS, role string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{name: role, cmd: exec.Command(exe), replies: make(chan reply, 1)}
	c.cmd.Env = append(os.Environ(), roleVar+"="+role)
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := ns.Start(c.cmd); err != nil {
		return nil, err
	}
	go c.listen(out) // ends with the child, whom stop ends
	return c, nil
}

func (c *child) listen(out io.Reader) {
	defer close(c.replies)
	answers := json.NewDecoder(out)
	for {
		var r reply
		if c.ended = answers.Decode(&r); c.ended != nil {
			return
		}
		c.replies <- r
	}
}

// askPatience is how long a child may take to answer. A measurement takes less: a child
// is told to begin, and told to end.
const askPatience = 15 * time.Second

// ask has the child do something, and waits until that is done.
func (c *child) ask(ctx context.Context, q request) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	fail := func(err error) (reply, error) { return reply{}, fmt.Errorf("%s: %s: %w", c.name, q.Op, err) }
	if c.lost != nil {
		return fail(c.lost)
	}
	line, err := json.Marshal(q)
	if err != nil {
		return fail(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return fail(err)
	}
	select {
	case r, ok := <-c.replies:
		switch {
		case !ok:
			return fail(fmt.Errorf("the process has ended: %w", c.ended))
		case r.Err != "":
			return fail(errors.New(r.Err))
		}
		return r, nil
	case <-ctx.Done():
		c.lost = ctx.Err()
		return fail(c.lost)
	}
}

// stop ends the child: by itself if it does so soon, and waits for it.
func (c *child) stop() {
	_ = c.in.Close()
	killed := time.AfterFunc(2*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer killed.Stop()
	for range c.replies {
	}
	_ = c.cmd.Wait()
}

// serve answers the parent until it has no more to ask.
func serve(answer func(q request) (reply, error)) {
	questions := json.NewDecoder(bufio.NewReader(os.Stdin))
	answers := json.NewEncoder(os.Stdout)
	for {
		var q request
		if questions.Decode(&q) != nil {
			return
		}
		r, err := answer(q)
		if err != nil {
			r.Err = err.Error()
		}
		if answers.Encode(r) != nil {
			return
		}
	}
}
