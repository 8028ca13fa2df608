package stp

import "github.com/ddfb540f/bridge/frame"

// informationState is a state of the Port Information machine that it waits in.
type informationState uint8

const (
	informationDisabled informationState = iota
	informationAged
	informationCurrent
)

// portInformation is the Port Information machine (17.27): which priority vector a
// port has, its own or one that it heard, and how long that is good for.
func (p *rapidPort) portInformation() bool {
	if !p.portEnabled && p.infoIs != infoDisabled {
		p.informationDisabled()
		return true
	}
	switch p.information {
	case informationDisabled:
		switch {
		case p.portEnabled:
			p.informationAged()
		case p.rcvdMsg:
			p.informationDisabled()
		default:
			return false
		}
	case informationAged:
		switch {
		case p.loopInconsistent && p.rcvdMsg: // LoopGuard, not of the standard
			p.endLoopGuard()
			p.informationReceive()
		case p.selected && p.updtInfo:
			p.informationUpdate()
		default:
			return false
		}
	case informationCurrent:
		switch {
		case p.selected && p.updtInfo:
			p.informationUpdate()
		case p.infoIs == infoReceived && p.rcvdInfoWhile == 0 && !p.updtInfo && !p.rcvdMsg:
			if p.opts.LoopGuard && p.role != RoleOfDesignated {
				p.beginLoopGuard()
			}
			p.informationAged()
		case p.rcvdMsg && !p.updtInfo:
			p.informationReceive()
		default:
			return false
		}
	}
	return true
}

// DISABLED
func (p *rapidPort) informationDisabled() {
	p.information = informationDisabled
	p.rcvdMsg = false
	p.proposing, p.proposed, p.agree, p.agreed = false, false, false, false
	p.rcvdInfoWhile = 0
	p.infoIs = infoDisabled
	p.reselect, p.selected = true, false
	p.disputed = false // a new link starts without the old one's dispute
	if p.loopInconsistent {
		p.endLoopGuard()
	}
}

// AGED
func (p *rapidPort) informationAged() {
	p.information = informationAged
	p.infoIs = infoAged
	p.reselect, p.selected = true, false
}

// beginLoopGuard has role selection keep the port as an alternate one. Whatever is
// heard next is better than what it remembers.
func (p *rapidPort) beginLoopGuard() {
	p.loopInconsistent = true
	p.portPriority = worstVector
	p.m.notify(RapidEvent{Kind: RapidLoopGuard, Port: p.num, Role: p.role})
}

func (p *rapidPort) endLoopGuard() {
	p.loopInconsistent = false
	p.reselect, p.selected = true, false
	p.m.notify(RapidEvent{Kind: RapidLoopGuardEnd, Port: p.num, Role: p.role})
}

// UPDATE, then CURRENT
func (p *rapidPort) informationUpdate() {
	p.information = informationCurrent
	p.proposing, p.proposed = false, false
	p.agreed = p.agreed && p.betterOrSame(infoMine)
	p.synced = p.synced && p.agreed
	p.portPriority, p.portTimes = p.designatedPriority, p.designatedTimes
	p.updtInfo = false
	p.infoIs = infoMine
	p.newInfo = true
}

// RECEIVE, the state that it leads to, then CURRENT
func (p *rapidPort) informationReceive() {
	p.information = informationCurrent
	switch p.rcvInfo() {
	case superiorDesignated:
		p.agreed, p.proposing = false, false
		p.recordProposal()
		p.setTcFlags()
		p.agree = p.agree && p.betterOrSame(infoReceived)
		p.portPriority = p.msgPriority // recordPriority, 17.21.12
		p.recordTimes()
		p.updtRcvdInfoWhile()
		p.infoIs = infoReceived
		p.reselect, p.selected = true, false
	case repeatedDesignated:
		p.recordProposal()
		p.setTcFlags()
		p.updtRcvdInfoWhile()
	case inferiorDesignated:
		p.recordDispute()
	case inferiorRootAlternate: // NOT_DESIGNATED
		p.recordAgreement()
		p.setTcFlags()
	case otherInfo:
	}
	p.rcvdMsg = false
}

// rcvdInfo is what a message means to the port that receives it (17.19.31).
type rcvdInfo uint8

const (
	superiorDesignated rcvdInfo = iota
	repeatedDesignated
	inferiorDesignated
	inferiorRootAlternate
	otherInfo
)

