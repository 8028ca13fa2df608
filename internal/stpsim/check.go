package main

import (
	"errors"
	"fmt"
)

// perHost is how many known hosts each host sends a frame to in check; fewer in a
// network with fewer.
const perHost = 4

// check says what is wrong with a network that has converged: its active topology has
// to be one tree in each of its connected parts, and the one that the protocol is to
// find; the frames of every host have to reach whom they are for, once, before that one
// has said a word since, if the protocol promises that; no frame may circulate, no port
// may change its state meanwhile, and every bridge has to account for every frame.
func (n *network) check() error {
	if err := n.checkTree(); err != nil {
		return err
	}
	if n.proto.stp {
		if err := n.checkPriorities(); err != nil {
			return err
		}
	}
	n.countDoubles() // of what was under way
	changed := n.changed
	parts := n.reach()
	together := func(a, b int) bool { return n.up[a] && n.up[b] && parts.find(a) == parts.find(b) }
	if err := n.ask("unicast to hosts silent so far", n.pairs(1), n.excuse(together, n.mislaid())); err != nil {
		return err
	}
	if err := n.ask("broadcast", n.everyone(), n.broadcast(together)); err != nil {
		return err
	}
	if err := n.ask("unicast", n.pairs(perHost), n.unicast(together)); err != nil {
		return err
	}
	n.forget()
	if n.changed != changed {
		return fmt.Errorf("a port changed its state at %v, after all was quiet", n.changed)
	}
	return n.lab.Check()
}

// crowd is how many frames may be under way at one time, for each direction of a cable:
// what storm control admits at once, and while a frame is late, and BPDUs.
const crowd = 2 * stormBurst

// checkCrowd says whether there were ever more frames under way than that.
func (n *network) checkCrowd() error {
	if most := crowd * 2 * (len(n.links) + len(n.hosts)); n.peak > most {
		return fmt.Errorf("%d frames were under way at one time, more than %d", n.peak, most)
	}
	return nil
}

// checkTree holds the states of the ports against the graph.
func (n *network) checkTree() error {
	n.look()
	var errs []error
	if n.missed > 0 {
		errs = append(errs, fmt.Errorf("%d events of bridges were lost", n.missed))
	}
	for _, l := range n.links {
		for _, e := range l.ends {
			if s := e.port.Info().State; s != e.state {
				errs = append(errs, fmt.Errorf("port %s is %v, and its bridge said %v", e.name, s, e.state))
			}
		}
	}
	if n.loops {
		errs = append(errs, errors.New("the active topology has a loop"))
	}
	if !n.spans && !n.loops {
		errs = append(errs, errors.New("the active topology does not reach every bridge"))
	}
	return errors.Join(errs...)
}

// pairs draws k others for every host whose bridge is up.
func (n *network) pairs(k int) (ps []probe) {
	for a := range n.hosts {
		for range min(k, len(n.hosts)-1) {
			b := (a + 1 + n.rand.IntN(len(n.hosts)-1)) % len(n.hosts)
			if n.up[a] && n.up[b] {
				ps = append(ps, probe{from: a, to: b})
			}
		}
	}
	return ps
}

// everyone is a broadcast of every host whose bridge is up.
func (n *network) everyone() (ps []probe) {
	for a := range n.hosts {
		if n.up[a] {
			ps = append(ps, probe{from: a, to: -1})
		}
	}
	return ps
}

// unicast judges a frame to one host: once there, if a way leads there, and at most once
// elsewhere, for a bridge may not know the way.
func (n *network) unicast(together func(a, b int) bool) func(*probe) error {
	return func(p *probe) error {
		for h, c := range p.arrived {
			switch {
			case h == p.to && together(p.from, h) && c != 1:
				return fmt.Errorf("a frame from h%d to h%d arrived %d times", p.from, h, c)
			case c > 1, c == 1 && !together(p.from, h), c == 1 && h == p.from:
				return fmt.Errorf("a frame from h%d to h%d reached h%d %d times", p.from, p.to, h, c)
			}
		}
		return nil
	}
}

// excuse is unicast for bridges that may know a way that is no more: a frame to a host
// that is mislaid, and that does not arrive, is counted.
func (n *network) excuse(together func(a, b int) bool, mislaid []bool) func(*probe) error {
	judge := n.unicast(together)
	return func(p *probe) error {
		if mislaid[p.to] && p.arrived[p.to] == 0 && together(p.from, p.to) {
			n.astray++
			return nil
		}
		return judge(p)
	}
}

// broadcast judges a frame to everyone.
func (n *network) broadcast(together func(a, b int) bool) func(*probe) error {
	return func(p *probe) error {
		for h, c := range p.arrived {
			want := uint8(0)
			if h != p.from && together(p.from, h) {
				want = 1
			}
			if c != want {
				return fmt.Errorf("a broadcast of h%d reached h%d %d times, not %d", p.from, h, c, want)
			}
		}
		return nil
	}
}
