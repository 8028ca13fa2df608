package bridge

import (
	"sync/atomic"

	"github.com/ddfb540f/bridge/stp"
)

// The two ledgers hold what the bridge promises: no frame vanishes.

// IngressLedger accounts for the frames that came in by a device. Once no frame
// is under way
//
//	Received = Used + Passed + Consumed + the sum of Dropped
type IngressLedger struct {
	Received uint64                 // offered to the bridge
	Used     uint64                 // handed to the egress of at least one device
	Passed   uint64                 // handed to the port's own stack (link-local)
	Consumed uint64                 // taken by a filter
	Dropped  [NumDropReasons]uint64 // by DropReason

	// Lost never came in: the cable says that they were lost before the bridge could
	// read them (PortConfig.Lost), and no other column counts them.
	Lost uint64
}

// Balance is Received less all that became of it; 0 once no frame is under way.
func (l IngressLedger) Balance() int64 {
	n := int64(l.Received - l.Used - l.Passed - l.Consumed)
	for _, d := range l.Dropped {
		n -= int64(d)
	}
	return n
}

// EgressLedger accounts for the frames that were to leave by a device. Once no
// frame is under way
//
//	Offered = Sent + Consumed + the sum of Refused
type EgressLedger struct {
	Offered  uint64                 // forwarded, from the host, or made by the bridge
	Sent     uint64                 // taken by the cable
	Consumed uint64                 // taken by a filter
	Refused  [NumDropReasons]uint64 // by DropReason
}

// Balance is Offered less all that became of it; 0 once no frame is under way.
func (l EgressLedger) Balance() int64 {
	n := int64(l.Offered - l.Sent - l.Consumed)
	for _, d := range l.Refused {
		n -= int64(d)
	}
	return n
}

// PortStats are a port's counters since it joined. They only grow, and reading
// does not reset them. The upper ones are those of `ip -s link`.
type PortStats struct {
	RxPackets, RxBytes uint64 // as they came, bytes of the wire form
	TxPackets, TxBytes uint64 // taken by the cable
	RxDropped          uint64 // link-local frames that nobody took: OnPass is nil, and they are not LLC's
	TxDropped          uint64 // refused by a full queue or an ended cable
	FDBEvicted         uint64 // addresses learned on it that made room for others (FDBLimit)
	Ingress            IngressLedger
	Egress             EgressLedger

	STP STPStats // of the spanning tree; 0 for a port that has left
}

// STPStats are a port's counters of BPDUs and of transitions between states.
type STPStats = stp.PortStats

// HostStats are the counters of the bridge's own device. They only grow.
type HostStats struct {
	RxPackets, RxBytes uint64 // delivered up (br_pass_frame_up), bytes without the Ethernet header
	TxPackets, TxBytes uint64 // sent by the host, or the bridge for it (br_dev_xmit), bytes with it
	Multicast          uint64 // delivered up as multicast
	Ingress            IngressLedger
	Egress             EgressLedger
	FDBRefused         uint64 // addresses not learned because of FDBMaxLearned
	FDBEvicted         uint64 // addresses that made room for others because of a FDBLimit, the bridge's or a port's
}

// counters are one Input's, written by its goroutine and read by any.
type counters struct {
	received, bytes  atomic.Uint64
	used             atomic.Uint64
	passed, unwanted atomic.Uint64
	consumed         atomic.Uint64
	dropped          [numDropReasons]atomic.Uint64
}

// tally is what a batch adds to the counters at its end.
type tally struct {
	bytes, used              uint64
	up, upBytes, upMulticast uint64 // delivered up to the host, before any check there
	own, ownBytes            uint64 // sent by the bridge through its own device
}

func (c *counters) add(t *tally) {
	c.bytes.Add(t.bytes)
	if t.used != 0 {
		c.used.Add(t.used)
	}
}

// merge adds the counts of d, which is written no more, to c.
func (c *counters) merge(d *counters) {
	c.received.Add(d.received.Load())
	c.bytes.Add(d.bytes.Load())
	c.used.Add(d.used.Load())
	c.passed.Add(d.passed.Load())
	c.unwanted.Add(d.unwanted.Load())
	c.consumed.Add(d.consumed.Load())
	for i := range d.dropped {
		c.dropped[i].Add(d.dropped[i].Load())
	}
}

// addTo sums up. Received is counted first and read last, so that a ledger taken
// while frames are under way shows some not accounted for, never too many.
func (c *counters) addTo(l *IngressLedger) {
	l.Used += c.used.Load()
	l.Passed += c.passed.Load()
	l.Consumed += c.consumed.Load()
	for i := range c.dropped {
		l.Dropped[i] += c.dropped[i].Load()
	}
	l.Received += c.received.Load()
}

// txCounters are a device's, added to by whoever sends through it.
type txCounters struct {
	offered, sent, bytes atomic.Uint64
	consumed             atomic.Uint64
	refused              [numDropReasons]atomic.Uint64
}

func (c *txCounters) refuse(n int, why DropReason) {
	c.offered.Add(uint64(n))
	c.refused[why].Add(uint64(n))
}

func (c *txCounters) ledger() (l EgressLedger) {
	l.Sent, l.Consumed = c.sent.Load(), c.consumed.Load()
	for i := range c.refused {
		l.Refused[i] = c.refused[i].Load()
	}
	l.Offered = c.offered.Load()
	return l
}

// lostBefore asks a cable's counter, if there is one.
func lostBefore(count func() uint64) uint64 {
	if count == nil {
		return 0
	}
	return count()
}
