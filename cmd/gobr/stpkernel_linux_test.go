package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/stp"
)

// stpTimers are those of a tree, as flags.
var stpTimers = []string{
	"--hello-time", strconv.Itoa(treeHello), "--max-age", strconv.Itoa(treeMaxAge), "--forward-delay", strconv.Itoa(treeForwardDelay),
}

// treeCables are the trees that are tried, by the number of their bridges: each bridge
// is connected to every other one, or where there are two by two cables.
var treeCables = map[int][][2]int{2: {{1, 2}, {1, 2}}, 3: {{1, 2}, {1, 3}, {2, 3}}}

// steady is the last Config BPDU of those heard, as a whole frame, without what differs
// from one to the next: its age, and whether the topology changes.
func steady(t *testing.T, heard [][]byte) []byte {
	t.Helper()
	for _, wire := range slices.Backward(heard) {
		p := parseBPDU(t, wire)
		if p.Type != stp.Config {
			continue
		}
		assert.Zero(t, p.Version)
		assert.Less(t, p.MessageAge, p.MaxAge)
		assert.Zero(t, p.Flags&^(stp.TopologyChange|stp.TopologyChangeAck))
		p.Flags, p.MessageAge = 0, 0
		return p.Append(bytes.Clone(wire[:17]))
	}
	t.Fatal("no Config BPDU was heard")
	return nil
}

// A gobr in the place of any bridge of the kernel makes the same tree with the others:
// the same root, the same port blocked, before and after a cable is cut. It says the same
// too, byte for byte. So does one with RSTP, once it has noticed.
func TestSpanningTreeWithKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the others' timers do")
	}
	type made struct {
		tree    *tree
		bridges int
		gobr    *gobrBridge       // nil: kernels alone
		heard   []func() [][]byte // of the first bridge, and of the second
	}
	var all []made
	var trees []*tree
	add := func(bridges, ours int, kind string) {
		name := fmt.Sprintf("%d bridges, gobr with %s is bridge %d", bridges, kind, ours)
		if ours == 0 {
			name = fmt.Sprintf("%d bridges, all of the kernel", bridges)
		}
		m := made{tree: newTree(t, name, treeCables[bridges]...), bridges: bridges}
		m.heard = append(m.heard, m.tree.listen("p2a"))
		if bridges == 3 {
			m.heard = append(m.heard, m.tree.listen("p3c"))
		}
		for n := 1; n <= bridges; n++ {
			if n == ours {
				m.gobr = m.tree.addGobrAmongKernels(kind)
			} else {
				m.tree.addKernel()
			}
		}
		all, trees = append(all, m), append(trees, m.tree)
	}
	for _, bridges := range []int{2, 3} {
		for ours := 0; ours <= bridges; ours++ {
			add(bridges, ours, "stp")
		}
	}
	for ours := 1; ours <= 3; ours++ {
		add(3, ours, "rstp")
	}
	lives := live(t, trees)
	kernels, bpdus := map[int]life{}, map[int][2][]byte{}
	for i, m := range all {
		var said [2][]byte
		for j, heard := range m.heard {
			said[j] = steady(t, heard())
		}
		if m.gobr == nil {
			kernels[m.bridges], bpdus[m.bridges] = lives[i], said
			t.Logf("%s: %x", m.tree.name, said)
			continue
		}
		assert.Equal(t, bpdus[m.bridges], said, m.tree.name)
		assert.Equal(t, kernels[m.bridges], lives[i], m.tree.name)
		assert.Contains(t, m.gobr.report(t), "root "+treeBridgeID(1), m.tree.name)
	}
	require.Equal(t, "blocking", kernels[2][0]["p2b"])
	require.Equal(t, "blocking", kernels[3][0]["p3c"])
}

// addGobrAmongKernels adds a gobr with the costs of the kernel, which are those of 802.1D
// as gobr has it by itself, and not those of RSTP.
func (tr *tree) addGobrAmongKernels(kind string) *gobrBridge {
	args := slices.Clone(stpTimers)
	if kind == "rstp" {
		for _, p := range tr.ports(len(tr.bridges) + 1) {
			args = append(args, "--port", p+"=path_cost=2")
		}
	}
	return tr.addGobr(kind, args...)
}

// A port with a guard is shut when a bridge of the kernel speaks behind it, until its
// link has gone down; one that must not lead to the root listens for as long as a better
// one is heard.
func TestGuardsAgainstKernels(t *testing.T) {
	t.Parallel()
	cable := [2]int{1, 2}
	guarded := newTree(t, "guard", cable)
	guarded.addKernel()
	gobr := guarded.addGobr("stp", append([]string{"--port", "p2a=guard"}, stpTimers...)...)
	blocked := newTree(t, "root_block", cable)
	blocked.addKernel()
	leaf := blocked.addGobr("stp", append([]string{"--port", "p2a=root_block"}, stpTimers...)...)

	gobr.says(t, `gobr: bpdu guard p2a\n`)
	gobr.says(t, `gobr: port state h2 forwarding\n`)
	assert.Equal(t, "disabled", gobr.states(t)["p2a"])
	guarded.mid.ip(t, "link set br1 down") // which says no more
	guarded.cut(0, true)
	gobr.says(t, `gobr: p2a: up, without a carrier, it was up\n`)
	guarded.cut(0, false)
	gobr.says(t, `gobr: port state p2a forwarding\n`)
	gobr.report(t)

	leaf.says(t, `gobr: root blocked p2a\n`)
	leaf.says(t, `gobr: port state h2 forwarding\n`)
	assert.Equal(t, "listening", leaf.states(t)["p2a"])
	out := leaf.report(t)
	assert.Contains(t, out, "bridge "+treeBridgeID(2)+", root "+treeBridgeID(2)+", which is this bridge\n")
	assert.Regexp(t, `(?m)^p2a +1 +8001 +- +listening +2 `, out)
}
