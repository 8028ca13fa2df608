package stp

import (
	"cmp"
	"time"
)

// The BPDUs that come and go, and what they say of changes of the topology (IEEE
// 802.1D-1998, 8.6.1 to 8.6.6, 8.6.14 to 8.6.20).

// ageIncrement is by how much a BPDU that is passed on is older than its age by the
// clock (MESSAGE_AGE_INCR): the shortest time that can be told. 802.1D recommends 1 s.
const ageIncrement = (hz/256 + 1) * tick

// ReceivePDU is what Linux does with a frame to its bridge group address, from behind
// the LLC header on: what is no BPDU of version 0, or comes while the mode is not Kernel
// or to a port that is Disabled, is passed over. BPDU guard trips on any other, also one
// that is malformed otherwise.
func (b *Bridge) ReceivePDU(now time.Duration, num uint16, pdu []byte) {
	if len(pdu) < tcnLen || pdu[0] != 0 || pdu[1] != 0 || pdu[2] != 0 {
		return
	}
	now = tickOf(now)
	q := b.listening(num, now)
	if q == nil {
		return
	}
	if p, err := Parse(pdu); err == nil {
		b.receive(q, &p, now)
	}
}

// Receive is ReceivePDU for a BPDU that was parsed already.
func (b *Bridge) Receive(now time.Duration, num uint16, p *BPDU) {
	if p.Version != 0 {
		return
	}
	now = tickOf(now)
	if q := b.listening(num, now); q != nil {
		b.receive(q, p, now)
	}
}

// listening finds the port that a BPDU is for, if it is to be looked at.
func (b *Bridge) listening(num uint16, now time.Duration) *bridgePort {
	p := b.byNum[num]
	if p == nil || b.mode != Kernel || !b.up || p.state == Disabled {
		return nil
	}
	if p.guard {
		b.event(GuardTripped, num)
		b.disable(p, now)
		return nil
	}
	return p
}

func (b *Bridge) receive(q *bridgePort, p *BPDU, now time.Duration) {
	switch p.Type {
	case Config:
		if fromTicks(p.MessageAge) <= fromTicks(p.MaxAge) {
			b.receivedConfig(q, p, now)
		}
	case TCN:
		b.receivedTCN(q, now)
	}
}

// receivedConfig is br_received_config_bpdu.
func (b *Bridge) receivedConfig(q *bridgePort, p *BPDU, now time.Duration) {
	q.stats.RxConfig++
	if !b.supersedes(q, p) {
		if b.designated(q) {
			b.transmitConfig(q, now) // so that the sender learns who does better
		}
		return
	}
	was := b.isRoot()
	b.record(q, p, now)
	b.update(now)
	b.selectStates(now)
	if was && !b.isRoot() {
		b.timers.Stop(&b.hello)
		if b.detected {
			b.timers.Stop(&b.changeTimer)
			b.transmitTCN(now)
			b.timers.set(&b.tcn, now, b.own.HelloTime)
		}
	}
	if q.num != b.rootPort {
		return
	}
	b.times = Times{fromTicks(p.MaxAge), fromTicks(p.HelloTime), fromTicks(p.ForwardDelay)}
	b.setChanging(p.Flags&TopologyChange != 0)
	b.generate(now)
	if p.Flags&TopologyChangeAck != 0 {
		b.detected = false
		b.timers.Stop(&b.tcn)
	}
}

// supersedes reports whether a BPDU says better than what the port has, or is said by
// the one who said that (br_supersedes_port_info).
func (b *Bridge) supersedes(q *bridgePort, p *BPDU) bool {
	c := cmp.Or(p.Root.Compare(q.root), cmp.Compare(p.Cost, q.rcost), p.Bridge.Compare(q.bridge))
	return c < 0 || c == 0 && (p.Bridge != b.id || p.Port <= q.port)
}

func (b *Bridge) record(q *bridgePort, p *BPDU, now time.Duration) {
	age := fromTicks(p.MessageAge)
	q.root, q.rcost, q.bridge, q.port = p.Root, p.Cost, p.Bridge, p.Port
	q.said = now - age
	b.timers.set(&q.messageAge, now, fromTicks(p.MaxAge)-age)
}

