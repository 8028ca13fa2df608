package bridge_test

import (
	"encoding/binary"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
	"github.com/ddfb540f/bridge/stp"
)

// stp turns the spanning tree on: ports that forward go on to.
func (l *lab) stp() { require.NoError(l.t, l.b.Set(bridge.BridgeAttrs{STPState: new(1)})) }

// bpduFrame is a BPDU as a bridge with the address from sends it.
func bpduFrame(from frame.MAC, p stp.BPDU) frame.Frame {
	return llcFrame(linkLocal(0), from, p.Append(nil))
}

// llcFrame puts the LLC header of BPDUs, and the length, in front of bytes.
func llcFrame(dst, src frame.MAC, pdu []byte) frame.Frame {
	b := slices.Concat(dst[:], src[:])
	b = binary.BigEndian.AppendUint16(b, uint16(3+len(pdu)))
	b = append(b, stp.LLC...)
	return frame.Frame{Data: append(b, pdu...)}
}

// bpduOf reads a frame that is a BPDU exactly, without padding, as a bridge makes it.
func bpduOf(wire []byte) (p stp.BPDU, ok bool) {
	if len(wire) < 21 || !frame.MAC(wire[:6]).IsLinkLocal() || string(wire[14:17]) != stp.LLC ||
		int(binary.BigEndian.Uint16(wire[12:])) != len(wire)-14 {
		return p, false
	}
	p, err := stp.Parse(wire[17:])
	return p, err == nil && len(p.Append(nil)) == len(wire)-17
}

func isBPDU(wire []byte) bool {
	_, ok := bpduOf(wire)
	return ok
}

// isOwn reports a frame that the bridge made by itself: a query, or a BPDU.
func isOwn(wire []byte, bridge frame.MAC) bool { return isQueryOf(wire, bridge) || isBPDU(wire) }

// ownOf are those that the bridge made by itself.
func ownOf(ds []delivery, bridge frame.MAC) []delivery {
	return slices.DeleteFunc(slices.Clone(ds), func(d delivery) bool { return !isOwn(d.wire, bridge) })
}

func otherThanOwn(ds []delivery, bridge frame.MAC) []delivery {
	return slices.DeleteFunc(slices.Clone(ds), func(d delivery) bool { return isOwn(d.wire, bridge) })
}
