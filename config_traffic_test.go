package bridge_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A traffic is frames that come in by every port and from the host without end,
// while a script changes the configuration.
type traffic struct {
	t      *testing.T
	frames [fuzzPorts + 1][]frame.Frame // by port, 0 the host; the last two bytes say which
	ports  [fuzzPorts]atomic.Pointer[bridge.Port]
	holds  atomic.Pointer[config] // what holds, while no call is under way; nil during one
	judged atomic.Int64           // how many frames were
	stop   atomic.Bool
}

// prepare makes the frames.
func (tr *traffic) prepare(s *session, seed uint64) {
	maker := *s
	for from := range tr.frames {
		for len(tr.frames[from]) < 60 {
			maker.script = &script{randomScript(seed, 100)} // one that runs out makes no such frames
			seed += 1000
			f := maker.frame(from)
			if n := len(f.Data); f.Owed.None() && n >= 40 && f.Type() == testProto { // none that could lose its end
				f.Data[n-2], f.Data[n-1] = byte(from), byte(len(tr.frames[from]))
				tr.frames[from] = append(tr.frames[from], f)
			}
		}
	}
}

// see holds what is written to a cable against what holds.
func (tr *traffic) see(dev string, fs []frame.Frame) {
	v := tr.holds.Load()
	if v == nil {
		return
	}
	if dev == "br0" {
		dev = ""
	}
	for i := range fs {
		wire := fs[i].AppendWire(nil)
		if isAnswer(wire) || isOwn(wire, v.info.Address) {
			continue // the bridge's own, or an answer, of whose frame it does not tell
		}
		from, k := int(wire[len(wire)-2]), int(wire[len(wire)-1])
		name := ""
		if from > 0 {
			name = portName(from)
		}
		f := tr.frames[from][k]
		a := v.judge(name, f)
		why := a.barred
		if why == "" {
			why = a.forbids(dev, wire, fs[i].Tunnel)
		}
		if why != "" {
			tr.t.Errorf("a frame from %q left by %q after the change had returned, though %s: % x", name, dev, why, wire[:22])
			tr.stop.Store(true)
			return
		}
		tr.judged.Add(1)
	}
}

// run sends, until it is told to stop.
func (tr *traffic) run(b *bridge.Bridge, from int) {
	var p *bridge.Port
	var in *bridge.Input
	for i := 0; !tr.stop.Load(); i = (i + 4) % len(tr.frames[from]) {
		if from == 0 {
			_ = b.Xmit(tr.frames[0][i]) // the host's door may be shut
			runtime.Gosched()
			continue
		}
		if now := tr.ports[from-1].Load(); now != p {
			p, in = now, now.Input()
		}
		_ = in.Receive(tr.frames[from][i : i+4]) // and a port's device down
		runtime.Gosched()
	}
}

// After a change has returned no frame leaves under what held before: whatever the
// change, with frames under way on every port meanwhile.
func TestConfigUnderTraffic(t *testing.T) {
	total := int64(0)
	for seed := range uint64(3) {
		tr := &traffic{t: t}
		s := newSession(t, randomScript(7000+seed, 2000), tr.see)
		s.log.forget = true
		tr.prepare(s, seed)
		publish := func() {
			for i := range s.slots {
				tr.ports[i].Store(s.slots[i].port)
			}
			v := s.view()
			v.fdb = nil
			tr.holds.Store(&v)
		}
		publish()
		var wg sync.WaitGroup
		for from := range tr.frames {
			wg.Go(func() { tr.run(s.b, from) })
		}
		for len(s.left) > 0 && !tr.stop.Load() {
			before := s.b.Stats().Ingress.Received
			tr.holds.Store(nil)
			_, _, _ = s.configure() // refused or not: what holds is read
			publish()
			for end := time.Now().Add(time.Second); s.b.Stats().Ingress.Received < before+3 && time.Now().Before(end); {
				runtime.Gosched()
			}
		}
		tr.stop.Store(true)
		wg.Wait()
		s.end()
		total += tr.judged.Load()
		require.False(t, t.Failed(), "seed %d", seed)
	}
	require.Greater(t, total, int64(500), "frames that were judged")
}
