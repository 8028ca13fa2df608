package bridge

import (
	"encoding/binary"

	"github.com/ddfb540f/bridge/frame"
)

// virtioLen is the length of the struct virtio_net_hdr in front of each frame of a
// TAP or a packet socket that carries offloads: flags and GSO type, a byte each,
// then four numbers of two bytes in the machine's byte order.
const virtioLen = 10

// putVirtio writes to b, which holds virtioLen bytes, what a frame owes.
func putVirtio(b []byte, o frame.Offload) {
	b[0], b[1] = o.Flags, o.GSOType
	binary.NativeEndian.PutUint16(b[2:], o.HdrLen)
	binary.NativeEndian.PutUint16(b[4:], o.GSOSize)
	binary.NativeEndian.PutUint16(b[6:], o.CsumStart)
	binary.NativeEndian.PutUint16(b[8:], o.CsumOffset)
}

// readVirtio is putVirtio's other way. Flags that are hints to a receiver, such as
// that a checksum is known to be right (DATA_VALID), are left out.
func readVirtio(b []byte) frame.Offload {
	if b[0]&frame.NeedsCsum == 0 && b[1] == 0 {
		return frame.Offload{} // the numbers mean nothing
	}
	return frame.Offload{
		Flags: b[0] & frame.NeedsCsum, GSOType: b[1],
		HdrLen:    binary.NativeEndian.Uint16(b[2:]),
		GSOSize:   binary.NativeEndian.Uint16(b[4:]),
		CsumStart: binary.NativeEndian.Uint16(b[6:]), CsumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
}
