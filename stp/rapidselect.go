package stp

import "cmp"

// roleSelection is the Port Role Selection machine (17.28), of the whole bridge.
func (m *Rapid) roleSelection() bool {
	reselect := false
	for _, p := range m.ports {
		reselect = reselect || p.reselect
		p.reselect = false // clearReselectTree, 17.21.2
	}
	if !reselect {
		return false
	}
	m.updtRolesTree()
	for _, p := range m.ports {
		p.selected = true // setSelectedTree, 17.21.16: nothing has set reselect since
	}
	return true
}

// updtRolesTree is 17.21.25.
func (m *Rapid) updtRolesTree() {
	root := m.selectRoot()
	for _, p := range m.ports {
		p.designatedPriority = rapidVector{m.rootPriority.root, m.rootPriority.cost, m.opts.ID, p.opts.ID}
		p.designatedTimes = m.rootTimes
		p.designatedTimes.helloTime = m.bridgeTimes.helloTime
		p.selectRole(root)
	}
}

// selectRoot finds the best root path priority vector, and the port that it came by;
// nil if the bridge itself is the root (a to d of 17.21.25).
func (m *Rapid) selectRoot() (root *rapidPort) {
	best, times := m.ownPriority(), m.bridgeTimes
	for _, p := range m.ports {
		path, ok := p.rootPath()
		if ok && !p.opts.RestrictedRole && p.betterPath(&path, &best, root) {
			best, root = path, p
		}
	}
	m.rootPort = 0
	if root != nil {
		m.rootPort = root.num
		times = root.portTimes
		times.messageAge = Ticks(min(olderMessage(times.messageAge), 255) * 256)
	}
	m.rootPriority, m.rootTimes = best, times
	for _, p := range m.ports {
		path, ok := p.rootPath()
		p.setRootInconsistent(ok && p.opts.RestrictedRole && p.betterPath(&path, &best, root))
	}
	return root
}

// rootPath is the port's root path priority vector, if it has heard of one from
// another bridge.
func (p *rapidPort) rootPath() (rapidVector, bool) {
	if p.infoIs != infoReceived || p.m.own(p.portPriority.bridge.Address) {
		return rapidVector{}, false
	}
	v := p.portPriority
	v.cost += min(p.pathCost(), 1<<32-1-v.cost)
	return v, true
}

// betterPath compares with the best so far, of a port or, if nil, of the bridge itself.
func (p *rapidPort) betterPath(path, best *rapidVector, of *rapidPort) bool {
	order := path.compare(best)
	if of != nil {
		order = cmp.Or(order, cmp.Compare(p.opts.ID, of.opts.ID), cmp.Compare(p.num, of.num))
	}
	return order < 0
}

func (p *rapidPort) setRootInconsistent(is bool) {
	if p.rootInconsistent == is {
		return
	}
	p.rootInconsistent = is
	kind := RapidRootGuardEnd
	if is {
		kind = RapidRootGuard
	}
	p.m.notify(RapidEvent{Kind: kind, Port: p.num, Role: p.role})
}

// selectRole is e to l of 17.21.25.
func (p *rapidPort) selectRole(root *rapidPort) {
	p.updtInfo = false
	switch p.infoIs {
	case infoDisabled:
		p.selectedRole = RoleOfDisabled
	case infoAged:
		if p.loopInconsistent {
			p.selectedRole = RoleOfAlternate
			return
		}
		p.selectedRole, p.updtInfo = RoleOfDesignated, true
	case infoMine:
		p.selectedRole = RoleOfDesignated
		p.updtInfo = p.portPriority != p.designatedPriority || p.portTimes != p.designatedTimes
	case infoReceived:
		switch {
		case p == root:
			p.selectedRole = RoleOfRoot
		case p.designatedPriority.compare(&p.portPriority) < 0:
			p.selectedRole, p.updtInfo = RoleOfDesignated, true
		case p.m.own(p.portPriority.bridge.Address):
			p.selectedRole = RoleOfBackup
		default:
			p.selectedRole = RoleOfAlternate
		}
	}
}