// receivedTCN is br_received_tcn_bpdu.
func (b *Bridge) receivedTCN(q *bridgePort, now time.Duration) {
	q.stats.RxTCN++
	if b.designated(q) {
		b.detect(now)
		q.ack = true
		b.transmitConfig(q, now)
	}
}

// generate sends a Config BPDU by every port that serves its segment
// (br_config_bpdu_generation).
func (b *Bridge) generate(now time.Duration) {
	for _, p := range b.ports {
		if p.state != Disabled && b.designated(p) {
			b.transmitConfig(p, now)
		}
	}
}

// transmitConfig sends a Config BPDU, now or once the hold timer allows.
func (b *Bridge) transmitConfig(q *bridgePort, now time.Duration) {
	if q.hold.Pending() {
		q.pending = true
		return
	}
	var age time.Duration
	if root := b.byNum[b.rootPort]; root != nil && !b.isRoot() {
		age = now - root.said + ageIncrement
	}
	if age >= tickOf(b.times.MaxAge) {
		return
	}
	if b.mode == Kernel {
		p := BPDU{
			Type: Config, Root: b.root, Cost: b.rootCost, Bridge: b.id, Port: q.id,
			MessageAge: toTicks(age), MaxAge: toTicks(b.times.MaxAge),
			HelloTime: toTicks(b.times.HelloTime), ForwardDelay: toTicks(b.times.ForwardDelay),
		}
		if b.changing {
			p.Flags |= TopologyChange
		}
		if q.ack {
			p.Flags |= TopologyChangeAck
		}
		q.stats.TxConfig++
		b.send(q, &p)
		b.timers.setAt(&q.hold, now, rounded(now+holdTime, now))
	}
	q.ack, q.pending = false, false
}

// transmitTCN sends a notification towards the root.
func (b *Bridge) transmitTCN(now time.Duration) {
	if q := b.byNum[b.rootPort]; q != nil && b.mode == Kernel {
		q.stats.TxTCN++
		b.send(q, &BPDU{Type: TCN})
	}
}

func (b *Bridge) send(q *bridgePort, p *BPDU) {
	if b.cfg.Send != nil {
		b.cfg.Send(q.num, p)
	}
}

// detect is br_topology_change_detection: the root tells everybody, any other bridge the
// root.
func (b *Bridge) detect(now time.Duration) {
	if b.mode != Kernel {
		return
	}
	b.event(ChangeDetected, 0)
	switch {
	case b.isRoot():
		b.setChanging(true)
		b.timers.set(&b.changeTimer, now, tickOf(b.own.ForwardDelay)+tickOf(b.own.MaxAge))
	case !b.detected:
		b.transmitTCN(now)
		b.timers.set(&b.tcn, now, b.own.HelloTime)
	}
	b.detected = true
}

func (b *Bridge) setChanging(on bool) {
	b.changing = on
	if b.cfg.Changing != nil {
		b.cfg.Changing(on)
	}
}

func (b *Bridge) helloExpired(now time.Duration) {
	if !b.up {
		return
	}
	b.generate(now)
	if b.mode == Kernel {
		b.timers.setAt(&b.hello, now, rounded(now+tickOf(b.times.HelloTime), now))
	}
}

func (b *Bridge) tcnExpired(now time.Duration) {
	if b.up && !b.isRoot() {
		b.transmitTCN(now)
		b.timers.set(&b.tcn, now, b.own.HelloTime)
	}
}

func (b *Bridge) changeExpired(time.Duration) {
	b.detected = false
	b.setChanging(false)
}

// messageAgeExpired forgets what was said on a port's segment.
func (b *Bridge) messageAgeExpired(p *bridgePort, now time.Duration) {
	if p.state == Disabled {
		return
	}
	b.mayBecomeRoot(now, func() {
		b.designate(p)
		b.update(now)
		b.selectStates(now)
	})
}
