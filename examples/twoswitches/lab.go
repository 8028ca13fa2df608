package main

import (
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/bridgetest"
	"github.com/ddfb540f/bridge/frame"
)

// lab is the network in virtual time.
type lab struct{ *bridgetest.Lab }

func newLab() (network, error) {
	var c bridgetest.Config
	for _, s := range switches {
		c.Switches = append(c.Switches, bridge.Config{Name: s.name})
	}
	for _, h := range hosts {
		c.Hosts = append(c.Hosts, bridgetest.HostConfig{Name: h.name, MAC: h.mac, Switch: h.sw, PortName: h.port})
	}
	c.Cables = []bridgetest.Cable{{
		A: bridgetest.End{Switch: switches[0].name, PortName: switches[0].up},
		B: bridgetest.End{Switch: switches[1].name, PortName: switches[1].up},
	}}
	l, err := bridgetest.New(c)
	if err != nil {
		return nil, err
	}
	return lab{l}, nil
}

func (l lab) Send(host string, f frame.Frame) (seen []string, err error) {
	if err := l.Host(host).Send(f); err != nil {
		return nil, err
	}
	l.Run(time.Second)
	for _, h := range hosts {
		if len(l.Host(h.name).Received()) > 0 {
			seen = append(seen, h.name)
		}
	}
	return seen, nil
}

// Close ends the lab, unless its ledgers do not balance.
func (l lab) Close() error {
	err := l.Check()
	l.Lab.Close()
	return err
}
