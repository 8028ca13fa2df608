package frame

// What Offload.Flags and Offload.GSOType say, with the numbers of a virtio_net_hdr
// (virtio 1.2, section 5.1.6).
const (
	NeedsCsum uint8 = 1 // Flags: the checksum at CsumStart + CsumOffset is owed

	GSOTCPv4 uint8 = 1    // TCP over IPv4
	GSOTCPv6 uint8 = 4    // TCP over IPv6
	GSOUDP   uint8 = 5    // UDP, a datagram a segment (UDP_L4, USO)
	GSOECN   uint8 = 0x80 // a bit besides TCP's: the first segment bears CWR, the others do not
)

// Offload is what a frame still owes: a checksum, a segmentation, or nothing if
// zero. The fields are those of a virtio_net_hdr; offsets count in Frame.Data.
type Offload struct {
	Flags      uint8  // 0 or NeedsCsum
	GSOType    uint8  // 0: not to be cut; GSOTCPv4, GSOTCPv6, with or without GSOECN, or GSOUDP
	HdrLen     uint16 // bytes of headers, a hint; 0 is unknown
	GSOSize    uint16 // payload bytes a segment
	CsumStart  uint16 // where the sum begins: at the TCP or UDP header
	CsumOffset uint16 // where it goes, counted from CsumStart; the sum over the pseudo header stands there
}

// None reports that nothing is owed: the frame is complete. The lengths and
// offsets are hints then, and mean nothing.
func (o Offload) None() bool { return o.Flags|o.GSOType == 0 }

// GSO reports that the frame is to be cut into segments.
func (o Offload) GSO() bool { return o.GSOType&^GSOECN != 0 }
