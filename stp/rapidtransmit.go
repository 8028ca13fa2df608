package stp

// portTransmit is the Port Transmit machine (17.26). A port that is not enabled has
// nothing to send by, and waits.
func (p *rapidPort) portTransmit() bool {
	if !p.selected || p.updtInfo || !p.portEnabled {
		return false
	}
	send := p.newInfo && p.txCount < p.m.opts.HoldCount
	switch {
	case p.helloWhen == 0: // TRANSMIT_PERIODIC
		p.newInfo = p.newInfo || p.role == RoleOfDesignated || p.role == RoleOfRoot && p.tcWhile != 0
	case send && p.sendRSTP: // TRANSMIT_RSTP
		p.transmitted(p.txRstp())
		p.tcAck = false
	case send && p.role == RoleOfRoot: // TRANSMIT_TCN
		p.transmitted(BPDU{Type: TCN})
	case send && p.role == RoleOfDesignated: // TRANSMIT_CONFIG
		p.transmitted(p.txConfig())
		p.tcAck = false
	default:
		return false
	}
	p.helloWhen = p.helloTime() // IDLE
	return true
}

// TRANSMIT_INIT, then IDLE
func (p *rapidPort) transmitInit() {
	p.newInfo = true
	p.txCount = 0
	p.helloWhen = p.helloTime()
}

// transmitted counts and sends. With BPDUFilter nobody is told, but the machine goes on
// as if.
func (p *rapidPort) transmitted(b BPDU) {
	p.newInfo = false
	p.txCount++
	if p.opts.BPDUFilter {
		return
	}
	p.stats.sent(&b)
	if p.m.cfg.Send != nil {
		p.m.cfg.Send(p.num, &b)
	}
}

// txConfig is 17.21.19.
func (p *rapidPort) txConfig() BPDU {
	b := BPDU{
		Type:         Config,
		Root:         p.designatedPriority.root,
		Cost:         p.designatedPriority.cost,
		Bridge:       p.designatedPriority.bridge,
		Port:         p.designatedPriority.port,
		MessageAge:   p.designatedTimes.messageAge,
		MaxAge:       p.designatedTimes.maxAge,
		HelloTime:    p.portTimes.helloTime,
		ForwardDelay: p.designatedTimes.forwardDelay,
	}
	b.setFlag(TopologyChange, p.tcWhile != 0)
	b.setFlag(TopologyChangeAck, p.tcAck)
	return b
}

// txRstp is 17.21.20.
func (p *rapidPort) txRstp() BPDU {
	b := p.txConfig()
	b.Version, b.Type = 2, RST
	b.setFlag(TopologyChangeAck, false)
	switch p.role {
	case RoleOfRoot:
		b.Flags |= RoleRoot
	case RoleOfDesignated:
		b.Flags |= RoleDesignated
	case RoleOfAlternate, RoleOfBackup:
		b.Flags |= RoleAlternate
	}
	b.setFlag(Agreement, p.agree)
	b.setFlag(Proposal, p.proposing)
	b.setFlag(LearningFlag, p.learning)
	b.setFlag(ForwardingFlag, p.forwarding)
	return b
}

func (b *BPDU) setFlag(f Flags, on bool) {
	b.Flags &^= f
	if on {
		b.Flags |= f
	}
}
