package bridge_test

import (
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// The part of FuzzConfig that is about the spanning trees.

// bpdu makes a BPDU of one of three bridges, of this one or of its root, sometimes
// damaged.
func (s *session) bpdu() frame.Frame {
	i := s.b.Info()
	id := func() stp.BridgeID {
		return among(s.script, i.RootID, i.BridgeID, stp.BridgeID{Priority: 0x1000, Address: mac(s.n(3))}, stp.BridgeID{Priority: 0xf000, Address: mac(s.n(3))})
	}
	p := stp.BPDU{
		Type: among(s.script, stp.Config, stp.RST, stp.Config, stp.RST, stp.TCN), Flags: stp.Flags(s.n(256)),
		Root: id(), Bridge: id(), Cost: uint32(s.n(4)) * 100, Port: stp.PortID(0x8001 + s.n(3)),
		MessageAge: stp.Ticks(s.n(8)) * 256, MaxAge: among[stp.Ticks](s.script, 20*256, 6*256, 0),
		HelloTime: among[stp.Ticks](s.script, 2*256, 0), ForwardDelay: among[stp.Ticks](s.script, 15*256, 4*256, 0, 1<<16-1),
	}
	if p.Type == stp.RST {
		p.Version = 2
	}
	f := llcFrame(among(s.script, i.GroupAddress, i.GroupAddress, i.GroupAddress, linkLocal(0)), mac(s.n(6)), p.Append(nil))
	return s.damaged(f)
}

func (s *session) treeAttrs(a *bridge.BridgeAttrs) {
	switch s.n(6) {
	case 0:
		a.STPMode = new(bridge.STPMode(s.n(5)))
	case 1:
		a.STPState, a.STPMode = new(1), new(bridge.STPMode(s.n(4)))
	case 2:
		a.TxHoldCount = new(s.n(12))
	case 3:
		a.ForwardDelay, a.HelloTime, a.MaxAge = new(2*time.Second), new(time.Second), new(6*time.Second)
	default:
		a.STPState = new(s.n(3))
	}
}

func (s *session) treePortAttrs(a *bridge.PortAttrs) {
	switch on := s.yes(); s.n(9) {
	case 0:
		a.Guard = &on
	case 1:
		a.RootBlock = &on
	case 2:
		a.AdminEdge = &on
	case 3:
		a.AutoEdge = &on
	case 4:
		a.PointToPoint = new(stp.PointToPoint(s.n(4)))
	case 5:
		a.PathCost = new(among[uint32](s.script, 0, 1, 200_000_000, 200_000_001))
	case 6:
		a.RestrictedTCN = &on
	case 7:
		a.BPDUFilter = &on
	default:
		a.LoopGuard = &on
	}
}

// hasTree reports a bridge that runs a spanning tree itself.
func hasTree(i bridge.BridgeInfo) bool {
	return i.STPState == 1 || i.STPState == 2 && i.STPMode == bridge.STPModeRapid
}
