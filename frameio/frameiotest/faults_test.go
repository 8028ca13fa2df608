package frameiotest

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// driver is a Pipe whose calls can be replaced by faulty ones.
type driver struct {
	*bridge.Pipe
	read, write func(fs []frame.Frame) (int, error)
	close       func() error
	peer        *driver
	mu          sync.Mutex
	release     <-chan struct{} // closed when the test is over
}

func (d *driver) ReadFrames(fs []frame.Frame) (int, error)  { return d.read(fs) }
func (d *driver) WriteFrames(fs []frame.Frame) (int, error) { return d.write(fs) }
func (d *driver) Close() error                              { return d.close() }

// fault is one way to break the contract.
type fault struct {
	name   string
	opts   Options           // zero: a Pipe's Caps
	spoil  func(d *driver)   // called for each end
	caught map[string]string // checks that have to find it, and what they say
}

func (f fault) cable(t *testing.T) func() (a, b bridge.FrameIO) {
	return func() (bridge.FrameIO, bridge.FrameIO) {
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		p, q := bridge.NewPipe(bridge.PipeConfig{QueueLen: 100})
		a, b := &driver{Pipe: p, release: release}, &driver{Pipe: q, release: release}
		a.peer, b.peer = b, a
		for _, d := range []*driver{a, b} {
			d.read, d.write, d.close = d.Pipe.ReadFrames, d.Pipe.WriteFrames, d.Pipe.Close
		}
		f.spoil(a)
		f.spoil(b)
		return a, b
	}
}

// each makes a write that puts frames on the cable one by one, changed by f; f
// may take one away by leaving it without data.
func (d *driver) each(f func(fr frame.Frame) frame.Frame) {
	d.write = func(fs []frame.Frame) (int, error) {
		if _, err := d.Pipe.WriteFrames(nil); err != nil {
			return 0, err
		}
		for i := range fs {
			g := fs[i]
			if g.WellFormed() {
				if g = f(g.Clone()); g.Data == nil {
					continue
				}
			}
			if _, err := d.Pipe.WriteFrames([]frame.Frame{g}); err != nil {
				return i, err
			}
		}
		return len(fs), nil
	}
}

// bothLock makes every call of this end wait for the others.
func bothLock(d *driver) {
	d.read = func(fs []frame.Frame) (int, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.Pipe.ReadFrames(fs)
	}
	d.write = func(fs []frame.Frame) (int, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.Pipe.WriteFrames(fs)
	}
}

func orElse(err, instead error) error {
	if errors.Is(err, errClosed) {
		return instead
	}
	return err
}

var faults = slices.Concat(transportFaults, formFaults, memoryFaults, queueFaults, closeFaults)

