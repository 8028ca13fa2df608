package stp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A protocol is one of the two machines, and what a figure takes with it: how long it has
// to come to its tree, and in which time another way replaces one that is cut.
type protocol struct {
	name          string
	make          func(*node) speaker
	settles, heal time.Duration
	every         time.Duration // how often it is looked at while it heals
}

// With 802.1D a new way is listened to and learned from for a forward delay each, and
// what was heard of the old one may have to grow old first. With RSTP it takes as many
// BPDUs as there are bridges to ask.
var protocols = []protocol{
	{"rstp", newRapidNode, 30 * time.Second, 100 * time.Millisecond, latency},
	{"stp", newKernelNode, 100 * time.Second, (20 + 15 + 15 + 5) * time.Second, time.Second},
}

// figure makes the network of a figure, which never has a loop, and has it settle.
func (p *protocol) figure(t *testing.T, text string) *network {
	n := newNetwork(t)
	n.watch = func() { require.False(t, n.loop(), "at %v", n.now) }
	n.buildOf(p.make, text)
	n.run(p.settles)
	return n
}

// expectCosts checks the root path costs against lines like "111: 0".
func (n *network) expectCosts(text string) {
	n.t.Helper()
	var got []string
	for _, name := range n.names {
		d := n.nodes[name]
		var cost uint32
		if k, ok := d.m.(kernelNode); ok {
			cost = k.Status(n.now).RootCost
		} else {
			cost = d.rapid.Status().RootCost
		}
		got = append(got, fmt.Sprintf("%s: %d", name, cost))
	}
	want := strings.Split(strings.TrimSpace(text), "\n")
	for i := range want {
		want[i] = strings.TrimSpace(want[i])
	}
	require.Equal(n.t, want, got)
}

// rewire takes the cable of a bridge's port out and plugs it in elsewhere.
func (n *network) rewire(name string, port uint16, lan string) {
	d := n.nodes[name]
	d.m.setLink(n.now, port, false, true)
	old := d.lans[port-1]
	old.ends = slices.DeleteFunc(old.ends, func(e end) bool { return e == end{d, port} })
	l := n.lans[lan]
	l.ends = append(l.ends, end{d, port})
	d.lans[port-1] = l
	d.m.setLink(n.now, port, true, len(l.ends) == 2)
}

// heals cuts each cable between two bridges and puts it back: the bridges reach each
// other again, and in the end all is as it was.
func (p *protocol) heals(t *testing.T, n *network) {
	roles := func() (all string) {
		for _, name := range n.names {
			all += name + ": " + n.nodes[name].roles() + "\n"
		}
		return all
	}
	before := roles()
	for _, name := range slices.Sorted(maps.Keys(n.lans)) {
		l := n.lans[name]
		if len(l.ends) != 2 || l.ends[0].node == l.ends[1].node {
			continue
		}
		n.cut(name, true)
		took := n.untilEvery(p.every, 2*time.Minute, n.joined)
		assert.LessOrEqual(t, took, p.heal, "without %s", name)
		n.run(p.settles)
		require.True(t, n.joined(), "without %s", name)
		n.cut(name, false)
		n.run(p.settles)
		require.True(t, n.joined(), "%s is back", name)
		require.Equal(t, before, roles(), "%s is back", name)
	}
}

// The examples of 802.1D-2004, 17.3.2: who is what, and how far from the root, with the
// cost of 200,000 that Table 17-3 has for 100 Mb/s. A LAN with one end has stations
// alone.
func TestFigures(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Run("17-4 and 17-5", func(t *testing.T) { backbone(t, &p) })
			t.Run("17-6", func(t *testing.T) { ringBackbone(t, &p) })
			t.Run("17-7", func(t *testing.T) { portPriority(t, &p) })
		})
	}
}

// Figures 17-4 and 17-5: four bridges of a backbone and four behind them, each with two
// ways; then somebody puts a cable into two ports of the last.
func backbone(t *testing.T, p *protocol) {
	n := p.figure(t, `
		111: a b e c
		222: a b d f
		333: c d l j h g
		444: e f n m k i
		555: g i y0 y1
		666: h k y2 y3
		777: j m y4 y5
		888: l n o y6`)
	const most = `
		111: D D D D
		222: R A D D
		333: R A D D D D
		444: R A D D D D
		555: R A D D
		666: R A D D
		777: R A D D`
	n.expect(most + "\n888: R A D D")
	n.expectCosts(`
		111: 0
		222: 200000
		333: 200000
		444: 200000
		555: 400000
		666: 400000
		777: 400000
		888: 400000`)
	n.rewire("888", 4, "o")
	n.run(p.settles)
	n.expect(most + "\n888: R A D B")
	p.heals(t, n)
}

// Figure 17-6: six bridges around a ring, each with a LAN of its own.
func ringBackbone(t *testing.T, p *protocol) {
	n := p.figure(t, `
		111: a b l
		222: b c d
		333: d e f
		444: f g h
		555: j h i
		666: l j k`)
	n.expect(`
		111: D D D
		222: R D D
		333: R D D
		444: R D A
		555: R D D
		666: R D D`)
	n.expectCosts(`
		111: 0
		222: 200000
		333: 400000
		444: 600000
		555: 400000
		666: 200000`)
	p.heals(t, n)
}

// Figure 17-7: two bridges joined by two cables, and the root at one of them. The other
// one's root port is where it hears the better port identifier: of port 5, until port 6
// has the better priority.
func portPriority(t *testing.T, p *protocol) {
	n := p.figure(t, `
		aa: b
		111: a b d f h g e c
		222: g h j l n m k i`)
	n.expect(`
		aa: D
		111: D R D D D D D D
		222: A R D D D D D D`)
	n.expectCosts(`
		aa: 0
		111: 200000
		222: 400000`)
	d := n.nodes["111"]
	if k, ok := d.m.(kernelNode); ok {
		k.SetPortID(n.now, 6, 0x7006)
	} else {
		d.set(6, func(o *RapidPort) { o.ID = 0x7006 })
	}
	n.run(p.settles)
	n.expect(`
		aa: D
		111: D R D D D D D D
		222: R A D D D D D D`)
	n.expectCosts(`
		aa: 0
		111: 200000
		222: 400000`)
	for _, name := range []string{"g", "h"} {
		n.cut(name, true)
		assert.LessOrEqual(t, n.untilEvery(p.every, 2*time.Minute, n.joined), p.heal, "without %s", name)
		n.run(p.settles)
		n.cut(name, false)
		n.run(p.settles)
		require.True(t, n.joined())
	}
}
