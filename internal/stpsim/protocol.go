package main

import (
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/stp"
)

// A protocol is how the bridges of a network are set.
type protocol struct {
	name  string
	stp   bool
	rapid bool // 802.1D-2004, clause 17

	// A topology change has the bridges forget where stations were. With Linux's 802.1D
	// it does not have to: entries live shorter then, but the collector that takes them
	// runs when it was to run anyway, within an ageing time of 300 s, and until then they
	// forward.
	flushes bool
}

// protocols by name.
var protocols = map[string]*protocol{
	"off":  {name: "off", flushes: true},
	"stp":  {name: "stp", stp: true},
	"rstp": {name: "rstp", stp: true, rapid: true, flushes: true},
}

// times are the timers of all bridges of a network.
type times struct{ maxAge, forwardDelay time.Duration }

// small is up to how many hops apart bridges may be for the times that a bridge is made
// with, which are for 7 (802.1D-1998, 8.10.2), to do even once a ring is a line.
const small = 7

// times are what suits a topology. A Config BPDU is held back for a second at every hop
// if each bridge has just sent one, as in a change of the topology, and grows older by
// that: with the times that a bridge is made with, a line of 30 kernel bridges goes
// on falling apart at its far end. With RSTP a BPDU grows older by a second a hop anyway.
func (p *protocol) times(t *topology) times {
	if t.diameter() <= small {
		return times{20 * time.Second, 15 * time.Second}
	}
	return times{40 * time.Second, 30 * time.Second}
}

// quiet is for how long no port changes its state once a network has converged: until
// then information may have to grow old, and what follows from that to spread, a second
// a hop.
func (p *protocol) quiet(t *topology, s times) time.Duration {
	switch {
	case !p.stp:
		return 4 * time.Second
	case p.rapid: // a port where nobody agrees waits for so long at first (802.1D-2004, 17.29.1)
		return s.maxAge + 5*time.Second
	}
	return s.maxAge + 5*time.Second + 2*time.Duration(t.diameter())*time.Second
}

// limit is when a network has converged at the latest: old information is gone, new
// information has taken a second a hop, and ports have waited twice. It may come to pass
// again where they waited too short.
func (p *protocol) limit(t *topology, s times) time.Duration {
	return s.maxAge + 2*s.forwardDelay + time.Duration(t.bridges)*time.Second + 10*time.Second
}

// bridge sets a bridge.
func (p *protocol) bridge(c *bridge.Config, t times) {
	if !p.stp {
		return
	}
	c.STPState, c.MaxAge, c.ForwardDelay = 1, &t.maxAge, &t.forwardDelay
	if p.rapid {
		c.STPMode = bridge.STPModeRapid
	}
}

// costs are what a port of a bridge may cost, by the recommendations of 802.1D-1998 and,
// for RSTP, of 802.1D-2004.
func (p *protocol) costs() []int {
	if p.rapid {
		return []int{200, 2000, 20_000, 200_000}
	}
	return []int{1, 2, 4, 19, 100}
}

// port sets a port that leads to a bridge, or to a hub.
func (p *protocol) port(hub bool, cost int) (c bridge.PortConfig) {
	if !p.rapid {
		c.Cost = cost
		return c
	}
	c.Attrs.PathCost = new(uint32(cost))
	if hub {
		c.Attrs.PointToPoint = new(stp.PointToPointNo)
	}
	return c
}

// cost is what a port costs.
func (p *protocol) cost(i *bridge.PortInfo) int {
	if p.rapid {
		return int(i.PathCost)
	}
	return i.Cost
}

// hostPort sets the port of a bridge that leads to a host. With RSTP half of them are
// told that no bridge is behind them, and the others find that out.
func (p *protocol) hostPort(node int) (c bridge.PortConfig) {
	if p.rapid && node%2 == 0 {
		c.Attrs.AdminEdge = new(true)
	}
	return c
}
