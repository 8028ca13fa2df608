package bridge

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The parts of an RTM_GETSTATS request and its answer, in bytes (rtnetlink(7), and
// linux/if_link.h): both are a struct nlmsghdr and a struct if_stats_msg; in an
// answer attributes follow, of which one is a struct rtnl_link_stats64.
const (
	nlHeaderLen    = unix.SizeofNlMsghdr
	ifStatsMsgLen  = 12 // family, padding, then index and filter
	nlAttrLen      = unix.SizeofNlAttr
	statsRxDropped = 6 * 8 // in the rtnl_link_stats64
	statsTxDropped = 7 * 8
)

// netlinkTurn lets one request at a time wait for its answer, whatever the socket:
// the kernel handles one at a time too (rtnl_lock). It guards netlinkSeq.
var (
	netlinkTurn sync.Mutex
	netlinkSeq  uint32
)

var errNetlinkAnswer = errors.New("rtnetlink gives no answer that can be read")

// linkStats asks the kernel what it has dropped at the interface of that index
// since it was made. ctl is of openControl, in the namespace of the interface. The
// kernel answers while the request is sent, so nothing here waits.
func linkStats(ctl *os.File, index int) (rxDropped, txDropped uint64, err error) {
	netlinkTurn.Lock()
	defer netlinkTurn.Unlock()
	netlinkSeq++
	seq := netlinkSeq
	err = onDescriptor(ctl, func(fd uintptr) syscall.Errno {
		kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
		err := unix.Sendto(int(fd), linkStatsRequest(seq, index), 0, kernel)
		no, _ := err.(syscall.Errno)
		return no
	})
	if err != nil {
		return 0, 0, err
	}
	var answer [1024]byte
	for range 4 { // answers to requests that failed half-way may be in front
		var n int
		err = onDescriptor(ctl, func(fd uintptr) syscall.Errno {
			var err error
			n, _, err = unix.Recvfrom(int(fd), answer[:], unix.MSG_DONTWAIT)
			no, _ := err.(syscall.Errno)
			return no
		})
		if err != nil {
			return 0, 0, err
		}
		if n >= nlHeaderLen && binary.NativeEndian.Uint32(answer[8:]) == seq {
			return parseLinkStats(answer[:n])
		}
	}
	return 0, 0, errNetlinkAnswer
}

func linkStatsRequest(seq uint32, index int) []byte {
	b := make([]byte, nlHeaderLen+ifStatsMsgLen)
	ne := binary.NativeEndian
	ne.PutUint32(b, uint32(len(b)))
	ne.PutUint16(b[4:], unix.RTM_GETSTATS)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST)
	ne.PutUint32(b[8:], seq)
	msg := b[nlHeaderLen:]
	ne.PutUint32(msg[4:], uint32(index))
	ne.PutUint32(msg[8:], 1<<(unix.IFLA_STATS_LINK_64-1))
	return b
}

// parseLinkStats reads the answer to a linkStatsRequest, alone in b.
func parseLinkStats(b []byte) (rxDropped, txDropped uint64, err error) {
	ne := binary.NativeEndian
	if len(b) < nlHeaderLen || uint64(ne.Uint32(b)) > uint64(len(b)) || ne.Uint32(b) < nlHeaderLen {
		return 0, 0, errNetlinkAnswer
	}
	kind, body := ne.Uint16(b[4:]), b[nlHeaderLen:ne.Uint32(b)]
	switch {
	case kind == unix.NLMSG_ERROR && len(body) >= 4 && int32(ne.Uint32(body)) < 0:
		return 0, 0, syscall.Errno(-int32(ne.Uint32(body)))
	case kind != unix.RTM_NEWSTATS || len(body) < ifStatsMsgLen:
		return 0, 0, errNetlinkAnswer
	}
	attrs := body[ifStatsMsgLen:]
	for len(attrs) >= nlAttrLen {
		size := int(ne.Uint16(attrs))
		if size < nlAttrLen || size > len(attrs) {
			break
		}
		stats := attrs[nlAttrLen:size]
		if ne.Uint16(attrs[2:]) == unix.IFLA_STATS_LINK_64 && len(stats) >= statsTxDropped+8 {
			return ne.Uint64(stats[statsRxDropped:]), ne.Uint64(stats[statsTxDropped:]), nil
		}
		attrs = attrs[min((size+3)&^3, len(attrs)):]
	}
	return 0, 0, errNetlinkAnswer
}
