package bridge

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

const (
	// rawRingSlot is a slot's length. The kernel's words about a frame, its sender
	// and what it owes take the first 76 bytes: a frame of the usual MTU has room
	// behind them, with tags. It is a multiple of a cache line, but of no power of
	// two, or the beginnings of all slots would share few places in the caches.
	rawRingSlot = 1664

	// rawRingBlock is a piece of memory that the kernel takes for slots, of which
	// none lies in two.
	rawRingBlock    = 64 << 10
	rawRingPerBlock = rawRingBlock / rawRingSlot

	// rawRingFrom is where in a slot the address of a frame's sender is
	// (TPACKET_ALIGN(sizeof(struct tpacket2_hdr))).
	rawRingFrom = (unix.SizeofTpacket2Hdr + 15) &^ 15
)

// A rawRing is memory that the kernel fills with frames (TPACKET_V2): slots in a
// circle, each of which belongs either to the kernel or to the reader. Of a frame that
// is longer than a slot, the slot holds the beginning; the whole waits in the socket's
// queue (PACKET_COPY_THRESH), in the same order.
//
// All methods are for one goroutine at a time.
type rawRing struct {
	mem   []byte // nil: unmapped
	slots int
	head  int // the slot that is next to be filled, or to be read if it is
	lent  int // slots in front of head that the kernel has not been given back

	unmapped runtime.Cleanup
}

// open has the socket fill a ring of size bytes, rounded up to a block.
func (g *rawRing) open(fd, size int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return fmt.Errorf("choose the form of its ring: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_COPY_THRESH, 1); err != nil {
		return fmt.Errorf("keep frames that are longer than a slot: %w", err)
	}
	blocks := (max(size, 1) + rawRingBlock - 1) / rawRingBlock
	g.slots = blocks * rawRingPerBlock
	req := unix.TpacketReq{
		Block_size: rawRingBlock, Block_nr: uint32(blocks), Frame_size: rawRingSlot, Frame_nr: uint32(g.slots),
	}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("make a ring of %d bytes for frames that come in (Linux 4.6): %w", blocks*rawRingBlock, err)
	}
	mem, err := unix.Mmap(fd, 0, blocks*rawRingBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map its ring: %w", err)
	}
	g.mem = mem
	g.unmapped = runtime.AddCleanup(g, func(mem []byte) { _ = unix.Munmap(mem) }, mem)
	return nil
}

// unmap gives the memory back, once. Until then the kernel keeps the socket, closed or
// not.
func (g *rawRing) unmap() {
	if g.mem != nil {
		g.unmapped.Stop()
		_ = unix.Munmap(g.mem)
		g.mem = nil
	}
}

// slot gives the slot i places behind head, nil if the kernel has not filled it, or if
// half of the ring is lent then: the other half is for what comes meanwhile.
func (g *rawRing) slot(i int) *rawSlot {
	if g.lent+i > g.slots/2 {
		return nil
	}
	s := g.at(g.head + i)
	if s.status()&unix.TP_STATUS_USER == 0 {
		return nil
	}
	return s
}

func (g *rawRing) at(i int) *rawSlot {
	i %= g.slots
	return (*rawSlot)(g.mem[i/rawRingPerBlock*rawRingBlock+i%rawRingPerBlock*rawRingSlot:])
}

// advance leaves n slots behind, which are lent then.
func (g *rawRing) advance(n int) {
	g.head = (g.head + n) % g.slots
	g.lent += n
}

// giveBack ends the loan of all slots.
func (g *rawRing) giveBack() {
	for ; g.lent > 0; g.lent-- {
		s := g.at(g.head + g.slots - g.lent)
		spoilLent(s.data())
		atomic.StoreUint32(&s.hdr().Status, unix.TP_STATUS_KERNEL)
	}
}

// A rawSlot is a slot: a struct tpacket2_hdr, a struct sockaddr_ll, what the frame
// owes, and the frame.
type rawSlot [rawRingSlot]byte

func (s *rawSlot) hdr() *unix.Tpacket2Hdr { return (*unix.Tpacket2Hdr)(unsafe.Pointer(s)) }

// status is read before anything else in the slot: the kernel writes it last.
func (s *rawSlot) status() uint32 { return atomic.LoadUint32(&s.hdr().Status) }

// outgoing reports whether the host sent the frame itself.
func (s *rawSlot) outgoing() bool {
	return (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&s[rawRingFrom])).Pkttype == unix.PACKET_OUTGOING
}

// elsewhere reports whether the whole frame waits in the socket's queue.
func (s *rawSlot) elsewhere() bool { return s.status()&unix.TP_STATUS_COPY != 0 }

// whole reports whether the slot has the whole frame.
func (s *rawSlot) whole() bool { return s.hdr().Snaplen == s.hdr().Len }

// data is what the slot has of the frame.
func (s *rawSlot) data() []byte {
	at := int(s.hdr().Mac)
	end := at + int(s.hdr().Snaplen)
	return s[at:end:end]
}

// owed is what the frame owes.
func (s *rawSlot) owed() frame.Offload {
	at := int(s.hdr().Mac)
	return readVirtio(s[at-virtioLen : at])
}

// tag is the tag that the kernel took out of the frame.
func (s *rawSlot) tag() frame.Tag {
	h := s.hdr()
	if h.Status&unix.TP_STATUS_VLAN_VALID == 0 {
		return frame.Tag{}
	}
	return frame.Tag{TPID: frame.EtherType(h.Vlan_tpid), TCI: h.Vlan_tci}
}
