package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/stp"
)

// treeOptions is what the command line says of the spanning tree of the bridge.
type treeOptions struct {
	kind                        string
	priority                    int
	hello, maxAge, forwardDelay int // seconds
	holdCount                   int
}

// The spanning trees of --stp, as the bridge has them.
var treeKinds = map[string]bridge.STPMode{"stp": bridge.STPModeKernel, "rstp": bridge.STPModeRapid}

// treeFlags are the flags that have no effect without a spanning tree.
var treeFlags = []string{"priority", "hello-time", "max-age", "forward-delay", "tx-hold-count"}

func (p *parser) defineTree() {
	fs, o := p.fs, &p.tree
	fs.StringVar(&o.kind, "stp", "off", "")
	fs.IntVar(&o.priority, "priority", 32768, "")
	fs.IntVar(&o.hello, "hello-time", 2, "")
	fs.IntVar(&o.maxAge, "max-age", 20, "")
	fs.IntVar(&o.forwardDelay, "forward-delay", 15, "")
	fs.IntVar(&o.holdCount, "tx-hold-count", 6, "")
}

// checkTree checks and takes what concerns the spanning tree. Who writes a port's state
// cannot have it chosen by the tree too.
func (p *parser) checkTree() error {
	mode, on := treeKinds[p.tree.kind]
	if !on && p.tree.kind != "off" {
		return fmt.Errorf("--stp %s: neither off, stp nor rstp", p.tree.kind)
	}
	for _, x := range []struct {
		flag        string
		n, from, to int
	}{
		{"priority", p.tree.priority, 0, 65535}, {"hello-time", p.tree.hello, 1, 10},
		{"max-age", p.tree.maxAge, 6, 40}, {"forward-delay", p.tree.forwardDelay, 2, 30},
		{"tx-hold-count", p.tree.holdCount, 1, 10},
	} {
		if x.n < x.from || x.n > x.to {
			return fmt.Errorf("--%s %d: not between %d and %d", x.flag, x.n, x.from, x.to)
		}
	}
	if !on {
		return p.refuseFlags(treeFlags, "it has no effect without --stp")
	}
	if mode != bridge.STPModeRapid {
		if err := p.refuseFlags([]string{"tx-hold-count"}, "it has no effect without --stp rstp"); err != nil {
			return err
		}
	}
	c := &p.o.cfg
	c.STPState, c.STPMode, c.Priority = 1, mode, new(uint16(p.tree.priority))
	c.Attrs.TxHoldCount = &p.tree.holdCount
	c.HelloTime, c.MaxAge = new(seconds(p.tree.hello)), new(seconds(p.tree.maxAge))
	c.ForwardDelay = new(seconds(p.tree.forwardDelay))
	for _, s := range p.o.ports {
		if s.attrs.State != nil {
			return fmt.Errorf("--port %s=state=%s: the spanning tree decides that (--stp)", s.source.portName(), *s.attrs.State)
		}
	}
	return nil
}

func takePointToPoint(o *portOptions, value string) error {
	for p := stp.PointToPointAuto; p <= stp.PointToPointNo; p++ {
		if value == p.String() {
			o.attrs.PointToPoint = &p
			return nil
		}
	}
	return errors.New("neither auto, yes nor no")
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
