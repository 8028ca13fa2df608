package stp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kernelNode is a Bridge in a network. Of roles it knows as much as its states tell.
type kernelNode struct {
	*Bridge
	d *node
}

func newKernelNode(d *node) speaker {
	m := NewBridge(BridgeConfig{
		Send:  d.send,
		State: func(port uint16, s State) { d.state[port] = s },
	})
	id := d.id()
	m.SetAddress(d.n.now, id.Address)
	m.SetPriority(d.n.now, id.Priority)
	for i := range d.lans {
		m.AddPort(uint16(i+1), testPortID(uint16(i+1)), 200_000)
	}
	m.SetUp(d.n.now, true)
	m.SetMode(d.n.now, Kernel)
	return kernelNode{m, d}
}

func (k kernelNode) handle(now time.Duration, port uint16, b *BPDU) {
	k.ReceivePDU(now, port, b.Append(nil))
}
func (k kernelNode) tick(now time.Duration)      { k.Tick(now) }
func (k kernelNode) next() (time.Duration, bool) { return k.NextTimer() }
func (k kernelNode) setLink(now time.Duration, port uint16, up, _ bool) {
	if up {
		k.EnablePort(now, port)
	} else {
		k.DisablePort(now, port)
	}
}

func (k kernelNode) role(port uint16) Role {
	now := k.d.n.now
	s, _ := k.Port(now, port)
	switch {
	case s.State == Disabled:
		return RoleOfDisabled
	case k.Status(now).RootPort == port:
		return RoleOfRoot
	case s.DesignatedBridge == k.d.id() && s.DesignatedPort == s.ID:
		return RoleOfDesignated
	case s.DesignatedBridge == k.d.id():
		return RoleOfBackup
	}
	return RoleOfAlternate
}

// A ring of both protocols comes to the tree that the priorities say, whoever is where,
// without ever being a loop, and heals.
func TestRapidBesideBridge(t *testing.T) {
	for kinds := range 1 << 4 {
		n := newNetwork(t)
		for i, lans := range [][]string{{"a", "b"}, {"b", "c"}, {"c", "d"}, {"d", "a"}} {
			make := newRapidNode
			if kinds>>i&1 != 0 {
				make = newKernelNode
			}
			n.add(string(rune('1'+i)), make, lans...)
		}
		for _, name := range n.names {
			n.nodes[name].plug()
		}
		n.watch = func() { require.False(t, n.loop(), "%04b at %v", kinds, n.now) }
		n.run(100 * time.Second)
		n.expect("1: D D\n2: R D\n3: R A\n4: D R")
		for _, name := range n.names {
			d := n.nodes[name]
			for i, l := range d.lans {
				if d.rapid == nil {
					continue
				}
				allRapid := l.ends[0].node.rapid != nil && l.ends[1].node.rapid != nil
				s, _ := d.rapid.Port(uint16(i + 1))
				assert.Equal(t, allRapid, s.SendRSTP, "%04b: bridge %s port %d", kinds, name, i+1)
			}
		}
		n.cut("b", true)
		n.run(100 * time.Second)
		n.expect("1: D -\n2: - R\n3: D R\n4: D R")
		n.cut("b", false)
		n.run(100 * time.Second)
		n.expect("1: D D\n2: R D\n3: R A\n4: D R")
	}
}
