package bridge_test

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// The values that a session chooses among: few, so that they meet, with some that
// are refused.

func (s *session) mtu() int { return among(s.script, 1500, 1500, 1400, 68, 0, 67, 65522) }

func (s *session) address() frame.MAC {
	switch i := s.n(8); i {
	case 7:
		return among(s.script, zeroMAC, groupMAC, s.b.Info().Address)
	case 6, 5, 4:
		return mac(s.n(6))
	default:
		return portMAC(1 + i)
	}
}

func (s *session) vlan() bridge.VLAN {
	v := bridge.VLAN{VID: among[frame.VID](s.script, 1, 5, 10, 5, 10, 60, 0, 4094, 4095), PVID: s.n(3) == 2, Untagged: s.yes()}
	if s.n(4) == 3 {
		v.End = among(s.script, v.VID+1, v.VID+8, v.VID)
	}
	return v
}

func (s *session) state() bridge.PortState {
	return among(s.script, bridge.StateForwarding, bridge.StateLearning, bridge.StateBlocking, bridge.StateListening, bridge.StateDisabled, bridge.StateForwarding, bridge.PortState(9))
}

func (s *session) duration() *time.Duration {
	return new(among(s.script, 0, time.Second, 15*time.Second, 300*time.Second, 41*time.Second, -1))
}

func (s *session) bridgeAttrs() (a bridge.BridgeAttrs) {
	on := func() *bool { return new(s.yes()) }
	for range 1 + s.n(2) {
		switch s.n(36) {
		case 28, 29, 30, 31:
			s.mcastAttrs(&a)
		case 32, 33, 34, 35:
			s.treeAttrs(&a)
		case 0, 1, 2:
			a.VLANFiltering = on()
		case 3:
			a.VLANProtocol = new(among(s.script, frame.TypeDot1Q, frame.TypeDot1AD, frame.TypeIPv4))
		case 4, 5:
			a.VLANDefaultPVID = new(among[frame.VID](s.script, 0, 1, 5, 10, 4095))
		case 6:
			a.VLANStats = on()
		case 7:
			a.VLANStatsPerPort = on()
		case 8:
			a.GroupFwdMask = new(among[uint16](s.script, 0, 0xfff8, 8, 1))
		case 9:
			a.GroupAddress = new(among(s.script, linkLocal(0), linkLocal(8), linkLocal(3), groupMAC))
		case 10:
			a.NoLinkLocalLearn = on()
		case 11:
			a.FDBMaxLearned = new(uint32(s.n(5)))
		case 12:
			a.FDBFlush = true
		case 13:
			a.FDBLocalVLAN0 = on()
		case 14:
			a.MSTEnabled = on()
		case 15:
			a.AgeingTime = s.duration()
		case 16:
			a.ForwardDelay = s.duration()
		case 17:
			a.HelloTime = s.duration()
		case 18:
			a.MaxAge = s.duration()
		case 19:
			a.Priority = new(uint16(s.n(256)))
		case 20, 21:
			a.McastVLANSnooping = on()
		case 22:
			a.McastRouter = new(s.n(4) - 1)
		case 23:
			a.McastIGMPVersion = new(s.n(5))
		case 24:
			a.McastMLDVersion = new(s.n(4))
		case 25:
			a.McastQueryInterval = s.duration()
		case 26:
			a.McastHashMax = new(uint32(s.n(4)))
		default:
			a.NFCallARPTables = on()
		}
	}
	return a
}

