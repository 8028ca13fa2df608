package stp

// The machines that look at what BPDUs come in, and of which protocol: Port Receive,
// Port Protocol Migration, Bridge Detection.

// valid is 9.3.4, as far as Parse does not see to it.
func (p *rapidPort) valid(b *BPDU) bool {
	switch b.Type {
	case TCN:
		return true
	case Config:
		mine := b.Bridge == p.m.opts.ID && b.Port == p.opts.ID
		return b.MessageAge < b.MaxAge && !mine
	case RST:
		return b.Version >= 2
	}
	return false
}

// portReceive is the Port Receive machine (17.23). Its two states, DISCARD and RECEIVE,
// need not be told apart: what leads out of them does not depend on which it is.
func (p *rapidPort) portReceive() bool {
	switch {
	case (p.rcvdBPDU || p.edgeDelayWhile != migrateTime) && !p.portEnabled:
		p.receiveDiscard()
	case p.rcvdBPDU && p.portEnabled && !p.rcvdMsg:
		p.receiveReceive()
	default:
		return false
	}
	return true
}

// DISCARD
func (p *rapidPort) receiveDiscard() {
	p.rcvdBPDU, p.rcvdRSTP, p.rcvdSTP = false, false, false
	p.rcvdMsg = false
	p.edgeDelayWhile = migrateTime
}

// RECEIVE
func (p *rapidPort) receiveReceive() {
	p.rcvdSTP = p.rcvdSTP || p.rcvd.Type != RST // updtBPDUVersion, 17.21.22
	p.rcvdRSTP = p.rcvdRSTP || p.rcvd.Type == RST
	p.operEdge, p.rcvdBPDU = false, false
	p.rcvdMsg = true
	p.edgeDelayWhile = migrateTime
}

// migrationState is a state of the Port Protocol Migration machine.
type migrationState uint8

const (
	migrationCheckingRSTP migrationState = iota
	migrationSelectingSTP
	migrationSensing
)

// protocolMigration is the Port Protocol Migration machine (17.24): whether the port
// speaks RSTP, or STP as somebody behind it does.
func (p *rapidPort) protocolMigration() bool {
	switch p.migration {
	case migrationCheckingRSTP:
		switch {
		case p.mdelayWhile != migrateTime && !p.portEnabled:
			p.checkingRSTP()
		case p.mdelayWhile == 0:
			p.sensing()
		default:
			return false
		}
	case migrationSelectingSTP:
		if p.mdelayWhile != 0 && p.portEnabled && !p.mcheck {
			return false
		}
		p.sensing()
	case migrationSensing:
		switch {
		case !p.portEnabled || p.mcheck || p.m.rstpVersion() && !p.sendRSTP && p.rcvdRSTP:
			p.checkingRSTP()
		case p.sendRSTP && p.rcvdSTP:
			p.selectingSTP()
		default:
			return false
		}
	}
	return true
}

// CHECKING_RSTP
func (p *rapidPort) checkingRSTP() {
	p.migration = migrationCheckingRSTP
	p.mcheck = false
	p.sendRSTP = p.m.rstpVersion()
	p.mdelayWhile = migrateTime
}

// SELECTING_STP
func (p *rapidPort) selectingSTP() {
	p.migration = migrationSelectingSTP
	p.sendRSTP = false
	p.mdelayWhile = migrateTime
}

// SENSING
func (p *rapidPort) sensing() {
	p.migration = migrationSensing
	p.rcvdRSTP, p.rcvdSTP = false, false
}

// bridgeDetection is the Bridge Detection machine (17.25), whose states EDGE and
// NOT_EDGE are what operEdge says once it has run.
func (p *rapidPort) bridgeDetection() bool {
	if p.operEdge { // EDGE
		if p.portEnabled || p.opts.AdminEdge {
			return false
		}
		p.operEdge = false
		return true
	}
	toEdge := !p.portEnabled && p.opts.AdminEdge ||
		p.edgeDelayWhile == 0 && !p.opts.NoAutoEdge && p.sendRSTP && p.proposing
	p.operEdge = toEdge
	return toEdge
}
