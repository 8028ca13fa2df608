//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/qemu"
	"github.com/ddfb540f/bridge/xdp"
)

// What a forwarder joins its ends as: these are requests.
const (
	asBridge = "bridge"
	asPatch  = "patch"
)

// An end is what a forwarder opens for a port.
type end struct {
	Kind  endKind
	Name  string // of the interface, or the address of the socket
	Netns string // where the interface is; "": where the forwarder is
	Plain bool   // a TAP without offloads
}

type endKind string

const (
	endTAP     endKind = "tap"
	endRaw     endKind = "raw"
	endXDP     endKind = "xdp"
	endListen  endKind = "listen"
	endConnect endKind = "connect"
)

// A driver is what this module's cables have in common.
type driver interface {
	bridge.FrameIO
	Caps() bridge.Caps
}

// openEnds opens each end by itself, but those of AF_XDP together: they share memory.
func openEnds(ends []end) (ports []driver, err error) {
	if len(ends) > 0 && ends[0].Kind == endXDP {
		return openXDP(ends)
	}
	for _, e := range ends {
		d, err := e.open()
		if err != nil {
			return nil, err
		}
		ports = append(ports, d)
	}
	return ports, nil
}

// openXDP opens AF_XDP ports. A veth pair has one queue each way unless asked for more.
func openXDP(ends []end) (ports []driver, err error) {
	var cfg xdp.Config
	for _, e := range ends {
		cfg.Ports = append(cfg.Ports, xdp.PortConfig{Name: e.Name, Netns: e.Netns})
	}
	g, err := xdp.Open(cfg)
	if err != nil {
		return nil, err
	}
	for _, p := range g.Ports() {
		ports = append(ports, p)
	}
	return ports, nil
}

func (e end) open() (driver, error) {
	switch e.Kind {
	case endTAP:
		return bridge.OpenTAP(bridge.TAPConfig{Name: e.Name, Netns: e.Netns, NoOffload: e.Plain, Up: true})
	case endRaw:
		return bridge.OpenRaw(bridge.RawConfig{Name: e.Name, Netns: e.Netns})
	case endListen:
		return qemu.Listen(qemu.StreamConfig{Address: e.Name})
	case endConnect:
		return qemu.Connect(qemu.StreamConfig{Address: e.Name, Reconnect: 10 * time.Millisecond})
	}
	return nil, fmt.Errorf("no end is a %q", e.Kind)
}

// A forwarder is a process with a bridge, or with a patch cable.
type forwarder struct{ ends []func() }

// forwarderMain is a forwarder's life.
func forwarderMain() {
	var f forwarder
	serve(f.answer)
	for i := len(f.ends) - 1; i >= 0; i-- {
		f.ends[i]()
	}
}

func (f *forwarder) answer(q request) (reply, error) {
	if err := f.startProfile(q.Profile); err != nil {
		return reply{}, err
	}
	ports, err := openEnds(q.Ends)
	if err != nil {
		return reply{}, err
	}
	switch {
	case q.Op == asBridge:
		return reply{}, f.bridge(ports)
	case q.Op == asPatch && len(ports) == 2:
		f.patch(ports[0], ports[1])
		return reply{}, nil
	}
	return reply{}, fmt.Errorf("a forwarder cannot be a %s of %d ends", q.Op, len(ports))
}

func (f *forwarder) startProfile(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	f.ends = append(f.ends, func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	})
	return pprof.StartCPUProfile(file)
}

// bridge joins ports by a bridge of the zero Config: as it is for everybody who asks
// for nothing.
func (f *forwarder) bridge(ports []driver) error {
	b, err := bridge.New(bridge.Config{})
	if err != nil {
		return err
	}
	for i, d := range ports {
		if _, err := b.AddPort(fmt.Sprint("port", i), d, bridge.PortConfig{Caps: d.Caps()}); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx) }() // ends with ctx
	f.ends = append(f.ends, func() {
		cancel()
		<-served
	})
	return nil
}

// patch joins two cables with nothing between them.
func (f *forwarder) patch(a, b driver) {
	var wg sync.WaitGroup
	wg.Go(func() { pump(a, b) }) // both end when the cables are closed
	wg.Go(func() { pump(b, a) })
	f.ends = append(f.ends, func() {
		_, _ = a.Close(), b.Close()
		wg.Wait()
	})
}

// pumpBatch is how many frames a patch cable moves at a time: as many as a bridge does.
const pumpBatch = 64

// pump carries frames from one cable to another until either ends.
func pump(from, to bridge.FrameIO) {
	fs := make([]frame.Frame, pumpBatch)
	for {
		n, err := from.ReadFrames(fs)
		if !writeAll(to, fs[:n]) {
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, bridge.ENETDOWN): // at once and each time: do not poll hard
			time.Sleep(10 * time.Millisecond)
		default:
			return
		}
	}
}

// writeAll writes what the cable takes and says whether the cable is still one. A frame
// that it refuses is lost, and what finds its queue full or its interface down.
func writeAll(to bridge.FrameIO, fs []frame.Frame) bool {
	for len(fs) > 0 {
		n, err := to.WriteFrames(fs)
		fs = fs[n:]
		var refused *bridge.FrameError
		var batch *bridge.BatchError
		switch {
		case err == nil && n > 0:
		case errors.As(err, &refused) && len(fs) > 0:
			fs = fs[1:]
		case errors.As(err, &batch) && len(batch.Frames) > 0:
			fs = fs[min(len(batch.Frames), len(fs)):]
		case errors.Is(err, bridge.ErrQueueFull), errors.Is(err, bridge.ENETDOWN):
			return true
		default:
			return false
		}
	}
	return true
}
