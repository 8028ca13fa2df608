package main

import (
	"time"

	"github.com/ddfb540f/bridge"
)

// A protocol is how the bridges of a network are set.
type protocol struct {
	name  string
	stp   bool

	// A topology change has the bridges forget where stations were. With Linux's 802.1D
	// it does not have to: entries live shorter then, but the collector that takes them
	// runs when it was to run anyway, within an ageing time of 300 s, and until then they
	// forward.
	flushes bool

	quiet time.Duration // for how long no port changes its state once it has converged
	limit time.Duration // when it has converged at the latest, beside a second a bridge
}

// protocols by name.
var protocols = map[string]*protocol{
	"off": {name: "off", flushes: true, quiet: 4 * time.Second, limit: 10 * time.Second},
	// Max age, and twice the forward delay (802.1D-1998, 8.5, B.3), are what it takes.
	"stp": {name: "stp", stp: true, quiet: 25 * time.Second, limit: 60 * time.Second},
}

// bridge sets a bridge.
func (p *protocol) bridge(c *bridge.Config, t *topology) {
	if p.stp {
		c.STPState = 1
	}
}

// port sets a port that leads to a bridge, or to a hub.
func (p *protocol) port(hub bool) bridge.PortConfig { return bridge.PortConfig{} }

// hostPort sets a port that leads to a host.
func (p *protocol) hostPort() bridge.PortConfig { return bridge.PortConfig{} }