func (s *session) portAttrs() (a bridge.PortAttrs) {
	on := func() *bool { return new(s.yes()) }
	for range 1 + s.n(2) {
		switch s.n(34) {
		case 30, 31, 32, 33:
			s.treePortAttrs(&a)
		case 0:
			a.State = new(s.state())
		case 1:
			a.Learning = on()
		case 2:
			a.Flood = on()
		case 3:
			a.McastFlood = on()
		case 4:
			a.BcastFlood = on()
		case 5:
			a.Hairpin = on()
		case 6, 7:
			a.Isolated = new(s.n(4) > 0)
		case 8, 9:
			a.Locked = on()
		case 10:
			a.MAB = on()
		case 11:
			a.MAB, a.Locked, a.Learning = new(true), new(true), new(true)
		case 12:
			a.ProxyARP = on()
		case 13:
			a.GroupFwdMask = new(among[uint16](s.script, 0, 0xfffd, 1, 2))
		case 14, 15:
			a.BackupPort = new(among(s.script, "", "p1", "p2", "p3", "nowhere"))
		case 16:
			a.FDBFlush = true
		case 17:
			a.Priority = new(s.n(70))
		case 18:
			a.Cost = new(s.n(3))
		case 19:
			a.NeighSuppress = on()
		case 20:
			a.NeighVLANSuppress = on()
		case 21:
			a.McastRouter = new(s.n(6) - 1)
		case 22:
			a.McastEHTHostsLimit = new(uint32(s.n(2)))
		case 23:
			a.ProxyARPWifi = on()
		case 24:
			a.BackupNexthopID = new(uint32(s.n(3)))
		case 25:
			a.NeighSuppress = new(true)
		case 26:
			a.VLANTunnel = on()
		default:
			s.mcastPortAttrs(&a)
		}
	}
	return a
}

// given names the attributes that a request sets.
func given(attrs any) string {
	var parts []string
	v := reflect.ValueOf(attrs)
	for i := range v.NumField() {
		f := v.Field(i)
		if f.IsZero() {
			continue
		}
		if f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		parts = append(parts, fmt.Sprintf("%s=%v", v.Type().Field(i).Name, f.Interface()))
	}
	return strings.Join(parts, " ")
}

func (s *session) destination() frame.MAC {
	switch i := s.n(32); {
	case i < 8:
		return frame.Broadcast
	case i < 10:
		return groupMAC
	case i < 22:
		return mac(i % 6)
	case i < 26:
		return portMAC(i - 21)
	case i < 28:
		return linkLocal(byte(s.n(16)))
	case i < 29:
		return s.b.Info().Address
	case i < 30:
		return zeroMAC
	}
	return mac(100)
}

func (s *session) source() frame.MAC {
	switch i := s.n(32); {
	case i < 25:
		return mac(i % 6)
	case i < 28:
		return mac(i)
	case i < 30:
		return portMAC(1 + i%2)
	case i < 31:
		return s.b.Info().Address
	}
	return groupMAC
}

// frame makes a frame, as a port or (0) the host sends it.
func (s *session) frame(from int) frame.Frame {
	dst, src := s.destination(), s.source()
	size := among(s.script, 60, 60, 60, 60, 60, 60, 60, 14, 17, 86, 87, 1418, 1419, 1518, 1519, 13)
	if size < frame.HeaderLen {
		return frame.Frame{Data: etherN(dst, src, frame.HeaderLen).Data[:size]}
	}
	f := etherN(dst, src, size)
	switch s.n(8) {
	case 0, 1:
		f = s.groupFrame()
	case 2:
		f = s.bpdu()
	}
	switch s.n(10) {
	case 9, 8:
		f = s.request(dst, src)
	case 7:
		f = tcpGSO(dst, src, 3000, 1000)
	case 6:
		f = withType(f, frame.TypePAE)
	}
	tags := among(s.script, 0, 1, 1, 2)
	if f.Owes() {
		tags = min(tags, 1) // two tags need a port that takes the frame whole
	}
	for range tags {
		tpid, tci := among(s.script, frame.TypeDot1Q, frame.TypeDot1AD), uint16(s.n(16))<<12|among[uint16](s.script, 0, 1, 5, 10, 5, 60, 4095)
		if f.Owed.None() && s.yes() {
			f = tagged(f, tpid, tci)
		} else if !f.Tag.Present() {
			f = aside(f, tpid, tci)
		}
	}
	if s.n(4) == 0 && from > 0 {
		f.Tunnel = 1 + among[uint64](s.script, 100, 101, 5, 0, 1<<32)
	}
	return f
}