var transportFaults = []fault{
	{name: "reverses a batch", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			fs = slices.Clone(fs)
			slices.Reverse(fs)
			return d.Pipe.WriteFrames(fs)
		}
	}, caught: map[string]string{"Order": "should be frame", "Batches": "should be frame", "SideBySide": "should be frame"}},

	{name: "doubles a frame now and then", spoil: func(d *driver) {
		n := 0
		d.each(func(f frame.Frame) frame.Frame {
			if n++; n%50 == 0 {
				d.Pipe.WriteFrames([]frame.Frame{f})
			}
			return f
		})
	}, caught: map[string]string{"Order": "frame"}},

	{name: "doubles a frame, unreliable", opts: Options{Caps: pipeCaps, Unreliable: true}, spoil: func(d *driver) {
		n := 0
		d.each(func(f frame.Frame) frame.Frame {
			if n++; n%50 == 0 {
				d.Pipe.WriteFrames([]frame.Frame{f})
			}
			return f
		})
	}, caught: map[string]string{"Order": "changed, doubled or out of order"}},

	{name: "loses a frame now and then", spoil: func(d *driver) {
		n := 0
		d.each(func(f frame.Frame) frame.Frame {
			if n++; n%50 == 0 {
				return frame.Frame{}
			}
			return f
		})
	}, caught: map[string]string{"Order": "should be frame"}},

	{name: "carries nothing, unreliable", opts: Options{Caps: pipeCaps, Unreliable: true}, spoil: func(d *driver) {
		d.each(func(frame.Frame) frame.Frame { return frame.Frame{} })
	}, caught: map[string]string{"Order": "does not arrive", "Sizes": "does not arrive", "Tags": "does not arrive"}},

	{name: "hears itself", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			d.peer.Pipe.WriteFrames(fs[:n])
			return n, err
		}
	}, caught: map[string]string{"Order": "frame"}},

	{name: "gives one frame of each batch it reads", spoil: func(d *driver) {
		d.read = func(fs []frame.Frame) (int, error) {
			all := make([]frame.Frame, 64)
			n, err := d.Pipe.ReadFrames(all)
			return copy(fs, all[:min(1, n)]), err
		}
	}, caught: map[string]string{"Batches": "the 2. of 5"}},

	{name: "reads more than it was asked for", spoil: func(d *driver) {
		d.read = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.ReadFrames(fs)
			return n + len(fs), err
		}
	}, caught: map[string]string{"Order": "ReadFrames of at most 64 frames gives n"}},

	{name: "reads nothing without an error", spoil: func(d *driver) {
		d.read = func(fs []frame.Frame) (int, error) { return d.TryRead(fs), nil }
	}, caught: map[string]string{"Order": "neither a frame nor an error"}},

	{name: "fails on an empty batch", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			if len(fs) == 0 {
				return 0, io.ErrShortWrite
			}
			return d.Pipe.WriteFrames(fs)
		}
	}, caught: map[string]string{"EmptyBatch": "WriteFrames of no frames"}},

	{name: "cuts what is long", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame {
			f.Data = f.Data[:min(len(f.Data), 1518)]
			return f
		})
	}, caught: map[string]string{"Sizes": "1518 bytes instead of 1522"}},

	{name: "cuts what is longer than it says", opts: Options{Caps: bridge.Caps{TagAside: true, MaxFrame: 1518}}, spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame {
			w := f.AppendWire(nil)
			return frame.Frame{Data: w[:min(len(w), 1518)]}
		})
	}, caught: map[string]string{"Sizes": "more than Caps.MaxFrame", "Refusal": "1518 bytes instead of 1519"}},

	{name: "one lock for reading and writing", spoil: bothLock,
		caught: map[string]string{"WriteWhileReadWaits": "does not come back", "SideBySide": "does not come back"}},

	{name: "leaves what it does not know of in fs", spoil: func(d *driver) {
		d.read = func(fs []frame.Frame) (int, error) {
			own := make([]frame.Frame, len(fs))
			n, err := d.Pipe.ReadFrames(own)
			for i := range n {
				fs[i].Data = own[i].Data
			}
			return n, err
		}
	}, caught: map[string]string{"Order": "leaves fs[0].Tag"}},

	{name: "leaves Owed in fs", spoil: func(d *driver) {
		d.read = func(fs []frame.Frame) (int, error) {
			own := make([]frame.Frame, len(fs))
			n, err := d.Pipe.ReadFrames(own)
			for i := range n {
				own[i].Owed = fs[i].Owed
				fs[i] = own[i]
			}
			return n, err
		}
	}, caught: map[string]string{"Order": "leaves fs[0].Owed"}},

	{name: "ends on a runt", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if fe := (*bridge.FrameError)(nil); errors.As(err, &fe) {
				err = bridge.EINVAL
			}
			return n, err
		}
	}, caught: map[string]string{"Sizes": "invalid argument", "Refusal": "invalid argument"}},

	{name: "refuses the batch instead of the frame", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			for i := range fs {
				if !fs[i].WellFormed() {
					return 0, &bridge.FrameError{Reason: bridge.DropRunt}
				}
			}
			return d.Pipe.WriteFrames(fs)
		}
	}, caught: map[string]string{"Refusal": "WriteFrames refuses fs[0"}},

	{name: "tells of one frame too many", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if fe, ok := errors.AsType[*bridge.FrameError](err); ok {
				return n, &bridge.BatchError{Frames: append(make([]*bridge.FrameError, len(fs)-n), fe)}
			}
			return n, err
		}
	}, caught: map[string]string{"Refusal": "and tells of", "Sizes": "and tells of"}},

	{name: "tells that what is behind a refused frame was sent, and forgets it", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if fe, ok := errors.AsType[*bridge.FrameError](err); ok {
				return n, &bridge.BatchError{Frames: append([]*bridge.FrameError{fe}, make([]*bridge.FrameError, len(fs)-n-1)...)}
			}
			return n, err
		}
	}, caught: map[string]string{"Refusal": "arrive"}},

	{name: "forgets what is behind a refused frame", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if fe := (*bridge.FrameError)(nil); errors.As(err, &fe) {
				return len(fs), nil
			}
			return n, err
		}
	}, caught: map[string]string{"Refusal": "arrive"}},
}

