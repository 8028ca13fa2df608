package bridge

import (
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// The spanning tree is a machine of its own, stp.Bridge. Here is what plugs it into the
// bridge:
//
//	requests    in a transaction, which is the machine's too: what it says of ports
//	            becomes part of the next config. The machine cannot take back what it
//	            did, so nothing may be refused once it was asked
//	BPDUs       stpRcv: a transaction that waits for nobody, see react
//	time        Tick, NextTimer: likewise
//	what it sends  outbox.go
//
// Port states, the times in use and the topology change flag stand in the config, where
// the datapath reads them; everything else is the machine's, and nobody else keeps it.

// spanning is the machine of a bridge.
type spanning struct {
	b    *Bridge
	next atomic.Int64 // when the machine's first timer is due, ns since New; never: none runs

	// Guarded by b.mu.
	m     *stp.Bridge
	rapid *stp.Rapid    // nil: it does not run, see rstp.go
	now   time.Duration // the latest moment that the machine was told
	x     *tx           // the transaction that runs
}

func (s *spanning) init(b *Bridge) {
	s.b = b
	s.m = stp.NewBridge(stp.BridgeConfig{
		Send: s.send, State: s.state, Flush: s.flush, Live: s.live, Changing: s.changing, Event: s.event,
	})
	s.next.Store(never)
}

// within runs a transaction up to where it can be published. b.mu must be held.
func (s *spanning) within(x *tx, fn func(*tx) error) error {
	s.now = max(s.now, x.now)
	s.x, x.now = x, s.now
	defer func() { s.x = nil }()
	if err := fn(x); err != nil {
		return err
	}
	x.rapidFollow()
	x.settle()
	next := int64(never)
	if at, ok := s.m.NextTimer(); ok {
		next = int64(at)
	}
	if s.rapid != nil {
		if at, ok := s.rapid.NextTimer(); ok {
			next = min(next, int64(at))
		}
	}
	if old := s.next.Swap(next); next < old {
		s.b.poke()
	}
	return nil
}

// react has the machine do something at now that no request asked for. What follows from
// it is published, if anything does, and nobody is waited for: what is purged stays away,
// since no entry is made on a port that may not learn. The caller sends what was made.
func (s *spanning) react(now time.Duration, do func(m *stp.Bridge, now time.Duration)) {
	x, err := s.b.publishAt(now, "spanning tree", s.b.name, func(x *tx) error {
		x.reacts = true
		do(s.m, x.now)
		return nil
	})
	if err != nil {
		return // the bridge is closed
	}
	for _, do := range x.after {
		do()
	}
}

// idle reports whether a transaction of react's has changed nothing that is published.
func (x *tx) idle() bool {
	return x.reacts && !x.ownsPorts && len(x.told) == 0 && len(x.events) == 0 && x.cfg.info == x.old.info
}

// tick runs the timers that are due.
func (s *spanning) tick(now time.Duration) {
	if s.next.Load() > int64(now) {
		return
	}
	s.react(now, func(m *stp.Bridge, now time.Duration) {
		m.Tick(now)
		if s.rapid != nil {
			s.rapid.Tick(now)
		}
	})
	s.b.sendMade()
}

// What the machine says of ports.

func (s *spanning) portOf(num uint16) *Port { return s.x.cfg.byNum[num].p }

func (s *spanning) state(num uint16, st stp.State) { s.x.setState(s.portOf(num), st) }

func (s *spanning) live(num uint16) { s.x.snoopEnable(s.portOf(num)) }

// flush has a port that was disabled forget what is behind it, unless another port is
// to take over.
func (s *spanning) flush(num uint16) {
	p := s.portOf(num)
	s.x.snoopDisable(p)
	if s.x.cfg.conf(p).backup == 0 && s.x.leaving != p {
		s.x.flushPort(p)
	}
}

func (s *spanning) changing(on bool) {
	s.x.treeSettle() // the times are new
	s.x.setTopologyChange(on)
}

func (s *spanning) event(e stp.BridgeEvent) {
	out := Event{Kind: EventTopologyChange}
	switch e.Kind {
	case stp.GuardTripped:
		out.Kind = EventBPDUGuard
	case stp.RootBlocked:
		out.Kind = EventRootBlocked
	}
	if e.Port != 0 {
		out.Port = s.portOf(e.Port).name
	}
	s.x.events = append(s.x.events, out)
}

// send makes the frame of a BPDU (br_send_bpdu): 802.3 with an LLC header, untagged and
// not padded.
func (s *spanning) send(num uint16, p *stp.BPDU) {
	const headers = frame.HeaderLen + len(stp.LLC)
	pc := s.x.cfg.byNum[num]
	data := make([]byte, 0, headers+64)
	data = append(data, s.x.cfg.info.GroupAddress[:]...)
	data = append(data, pc.info.Address[:]...)
	data = append(data, 0, 0)
	data = append(data, stp.LLC...)
	data = p.Append(data)
	data[13] = byte(len(data) - frame.HeaderLen)
	s.b.outbox.add(made{probe: ProbeSendBPDU, port: num, data: data})
}

// bpduIn gives the BPDU in a frame from its length field on, as the kernel's LLC finds
// it: what is behind the length is padding.
func bpduIn(rest []byte) (pdu []byte, ok bool) {
	if len(rest) < 2+len(stp.LLC) {
		return nil, false
	}
	n := int(rest[0])<<8 | int(rest[1])
	if rest = rest[2:]; n > len(rest) || n < len(stp.LLC) || n >= 1536 || string(rest[:len(stp.LLC)]) != stp.LLC {
		return nil, false
	}
	return rest[len(stp.LLC):n], true
}

// isLLC reports a frame, from its length field on, that Linux has a handler for in the
// stack of any port: LLC, which comes with the bridge for the sake of BPDUs, takes all
// that have a length, but for raw 802.3 (eth_type_trans), and keeps silent about those
// that nobody wants.
func isLLC(rest []byte) bool {
	return int(rest[0])<<8|int(rest[1]) < 1536 && !(len(rest) >= 4 && rest[2] == 0xff && rest[3] == 0xff)
}

// stpRcv gives the spanning tree a frame that goes to the port's own stack, if it is a
// BPDU, and says whether it was (br_stp_rcv). In a VLAN there are none.
func (in *Input) stpRcv(pc *portConf, f *frame.Frame) bool {
	i := &in.cfg.info
	if !i.hasTree() || in.header.dst != addressOf(i.GroupAddress) || f.Tag.VID() != 0 {
		return false
	}
	pdu, ok := bpduIn(f.Rest())
	if !ok {
		return false
	}
	in.note(ProbeSTPRcv, pc.p, f, NoDecision)
	if in.dry == nil {
		in.b.spanning.react(time.Duration(in.now)*time.Millisecond, func(m *stp.Bridge, now time.Duration) {
			if in.b.spanning.rapid != nil {
				in.b.spanning.rapidReceive(now, uint16(pc.num), pdu)
				return
			}
			m.ReceivePDU(now, uint16(pc.num), pdu)
		})
		in.emitAllMade()
	}
	return true
}
