package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// serve bridges until ctx ends or stdout takes no more, and then reports. Whatever
// happens, no TAP that it made is left, and none that it found is left changed.
func serve(ctx context.Context, o options, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &output{w: stdout, broken: cancel}
	b, intro, err := assemble(o, out)
	if err != nil {
		return err
	}
	stop := b.Watch(func(e bridge.Event) {
		switch e.Kind {
		case bridge.EventPortFailed, bridge.EventCableDown, bridge.EventCableUp:
			fmt.Fprintln(stderr, "gobr:", e)
		}
	})
	defer stop()
	if _, err := io.WriteString(out, intro); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.Serve(ctx); err != nil {
		return errors.Join(err, b.Close())
	}
	return report(out, b)
}

// output is the standard output, which ends the program when it breaks: nobody
// can read the report then. It is used by one goroutine at a time.
type output struct {
	w      io.Writer
	broken func() // called at the first error
	err    error
}

func (o *output) Write(p []byte) (n int, err error) {
	if o.err == nil {
		if n, err = o.w.Write(p); err != nil {
			o.err = outputError(err)
			o.broken()
		}
	}
	return n, o.err
}

// assemble opens the TAPs and makes the bridge between them, whose it is to close
// them. intro says what was made.
func assemble(o options, trace io.Writer) (b *bridge.Bridge, intro string, err error) {
	cfg := bridge.Config{Name: o.name, AgeingTime: &o.ageing, VLANFiltering: o.vlanFiltering, MTU: o.mtu}
	if o.trace {
		cfg.Trace = bridge.TextTrace(trace)
	}
	var host *bridge.TAP
	if o.host != nil {
		host, cfg.Address, err = openHost(o)
		if err != nil {
			return nil, "", err
		}
	}
	b, err = bridge.New(cfg)
	if err == nil {
		err = addPorts(b, o)
		if err == nil && host != nil {
			err = attach(b, host)
		}
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}
	if err != nil {
		if host != nil {
			err = errors.Join(err, host.Close())
		}
		return nil, "", err
	}
	return b, describe(b, host), nil
}

// openHost opens the host's TAP, whose address becomes the bridge's. It stays
// down until the bridge is ready for what the host sends.
func openHost(o options) (*bridge.TAP, frame.MAC, error) {
	host, err := bridge.OpenTAP(bridge.TAPConfig{Name: o.host.name, Netns: o.host.netns})
	if err != nil {
		return nil, frame.MAC{}, err
	}
	a, err := host.Address()
	if err != nil {
		return nil, frame.MAC{}, errors.Join(err, host.Close())
	}
	return host, a, nil
}

// addPorts opens the TAPs and makes them ports. A port's own address is made up:
// the interface's belongs to whoever uses the interface.
func addPorts(b *bridge.Bridge, o options) error {
	for _, s := range o.taps {
		tap, err := bridge.OpenTAP(bridge.TAPConfig{Name: s.name, Netns: s.netns, MTU: o.mtu, Up: true})
		if err != nil {
			return err
		}
		mtu, err := tap.MTU()
		if err == nil {
			_, err = b.AddPort(tap.Name(), tap, bridge.PortConfig{MTU: mtu, Caps: tap.Caps()})
		}
		if err != nil {
			return errors.Join(err, tap.Close())
		}
	}
	return nil
}

// attach gives the host's TAP the bridge's MTU and plugs it in.
func attach(b *bridge.Bridge, host *bridge.TAP) error {
	if err := host.SetMTU(b.Info().MTU); err != nil {
		return err
	}
	if err := b.AttachHost(host, bridge.HostConfig{Caps: host.Caps()}); err != nil {
		return err
	}
	return host.SetUp(true)
}

// describe says in one line what was made.
func describe(b *bridge.Bridge, host *bridge.TAP) string {
	var names []string
	for _, p := range b.Ports() {
		names = append(names, p.Name())
	}
	s := fmt.Sprintf("%s bridges %s", b.Name(), strings.Join(names, ", "))
	if host != nil {
		s += fmt.Sprintf("; the host is at %s, address %s", host.Name(), b.Info().Address)
	}
	return s + "; interrupt ends it\n"
}