var formFaults = []fault{
	{name: "forgets Tag", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame { f.Tag = frame.Tag{}; return f })
	}, caught: map[string]string{"Tags": "bytes instead of"}},

	{name: "forgets Lifted", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame { f.Lifted = false; return f })
	}, caught: map[string]string{"Tags": "bytes instead of"}},

	{name: "takes Lifted for part of Tag", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame { f.Lifted = f.Lifted && f.Tag.Present(); return f })
	}, caught: map[string]string{"Tags": "bytes instead of"}},

	{name: "takes VID 0 for no tag", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame {
			if f.Tag.TCI == 0 {
				f.Tag = frame.Tag{}
			}
			return f
		})
	}, caught: map[string]string{"Tags": "vid 0"}},

	{name: "knows 802.1Q only", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame {
			if f.Tag.Present() {
				f.Tag.TPID = frame.TypeDot1Q
			}
			return f
		})
	}, caught: map[string]string{"Tags": "802.1ad"}},

	{name: "knows the TPIDs that Linux lifts only", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame {
			if !f.Tag.TPID.IsTag() {
				f.Tag = frame.Tag{}
			}
			return f
		})
	}, caught: map[string]string{"Tags": "0x9100"}},

	{name: "puts the tag in place of one in the data", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame {
			f.Lifted = f.Lifted || f.Tag.Present() && !f.Lifted && f.Type().IsTag()
			return f
		})
	}, caught: map[string]string{"Tags": "bytes instead of"}},

	{name: "loses the priority bits", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame { f.Tag.TCI &= 0xfff; return f })
	}, caught: map[string]string{"Tags": "different from byte 14"}},

	{name: "leaves offsets as they were", opts: Options{Caps: pipeCaps, OwedCarried: true}, spoil: leaveOffsets,
		caught: map[string]string{"Checksum": "owes", "Segmentation": "owes", "Datagrams": "owes"}},

	{name: "leaves offsets as they were, debts finished on the way", spoil: leaveOffsets,
		caught: map[string]string{"Checksum": "owes", "Segmentation": "owes", "Datagrams": "owes"}},

	{name: "forgets debts", spoil: func(d *driver) {
		d.each(func(f frame.Frame) frame.Frame { f.Owed = frame.Offload{}; return f })
	}, caught: map[string]string{"Checksum": "without the debt", "Segmentation": "a segment holds 4321 bytes", "Datagrams": "a datagram holds 4321 bytes"}},

	{name: "cuts datagrams as it likes", spoil: func(d *driver) {
		d.eachBecomes(func(f frame.Frame) []frame.Frame {
			if f.Owed.GSOType == frame.GSOUDP {
				f.Owed.GSOSize /= 2
			}
			return finished(f)
		})
	}, caught: map[string]string{"Datagrams": "a datagram holds 500 bytes; 1000 were asked for"}},

	{name: "leaves the last segment out", spoil: func(d *driver) {
		d.eachBecomes(func(f frame.Frame) []frame.Frame {
			fs := finished(f)
			return fs[:max(1, len(fs)-1)]
		})
	}, caught: map[string]string{"Datagrams": "segment from byte 4000 on does not arrive", "Segmentation": "segment from byte 4000 on does not arrive"}},

	{name: "cuts datagrams and leaves their length", spoil: func(d *driver) {
		d.eachBecomes(func(f frame.Frame) []frame.Frame {
			fs := finished(f)
			for i := range fs {
				if f.Owed.GSOType == frame.GSOUDP {
					changeUDPLength(&fs[i], &f)
				}
			}
			return fs
		})
	}, caught: map[string]string{"Datagrams": "a datagram's UDP length is 4329"}},
}

// changeUDPLength writes the UDP length of whole to a datagram of it, with a
// checksum that is right all the same.
func changeUDPLength(part, whole *frame.Frame) {
	l4 := part.Data[whole.OwedOnWire().CsumStart:]
	was := sum(l4[4:6])
	copy(l4[4:6], whole.Data[whole.Owed.CsumStart+4:])
	c := uint32(binary.BigEndian.Uint16(l4[6:])) + was + uint32(^uint16(sum(l4[4:6])))
	binary.BigEndian.PutUint16(l4[6:], fold(c))
}

// leaveOffsets forgets that a Tag written moves what is behind it.
func leaveOffsets(d *driver) {
	d.each(func(f frame.Frame) frame.Frame {
		return frame.Frame{Data: f.AppendWire(nil), Owed: f.Owed}
	})
}
