package bridgetest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// Config describes a lab. The zero Config is one switch named br0, with nothing
// plugged in.
type Config struct {
	// Switches, with their names; nil is one, br0. Clock is the lab's whatever it
	// says, and a Seed of 0 follows from the lab's.
	Switches []bridge.Config
	Hosts    []HostConfig // plugged in first, in this order
	Cables   []Cable      // then these

	Latency  time.Duration // of every cable, each way; 0: 10 µs
	QueueLen int           // frames under way in a cable, each way, beyond which it refuses more; 0: 1000
	Seed     uint64        // of all that is left to chance, see Lab.Rand; 0 is a seed like any other
}

// Star describes one switch, br0, with a host of each name on a port of its own:
// the first on p1 with the addresses 02:00:00:00:00:01 and 10.0.0.1, and so on.
func Star(hosts ...string) Config {
	var c Config
	for _, name := range hosts {
		c.Hosts = append(c.Hosts, HostConfig{Name: name})
	}
	return c
}

// TB is the part of testing.TB that NewLab needs.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

const (
	defaultLatency  = 10 * time.Microsecond
	defaultQueueLen = 1000
	maxHosts        = 65534 // as many as two bytes of an address can number
)

// Lab is a network in virtual time. It is for one goroutine at a time, and the
// same holds for its hosts and for what its switches do with frames: a Lab takes
// the place of Bridge.Serve, which must not be called on them.
type Lab struct {
	latency  time.Duration
	queueLen int
	rand     *rand.Rand

	now     time.Duration
	seq     uint64
	events  eventQueue
	running bool
	under   int // frames in all cables

	switches []*bridge.Bridge
	hosts    []*Host
	plugs    []*plug // every one ever plugged in
	ports    int     // how many of them were ports
	trace    io.Writer
}

// NewLab is New for a test: it fails the test at once if the lab cannot be made.
// At the end of the test the lab is checked and closed, and if the test has failed
// its tables are logged.
func NewLab(t TB, c Config) *Lab {
	t.Helper()
	l, err := New(c)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := l.Check(); err != nil {
			t.Errorf("%v", err)
		}
		if t.Failed() {
			var text strings.Builder
			_ = l.WriteTables(&text) // a Builder takes everything
			t.Logf("the lab after %s:\n%s", l.Now(), &text)
		}
		l.Close()
	})
	return l
}

// New makes a lab. Its time is 0 and nothing has happened yet. Errors are those of
// bridge.New and the Add methods.
func New(c Config) (*Lab, error) {
	l := &Lab{latency: c.Latency, queueLen: c.QueueLen, rand: rand.New(rand.NewPCG(c.Seed, 1))}
	if l.latency <= 0 {
		l.latency = defaultLatency
	}
	if l.queueLen <= 0 {
		l.queueLen = defaultQueueLen
	}
	if c.Switches == nil {
		c.Switches = make([]bridge.Config, 1)
	}
	if err := l.add(&c); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) add(c *Config) error {
	for _, s := range c.Switches {
		if _, err := l.AddSwitch(s); err != nil {
			return err
		}
	}
	for _, h := range c.Hosts {
		if _, err := l.AddHost(h); err != nil {
			return err
		}
	}
	for _, cable := range c.Cables {
		if err := l.AddCable(cable); err != nil {
			return err
		}
	}
	return nil
}

// AddSwitch makes a switch, see Config.Switches. Besides those of bridge.New there
// is an error for a name that is in use.
func (l *Lab) AddSwitch(c bridge.Config) (*bridge.Bridge, error) {
	c.Clock = l.clock
	if c.Seed == 0 {
		c.Seed = l.rand.Uint64() | 1 // a Bridge takes 0 for chance
	}
	b, err := bridge.New(c)
	if err != nil {
		return nil, err
	}
	if _, err := l.findSwitch(b.Name()); err == nil {
		return nil, fmt.Errorf("bridgetest: there is a switch %s already", b.Name())
	}
	l.switches = append(l.switches, b)
	if l.trace != nil {
		b.SetTrace(l.step)
	}
	return b, nil
}

// Close closes all switches. What is under way is lost. It may be called more than
// once.
func (l *Lab) Close() {
	for _, b := range l.switches {
		_ = b.Close() // fails only inside a batch, where no one can be who calls this
	}
}

// Rand is where tests that use the lab should take their chance from: the same
// Config.Seed gives the same numbers.
func (l *Lab) Rand() *rand.Rand { return l.rand }

// Bridge is the first switch.
func (l *Lab) Bridge() *bridge.Bridge { return l.switches[0] }

// Switch finds a switch by its name. It panics if there is none.
func (l *Lab) Switch(name string) *bridge.Bridge {
	b, err := l.findSwitch(name)
	if err != nil {
		panic(err)
	}
	return b
}

// findSwitch finds a switch; "" is the first.
func (l *Lab) findSwitch(name string) (*bridge.Bridge, error) {
	for _, b := range l.switches {
		if name == "" || b.Name() == name {
			return b, nil
		}
	}
	return nil, fmt.Errorf("bridgetest: there is no switch %q", name)
}

// Host finds a host by its name. It panics if there is none.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.hosts {
		if h.name == name {
			return h
		}
	}
	panic(fmt.Sprintf("bridgetest: there is no host %q", name))
}

// Hosts lists the hosts in the order in which they were plugged in.
func (l *Lab) Hosts() []*Host { return append([]*Host(nil), l.hosts...) }

// Check says whether every switch has accounted for every frame: that the ledgers
// of all ports and of the bridges' own devices balance, and that what they call
// sent is what the cables took. It may be called at any time outside of Run.
func (l *Lab) Check() error {
	var errs []error
	complain := func(dev, ledger string, n int64) {
		if n != 0 {
			errs = append(errs, fmt.Errorf("bridgetest: %s: %d frames missing in the %s ledger", dev, n, ledger))
		}
	}
	for _, b := range l.switches {
		s := b.Stats()
		complain(b.Name(), "ingress", s.Ingress.Balance())
		complain(b.Name(), "egress", s.Egress.Balance())
	}
	for _, p := range l.plugs {
		in, out := p.stats()
		complain(p.name, "ingress", in.Balance())
		complain(p.name, "egress", out.Balance())
		complain(p.name, "cable's", int64(out.Sent-p.out.taken))
	}
	return errors.Join(errs...)
}

// numberedMAC is a locally administered address that tells what it is of: of the
// n-th host, kind 0, or the n-th port, kind 0xbb.
func numberedMAC(kind byte, n int) frame.MAC {
	return frame.MAC{0x02, kind, 0, 0, byte(n >> 8), byte(n)}
}

// numberedIP is 10.0.0.1 for the first host, and so on.
func numberedIP(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
}