// rcvInfo is 17.21.8. It is as 802.1Q has made it more precise: only what repeats what
// was received is repeated. So a port that hears its own BPDU takes it as inferior,
// and as disputed once it learns, and a cable from a port to itself makes no loop.
func (p *rapidPort) rcvInfo() rcvdInfo {
	b := &p.rcvd
	if b.Type == TCN {
		p.rcvdTcn = true // setTcFlags, 17.21.17
		return otherInfo
	}
	p.msgPriority = rapidVector{b.Root, b.Cost, b.Bridge, b.Port}
	p.msgTimes = rapidTimes{b.MessageAge, b.MaxAge, b.HelloTime, b.ForwardDelay}
	order := p.msgPriority.compare(&p.portPriority)
	switch p.rcvd.role() {
	case RoleRoot, RoleAlternate:
		if order >= 0 {
			return inferiorRootAlternate
		}
		return otherInfo
	}
	// portTimes hold the Hello Time that recordTimes made of the message's.
	sameTimes := p.portTimesOf(p.msgTimes) == p.portTimes
	switch {
	case order == 0 && sameTimes && p.infoIs == infoReceived:
		return repeatedDesignated
	case order < 0,
		order == 0 && !sameTimes,
		order > 0 && p.msgPriority.sameSender(&p.portPriority):
		return superiorDesignated
	}
	return inferiorDesignated
}

// role is the role that a BPDU's sender has. A Config BPDU is from a designated port,
// and one of an unknown role is taken for a Config BPDU (9.3.4).
func (b *BPDU) role() Flags {
	if b.Type == RST && b.Flags&RoleMask != RoleUnknown {
		return b.Flags & RoleMask
	}
	return RoleDesignated
}

// rapidFlag reports a flag of those that only an RST BPDU has.
func (b *BPDU) rapidFlag(f Flags) bool {
	return b.Type == RST && b.Flags&RoleMask != RoleUnknown && b.Flags&f != 0
}

// betterOrSame is betterorsameInfo, 17.21.1.
func (p *rapidPort) betterOrSame(newInfo infoIs) bool {
	v := &p.designatedPriority
	if newInfo == infoReceived {
		v = &p.msgPriority
	}
	return p.infoIs == newInfo && v.compare(&p.portPriority) <= 0
}

// recordAgreement is 17.21.9.
func (p *rapidPort) recordAgreement() {
	p.agreed = p.m.rstpVersion() && p.operPointToPoint() && p.rcvd.rapidFlag(Agreement)
	if p.agreed {
		p.proposing = false
	}
}

// recordDispute is 17.21.10 in the wording of 802.1Q (13.29.15): 802.1D-2004 says that
// agreed is set and proposing cleared, which would be the opposite of a dispute. A
// neighbour that learns and believes itself designated does not hear this port.
func (p *rapidPort) recordDispute() {
	if p.rcvd.rapidFlag(LearningFlag) {
		p.disputed = true
		p.agreed = false
	}
}

// recordProposal is 17.21.11.
func (p *rapidPort) recordProposal() {
	if p.rcvd.rapidFlag(Proposal) {
		p.proposed = true
	}
}

// recordTimes is 17.21.13.
func (p *rapidPort) recordTimes() { p.portTimes = p.portTimesOf(p.msgTimes) }

// portTimesOf is what portTimes become by a message: a Hello Time of less than a second
// counts as one.
func (p *rapidPort) portTimesOf(t rapidTimes) rapidTimes {
	t.helloTime = max(t.helloTime, 256)
	return t
}

// setTcFlags is 17.21.17.
func (p *rapidPort) setTcFlags() {
	p.rcvdTc = p.rcvdTc || p.rcvd.Flags&TopologyChange != 0
	p.rcvdTcAck = p.rcvdTcAck || p.rcvd.Flags&TopologyChangeAck != 0
}

// updtRcvdInfoWhile is 17.21.23.
func (p *rapidPort) updtRcvdInfoWhile() {
	p.rcvdInfoWhile = 0
	if olderMessage(p.portTimes.messageAge) <= seconds(p.portTimes.maxAge) {
		p.rcvdInfoWhile = 3 * seconds(p.portTimes.helloTime)
	}
}

// own reports whether a bridge address is that of the bridge itself.
func (m *Rapid) own(a frame.MAC) bool { return a == m.opts.ID.Address }
