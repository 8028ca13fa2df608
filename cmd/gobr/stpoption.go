package main

import (
	"fmt"
	"time"
)

// treeOptions is what the command line says of the spanning tree of the bridge.
type treeOptions struct {
	kind                        string
	priority                    int
	hello, maxAge, forwardDelay int // seconds
}

// The spanning trees of --stp, as the bridge has them.
var treeKinds = map[string]int{"off": 0, "stp": 1}

// treeFlags are the flags that have no effect without a spanning tree.
var treeFlags = []string{"priority", "hello-time", "max-age", "forward-delay"}

func (p *parser) defineTree() {
	fs, o := p.fs, &p.tree
	fs.StringVar(&o.kind, "stp", "off", "")
	fs.IntVar(&o.priority, "priority", 32768, "")
	fs.IntVar(&o.hello, "hello-time", 2, "")
	fs.IntVar(&o.maxAge, "max-age", 20, "")
	fs.IntVar(&o.forwardDelay, "forward-delay", 15, "")
}

// checkTree checks and takes what concerns the spanning tree. Who writes a port's state
// cannot have it chosen by the tree too.
func (p *parser) checkTree() error {
	state, ok := treeKinds[p.tree.kind]
	if !ok {
		return fmt.Errorf("--stp %s: neither off nor stp", p.tree.kind)
	}
	for _, x := range []struct {
		flag        string
		n, from, to int
	}{
		{"priority", p.tree.priority, 0, 65535}, {"hello-time", p.tree.hello, 1, 10},
		{"max-age", p.tree.maxAge, 6, 40}, {"forward-delay", p.tree.forwardDelay, 2, 30},
	} {
		if x.n < x.from || x.n > x.to {
			return fmt.Errorf("--%s %d: not between %d and %d", x.flag, x.n, x.from, x.to)
		}
	}
	if state == 0 {
		return p.refuseFlags(treeFlags, "it has no effect without --stp")
	}
	c := &p.o.cfg
	c.STPState, c.Priority = state, new(uint16(p.tree.priority))
	c.HelloTime, c.MaxAge = new(seconds(p.tree.hello)), new(seconds(p.tree.maxAge))
	c.ForwardDelay = new(seconds(p.tree.forwardDelay))
	for _, s := range p.o.ports {
		if s.attrs.State != nil {
			return fmt.Errorf("--port %s=state=%s: the spanning tree decides that (--stp)", s.source.portName(), *s.attrs.State)
		}
	}
	return nil
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
