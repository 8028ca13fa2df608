package frameiotest

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

var memoryFaults = []fault{
	{name: "keeps the writer's bytes", spoil: func(d *driver) {
		var kept []frame.Frame // sent when the other end reads
		d.write = func(fs []frame.Frame) (int, error) {
			kept = append(kept, fs...)
			return len(fs), nil
		}
		d.peer.read = func(fs []frame.Frame) (int, error) {
			d.Pipe.WriteFrames(kept)
			kept = nil
			return d.peer.Pipe.ReadFrames(fs)
		}
	}, caught: map[string]string{"NothingIsKept": "arrive"}},

	{name: "works in the writer's bytes", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			for i := range fs[:n] {
				fs[i].Data[12] = 0
			}
			return n, err
		}
	}, caught: map[string]string{"WriterKeepsItsFrames": "changes the bytes"}},

	{name: "appends to the writer's bytes", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			for i := range fs {
				_ = append(fs[i].Data, "FCS!"...)
			}
			return d.Pipe.WriteFrames(fs)
		}
	}, caught: map[string]string{"WriterKeepsItsFrames": "or those behind them"}},

	{name: "flattens in the writer's slice", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			for i := range fs {
				if fs[i].WellFormed() && !fs[i].Plain() {
					fs[i] = frame.Frame{Data: fs[i].AppendWire(nil), Owed: fs[i].OwedOnWire()}
				}
			}
			return d.Pipe.WriteFrames(fs)
		}
	}, caught: map[string]string{"WriterKeepsItsFrames": "WriteFrames changes fs["}},

	{name: "reads a batch into one buffer", spoil: func(d *driver) {
		buf := make([]byte, 1<<16)
		d.read = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.ReadFrames(fs)
			for i := range fs[:n] {
				fs[i].Data = buf[:copy(buf, fs[i].Data)]
			}
			return n, err
		}
	}, caught: map[string]string{"LentMemory": "is wrong when it returns"}},

	{name: "lends its queue's next slots", spoil: func(d *driver) {
		var lent []byte
		d.read = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.ReadFrames(fs)
			if n > 0 {
				d.mu.Lock()
				lent = fs[n-1].Data
				d.mu.Unlock()
			}
			return n, err
		}
		d.peer.write = func(fs []frame.Frame) (int, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, f := range fs {
				copy(lent, f.Data)
			}
			return d.peer.Pipe.WriteFrames(fs)
		}
	}, caught: map[string]string{"LentMemory": "has changed after writes at the other end"}},

	{name: "shares a buffer between reading and writing", spoil: func(d *driver) {
		buf := make([]byte, 1<<16)
		d.read = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.ReadFrames(fs[:1])
			if n > 0 {
				fs[0].Data = buf[:copy(buf, fs[0].Data)]
			}
			return n, err
		}
		d.each(func(f frame.Frame) frame.Frame {
			f.Data = buf[:copy(buf, f.Data)]
			return f
		})
	}, caught: map[string]string{"LentMemory": "has changed after writes at this end"}},

	{name: "gives lent memory back at Close", spoil: func(d *driver) {
		var lent [][]byte
		d.read = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.ReadFrames(fs)
			lent = lent[:0]
			for i := range fs[:n] {
				lent = append(lent, fs[i].Data)
			}
			return n, err
		}
		d.close = func() error {
			for _, b := range lent {
				clear(b)
			}
			return d.Pipe.Close()
		}
	}, caught: map[string]string{"LentMemory": "has changed after Close"}},
}

