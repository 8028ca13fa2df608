//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
)

// A peer is a contestant. build joins the stations of a rig; where the interfaces come
// from the switch, c does not matter.
type peer struct {
	name  string
	needs map[string]string // programs, and the Debian packages that have them
	on    []string          // the cables that it can be set up with; none: all
	build func(ctx context.Context, r *rig, c cable) error
}

const (
	oursName   = "ours"
	kernelName = "kernel"
)

// ours is measured in every turn.
var ours = peer{name: oursName, build: func(ctx context.Context, r *rig, c cable) error { return join(ctx, r, c, asBridge) }}

// peers are those that ours is measured against.
var peers = []peer{
	{name: kernelName, build: buildKernel},
	{name: "cable", build: func(ctx context.Context, r *rig, c cable) error { return join(ctx, r, c, asPatch) }},
	{name: "direct", build: buildDirect},
	{name: "ovs", needs: ovsPrograms, on: []string{"tap", "raw", "xdp"}, build: buildOVS(false)},
	{name: "ovs-tso", needs: ovsPrograms, on: []string{"tap", "raw"}, build: buildOVS(true)},
	{name: "vde", needs: vdePrograms, on: []string{"tap"}, build: buildVDE},
	{name: "qemu-hub", needs: qemuPrograms, on: []string{"tap", "stream", "socket"}, build: buildQEMU},
	{name: "gvisor-tap-vsock", needs: goPrograms, on: []string{"tap", "stream", "socket"}, build: buildGVisor},
}

// missing says what p needs and this machine lacks, "" if nothing.
func (p *peer) missing() string {
	for program, debian := range p.needs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Sprintf("needs %s: apt-get install %s", program, debian)
		}
	}
	return ""
}

// fits says whether p can be set up with c.
func (p *peer) fits(c cable) bool { return len(p.on) == 0 || slices.Contains(p.on, c.name) }

// join has a forwarder of ours join the stations.
func join(ctx context.Context, r *rig, c cable, how string) error {
	ends, err := c.attach(ctx, r)
	if err != nil {
		return err
	}
	pid, err := r.forward(ctx, how, ends...)
	r.pids = append(r.pids, pid)
	return err
}

// buildKernel is the Linux bridge as it is used between namespaces: over veth pairs,
// whatever the cable is.
func buildKernel(_ context.Context, r *rig, _ cable) error {
	if err := r.veths(); err != nil {
		return err
	}
	if _, err := r.mid.Run("ip", "link", "add", "br0", "up", "type", "bridge", "forward_delay", "0"); err != nil {
		return err
	}
	for i := range r.hosts {
		if _, err := r.mid.Run("ip", "link", "set", portName(i), "master", "br0"); err != nil {
			return err
		}
	}
	return nil
}

// buildDirect joins the stations by one veth pair: no switch.
func buildDirect(_ context.Context, r *rig, _ cable) error {
	_, err := r.mid.Run("ip", "link", "add", ifName, "netns", r.hosts[0].Path(),
		"type", "veth", "peer", "name", ifName, "netns", r.hosts[1].Path())
	return err
}
