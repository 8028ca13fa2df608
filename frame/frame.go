// Package frame is the vocabulary that bridges and cables share: addresses,
// VLAN tags, and a Frame, which is bytes as a driver read them plus what is
// known about them.
//
// A Frame's bytes are never changed on their way. A VLAN tag is added or taken
// away by view: the field Tag holds it, the field Lifted says that the four
// bytes at offset 12 are to be left out. One buffer can so leave several ports
// with different tags.
//
// A checksum or a segmentation that a frame still owes is known about it as well
// (Offload). It is held against the bytes where the frame comes in (CheckOwed), and
// paid where a cable cannot take it (AppendFinished), into other memory; a Coalescer
// goes the other way, and makes one frame with a debt of many small ones.
package frame

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// Lengths of Ethernet's parts in bytes.
const (
	HeaderLen = 14 // destination, source, EtherType
	TagLen    = 4  // TPID and TCI

	// minTagged is the shortest frame whose tag can be lifted: Linux wants the
	// tag and two bytes behind the inner EtherType (skb_vlan_untag), and loses
	// a shorter one.
	minTagged = HeaderLen + TagLen + 2
)

// EtherType is the two-byte type field of an Ethernet header.
type EtherType uint16

// EtherTypes that a bridge looks at.
const (
	TypeIPv4   EtherType = 0x0800
	TypeARP    EtherType = 0x0806
	TypeDot1Q  EtherType = 0x8100 // customer VLAN tag, IEEE 802.1Q
	TypeIPv6   EtherType = 0x86dd
	TypePAE    EtherType = 0x888e // EAPOL, IEEE 802.1X
	TypeDot1AD EtherType = 0x88a8 // service VLAN tag, IEEE 802.1ad
)

// IsTag reports whether t is the TPID of a VLAN tag that Linux lifts.
func (t EtherType) IsTag() bool { return t == TypeDot1Q || t == TypeDot1AD }

// String gives t as "0x88b5".
func (t EtherType) String() string { return fmt.Sprintf("0x%04x", uint16(t)) }

// VID is a VLAN identifier, 1 to 4094; 0 means no VLAN (or priority-tagged) and
// 4095 is reserved.
type VID uint16

// MaxVID is the highest VLAN identifier that can be configured.
const MaxVID VID = 4094

// Tag is a VLAN tag: TPID and tag control information. A zero TPID means that
// there is none, so a tag with VID 0 and one with an 802.1ad TPID both survive.
type Tag struct {
	TPID EtherType
	TCI  uint16 // priority (3 bits), drop eligible (1), VID (12)
}

// Present reports whether there is a tag at all.
func (t Tag) Present() bool { return t.TPID != 0 }

// VID is the VLAN identifier in the tag.
func (t Tag) VID() VID { return VID(t.TCI & 0x0fff) }

// PCP is the priority code point, 0 to 7.
func (t Tag) PCP() uint8 { return uint8(t.TCI >> 13) }

// DEI is the drop eligible indicator.
func (t Tag) DEI() bool { return t.TCI&0x1000 != 0 }

// WithVID is t with another VID, the priority bits kept.
func (t Tag) WithVID(v VID) Tag {
	t.TCI = t.TCI&0xf000 | uint16(v)&0x0fff
	return t
}

// String gives "802.1Q vid 10 pcp 3" and the like, "untagged" without a tag.
func (t Tag) String() string {
	if !t.Present() {
		return "untagged"
	}
	name := t.TPID.String()
	switch t.TPID {
	case TypeDot1Q:
		name = "802.1Q"
	case TypeDot1AD:
		name = "802.1ad"
	}
	s := fmt.Sprintf("%s vid %d", name, t.VID())
	if t.PCP() != 0 {
		s += fmt.Sprintf(" pcp %d", t.PCP())
	}
	if t.DEI() {
		s += " dei"
	}
	return s
}

// Frame is one Ethernet frame. It is a view: copying a Frame copies no bytes,
// and who owns Data is said where Frames change hands (see bridge.FrameIO).
type Frame struct {
	Data   []byte  // as read: destination address to end of payload, no FCS
	Tag    Tag     // the outer tag, if held aside or lifted
	Lifted bool    // the four bytes at Data[12:16] are left out, also when Tag is empty (untagged egress)
	Owed   Offload // checksum or segmentation still owed; zero is none
	Tunnel uint64  // tunnel id plus one, for VLAN tunnels; 0 is none
	Time   int64   // arrival, ns since the epoch, where known; 0 is unknown

	// Nexthop is the next hop by which the tunnel is to send the frame, whatever it
	// knows of the destination itself; 0 is none. It goes with Tunnel.
	Nexthop uint32
}

const _ = uint(64 - unsafe.Sizeof(Frame{})) // a Frame fits a cache line; else this does not build

