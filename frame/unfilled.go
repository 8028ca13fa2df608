package frame

import "encoding/binary"

// OweUnfilled has a frame that owes nothing owe its TCP or UDP checksum if, by its
// bytes, nobody has filled that in: if the sum over the pseudo header stands there, as
// Linux leaves it to a device. It is for frames that come from a sender in the same
// machine by a way that does not tell what they owe, and changes no byte. It reports
// whether the frame owes its checksum now.
//
// Of frames that are complete one in 65536 has that sum for its checksum. It is then
// reckoned again, which gives the same, be the frame as it was sent; if it was damaged
// on its way, the damage is not to be seen any more, as it is not in one in 65536
// damaged frames in any case. Fragments, packets in tunnels, frames with padding, and
// protocols other than TCP and UDP are left alone.
func (f *Frame) OweUnfilled() bool {
	if !f.Owed.None() {
		return false
	}
	t, ip := f.network()
	if t != TypeIPv4 && t != TypeIPv6 {
		return false
	}
	d := f.Data
	var l layout
	proto, e := l.readIP(d, t, ip)
	at := tcpCsum
	switch proto {
	case protoTCP:
	case protoUDP:
		at = udpCsum
	default:
		return false
	}
	if e != 0 || l.l4 > maxHeaders || l.end != len(d) || l.l4+at+2 > l.end {
		return false
	}
	addresses := d[ip+12 : ip+ipv4Len]
	if l.v6 {
		addresses = d[ip+8 : ip+ipv6Len]
	}
	if uint32(binary.BigEndian.Uint16(d[l.l4+at:])) != PseudoSum(addresses, nil, proto, l.end-l.l4) {
		return false
	}
	f.Owed = Offload{Flags: NeedsCsum, CsumStart: uint16(l.l4), CsumOffset: uint16(at)}
	return true
}
