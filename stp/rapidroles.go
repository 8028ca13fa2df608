package stp

// transitionState is a state of the Port Role Transitions machine that it waits in.
type transitionState uint8

const (
	transitionDisablePort transitionState = iota // until the port discards
	transitionDisabledPort
	transitionRootPort
	transitionDesignatedPort
	transitionBlockPort // until the port discards
	transitionAlternatePort
)

// roleTransitions is the Port Role Transitions machine (17.29): it takes a port to the
// role that was selected for it, and to forwarding as soon as that is safe. There is a
// function for each of the four figures of the standard.
func (p *rapidPort) roleTransitions() bool {
	if !p.selected || p.updtInfo { // qualifies all transitions
		return false
	}
	if p.role != p.selectedRole {
		p.enterRole()
		return true
	}
	switch p.transition {
	case transitionRootPort:
		return p.rootTransitions()
	case transitionDesignatedPort:
		return p.designatedTransitions()
	case transitionBlockPort, transitionAlternatePort:
		return p.alternateTransitions()
	default:
		return p.disabledTransitions()
	}
}

func (p *rapidPort) enterRole() {
	switch p.selectedRole {
	case RoleOfRoot:
		p.rootPort()
	case RoleOfDesignated:
		p.setRole(RoleOfDesignated) // DESIGNATED_PORT
		p.transition = transitionDesignatedPort
	case RoleOfAlternate, RoleOfBackup:
		p.transition = transitionBlockPort
		p.setRole(p.selectedRole)
		p.learn, p.forward = false, false
	default:
		p.disablePort()
	}
}

func (p *rapidPort) setRole(r Role) {
	if p.role != r {
		p.role = r
		p.m.notify(RapidEvent{Kind: RapidRole, Port: p.num, Role: r})
	}
}

// INIT_PORT, then DISABLE_PORT
func (p *rapidPort) initPort() {
	p.setRole(RoleOfDisabled)
	p.learn, p.forward = false, false
	p.synced = false
	p.sync, p.reRoot = true, true
	p.rrWhile = p.fwdDelay()
	p.fdWhile = p.maxAge()
	p.rbWhile = 0
	p.disablePort()
}

// DISABLE_PORT
func (p *rapidPort) disablePort() {
	p.transition = transitionDisablePort
	p.setRole(RoleOfDisabled)
	p.learn, p.forward = false, false
}

// disabledTransitions is the figure of the Disabled role.
func (p *rapidPort) disabledTransitions() bool {
	switch p.transition {
	case transitionDisablePort:
		if p.learning || p.forwarding {
			return false
		}
		p.transition = transitionDisabledPort
	default:
		if p.fdWhile == p.maxAge() && !p.sync && !p.reRoot && p.synced {
			return false
		}
	}
	// DISABLED_PORT
	p.fdWhile = p.maxAge()
	p.synced = true
	p.rrWhile = 0
	p.sync, p.reRoot = false, false
	return true
}

// rootTransitions is the figure of the Root role.
func (p *rapidPort) rootTransitions() bool {
	// What other ports forwarded as root port has been taken back: no need to wait.
	ready := p.fdWhile == 0 || p.reRooted() && p.rbWhile == 0 && p.m.rstpVersion()
	switch {
	case p.proposed && !p.agree: // ROOT_PROPOSED
		p.m.setSyncTree()
		p.proposed = false
	case !p.agree && p.m.allSynced(), p.proposed && p.agree: // ROOT_AGREED
		p.proposed, p.sync = false, false
		p.agree = true
		p.newInfo = true
	case !p.forward && !p.reRoot: // REROOT
		p.m.setReRootTree()
	case ready && p.learn && !p.forward: // ROOT_FORWARD
		p.fdWhile = 0
		p.forward = true
	case ready && !p.learn: // ROOT_LEARN
		p.fdWhile = p.forwardDelay()
		p.learn = true
	case p.reRoot && p.forward: // REROOTED
		p.reRoot = false
	case p.rrWhile != p.fwdDelay():
	default:
		return false
	}
	p.rootPort()
	return true
}

// ROOT_PORT
func (p *rapidPort) rootPort() {
	p.transition = transitionRootPort
	p.setRole(RoleOfRoot)
	p.rrWhile = p.fwdDelay()
}

