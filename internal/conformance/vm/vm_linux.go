package vm

import (
	"bufio"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ddfb540f/bridge/internal/conformance/live"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
	"github.com/ddfb540f/bridge/internal/guest"
)

// GuestFlag is the argument by which the program learns that it is in the guest.
const GuestFlag = "-guest"

// modules are what a bridge with TAPs needs of a kernel.
var modules = []string{"tun", "bridge"}

const (
	bootPatience = 2 * time.Minute // for a guest that is translated, on a busy machine
	patience     = 3 * time.Minute // for one scenario, beside others
)

// request is what the guest is asked for.
type request struct {
	ID       uint64           `json:"id"`
	Scenario *replay.Scenario `json:"scenario"`
}

// answer is what the guest says: its features first, then a scenario, or why there
// is none, for each request, in any order.
type answer struct {
	ID       uint64           `json:"id,omitzero"`
	Features *live.Features   `json:"features,omitzero"`
	Scenario *replay.Scenario `json:"scenario,omitzero"`
	Error    string           `json:"error,omitzero"`
}

// Parallel is how many scenarios a machine performs at the same time. Its kernel
// waits much: for the carriers of links above all.
const Parallel = 12

// A Machine is a virtual machine that runs. Its methods may be called by several
// goroutines.
type Machine struct {
	Features live.Features

	p    *guest.Appliance
	in   *json.Decoder
	done chan struct{} // closed when nobody listens to the guest any more

	mu    sync.Mutex // guards the rest
	out   *json.Encoder
	last  uint64
	asked map[uint64]chan answer
	lost  error // the guest is of no use any more
}

// Open boots the newest kernel below the directory that QEMUGUEST_KERNEL names, else
// below the root. An error names the Debian packages that are missing.
func Open(ctx context.Context) (*Machine, error) {
	root := os.Getenv(guest.KernelVariable)
	if root == "" {
		root = "/"
	}
	k, err := guest.Needs(root, nil)
	if err != nil {
		return nil, err
	}
	program, err := staticProgram(ctx)
	if err != nil {
		return nil, err
	}
	p, err := guest.StartAppliance(k, program, []string{GuestFlag}, modules, guest.BestAccel(ctx))
	if err != nil {
		return nil, err
	}
	m := &Machine{
		p: p, in: json.NewDecoder(bufio.NewReaderSize(p, 1<<16)), out: json.NewEncoder(p),
		done: make(chan struct{}), asked: map[uint64]chan answer{},
	}
	var a answer
	if err = p.SetReadDeadline(time.Now().Add(bootPatience)); err == nil {
		a, err = m.hear()
	}
	if err == nil {
		err = p.SetReadDeadline(time.Time{})
	}
	if err == nil && a.Features == nil {
		err = errors.New("the guest does not say what its kernel has: " + a.Error)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	m.Features = *a.Features
	go m.listen() // ends with the machine; Close waits for it
	return m, nil
}

// Close ends the machine.
func (m *Machine) Close() error {
	err := m.p.Close()
	<-m.done
	return err
}

// Record has the machine perform s, as live.Kernel does.
func (m *Machine) Record(s *replay.Scenario) (*replay.Scenario, error) {
	id, answered, err := m.ask(s)
	if err != nil {
		return nil, err
	}
	defer m.forget(id)
	select {
	case a := <-answered:
		if a.Scenario == nil {
			return nil, errors.New(a.Error)
		}
		return a.Scenario, nil
	case <-m.done:
		m.mu.Lock()
		defer m.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", s.Name, m.lost)
	case <-time.After(patience):
		return nil, fmt.Errorf("%s: the guest gives no answer\n%s", s.Name, m.p.Console())
	}
}

func (m *Machine) ask(s *replay.Scenario) (id uint64, answered chan answer, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	answered = make(chan answer, 1)
	m.asked[m.last] = answered
	if err = m.p.SetWriteDeadline(time.Now().Add(patience)); err == nil {
		err = m.out.Encode(request{m.last, s})
	}
	if err != nil {
		delete(m.asked, m.last)
		err = fmt.Errorf("%s: ask the guest: %w\n%s", s.Name, err, m.p.Console())
	}
	return m.last, answered, err
}

func (m *Machine) forget(id uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.asked, id)
}

// listen hands answers to who asked, until the guest is gone.
func (m *Machine) listen() {
	defer close(m.done)
	for {
		a, err := m.hear()
		m.mu.Lock()
		if m.lost = err; err == nil && m.asked[a.ID] != nil {
			m.asked[a.ID] <- a
			delete(m.asked, a.ID)
		}
		m.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (m *Machine) hear() (a answer, err error) {
	if err = m.in.Decode(&a); err != nil {
		err = fmt.Errorf("the guest gives no answer: %w\n%s", err, m.p.Console())
	}
	return a, err
}

// staticProgram is this program without any library: itself, if it was built so, else
// built again, from the directory of the module. It lies in the user's cache.
func staticProgram(ctx context.Context) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if isStatic(self) {
		return os.ReadFile(self)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(cache, "bridge-conformance", "guest")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, "github.com/ddfb540f/bridge/internal/conformance")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest's program, in the directory of the module: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return os.ReadFile(path)
}

func isStatic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// Guest is what the program does in the guest: it answers until nobody asks, and then
// ends the guest.
func Guest() {
	defer guest.PowerOff()
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
}

func serve() error {
	ctx, cancel := context.WithTimeout(context.Background(), bootPatience)
	defer cancel()
	stream, err := guest.Enter(ctx)
	if err != nil {
		return err
	}
	out := json.NewEncoder(stream)
	k, err := live.Open()
	if err != nil {
		return errors.Join(err, out.Encode(answer{Error: err.Error()}))
	}
	if err := out.Encode(answer{Features: &k.Features}); err != nil {
		return err
	}
	return answerAll(k, json.NewDecoder(bufio.NewReaderSize(stream, 1<<16)), out)
}

// answerAll performs scenarios, several at a time, until there are no more.
func answerAll(k *live.Kernel, in *json.Decoder, out *json.Encoder) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	var mu sync.Mutex // guards out
	turns := make(chan struct{}, Parallel)
	for {
		var q request
		if err := in.Decode(&q); err != nil {
			return err
		}
		turns <- struct{}{}
		wg.Go(func() { // ends when it has answered
			defer func() { <-turns }()
			a := answer{ID: q.ID}
			s, err := k.Record(q.Scenario)
			if a.Scenario = s; err != nil {
				a.Scenario, a.Error = nil, err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(a) // if nobody listens any more, the next request fails
		})
	}
}
