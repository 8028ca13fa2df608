//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// A cable is a way to attach the two stations to a switch that uses this module's
// drivers. attach prepares it and gives the two ends that the switch is to open.
type cable struct {
	name   string
	attach func(ctx context.Context, r *rig) ([]end, error)
}

// cables are all that can be measured. A new driver needs a line here and a case in
// end.open.
var cables = []cable{
	{"tap", tapCable},
	{"raw", rawCable},
	{"stream", streamCable},
}

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
	ports, err := r.veths()
	if err != nil {
		return nil, err
	}
	return []end{{Kind: endRaw, Name: ports[0]}, {Kind: endRaw, Name: ports[1]}}, nil
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
