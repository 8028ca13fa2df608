package stp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/frame"
)

func bid(priority uint16, n byte) BridgeID {
	return BridgeID{priority, frame.MAC{2, 0, 0, 0, 0, n}}
}

// bridgeLab is a Bridge whose doings are written down.
type bridgeLab struct {
	t   testing.TB
	b   *Bridge
	now time.Duration
	log []string
	out []BPDU // those of log
}

// newBridgeLab makes the bridge 8000.02:00:00:00:00:10, up, with n ports of cost 100
// that are enabled.
func newBridgeLab(t testing.TB, m Mode, n int) *bridgeLab {
	l := &bridgeLab{t: t}
	note := func(format string, args ...any) { l.log = append(l.log, fmt.Sprintf(format, args...)) }
	l.b = NewBridge(BridgeConfig{
		Send: func(port uint16, p *BPDU) {
			note("%d sends %v", port, p.Type)
			l.out = append(l.out, *p)
		},
		State:    func(port uint16, s State) { note("%d %v", port, s) },
		Flush:    func(port uint16) { note("flush %d", port) },
		Changing: func(on bool) { note("changing %v", on) },
		Event:    func(e BridgeEvent) { note("event %d %d", e.Kind, e.Port) },
	})
	l.b.SetAddress(l.now, frame.MAC{2, 0, 0, 0, 0, 0x10})
	l.b.SetMode(l.now, m)
	l.b.SetUp(l.now, true)
	for i := range n {
		num := uint16(i + 1)
		l.b.AddPort(num, PortID(0x8000|num), 100)
		l.b.EnablePort(l.now, num)
	}
	l.take()
	return l
}

func (l *bridgeLab) take() []string {
	log := l.log
	l.log, l.out = nil, nil
	return log
}

// to lets time pass up to a moment, and gives what was done meanwhile.
func (l *bridgeLab) to(end time.Duration) []string {
	l.take()
	for at, ok := l.b.NextTimer(); ok && at <= end; at, ok = l.b.NextTimer() {
		require.Greater(l.t, at, l.now, "a timer that is due was not run")
		l.now = at
		l.b.Tick(at)
	}
	l.now = end
	return l.log
}

func (l *bridgeLab) later(d time.Duration) []string { return l.to(l.now + d) }

// hear gives a BPDU to a port, and gives what was done.
func (l *bridgeLab) hear(port uint16, p BPDU) []string {
	l.take()
	l.b.Receive(l.now, port, &p)
	return l.log
}

func (l *bridgeLab) states() string {
	s := ""
	for num := uint16(1); ; num++ {
		p, ok := l.b.Port(l.now, num)
		if !ok {
			return s
		}
		s += p.State.String()[:2] + " "
	}
}

func (l *bridgeLab) port(num uint16) PortStatus {
	p, ok := l.b.Port(l.now, num)
	require.True(l.t, ok)
	return p
}

// config is a Config BPDU with the default times.
func config(root BridgeID, cost uint32, bridge BridgeID, port PortID) BPDU {
	return BPDU{
		Type: Config, Root: root, Cost: cost, Bridge: bridge, Port: port,
		MaxAge: 20 * 256, HelloTime: 2 * 256, ForwardDelay: 15 * 256,
	}
}

var (
	self   = bid(0x8000, 0x10)
	better = bid(0x1000, 1)
	worse  = bid(0xf000, 1)
)

func (l *bridgeLab) root(t *testing.T, want BridgeID, cost uint32, port uint16) {
	t.Helper()
	s := l.b.Status(l.now)
	assert.Equal(t, want, s.Root)
	assert.Equal(t, cost, s.RootCost)
	assert.Equal(t, port, s.RootPort)
}
