package stp

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// A BridgeID is who a bridge is in the spanning tree: a priority that its operator
// sets, and an address. The lowest of a network is the root (IEEE 802.1D-2004, 9.2.5).
type BridgeID struct {
	Priority uint16
	Address  frame.MAC
}

// Compare orders identifiers as the protocol does, by priority and then by address:
// -1, 0 or +1.
func (id BridgeID) Compare(other BridgeID) int {
	return cmp.Or(cmp.Compare(id.Priority, other.Priority), id.Address.Compare(other.Address))
}

// String gives "8000.02:00:00:00:00:01".
func (id BridgeID) String() string {
	const hex = "0123456789abcdef"
	p := id.Priority
	return string([]byte{hex[p>>12], hex[p>>8&15], hex[p>>4&15], hex[p&15], '.'}) + id.Address.String()
}

// A PortID is a port's priority and number in one word, lower is better: Linux has six
// bits of priority above ten of number, 802.1D-2004 four above twelve (9.2.7).
type PortID uint16

// Ticks is how a BPDU tells a time: in 1/256 of a second.
type Ticks uint16

// TicksOf is d rounded up to the next tick, at most what a BPDU can tell.
func TicksOf(d time.Duration) Ticks {
	const most = 1<<16 - 1
	if d <= 0 {
		return 0
	}
	if d >= most*time.Second/256 {
		return most
	}
	return Ticks((d*256 + time.Second - 1) / time.Second)
}

// Duration is the time that t tells.
func (t Ticks) Duration() time.Duration { return time.Duration(t) * time.Second / 256 }

// A Type is the type of a BPDU.
type Type uint8

// The types of BPDU (IEEE 802.1D-2004, 9.3).
const (
	Config Type = 0x00 // Configuration BPDU: who is root, and how far away
	RST    Type = 0x02 // RST BPDU: the same, with the sender's role and what it proposes
	TCN    Type = 0x80 // Topology Change Notification: to the root, that stations moved
)

// String gives "config", "rapid" or "tcn".
func (t Type) String() string {
	switch t {
	case Config:
		return "config"
	case RST:
		return "rapid"
	case TCN:
		return "tcn"
	}
	return fmt.Sprintf("type 0x%02x", uint8(t))
}

// Flags are the flags of a Config or RST BPDU (IEEE 802.1D-2004, 9.3.3).
type Flags uint8

// A Config BPDU has TopologyChange and TopologyChangeAck alone.
const (
	TopologyChange    Flags = 0x01
	Proposal          Flags = 0x02
	RoleMask          Flags = 0x0c // of which one of the four Role... flags
	LearningFlag      Flags = 0x10
	ForwardingFlag    Flags = 0x20
	Agreement         Flags = 0x40
	TopologyChangeAck Flags = 0x80

	RoleUnknown    Flags = 0x00
	RoleAlternate  Flags = 0x04 // alternate or backup
	RoleRoot       Flags = 0x08
	RoleDesignated Flags = 0x0c
)

// A BPDU is what bridges tell each other, one protocol data unit of the spanning tree
// protocols, without the [LLC] header that it stands behind. Of a TCN only
// Version and Type are set.
type BPDU struct {
	Version uint8 // 0 STP, 2 RSTP, 3 MSTP
	Type    Type
	Flags   Flags
	Root    BridgeID
	Cost    uint32 // of the way from the sender to the root
	Bridge  BridgeID
	Port    PortID // the port that it was sent by

	MessageAge   Ticks // since it left the root
	MaxAge       Ticks
	HelloTime    Ticks
	ForwardDelay Ticks
}

// LLC is the header that a BPDU stands behind: both service access points 0x42, unnumbered
// information (IEEE 802.1D-2004, 7.12.3).
const LLC = "\x42\x42\x03"

// The lengths of the BPDUs.
const (
	configLen = 35
	rapidLen  = 36
	tcnLen    = 4
)

// ErrMalformed is what the errors of Parse match.
var ErrMalformed = errors.New("stp: malformed BPDU")

// Parse reads a BPDU: b begins behind the LLC header, and what follows the BPDU's own
// length is not looked at. It checks what 802.1D-2004, 9.3.4, does and a receiver needs
// no state for: protocol identifier, type and length, and version 2 or more of an RST.
// Whether to listen to a version is up to the protocol. Nothing of b is kept.
func Parse(b []byte) (BPDU, error) {
	if len(b) < tcnLen {
		return BPDU{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	if id := binary.BigEndian.Uint16(b); id != 0 {
		return BPDU{}, fmt.Errorf("%w: protocol identifier 0x%04x", ErrMalformed, id)
	}
	p := BPDU{Version: b[2], Type: Type(b[3])}
	need := tcnLen
	switch p.Type {
	case TCN:
	case Config:
		need = configLen
	case RST:
		need = rapidLen
		if p.Version < 2 {
			return BPDU{}, fmt.Errorf("%w: a rapid BPDU of version %d", ErrMalformed, p.Version)
		}
	default:
		return BPDU{}, fmt.Errorf("%w: %v", ErrMalformed, p.Type)
	}
	if len(b) < need {
		return BPDU{}, fmt.Errorf("%w: a %v BPDU of %d bytes", ErrMalformed, p.Type, len(b))
	}
	if p.Type != TCN {
		p.parseBody((*[configLen]byte)(b))
	}
	return p, nil
}

func (p *BPDU) parseBody(b *[configLen]byte) {
	be := binary.BigEndian
	p.Flags = Flags(b[4])
	p.Root = BridgeID{be.Uint16(b[5:]), frame.MAC(b[7:13])}
	p.Cost = be.Uint32(b[13:])
	p.Bridge = BridgeID{be.Uint16(b[17:]), frame.MAC(b[19:25])}
	p.Port = PortID(be.Uint16(b[25:]))
	p.MessageAge = Ticks(be.Uint16(b[27:]))
	p.MaxAge = Ticks(be.Uint16(b[29:]))
	p.HelloTime = Ticks(be.Uint16(b[31:]))
	p.ForwardDelay = Ticks(be.Uint16(b[33:]))
}

// Append appends the BPDU as it goes behind the LLC header: 35 bytes of a Config, 36 of
// an RST, 4 of a TCN.
func (p *BPDU) Append(b []byte) []byte {
	be := binary.BigEndian
	b = append(b, 0, 0, p.Version, byte(p.Type))
	if p.Type == TCN {
		return b
	}
	b = append(b, byte(p.Flags))
	b = append(be.AppendUint16(b, p.Root.Priority), p.Root.Address[:]...)
	b = be.AppendUint32(b, p.Cost)
	b = append(be.AppendUint16(b, p.Bridge.Priority), p.Bridge.Address[:]...)
	b = be.AppendUint16(b, uint16(p.Port))
	for _, t := range [...]Ticks{p.MessageAge, p.MaxAge, p.HelloTime, p.ForwardDelay} {
		b = be.AppendUint16(b, uint16(t))
	}
	if p.Type == RST {
		b = append(b, 0) // Version 1 Length
	}
	return b
}
