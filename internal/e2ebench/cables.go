//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// A cable is a way to attach the two stations to a switch that uses this module's
// drivers. attach prepares it and gives the two ends that the switch is to open.
type cable struct {
	name   string
	only   []string // the workloads that it can bear; none: all
	attach func(ctx context.Context, r *rig) ([]end, error)
}

// cables are all that can be measured. A new driver needs a line here and a case in
// end.open, or in openEnds if its ports are opened together.
var cables = []cable{
	{name: "tap", attach: tapCable},
	{name: "raw", attach: rawCable},
	{name: "xdp", attach: xdpCable},
	{name: "mixed", attach: mixedCable},
	{name: "stream", attach: streamCable},
	{name: "socket", attach: socketCable, only: []string{"pps", "pps2"}},
}

// bears says whether w can be measured with c.
func (c *cable) bears(w workload) bool { return len(c.only) == 0 || slices.Contains(c.only, w.name) }

// tapCable: each station's interface is a TAP, whose descriptor the switch holds.
func tapCable(_ context.Context, r *rig) ([]end, error) {
	return []end{
		{Kind: endTAP, Name: ifName, Netns: r.hosts[0].Path()},
		{Kind: endTAP, Name: ifName, Netns: r.hosts[1].Path()},
	}, nil
}

// rawCable: each station has one end of a veth pair, the switch a packet socket on the
// other.
func rawCable(_ context.Context, r *rig) ([]end, error) {
	if err := r.veths(); err != nil {
		return nil, err
	}
	return []end{{Kind: endRaw, Name: portName(0)}, {Kind: endRaw, Name: portName(1)}}, nil
}

// xdpCable: as rawCable, with AF_XDP sockets. They carry complete frames alone, and a
// patch cable changes nothing, so the stations finish theirs themselves.
func xdpCable(_ context.Context, r *rig) (ends []end, err error) {
	if err := r.veths(); err != nil {
		return nil, err
	}
	for i, host := range r.hosts {
		if err := errors.Join(r.noOffload(host, ifName), r.noOffload(r.mid, portName(i))); err != nil {
			return nil, err
		}
		ends = append(ends, end{Kind: endXDP, Name: portName(i)})
	}
	return ends, nil
}

// mixedCable: the first station has a TAP, the second a veth pair.
func mixedCable(_ context.Context, r *rig) ([]end, error) {
	if err := r.veth(1); err != nil {
		return nil, err
	}
	return []end{{Kind: endTAP, Name: ifName, Netns: r.hosts[0].Path()}, {Kind: endRaw, Name: portName(1)}}, nil
}

// streamCable: each station's interface is a TAP that a process of its own holds, a
// plug, which is connected to the switch by a unix socket.
func streamCable(ctx context.Context, r *rig) (ends []end, err error) {
	for i, host := range r.hosts {
		at := "unix:" + filepath.Join(r.dir, fmt.Sprint("port", i))
		// The sockets carry complete frames alone, and a patch cable changes nothing.
		tap := end{Kind: endTAP, Name: ifName, Netns: host.Path(), Plain: true}
		if _, err := r.forward(ctx, asPatch, tap, end{Kind: endConnect, Name: at}); err != nil {
			return nil, fmt.Errorf("plug: %w", err)
		}
		ends = append(ends, end{Kind: endListen, Name: at})
	}
	return ends, nil
}

// socketCable: the stations are no hosts. They write frames to unix sockets and count
// what comes, as the process of a virtual machine would do: no interface is in the way.
func socketCable(_ context.Context, r *rig) (ends []end, err error) {
	for i := range r.hosts {
		r.wires[i] = filepath.Join(r.dir, fmt.Sprint("port", i))
		ends = append(ends, end{Kind: endListen, Name: "unix:" + r.wires[i]})
	}
	return ends, nil
}
