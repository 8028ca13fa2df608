package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	inner "github.com/ddfb540f/bridge/internal/netns"
	"github.com/ddfb540f/bridge/internal/netns/netnstest"
)

// netns is a network namespace that nothing but the test holds.
type netns struct{ *inner.NS }

func newNetns(t *testing.T) netns { return netns{netnstest.New(t, true)} }

// command runs a program in the namespace, for a minute at most.
func (ns netns) command(name string, args ...string) error {
	_, err := ns.Run(name, args...)
	return err
}

// ip runs ip(8) in the namespace; the words of line are its arguments.
func (ns netns) ip(t *testing.T, line string) {
	t.Helper()
	require.NoError(t, ns.command("ip", strings.Fields(line)...))
}

// interfaces lists the names of what is in the namespace besides the loopback.
func (ns netns) interfaces(t *testing.T) (names []string) {
	t.Helper()
	require.NoError(t, ns.Do(func() error {
		all, err := net.Interfaces()
		for _, i := range all {
			if i.Flags&net.FlagLoopback == 0 {
				names = append(names, i.Name)
			}
		}
		return err
	}))
	return names
}

// background starts a program in the namespace, which the end of the test kills if
// it still runs. out gets what it says.
func (ns netns) background(t *testing.T, out io.Writer, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := ns.Start(cmd); err != nil {
		return err
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // does nothing to one that has ended
		_ = cmd.Wait()
	})
	return nil
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// program is a gobr that runs.
type program struct {
	cmd    *exec.Cmd
	out    lockedBuffer  // what follows the first line of the standard output
	copied chan struct{} // closed at the end of the standard output
	heard  int           // how much of errs says has gone by
	mu     sync.Mutex    // guards errs
	errs   bytes.Buffer
}

// Write takes the standard error.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.Write(b)
}

func (p *program) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errs.String()
}

// says waits until gobr says something that the pattern matches on the standard
// error, behind what the last says has heard.
func (p *program) says(t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found []int
	eventually(t, func() bool { found = re.FindStringIndex(p.stderr()[p.heard:]); return found != nil },
		func() string { return fmt.Sprintf("no word of %q behind %d bytes of %q", pattern, p.heard, p.stderr()) })
	p.heard += found[1]
}

// patience is how long another process may take for anything.
const patience = time.Minute

// eventually waits a minute at most.
func eventually(t *testing.T, ok func() bool, why func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "%s", why())
	}
}

// start starts gobr and waits for its first line, which it gives.
func start(t *testing.T, args ...string) (*program, string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &program{cmd: exec.Command(exe, args...), copied: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asGobr+"=1", "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = p
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // does nothing to one that has ended
		<-p.copied
		_ = p.cmd.Wait()
	})
	lines := bufio.NewReader(stdout)
	first := make(chan string, 1)
	go func() { // ends with the standard output
		defer close(p.copied)
		line, _ := lines.ReadString('\n')
		first <- line
		_, _ = lines.WriteTo(&p.out)
	}()
	select {
	case line := <-first:
		return p, line
	case <-time.After(patience):
		t.Fatal("gobr does not start: ", p.stderr())
	}
	return nil, ""
}

// end waits for gobr to end by itself or after sig, and gives its exit status and
// its standard output.
func (p *program) end(t *testing.T, sig os.Signal) (int, string) {
	t.Helper()
	if sig != nil {
		require.NoError(t, p.cmd.Process.Signal(sig))
	}
	watchdog := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer watchdog.Stop()
	<-p.copied
	_ = p.cmd.Wait() // what it says is in the exit status
	return p.cmd.ProcessState.ExitCode(), p.out.String()
}