// designatedTransitions is the figure of the Designated role. All its states lead back
// to DESIGNATED_PORT.
func (p *rapidPort) designatedTransitions() bool {
	ready := (p.fdWhile == 0 || p.agreed || p.operEdge) && (p.rrWhile == 0 || !p.reRoot) && !p.sync
	unsafe := p.sync && !p.synced || p.reRoot && p.rrWhile != 0 || p.disputed
	switch {
	case !p.forward && !p.agreed && !p.proposing && !p.operEdge: // DESIGNATED_PROPOSE
		p.proposing = true
		p.edgeDelayWhile = p.edgeDelay()
		p.newInfo = true
	case !p.learning && !p.forwarding && !p.synced,
		p.agreed && !p.synced,
		p.operEdge && !p.synced,
		p.sync && p.synced: // DESIGNATED_SYNCED
		p.rrWhile = 0
		p.synced = true
		p.sync = false
	case p.rrWhile == 0 && p.reRoot: // DESIGNATED_RETIRED
		p.reRoot = false
	case unsafe && !p.operEdge && (p.learn || p.forward): // DESIGNATED_DISCARD
		p.learn, p.forward, p.disputed = false, false, false
		p.fdWhile = p.forwardDelay()
	case ready && p.learn && !p.forward: // DESIGNATED_FORWARD
		p.forward = true
		p.fdWhile = 0
		p.agreed = p.sendRSTP
	case ready && !p.learn: // DESIGNATED_LEARN
		p.learn = true
		p.fdWhile = p.forwardDelay()
	default:
		return false
	}
	return true
}

// alternateTransitions is the figure of the Alternate and the Backup role.
func (p *rapidPort) alternateTransitions() bool {
	if p.transition == transitionBlockPort {
		if p.learning || p.forwarding {
			return false
		}
		p.alternatePort()
		return true
	}
	switch {
	case p.proposed && !p.agree: // ALTERNATE_PROPOSED
		p.m.setSyncTree()
		p.proposed = false
	case !p.agree && p.m.allSynced(), p.proposed && p.agree: // ALTERNATE_AGREED
		p.proposed = false
		p.agree = true
		p.newInfo = true
	case p.role == RoleOfBackup && p.rbWhile != 2*p.helloTime(): // BACKUP_PORT
		p.rbWhile = 2 * p.helloTime()
	case p.fdWhile != p.forwardDelay(), p.sync, p.reRoot, !p.synced:
	default:
		return false
	}
	p.alternatePort()
	return true
}

// ALTERNATE_PORT
func (p *rapidPort) alternatePort() {
	p.transition = transitionAlternatePort
	p.fdWhile = p.forwardDelay()
	p.synced = true
	p.rrWhile = 0
	p.sync, p.reRoot = false, false
}

// setSyncTree is 17.21.15.
func (m *Rapid) setSyncTree() {
	for _, p := range m.ports {
		p.sync = true
	}
}

// setReRootTree is 17.21.14.
func (m *Rapid) setReRootTree() {
	for _, p := range m.ports {
		p.reRoot = true
	}
}

// stateTransition is the Port State Transition machine (17.30), whose state is what
// learning and forwarding say.
func (p *rapidPort) stateTransition() bool {
	switch {
	case !p.learning && p.learn: // LEARNING
		p.learning = true
	case p.learning && !p.forwarding && p.forward: // FORWARDING
		p.forwarding = true
	case p.forwarding && !p.forward, p.learning && !p.forwarding && !p.learn:
		p.stateDiscarding()
		return true
	default:
		return p.tellState()
	}
	p.tellState()
	return true
}

// DISCARDING
func (p *rapidPort) stateDiscarding() {
	p.learning, p.forwarding = false, false
	p.tellState()
}

// tellState tells State, if it has changed.
func (p *rapidPort) tellState() bool {
	s := Blocking
	switch {
	case !p.portEnabled:
		s = Disabled
	case p.forwarding:
		s = Forwarding
	case p.learning:
		s = Learning
	}
	if s == p.state {
		return false
	}
	p.stats.moved(p.state, s)
	p.state = s
	if p.m.cfg.State != nil {
		p.m.cfg.State(p.num, s)
	}
	return true
}
