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
	patience     = time.Minute     // for one scenario
)

// answer is what the guest says: its features first, then a scenario, or why there
// is none, for each that it was given.
type answer struct {
	Features *live.Features   `json:"features,omitzero"`
	Scenario *replay.Scenario `json:"scenario,omitzero"`
	Error    string           `json:"error,omitzero"`
}

// A Machine is a virtual machine that runs. Its methods may be called by several
// goroutines; it performs one scenario at a time.
type Machine struct {
	Features live.Features

	mu   sync.Mutex // guards the rest
	p    *guest.Appliance
	in   *json.Decoder
	out  *json.Encoder
	lost error // the guest is of no use any more
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
	m := &Machine{p: p, in: json.NewDecoder(bufio.NewReaderSize(p, 1<<16)), out: json.NewEncoder(p)}
	a, err := m.hear(bootPatience)
	if err == nil && a.Features == nil {
		err = errors.New("the guest does not say what its kernel has: " + a.Error)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	m.Features = *a.Features
	return m, nil
}

// Close ends the machine.
func (m *Machine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.p.Close()
}

// Record has the machine perform s, as live.Kernel does.
func (m *Machine) Record(s *replay.Scenario) (*replay.Scenario, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lost != nil {
		return nil, m.lost
	}
	var a answer
	err := m.p.SetWriteDeadline(time.Now().Add(patience))
	if err == nil {
		err = m.out.Encode(s)
	}
	if err == nil {
		a, err = m.hear(patience)
	}
	switch {
	case err != nil:
		m.lost = fmt.Errorf("%s: %w", s.Name, err)
		return nil, m.lost
	case a.Scenario == nil:
		return nil, errors.New(a.Error)
	}
	return a.Scenario, nil
}

func (m *Machine) hear(patience time.Duration) (a answer, err error) {
	if err = m.p.SetReadDeadline(time.Now().Add(patience)); err == nil {
		err = m.in.Decode(&a)
	}
	if err != nil {
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
	in := json.NewDecoder(bufio.NewReaderSize(stream, 1<<16))
	for {
		s := new(replay.Scenario)
		if err := in.Decode(s); err != nil {
			return err
		}
		var a answer
		if a.Scenario, err = k.Record(s); err != nil {
			a = answer{Error: err.Error()}
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}
