package main

import (
	"fmt"
	"math/rand/v2"
)

// A topology is a graph of bridges, and of hubs, which are shared segments.
type topology struct {
	kind    string
	bridges int     // nodes 0 and up
	hubs    int     // the nodes after those
	cables  []cable // between bridges, or a bridge and a hub
}

// A cable connects two nodes, or two ports of one.
type cable struct{ a, b int }

func (t *topology) join(a, b int) { t.cables = append(t.cables, cable{a, b}) }

func (t *topology) nodes() int { return t.bridges + t.hubs }

func (t *topology) String() string {
	s := fmt.Sprintf("%s of %d bridges, %d cables", t.kind, t.bridges, len(t.cables))
	if t.hubs > 0 {
		s += fmt.Sprintf(", %d hubs", t.hubs)
	}
	return s
}

// shapes make the kinds of topologies, of n bridges.
var shapes = map[string]func(r *rand.Rand, n int) *topology{
	"line": line, "ring": ring, "mesh": mesh, "grid": grid, "tree": tree, "random": random, "hubs": shared,
}

// kinds are the names of shapes in the order in which chance draws them.
var kinds = []string{"line", "ring", "mesh", "grid", "tree", "random", "random", "hubs"}

// A BPDU of 802.1D-2004 travels as many hops as its maximum age has seconds (17.21.23,
// 9.3.4), 40 at most, and a ring that is cut is a line: longer ones cannot converge.
const longest = 36

// draw makes a topology by chance: small for the most part, one in 50 with 100 to 200
// bridges, with parallel cables and cables from a bridge to itself in some.
func draw(r *rand.Rand) *topology {
	kind, n := kinds[r.IntN(len(kinds))], 3+r.IntN(28)
	if r.IntN(50) == 0 {
		n = 100 + r.IntN(101)
	}
	switch kind {
	case "line", "ring":
		n = min(n, longest)
	case "mesh":
		n = min(n, 3+r.IntN(8))
	}
	t := shapes[kind](r, n)
	if r.IntN(4) == 0 {
		for range 1 + r.IntN(3) {
			if c := t.cables[r.IntN(len(t.cables))]; c.b < t.bridges {
				t.join(c.b, c.a)
			}
		}
	}
	if r.IntN(6) == 0 {
		for range 1 + r.IntN(2) {
			b := r.IntN(t.bridges)
			t.join(b, b)
		}
	}
	return t
}

func line(_ *rand.Rand, n int) *topology {
	t := &topology{kind: "line", bridges: n}
	for i := range n - 1 {
		t.join(i, i+1)
	}
	return t
}

func ring(r *rand.Rand, n int) *topology {
	t := line(r, n)
	t.kind = "ring"
	t.join(n-1, 0)
	return t
}

// mesh connects everyone with everyone.
func mesh(_ *rand.Rand, n int) *topology {
	t := &topology{kind: "mesh", bridges: n}
	for i := range n {
		for j := range i {
			t.join(j, i)
		}
	}
	return t
}

// grid is a rectangle, as square as its width lets it be, its last row maybe short.
func grid(_ *rand.Rand, n int) *topology {
	t := &topology{kind: "grid", bridges: n}
	width := 1
	for width*width < n {
		width++
	}
	for i := range n {
		if i%width > 0 {
			t.join(i-1, i)
		}
		if i >= width {
			t.join(i-width, i)
		}
	}
	return t
}

// tree hangs each bridge on one of those before it.
func tree(r *rand.Rand, n int) *topology {
	t := &topology{kind: "tree", bridges: n}
	for i := 1; i < n; i++ {
		t.join(r.IntN(i), i)
	}
	return t
}

// random is a tree with up to as many more cables as there are bridges.
func random(r *rand.Rand, n int) *topology {
	t := tree(r, n)
	t.kind = "random"
	for range 1 + r.IntN(n) {
		a, b := r.IntN(n), r.IntN(n)
		if a != b {
			t.join(a, b)
		}
	}
	return t
}

// shared is a random tree or graph some of whose bridges meet at hubs too, one maybe
// with two ports.
func shared(r *rand.Rand, n int) *topology {
	t := tree(r, n)
	if r.IntN(2) == 0 {
		t = random(r, n)
	}
	t.kind, t.hubs = "hubs", 1+r.IntN(3)
	for h := range t.hubs {
		for range 2 + r.IntN(4) {
			t.join(r.IntN(n), n+h)
		}
	}
	return t
}

// diameter is how many hops the two nodes are apart that are farthest from each other.
func (t *topology) diameter() (most int) {
	next := make([][]int, t.nodes())
	for _, c := range t.cables {
		next[c.a], next[c.b] = append(next[c.a], c.b), append(next[c.b], c.a)
	}
	for from := range next {
		hops := make([]int, len(next))
		for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
			at := queue[0]
			most = max(most, hops[at])
			for _, n := range next[at] {
				if n != from && hops[n] == 0 {
					hops[n] = hops[at] + 1
					queue = append(queue, n)
				}
			}
		}
	}
	return most
}
