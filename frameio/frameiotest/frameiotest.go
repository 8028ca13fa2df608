// Package frameiotest is the suite that every bridge.FrameIO has to pass, as
// testing/fstest is for file systems. A driver's own test calls Run:
//
//	func TestDriver(t *testing.T) {
//		frameiotest.Run(t, func(t *testing.T) (a, b bridge.FrameIO) {
//			return newCable(t) // two ends of a new cable
//		}, frameiotest.Options{Caps: driver.Caps()})
//	}
//
// The suite writes as a bridge does: it goes on behind a frame that was refused,
// waits a little when a queue is full, and hands over tags and offloads in the
// forms that Options.Caps promises to take, others only flattened. Its frames
// bear locally administered addresses (02:f0:...) and EtherType 0x88b5, IEEE
// 802's for experiments (the offload checks, IPv4); what else arrives, from a
// kernel at the other end for instance, is passed over.
package frameiotest

import (
	"testing"
	"time"

	"github.com/ddfb540f/bridge"
)

// Full says what a cable does with frames when nobody reads at the other end.
type Full uint8

// The ways to be full.
const (
	FullAnswers Full = iota // WriteFrames answers ErrQueueFull
	FullDrops               // the medium drops frames without a word, as a network does; long bursts may lose some
	FullUnknown             // Options.Fill frames do not fill it, or not always
)

// Options say what can be asked of a driver. The zero Options are the strictest
// for a driver that takes plain frames only.
type Options struct {
	// Caps is what the driver's user is to give as PortConfig.Caps. The suite
	// checks that what it promises is so.
	Caps bridge.Caps

	// MinFrame is the shortest wire form that arrives as it was written; 0 is
	// 14, a bare header. Shorter ones may be refused, padded or lost.
	MinFrame int

	// MaxFrame is the longest wire form that arrives; 0 is Caps.MaxFrame, and
	// if that is 0 too, 9018.
	MaxFrame int

	// OwedCarried: the other end is told what a frame owes, as it was (with
	// offsets that follow the wire form). Otherwise a frame may also arrive
	// finished: its checksum filled in, or cut into its segments.
	OwedCarried bool

	// Unreliable: the medium may lose a frame though its queue had room. What
	// arrives still has to be whole, in order and not doubled, and a frame that
	// is sent twenty times has to arrive.
	Unreliable bool

	// OneSided: a alone is the driver under test, b a rig to see what a does (a
	// packet socket at a TAP's other side). Then b is used as any FrameIO, with
	// plain frames, but nothing is proved of it. Otherwise the suite runs a
	// second time with the ends swapped.
	OneSided bool

	// Full is what happens when frames are written and not read. Fill is how
	// many frames of up to 1000 bytes it takes to find out; 0 is 8192.
	Full Full
	Fill int

	// Wait bounds how long a call that must not wait, or the way of a frame, may
	// take; 0 is 20 s. Settle is how long to listen for frames that should not
	// come; 0 is 20 ms.
	Wait, Settle time.Duration
}

func (o Options) withDefaults() Options {
	if o.MinFrame == 0 {
		o.MinFrame = 14
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = o.Caps.MaxFrame
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = 9018
	}
	if o.Fill == 0 {
		o.Fill = 8192
	}
	if o.Wait == 0 {
		o.Wait = 20 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 20 * time.Millisecond
	}
	return o
}

// A check is one law of the contract. It makes its own cables.
type check struct {
	name string
	run  func(*suite)
}

// checks are all laws, the simplest first: where several fail, look at the first.
var checks = []check{
	{"Order", checkOrder},
	{"Sizes", checkSizes},
	{"Batches", checkBatches},
	{"EmptyBatch", checkEmptyBatch},
	{"Tags", checkTags},
	{"Checksum", checkChecksum},
	{"Segmentation", checkSegmentation},
	{"Datagrams", checkDatagrams},
	{"WriterKeepsItsFrames", checkWriterKeepsItsFrames},
	{"NothingIsKept", checkNothingIsKept},
	{"LentMemory", checkLentMemory},
	{"Refusal", checkRefusal},
	{"QueueFull", checkQueueFull},
	{"WriteWhileReadWaits", checkWriteWhileReadWaits},
	{"SideBySide", checkSideBySide},
	{"CloseEndsRead", checkCloseEndsRead},
	{"CloseEndsAll", checkCloseEndsAll},
	{"CloseTwice", checkCloseTwice},
	{"CloseWhileBusy", checkCloseWhileBusy},
	{"PeerCloses", checkPeerCloses},
	{"Goroutines", checkGoroutines},
}

// Run checks a driver. mk gives the two ends of a new cable, with nothing on it,
// or fails the test; the suite closes both. It is called for each check, and the
// checks run one after the other: count on a few dozen cables, and a few seconds.
// Run counts goroutines, so call it from no test that is marked parallel.
func Run(t *testing.T, mk func(t *testing.T) (a, b bridge.FrameIO), opts Options) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			c.run(newSuite(t, opts, func() (a, b bridge.FrameIO) { return mk(t) }))
		})
		if opts.OneSided {
			continue
		}
		t.Run(c.name+"/swapped", func(t *testing.T) {
			c.run(newSuite(t, opts, func() (a, b bridge.FrameIO) {
				a, b = mk(t)
				return b, a
			}))
		})
	}
}
