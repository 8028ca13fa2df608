package stp

import (
	"cmp"
	"time"
)

// The choice of the root port, of the ports that are designated, and of states (IEEE
// 802.1D-1998, 8.6.7 to 8.6.14).

func (b *Bridge) isRoot() bool { return b.root == b.id }

// designated reports whether the port says of itself that it serves its segment.
func (b *Bridge) designated(p *bridgePort) bool { return p.bridge == b.id && p.port == p.id }

// designate has the port serve its segment (br_become_designated_port).
func (b *Bridge) designate(p *bridgePort) {
	p.root, p.rcost, p.bridge, p.port = b.root, b.rootCost, b.id, p.id
}

// update chooses anew (br_configuration_update).
func (b *Bridge) update(now time.Duration) {
	b.selectRoot(now)
	for _, p := range b.ports {
		if p.state != Disabled && b.shouldServe(p) {
			b.designate(p)
		}
	}
}

// selectRoot is br_root_selection.
func (b *Bridge) selectRoot(now time.Duration) {
	var best *bridgePort
	for _, p := range b.ports {
		switch {
		case !b.leadsToRoot(p) || best != nil && p.compareWay(best) >= 0:
		case p.block:
			b.blockRoot(p, now)
		default:
			best = p
		}
	}
	if best == nil {
		b.root, b.rootCost, b.rootPort = b.id, 0, 0
		return
	}
	b.root, b.rootCost, b.rootPort = best.root, best.rcost+best.cost, best.num
}

// leadsToRoot reports whether there is a better bridge than this one, as it seems,
// behind the port.
func (b *Bridge) leadsToRoot(p *bridgePort) bool {
	return p.state != Disabled && !b.designated(p) && p.root.Compare(b.id) < 0
}

// compareWay orders ports by how well they lead to the root: -1 if p does better.
func (p *bridgePort) compareWay(q *bridgePort) int {
	return cmp.Or(
		p.root.Compare(q.root),
		cmp.Compare(p.rcost+p.cost, q.rcost+q.cost),
		p.bridge.Compare(q.bridge),
		cmp.Compare(p.port, q.port),
		cmp.Compare(p.id, q.id),
	)
}

// blockRoot keeps a port from becoming the root port (br_root_port_block).
func (b *Bridge) blockRoot(p *bridgePort, now time.Duration) {
	b.event(RootBlocked, p.num)
	b.setState(p, Listening)
	b.startForward(p, now)
}

// shouldServe reports whether the bridge serves the port's segment better than the one
// that says it does (br_should_become_designated_port).
func (b *Bridge) shouldServe(p *bridgePort) bool {
	return b.designated(p) || p.root != b.root || cmp.Or(
		cmp.Compare(b.rootCost, p.rcost),
		b.id.Compare(p.bridge),
		cmp.Compare(p.id, p.port),
	) < 0
}

// selectStates is br_port_state_selection.
func (b *Bridge) selectStates(now time.Duration) {
	for _, p := range b.ports {
		if p.state == Disabled {
			continue
		}
		if b.mode != User {
			b.selectState(p, now)
		}
		if p.state != Blocking && b.cfg.Live != nil {
			b.cfg.Live(p.num)
		}
	}
}

func (b *Bridge) selectState(p *bridgePort, now time.Duration) {
	switch {
	case p.num == b.rootPort:
		p.pending, p.ack = false, false
		b.makeForwarding(p, now)
	case b.designated(p):
		b.timers.Stop(&p.messageAge)
		b.makeForwarding(p, now)
	default:
		p.pending, p.ack = false, false
		b.makeBlocking(p, now)
	}
}

// makeForwarding begins to make a Blocking port Forwarding; any other is at it, or is
// so.
func (b *Bridge) makeForwarding(p *bridgePort, now time.Duration) {
	if p.state != Blocking {
		return
	}
	if b.mode == Off || tickOf(b.times.ForwardDelay) <= 0 {
		b.setState(p, Forwarding)
		b.detect(now)
		b.timers.Stop(&p.forward)
	} else {
		b.setState(p, Listening)
	}
	b.startForward(p, now)
}

// startForward starts the forward delay timer, which runs without a spanning tree too,
// where it takes a port that somebody made Listening or Learning onwards.
func (b *Bridge) startForward(p *bridgePort, now time.Duration) {
	if d := tickOf(b.times.ForwardDelay); d > 0 {
		b.timers.set(&p.forward, now, d)
	}
}

func (b *Bridge) makeBlocking(p *bridgePort, now time.Duration) {
	if p.state == Blocking {
		return
	}
	if p.state.Learns() {
		b.detect(now)
	}
	b.setState(p, Blocking)
	b.timers.Stop(&p.forward)
}

// setState is br_set_state.
func (b *Bridge) setState(p *bridgePort, s State) {
	p.state = s
	if b.mode == Kernel {
		switch s {
		case Forwarding:
			p.stats.ToForwarding++
		case Blocking:
			p.stats.ToBlocking++
		}
	}
	if b.cfg.State != nil {
		b.cfg.State(p.num, s)
	}
}

// forwardDelayExpired takes a port one state onwards.
func (b *Bridge) forwardDelayExpired(p *bridgePort, now time.Duration) {
	switch p.state {
	case Listening:
		b.setState(p, Learning)
		b.timers.set(&p.forward, now, b.times.ForwardDelay)
	case Learning:
		b.setState(p, Forwarding)
		if b.servesAny() {
			b.detect(now)
		}
	}
}

// servesAny reports whether the bridge serves the segment of any port
// (br_is_designated_for_some_port).
func (b *Bridge) servesAny() bool {
	for _, p := range b.ports {
		if p.state != Disabled && p.bridge == b.id {
			return true
		}
	}
	return false
}

// mayBecomeRoot does what may make the bridge the root, and if it does what follows.
func (b *Bridge) mayBecomeRoot(now time.Duration, do func()) {
	was := b.isRoot()
	do()
	if b.isRoot() && !was {
		b.becomeRoot(now)
	}
}

// becomeRoot is br_become_root_bridge.
func (b *Bridge) becomeRoot(now time.Duration) {
	b.times = b.own
	b.detect(now)
	b.timers.Stop(&b.tcn)
	if b.up {
		b.generate(now)
		b.timers.set(&b.hello, now, b.times.HelloTime)
	}
}

func (b *Bridge) event(k BridgeEventKind, port uint16) {
	if b.cfg.Event != nil {
		b.cfg.Event(BridgeEvent{k, port})
	}
}
