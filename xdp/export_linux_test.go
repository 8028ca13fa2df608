package xdp

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Account says what is wrong with the places of a group's chunks, nil if each is in
// one place, or lent and under way, and held as often as that. Nobody reads or writes
// meanwhile, and the kernel has done with what was written. What a port that was closed
// had in the hands of the kernel is not to be found anywhere.
func Account(g *Group) error {
	mem := g.ports[0].dev.(*linuxPort).mem
	alone, shared := make([]int, len(mem.holders)), make([]int, len(mem.holders))
	chunk := func(at uint64) uint32 { return uint32(at >> mem.shift) }
	for _, c := range mem.free {
		alone[c]++
	}
	retired := 0
	for _, p := range g.ports {
		for _, q := range p.dev.(*linuxPort).queues {
			r, w := &q.reading, &q.writing
			for _, c := range r.lent {
				shared[c]++
			}
			for _, c := range append(r.spare[:len(r.spare):len(r.spare)], w.spare...) {
				alone[c]++
			}
			if q.closed.Load() {
				retired += r.held - len(r.lent) + w.out
				continue
			}
			fill, rx := each(&r.fill, r.fill.consumed.Load(), r.fill.head), each(&r.rx, r.rx.head, r.rx.produced.Load())
			tx, done := each(&w.tx, w.tx.consumed.Load(), w.tx.head), each(&w.done, w.done.head, w.done.produced.Load())
			if n := len(fill) + len(rx) + len(r.lent); n != r.held {
				return fmt.Errorf("%s: %d chunks to read to, and not %d: %d in the fill ring, %d in the RX ring, %d lent", p.Name(), n, r.held, len(fill), len(rx), len(r.lent))
			}
			if n := len(tx) + len(done); n != w.out {
				return fmt.Errorf("%s: %d chunks to send, and not %d: %d in the TX ring, %d in the completion ring", p.Name(), n, w.out, len(tx), len(done))
			}
			for _, at := range fill {
				alone[chunk(at)]++
			}
			for _, d := range rx {
				alone[chunk(d.Addr)]++
			}
			for _, d := range tx {
				shared[chunk(d.Addr)]++
			}
			for _, at := range done {
				shared[chunk(at)]++
			}
		}
	}
	nowhere := 0
	for c := range alone {
		switch held := int(mem.holders[c].Load()); {
		case alone[c]+shared[c] == 0 && retired > 0:
			nowhere++
		case alone[c] == 1 && shared[c] == 0 && (held == 0 || retired > 0):
		case alone[c] == 0 && shared[c] > 0 && (held == shared[c] || retired > 0 && held > shared[c]):
		default:
			return fmt.Errorf("chunk %d is in %d places of its own, lent or under way %d times, and held %d times", c, alone[c], shared[c], held)
		}
	}
	if nowhere > retired {
		return fmt.Errorf("%d chunks are nowhere, of which closed ports had %d", nowhere, retired)
	}
	return nil
}

func each[T uint64 | unix.XDPDesc](r *ring[T], from, to uint32) (all []T) {
	for ; from != to; from++ {
		all = append(all, r.at[from&uint32(len(r.at)-1)])
	}
	return all
}

// Unmapped reports that a group's memory has been given back.
func Unmapped(g *Group) bool { return g.ports[0].dev.(*linuxPort).mem.users.Load() == 0 }

// Lends reports whether data lies in a chunk of the group.
func Lends(g *Group, data []byte) bool {
	mem := g.ports[0].dev.(*linuxPort).mem
	at, ok := mem.share(data)
	if ok {
		mem.drop(uint32(at >> mem.shift))
	}
	return ok
}

// TakeForUp has a port, whose interface is down, not know of it until it is up.
func TakeForUp(p *Port) { p.dev.(*linuxPort).state.Store(isUp) }

// Explain is what Open says of an error of the kernel's when it attaches a program.
func Explain(err error, mtu int) (why string, final error) { return attachFault(err, mtu) }
