package main

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/qemu"
)

// qemuSource is a cable of QEMU's, named by --qemu: a socket.
type qemuSource struct {
	name    string // of the port
	text    string // as it was written behind --qemu
	network string // the kind of socket: unix, tcp, unixgram, udp or mcast

	stream  qemu.StreamConfig // with an Address, of kinds unix and tcp
	connect bool              // else it listens

	dgram qemu.DgramConfig // of kinds unixgram, udp and mcast

	path string      // of the socket that is made; "": none is
	mode fs.FileMode // of that; 0: as made
}

func (s *qemuSource) String() string   { return "--qemu " + s.text }
func (s *qemuSource) portName() string { return s.name }
func (s *qemuSource) kind() portKind   { return forQEMU }
func (s *qemuSource) is(ifSpec) bool   { return false }
func (s *qemuSource) there() bool      { return true } // whoever is there or not: it opens

func (s *qemuSource) open(o *portOptions) (p plug, err error) {
	port := bridge.PortConfig{MTU: o.mtu, Down: o.up != nil && !*o.up}
	switch {
	case s.stream.Address == "":
		p, err = s.openDgram(port)
	case s.connect:
		p, err = s.openStream(port, qemu.Connect)
	default:
		p, err = s.openStream(port, qemu.Listen)
	}
	if err != nil || s.mode == 0 {
		return p, err
	}
	if err := os.Chmod(s.path, s.mode); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (s *qemuSource) openStream(port bridge.PortConfig, open func(qemu.StreamConfig) (*qemu.Stream, error)) (plug, error) {
	cable, err := open(s.stream)
	if err != nil {
		return nil, err
	}
	port.Caps, port.Lost = cable.Caps(), cable.Lost
	return &streamPlug{Stream: cable, source: s, port: port}, nil
}

func (s *qemuSource) openDgram(port bridge.PortConfig) (plug, error) {
	cable, err := qemu.OpenDgram(s.dgram)
	if err != nil {
		return nil, err
	}
	port.Caps, port.Lost = cable.Caps(), cable.Lost
	return &dgramPlug{Dgram: cable, source: s, port: port}, nil
}

// streamPlug is a stream, whose peers come and go. Whether the port has a carrier the
// bridge learns from the cable itself.
type streamPlug struct {
	*qemu.Stream
	source *qemuSource
	port   bridge.PortConfig
	seen   qemu.StreamStats // the follower's
	said   string           // the last reason why nobody can be connected to
}

func (p *streamPlug) config() bridge.PortConfig { return p.port }

// remarks says where the peer is looked for; a TCP port may have been chosen here.
func (p *streamPlug) remarks() []string {
	if p.source.connect {
		return []string{fmt.Sprintf("%s: connects to %s", p.source.name, p.source.stream.Address)}
	}
	return []string{fmt.Sprintf("%s: listens at %s:%s", p.source.name, p.source.network, p.Addr())}
}

// follow says who has come and gone.
func (p *streamPlug) follow(_ *bridge.Port, say sayer) {
	now, name := p.Stats(), p.source.name
	came := now.Connections > p.seen.Connections
	if p.seen.Connected && (came || !now.Connected) {
		p.gone(now, say)
	}
	if came {
		say("%s: a peer has come", name)
		if !now.Connected {
			p.gone(now, say)
		}
	}
	if now.Connections == 0 && now.Ended != nil {
		say.once(&p.said, name+": not connected yet", now.Ended)
	}
	p.seen = now
}

// gone says that a peer has gone, and why if that is not its own doing.
func (p *streamPlug) gone(now qemu.StreamStats, say sayer) {
	if bad := now.BadLengths - p.seen.BadLengths; bad > 0 {
		say("%s: the peer has gone: it had announced a frame of more than %d bytes", p.source.name, qemu.MaxFrame)
		return
	}
	say("%s: the peer has gone", p.source.name)
}

// dgramPlug is datagrams, which tell of nobody's coming and going.
type dgramPlug struct {
	*qemu.Dgram
	source *qemuSource
	port   bridge.PortConfig
}

func (p *dgramPlug) config() bridge.PortConfig { return p.port }

func (p *dgramPlug) follow(*bridge.Port, sayer) {}

// remarks says where the two ends are.
func (p *dgramPlug) remarks() []string {
	line := fmt.Sprintf("%s: takes datagrams at %s:%s", p.source.name, p.source.network, p.LocalAddr())
	if _, remote, ok := strings.Cut(p.source.dgram.Remote, ":"); ok && p.source.network != "mcast" {
		line += ", and sends to " + remote
	}
	return []string{line}
}

// defaultReconnect is how long a stream that connects waits between attempts.
const defaultReconnect = time.Second