// WellFormed reports whether f has the bytes that its fields promise: a whole
// header, and a tag to leave out if Lifted. The methods below may be called on a
// well-formed frame only.
func (f *Frame) WellFormed() bool {
	return len(f.Data) >= HeaderLen && (!f.Lifted || len(f.Data) >= HeaderLen+TagLen)
}

// Dst is the destination address.
func (f *Frame) Dst() MAC { return MAC(f.Data[0:6]) }

// Src is the source address.
func (f *Frame) Src() MAC { return MAC(f.Data[6:12]) }

// Type is the EtherType (or 802.3 length) behind the tag that Tag holds or
// Lifted leaves out; a tag still in the data is returned as its TPID.
func (f *Frame) Type() EtherType {
	if f.Lifted {
		return EtherType(binary.BigEndian.Uint16(f.Data[16:18]))
	}
	return EtherType(binary.BigEndian.Uint16(f.Data[12:14]))
}

// Len is the length without the tag that Tag holds: what Linux calls skb->len
// plus the Ethernet header, and holds against an MTU.
func (f *Frame) Len() int {
	if f.Lifted {
		return len(f.Data) - TagLen
	}
	return len(f.Data)
}

// WireLen is the number of bytes that AppendWire appends.
func (f *Frame) WireLen() int {
	if f.Tag.Present() {
		return f.Len() + TagLen
	}
	return f.Len()
}

// Plain reports whether Data is the wire form as it stands.
func (f *Frame) Plain() bool { return !f.Tag.Present() && !f.Lifted }

// Owes reports whether a checksum or a segmentation is owed.
func (f *Frame) Owes() bool { return f.Owed.Flags|f.Owed.GSOType != 0 }

// Lift takes an outer tag of TPID 0x8100 or 0x88a8 out of the data by view,
// unless one is held aside already. It reports false for a frame that ends
// within or right behind its tag, which Linux loses (skb_vlan_untag).
func (f *Frame) Lift() bool {
	if f.Tag.Present() || f.Lifted {
		return true
	}
	t := EtherType(binary.BigEndian.Uint16(f.Data[12:14]))
	if !t.IsTag() {
		return true
	}
	if len(f.Data) < minTagged {
		return false
	}
	f.Tag = Tag{TPID: t, TCI: binary.BigEndian.Uint16(f.Data[14:16])}
	f.Lifted = true
	return true
}

// OuterTag is the tag that f has after Lift, none where Lift reports false. f must be
// well-formed.
func (f *Frame) OuterTag() Tag {
	if f.Tag.Present() || f.Lifted || len(f.Data) < minTagged {
		return f.Tag
	}
	t := EtherType(binary.BigEndian.Uint16(f.Data[12:14]))
	if !t.IsTag() {
		return Tag{}
	}
	return Tag{TPID: t, TCI: binary.BigEndian.Uint16(f.Data[14:16])}
}

// LiftedTag is what the four bytes say that Lifted leaves out; no tag if it leaves
// none out.
func (f *Frame) LiftedTag() Tag {
	if !f.Lifted {
		return Tag{}
	}
	return Tag{
		TPID: EtherType(binary.BigEndian.Uint16(f.Data[12:14])),
		TCI:  binary.BigEndian.Uint16(f.Data[14:16]),
	}
}

// Rest is the part of Data that follows the addresses (and the tag, if any) on
// the wire.
func (f *Frame) Rest() []byte {
	if f.Lifted {
		return f.Data[16:]
	}
	return f.Data[12:]
}

// Put writes the wire form of t to b, which must hold TagLen bytes.
func (t Tag) Put(b []byte) {
	binary.BigEndian.PutUint16(b, uint16(t.TPID))
	binary.BigEndian.PutUint16(b[2:], t.TCI)
}

// AppendWire appends the frame as it goes on the wire: both addresses, Tag if
// present, then the rest of Data (less four bytes if Lifted). What is Owed stays
// owed; OwedOnWire gives it for these bytes.
func (f *Frame) AppendWire(b []byte) []byte {
	b = append(b, f.Data[:12]...)
	if f.Tag.Present() {
		var t [TagLen]byte
		f.Tag.Put(t[:])
		b = append(b, t[:]...)
	}
	return append(b, f.Rest()...)
}

// OwedOnWire is Owed with its offsets counted in the wire form: 4 more for a Tag
// written, 4 less for Lifted.
func (f *Frame) OwedOnWire() Offload {
	o := f.Owed
	shift := 0
	if f.Tag.Present() {
		shift += TagLen
	}
	if f.Lifted {
		shift -= TagLen
	}
	if o.Flags != 0 {
		o.CsumStart = uint16(int(o.CsumStart) + shift)
	}
	if o.HdrLen != 0 {
		o.HdrLen = uint16(max(int(o.HdrLen)+shift, 0))
	}
	return o
}

// Clone is f with bytes of its own.
func (f *Frame) Clone() Frame {
	g := *f
	g.Data = append([]byte(nil), f.Data...)
	return g
}
