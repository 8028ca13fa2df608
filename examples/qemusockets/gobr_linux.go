package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// patience is how long gobr may take for anything.
const patience = time.Minute

// program gives the path of gobr as it is seen from any directory: of the one that is
// named, else of one that it makes in dir, from the module that this program is run in.
func program(ctx context.Context, named, dir string) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("-gobr: %w", err)
		}
		return filepath.Abs(path)
	}
	path := filepath.Join(dir, "gobr")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/ddfb540f/bridge/cmd/gobr").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build gobr, in the module or with -gobr PATH: %w\n%s", err, out)
	}
	return path, nil
}

// gobr is a gobr that runs.
type gobr struct {
	cmd    *exec.Cmd
	first  chan string // its first line
	report chan string // what follows that on the standard output
	lines  chan string // those of the standard error
	said   []string    // of lines, what nobody has waited for yet
	done   chan struct{}
	err    error // how it has ended, once done is closed
}

// startGobr starts it in a directory, and gives its first line.
func startGobr(ctx context.Context, path, dir string, args []string) (*gobr, string, error) {
	g := &gobr{
		cmd: exec.Command(path, args...), first: make(chan string, 1), report: make(chan string, 1),
		lines: make(chan string, 1024), done: make(chan struct{}),
	}
	g.cmd.Dir = dir
	// An interrupt from the keyboard is for this program, which ends gobr; and if it
	// is killed itself, gobr is told to end by the kernel, and tidies up.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := g.live(); err != nil {
		return nil, "", err
	}
	select {
	case line := <-g.first:
		if line != "" {
			return g, line, nil
		}
		<-g.done
		return nil, "", fmt.Errorf("gobr has ended: %v\n%s", g.cmd.ProcessState, strings.Join(slices.Collect(g.rest()), ""))
	case <-ctx.Done():
		g.close()
		return nil, "", ctx.Err()
	}
}

// live starts gobr, on a thread that stays for as long as gobr does: the end of the
// thread that started it would be its own (Pdeathsig).
func (g *gobr) live() error {
	stdout, err := g.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	go func() { // ends when gobr does
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := g.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		heard := make(chan struct{})
		go func() { // ends with the standard error
			defer close(heard)
			defer close(g.lines)
			in := bufio.NewReader(stderr)
			for line, err := in.ReadString('\n'); err == nil; line, err = in.ReadString('\n') {
				g.lines <- line
			}
		}()
		out := bufio.NewReader(stdout)
		line, _ := out.ReadString('\n')
		g.first <- line
		var report strings.Builder
		_, _ = io.Copy(&report, out)
		g.report <- report.String()
		<-heard
		g.err = g.cmd.Wait()
		close(g.done)
	}()
	return <-started
}

// says waits until gobr has said a line on the standard error, and gives it.
func (g *gobr) says(ctx context.Context, want string) (string, error) {
	want = "gobr: " + want + "\n"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if i := slices.Index(g.said, want); i >= 0 {
			g.said = slices.Delete(g.said, i, i+1)
			return want, nil
		}
		select {
		case line, ok := <-g.lines:
			if !ok {
				return "", fmt.Errorf("gobr has ended, and not said %q but %q", want, g.said)
			}
			g.said = append(g.said, line)
		case <-ctx.Done():
			return "", fmt.Errorf("gobr does not say %q but %q: %w", want, g.said, ctx.Err())
		}
	}
}

// rest gives all lines of the standard error that nobody has waited for, until its
// end.
func (g *gobr) rest() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range g.said {
			if !yield(line) {
				return
			}
		}
		for line := range g.lines {
			if !yield(line) {
				return
			}
		}
	}
}

// interrupt ends gobr as Ctrl-C does, and gives its report.
func (g *gobr) interrupt() (report string, err error) {
	g.end(syscall.SIGINT)
	select {
	case report = <-g.report:
	default:
		err = errors.New("gobr has given no report")
	}
	return report, errors.Join(g.err, err)
}

// close ends gobr, unless it has ended already.
func (g *gobr) close() { g.end(syscall.SIGTERM) }

// end has gobr end by a signal, in a while at most.
func (g *gobr) end(sig syscall.Signal) {
	_ = g.cmd.Process.Signal(sig) // does nothing to one that has ended
	patience := time.AfterFunc(patience, func() { _ = g.cmd.Process.Kill() })
	defer patience.Stop()
	<-g.done
}