var queueFaults = []fault{
	{name: "waits for room", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (n int, err error) {
			for i := range fs {
				if err := d.WriteContext(testContext{d.release}, fs[i]); err != nil {
					return i, err
				}
			}
			return len(fs), nil
		}
	}, caught: map[string]string{"QueueFull": "does not come back"}},

	{name: "says that it took what it dropped", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if errors.Is(err, bridge.ErrQueueFull) {
				return len(fs), nil
			}
			return n, err
		}
	}, caught: map[string]string{"QueueFull": "never answered ErrQueueFull"}},

	{name: "counts a frame too many", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if errors.Is(err, bridge.ErrQueueFull) && n > 0 && n < len(fs)-1 {
				n++
			}
			return n, err
		}
	}, caught: map[string]string{"QueueFull": "arrive"}},

	{name: "takes a frame more than it says", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if errors.Is(err, bridge.ErrQueueFull) && n > 0 {
				n--
			}
			return n, err
		}
	}, caught: map[string]string{"QueueFull": "arrive"}},

	{name: "stops short without a reason", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if errors.Is(err, bridge.ErrQueueFull) {
				err = nil
			}
			return n, err
		}
	}, caught: map[string]string{"QueueFull": "without an error"}},

	{name: "gives -1 with an error", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if err != nil {
				n = -1
			}
			return n, err
		}
	}, caught: map[string]string{"QueueFull": "gives n = -1", "CloseEndsAll": "= -1"}},

	{name: "takes a full queue for the end", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if errors.Is(err, bridge.ErrQueueFull) {
				err = bridge.EIO
			}
			return n, err
		}
	}, caught: map[string]string{"QueueFull": "input/output error"}},

	{name: "once full, always full", spoil: func(d *driver) {
		full := false
		d.write = func(fs []frame.Frame) (n int, err error) {
			if full {
				return 0, bridge.ErrQueueFull
			}
			n, err = d.Pipe.WriteFrames(fs)
			full = errors.Is(err, bridge.ErrQueueFull)
			return n, err
		}
	}, caught: map[string]string{"QueueFull": "no room for"}},
}

var closeFaults = []fault{
	{name: "EOF after Close", spoil: func(d *driver) {
		d.read = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.ReadFrames(fs)
			return n, orElse(err, io.EOF)
		}
	}, caught: map[string]string{"CloseEndsRead": "EOF", "CloseEndsAll": "EOF", "CloseWhileBusy": "EOF"}},

	{name: "closed pipe after Close", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			return n, orElse(err, io.ErrClosedPipe)
		}
	}, caught: map[string]string{"CloseEndsAll": "closed pipe", "CloseWhileBusy": "closed pipe"}},

	{name: "takes frames after Close", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if errors.Is(err, errClosed) {
				return len(fs), nil
			}
			return n, err
		}
	}, caught: map[string]string{"CloseEndsAll": "WriteFrames after Close = 2, <nil>", "LentMemory": "takes a frame"}},

	{name: "gives what was queued after Close", spoil: func(d *driver) {
		var rest []frame.Frame
		d.close = func() error {
			fs := make([]frame.Frame, 100)
			for i := range d.TryRead(fs) {
				rest = append(rest, fs[i].Clone())
			}
			return d.Pipe.Close()
		}
		d.read = func(fs []frame.Frame) (int, error) {
			if n := copy(fs, rest); n > 0 {
				rest = rest[n:]
				return n, nil
			}
			return d.Pipe.ReadFrames(fs)
		}
	}, caught: map[string]string{"CloseEndsAll": "ReadFrames after Close = 2, <nil>"}},

	{name: "Close does not end ReadFrames", spoil: func(d *driver) {
		d.read = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.ReadFrames(fs)
			if err != nil {
				<-d.release
			}
			return n, err
		}
	}, caught: map[string]string{"CloseEndsRead": "does not come back", "CloseEndsAll": "does not come back", "PeerCloses": "does not come back"}},

	{name: "Close waits for the reader", spoil: func(d *driver) {
		d.read = func(fs []frame.Frame) (int, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.Pipe.ReadFrames(fs)
		}
		d.close = func() error {
			go func() { // as the test's own cable, it has to end
				<-d.release
				d.Pipe.Close()
			}()
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.Pipe.Close()
		}
	}, caught: map[string]string{"CloseEndsRead": "Close does not come back"}},

	{name: "panics on a second Close", spoil: func(d *driver) {
		var closed atomic.Bool
		d.close = func() error {
			if closed.Swap(true) {
				panic("close of closed channel")
			}
			return d.Pipe.Close()
		}
	}, caught: map[string]string{"CloseTwice": "Close panics: close of closed channel"}},

	{name: "panics on a write after Close", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if errors.Is(err, errClosed) {
				panic("send on closed channel")
			}
			return n, err
		}
	}, caught: map[string]string{"CloseEndsAll": "WriteFrames after Close panics", "PeerCloses": "panics"}},

	{name: "waits for a peer that has gone", spoil: func(d *driver) {
		d.write = func(fs []frame.Frame) (int, error) {
			n, err := d.Pipe.WriteFrames(fs)
			if errors.Is(err, errClosed) {
				<-d.release
			}
			return n, err
		}
	}, caught: map[string]string{"PeerCloses": "does not come back"}},
}
