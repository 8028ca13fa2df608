// Package replay performs recorded scenarios of the Linux bridge on package
// bridge, through its public API, and compares what comes with what the kernel
// did: frames, refusals, and dumps of every table, after each step.
//
// Time is virtual. Wait steps take it, up to the sum of all so far; the others take what
// the recorder paused after them, by which the next wait is shorter. Timers run in order.
// Nothing in the package starts a goroutine.
//
// Records that are made beside a kernel know some words more than the recordings, whose
// format testdata/README.md has:
//
//	mdb-flush       a step: bridge mdb flush, with port ("br0": the host's), vlan, proto, and
//	                in flags permanent or nopermanent
//	proto           of mdb-add, mdb-del and mdb-flush: kernel, static, or a number
//	late            of a dump: by how many seconds its timers may be off more than else, as
//	                time really passed
//	querier         of dump-mdb: who the bridge-wide querier is, as in vlan_global
//	mcast_stats     of dump-stats: the counters of IGMP and MLD, by device and name
//
// Two things are held against every scenario beside the records: that Explain
// foretells each frame without touching anything, and that the two ledgers
// balance.
package replay

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
)

// Options says how a scenario is replayed.
type Options struct {
	// TagAside: the cables take VLAN tags beside the data, and ports get the
	// frames so too, as from a driver that strips tags. Otherwise everything is
	// plain bytes. What the bridge does has to be the same.
	TagAside bool
}

// Difference is the first place where a replay went another way than the record.
type Difference struct {
	Scenario string
	Step     int    // index in Scenario.Steps; -1 before the first
	Op       string // of that step, with its port
	Text     string // what was expected and what came, in words
}

// Error gives the difference in one line.
func (d *Difference) Error() string {
	if d.Step < 0 {
		return fmt.Sprintf("%s: %s: %s", d.Scenario, d.Op, d.Text)
	}
	return fmt.Sprintf("%s: steps[%d] %s: %s", d.Scenario, d.Step, d.Op, d.Text)
}

// Check replays s both with tags in the data and with tags beside it, and gives
// the first difference, nil if there is none.
func Check(s *Scenario) *Difference {
	for _, opt := range []Options{{}, {TagAside: true}} {
		if d := Run(s, opt); d != nil {
			if opt.TagAside {
				d.Text += " (only with tags beside the data)"
			}
			return d
		}
	}
	return nil
}

// Run replays s and gives the first difference, nil if there is none. A panic of
// the library is a difference, and so is Scenario.Damage.
func Run(s *Scenario, opt Options) (d *Difference) {
	if s.Damage != nil {
		return &Difference{Scenario: s.Name, Step: -1, Op: "reading the record", Text: s.Damage.Error()}
	}
	return (&run{s: s, opt: opt, now: epoch, at: -1}).all()
}

// all replays the scenario of r.
func (r *run) all() (d *Difference) {
	defer func() {
		if p := recover(); p != nil {
			d = r.difference(fmt.Errorf("panic: %v: %s", p, panicSite(debug.Stack())))
		}
	}()
	defer r.end()
	if err := r.build(); err != nil {
		return r.difference(err)
	}
	r.collect()
	for r.at = range r.s.Steps {
		if err := r.step(&r.s.Steps[r.at]); err != nil {
			return r.difference(err)
		}
	}
	if err := r.closeWindow(); err != nil {
		return r.difference(err)
	}
	return nil
}

// run is one replay.
type run struct {
	s     *Scenario
	opt   Options
	write bool // results are written into s, and then compared
	b     *bridge.Bridge
	host  *cable
	stack stack
	devs  []*device // in the order of Scenario.Ports

	at     int           // index of the step
	now    time.Time     // the bridge's clock
	waited time.Duration // by all wait steps so far
	ahead  time.Duration // of waited, by pauses
	window window
}

func (r *run) difference(err error) *Difference {
	d := &Difference{Scenario: r.s.Name, Step: r.at, Op: "building the bridge", Text: err.Error()}
	if r.at >= 0 {
		t := &r.s.Steps[r.at]
		d.Op = strings.TrimSpace(t.Op + " " + t.Port)
	}
	return d
}

func (r *run) end() {
	if r.b != nil {
		r.b.Close()
	}
}

// dev is the device of that name; Scenario.check has seen to it that it exists.
func (r *run) dev(name string) *device {
	for _, d := range r.devs {
		if d.name == name {
			return d
		}
	}
	panic("no device " + name)
}

