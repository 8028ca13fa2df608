package stp

// topologyState is a state of the Topology Change machine that it waits in.
type topologyState uint8

const (
	topologyInactive topologyState = iota
	topologyLearning
	topologyActive
)

// topologyChange is the Topology Change machine (17.31): who tells whom that stations
// may be elsewhere now, and what is to be forgotten because of that. Edge ports neither
// cause nor hear of a change.
func (p *rapidPort) topologyChange() bool {
	active := p.role == RoleOfRoot || p.role == RoleOfDesignated
	heard := p.rcvdTc || p.rcvdTcn || p.rcvdTcAck || p.tcProp
	switch p.topology {
	case topologyInactive:
		if !p.learn {
			return false
		}
		p.topologyLearning()
	case topologyLearning:
		switch {
		case active && p.forward && !p.operEdge:
			p.topologyDetected()
		case heard:
			p.topologyLearning()
		case !active && !p.learn && !p.learning:
			p.topologyInactive()
		default:
			return false
		}
	case topologyActive:
		return p.topologyActive(active)
	}
	return true
}

// topologyActive are the transitions out of ACTIVE.
func (p *rapidPort) topologyActive(active bool) bool {
	switch {
	case !active || p.operEdge:
		p.topologyLearning()
	case p.rcvdTcn: // NOTIFIED_TCN
		p.newTcWhile()
		p.topologyNotified()
	case p.rcvdTc:
		p.topologyNotified()
	case p.tcProp: // PROPAGATING
		p.newTcWhile()
		p.flush()
		p.tcProp = false
	case p.rcvdTcAck: // ACKNOWLEDGED
		p.tcWhile = 0
		p.rcvdTcAck = false
	default:
		return false
	}
	return true
}

// INACTIVE
func (p *rapidPort) topologyInactive() {
	p.topology = topologyInactive
	p.flush()
	p.tcWhile = 0
	p.tcAck = false
}

// LEARNING
func (p *rapidPort) topologyLearning() {
	p.topology = topologyLearning
	p.rcvdTc, p.rcvdTcn, p.rcvdTcAck = false, false, false
	p.tcProp = false
}

// DETECTED, then ACTIVE
func (p *rapidPort) topologyDetected() {
	p.topology = topologyActive
	p.newTcWhile()
	p.setTcPropTree()
	p.newInfo = true
	p.m.notify(RapidEvent{Kind: RapidTopologyChange, Port: p.num, Role: p.role})
}

// NOTIFIED_TC, then ACTIVE
func (p *rapidPort) topologyNotified() {
	p.rcvdTcn, p.rcvdTc = false, false
	if p.role == RoleOfDesignated {
		p.tcAck = true
	}
	p.setTcPropTree()
}

// newTcWhile is 17.21.7.
func (p *rapidPort) newTcWhile() {
	if p.tcWhile != 0 {
		return
	}
	if p.sendRSTP {
		p.tcWhile = p.helloTime() + 1
		p.newInfo = true
		return
	}
	p.tcWhile = seconds(p.m.rootTimes.maxAge) + seconds(p.m.rootTimes.forwardDelay)
}

// setTcPropTree is 17.21.18.
func (p *rapidPort) setTcPropTree() {
	if p.opts.RestrictedTCN {
		return
	}
	p.m.others = true
	for _, q := range p.m.ports {
		if q != p {
			q.tcProp = true
		}
	}
}

func (p *rapidPort) flush() {
	if p.m.cfg.Flush != nil {
		p.m.cfg.Flush(p.num)
	}
}