// notAPort is the answer to a request to a device that is no port, as Linux
// gives it (EOPNOTSUPP). In Go such a request begins with Bridge.Port, which knows
// no port of that name; if it does, that is a fault of the library.
func (r *run) notAPort(name string) error {
	if r.b.Port(name) != nil {
		return fmt.Errorf("Bridge.Port(%q) gives a port", name)
	}
	return bridge.EOPNOTSUPP
}

// errUnsupported marks what the library has no call for. It is a difference
// whatever is recorded.
var errUnsupported = errors.New("not supported by the library")

func unsupported(op string, what any) error {
	return fmt.Errorf("%w: %s %v", errUnsupported, op, what)
}

// step carries out t and compares all its results.
func (r *run) step(t *Step) error {
	if r.write {
		r.writeTable(t)
	}
	err := operations[t.Op](r, t)
	if r.write {
		t.Err = errnoName(err)
	}
	var found *mismatch
	switch {
	case errors.As(err, &found), errors.Is(err, errUnsupported):
		return err
	}
	if err := sameRefusal(t.Err, err); err != nil {
		return err
	}
	if err := r.pause(t); err != nil {
		return err
	}
	if err := r.compareFrames(t); err != nil {
		return err
	}
	return r.checkLedgers()
}

// pause lets the time pass that the recorder gave the kernel for what it defers to its
// next tick. The wait that follows is shorter by it, so that it ends when the record says.
func (r *run) pause(t *Step) error {
	d := t.Pause()
	if d == 0 {
		return nil
	}
	r.ahead += d
	return r.advance(d)
}

// Pause is how long the recorder pauses after a step.
func (t *Step) Pause() time.Duration {
	switch {
	case t.Op == "inject":
		return 5 * time.Millisecond
	case t.Op == "wait", t.Op == "mdb-get", strings.HasPrefix(t.Op, "dump-"):
		return 0
	}
	return 10 * time.Millisecond
}

// mismatch is a difference that an operation has found itself.
type mismatch struct{ text string }

func (m *mismatch) Error() string { return m.text }

func mismatchf(format string, args ...any) error {
	return &mismatch{fmt.Sprintf(format, args...)}
}

// sameRefusal holds err against the recorded name of an error, "" for success.
func sameRefusal(want string, err error) error {
	var no bridge.Errno
	switch {
	case err == nil && want == "":
		return nil
	case err == nil:
		return fmt.Errorf("expected the refusal %s, came success", want)
	case !errors.As(err, &no) && want == "":
		return fmt.Errorf("expected success, came an error without Errno: %w", err)
	case !errors.As(err, &no):
		return fmt.Errorf("expected the refusal %s, came an error without Errno: %w", want, err)
	case want == "":
		return fmt.Errorf("expected success, came the refusal %s: %w", no.Name(), err)
	case no.Name() != want:
		return fmt.Errorf("expected the refusal %s, came %s: %w", want, no.Name(), err)
	}
	return nil
}

// errnoName is the name of err's number, "" if it has none.
func errnoName(err error) string {
	var no bridge.Errno
	errors.As(err, &no)
	return no.Name()
}

// maxTicks bounds the timers of one moment: a timer that does not move on would
// keep a replay for ever.
const maxTicks = 10_000

// advance lets d pass: the timers due up to its end run, each at its time.
func (r *run) advance(d time.Duration) error {
	end := r.now.Add(d)
	for still := 0; ; {
		at, ok := r.b.NextTimer()
		if !ok || at.After(end) {
			break
		}
		if at.After(r.now) {
			r.now, still = at, 0
		}
		if still++; still > maxTicks {
			return mismatchf("the timer due at %v does not move on: %d calls of Tick", at.Sub(epoch), maxTicks)
		}
		r.b.Tick(r.now)
	}
	r.now = end
	return nil
}

// panicSite finds the first place outside the runtime and this package in a
// stack: where the panic came from.
func panicSite(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") {
			for _, l := range lines[i+2:] {
				if strings.HasPrefix(l, "\t") && !strings.Contains(l, "/runtime/") {
					site, _, _ := strings.Cut(strings.TrimSpace(l), " ")
					return site[strings.LastIndexByte(site, '/')+1:]
				}
			}
		}
	}
	return "place unknown"
}
