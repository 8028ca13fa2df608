package frameiotest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/ddfb540f/bridge/frame"
)

// checkOrder: frames arrive whole, once, and in the order in which they were
// written, both ways.
func checkOrder(s *suite) {
	a, b := s.cable()
	a.listen(64)
	b.listen(64)
	for _, dir := range [][2]*end{{a, b}, {b, a}} {
		fs := s.plains(200)
		for at, n := 0, 1; at < len(fs); n = n%17 + 1 {
			to := min(at+n, len(fs))
			s.must(dir[0].sendAll(fs[at:to]))
			at = to
		}
		s.must(s.expect(dir[1], fs))
	}
	s.must(a.quiet()) // what a wrote does not come back to it
}

// checkSizes: every length up to the longest arrives as it is, and what is
// longer or shorter than a cable carries does no harm, and is never cut.
func checkSizes(s *suite) {
	a, b := s.cable()
	a.listen(8)
	b.listen(8)
	longest := s.opt.MaxFrame
	for _, size := range []int{14, 15, 16, 17, 18, 19, 20, 21, 59, 60, 61, 64, 1513, 1514, 1515, 1518, 1522, 4096, longest - 1, longest} {
		if size < s.opt.MinFrame || size > longest {
			continue
		}
		s.must(s.carry(a, b, s.plain(size)))
		s.must(s.carry(b, a, s.plain(size)))
		if size-frame.TagLen >= frame.HeaderLen {
			f := s.plain(size - frame.TagLen)
			f.Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}
			s.must(s.carry(a, b, f))
		}
	}
	for _, size := range []int{0, 1, 5, 13, 14, s.opt.MinFrame - 1} {
		f := frame.Frame{Data: make([]byte, size)}
		_, err := a.send([]frame.Frame{f})
		s.must(err)
		b.flush()
		s.must(s.carry(a, b, s.plain(s.opt.MinFrame)))
	}
	if s.opt.Caps.MaxFrame == 0 {
		return
	}
	for _, f := range s.tooLong() {
		refused, err := a.send([]frame.Frame{f})
		s.must(err)
		if len(refused) == 0 {
			if err := s.expect(b, []frame.Frame{f}); err != nil {
				s.t.Errorf("a frame of %d bytes, more than Caps.MaxFrame, is taken without an error: %v", f.WireLen(), err)
			}
		}
		s.must(s.carry(a, b, s.plain(longest)))
	}
}

// tooLong makes frames that are longer than Caps.MaxFrame on the wire, not all
// of them in memory.
func (s *suite) tooLong() []frame.Frame {
	limit := s.opt.Caps.MaxFrame
	fs := []frame.Frame{s.plain(limit + 1), s.plain(limit + 1000)}
	if s.opt.Caps.TagAside {
		f := s.plain(limit - 3)
		f.Tag = frame.Tag{TPID: frame.TypeDot1Q, TCI: 5}
		fs = append(fs, f)
	}
	return fs
}

// checkBatches: where one batch ends and the next begins is transport, and means
// nothing; a read gives what its slice can take and leaves the rest for the next.
func checkBatches(s *suite) {
	for _, reads := range []int{1, 2, 64} {
		a, b := s.cable()
		queued, err := a.offer(s.plains(5))
		s.must(err)
		b.listen(reads)
		if err := s.expect(b, queued); err != nil {
			s.t.Fatalf("reading %d at a time, of %d queued: %v", reads, len(queued), err)
		}
		for _, writes := range []int{1, 2, 64, 257} {
			fs := s.plains(writes)
			s.must(a.sendAll(fs))
			if err := s.expect(b, fs); err != nil {
				s.t.Fatalf("reading %d at a time, writing %d: %v", reads, writes, err)
			}
		}
	}
}

// checkEmptyBatch: a batch of no frames is written, and is nothing.
func checkEmptyBatch(s *suite) {
	a, b := s.cable()
	b.listen(8)
	for _, fs := range [][]frame.Frame{nil, {}} {
		n, err := a.io.WriteFrames(fs)
		if n != 0 || err != nil {
			s.t.Errorf("WriteFrames of no frames = %d, %v; want 0, nil", n, err)
		}
	}
	s.must(b.quiet())
	s.must(s.carry(a, b, s.plain(60)))
}

// checkTags: every combination of what stands in the data, Tag, and Lifted
// arrives as frame.AppendWire puts it together.
func checkTags(s *suite) {
	a, b := s.cable()
	b.listen(8)
	bodies := [][]byte{
		{0x88, 0xb5, 0, 0, 0, 0},
		{0x81, 0x00, 0x60, 0x0a, 0x88, 0xb5},
		{0x81, 0x00, 0x00, 0x00, 0x88, 0xb5}, // VID 0
		{0x88, 0xa8, 0x00, 0x14, 0x88, 0xb5},
		{0x88, 0xa8, 0x00, 0x14, 0x81, 0x00, 0x00, 0x0a, 0x88, 0xb5},
		{0x91, 0x00, 0x00, 0x1e, 0x88, 0xb5}, // a TPID that Linux does not know
	}
	tags := []frame.Tag{
		{},
		{TPID: frame.TypeDot1Q, TCI: 10},
		{TPID: frame.TypeDot1Q, TCI: 0},
		{TPID: frame.TypeDot1Q, TCI: 0xffff},
		{TPID: frame.TypeDot1AD, TCI: 0x3014},
		{TPID: frame.TypeDot1AD, TCI: 0},
		{TPID: 0x9100, TCI: 30},
	}
	for _, body := range bodies {
		for _, tag := range tags {
			for _, lifted := range []bool{false, true} {
				size := max(100, s.opt.MinFrame+frame.TagLen)
				s.must(s.carry(a, b, frame.Frame{Data: s.data(size, body...), Tag: tag, Lifted: lifted}))
			}
		}
	}
	if s.opt.MinFrame <= frame.HeaderLen {
		s.must(s.carry(a, b, frame.Frame{Data: s.data(18, bodies[1]...), Lifted: true}))
		s.must(s.carry(a, b, frame.Frame{Data: s.data(18, bodies[1]...), Lifted: true, Tag: tags[1]}))
	}
	s.must(b.quiet())
}

// samples are frames of every form that the driver takes, each in memory with
// room to spare behind it, which is the writer's as well.
func (s *suite) samples() []frame.Frame {
	var fs []frame.Frame
	for _, tag := range []frame.Tag{{}, {TPID: frame.TypeDot1Q, TCI: 10}, {TPID: frame.TypeDot1AD, TCI: 20}} {
		for _, lifted := range []bool{false, true} {
			f := s.fit(frame.Frame{Data: s.data(200, 0x81, 0, 0, 5, 0x88, 0xb5), Tag: tag, Lifted: lifted})
			f.Data = append(make([]byte, 0, 300), f.Data...)
			fs = append(fs, f)
		}
	}
	if s.opt.Caps.Checksum {
		fs = append(fs, s.fit(s.udp(frame.Tag{TPID: frame.TypeDot1Q, TCI: 7}, true)))
	}
	return fs
}

// checkWriterKeepsItsFrames: WriteFrames changes neither the slice nor the bytes,
// nor what lies behind them.
func checkWriterKeepsItsFrames(s *suite) {
	a, b := s.cable()
	b.listen(8)
	fs := s.samples()
	before := append([]frame.Frame(nil), fs...)
	var memory [][]byte
	for i := range fs {
		memory = append(memory, bytes.Clone(fs[i].Data[:cap(fs[i].Data)]))
	}
	same := func() error {
		for i := range fs {
			f, g := fs[i], before[i]
			if len(f.Data) != len(g.Data) || &f.Data[0] != &g.Data[0] || f.Tag != g.Tag || f.Lifted != g.Lifted || f.Owed != g.Owed || f.Tunnel != g.Tunnel || f.Nexthop != g.Nexthop || f.Time != g.Time {
				return fmt.Errorf("WriteFrames changes fs[%d] to tag %v, lifted %v, owed %+v, %d bytes", i, f.Tag, f.Lifted, f.Owed, len(f.Data))
			}
			if now := f.Data[:cap(f.Data)]; !bytes.Equal(now, memory[i]) {
				return fmt.Errorf("WriteFrames changes the bytes of fs[%d], or those behind them:\n got: % x\nwant: % x", i, now, memory[i])
			}
		}
		return nil
	}
	s.must(a.sendAll(fs))
	s.must(same())
	b.flush()
	s.must(same())
}

// checkNothingIsKept: when WriteFrames is back, the memory is the writer's again,
// and what it does with it never shows at the other end.
func checkNothingIsKept(s *suite) {
	a, b := s.cable()
	fs := s.samples()[:6] // without offloads, which may arrive in another form
	var want []frame.Frame
	for i := range fs {
		want = append(want, fs[i].Clone())
	}
	taken, err := a.offer(fs)
	s.must(err)
	n := len(taken)
	for i := range fs {
		for j := range fs[i].Data {
			fs[i].Data[j] = 0xff
		}
		fs[i] = frame.Frame{}
	}
	b.listen(8)
	s.must(s.expect(b, want[:n]))
}

// checkLentMemory: what ReadFrames gives stays as it is until the next ReadFrames
// begins, whatever else happens.
func checkLentMemory(s *suite) {
	a, b := s.cable()
	l := &loan{s: s, e: a, fs: make([]frame.Frame, 64), sent: map[uint32]frame.Frame{}}
	l.offer(b, 8)
	for range 4 { // from the second on, a driver uses memory again
		l.borrow()
		l.offer(b, 64)
		l.same("writes at the other end")
		s.must(a.mayWrite(s.plains(64)))
		l.same("writes at this end")
		time.Sleep(s.opt.Settle)
		l.same("a pause")
	}
	s.must(a.close())
	l.same("Close")
	s.must(b.close())
	l.same("Close of the other end")
	_, err := a.write(s.plains(1))
	l.same("a write after Close")
	if err == nil {
		s.t.Errorf("%s: WriteFrames after Close takes a frame", a.name)
	}
}

// loan is what one end's ReadFrames has lent.
type loan struct {
	s    *suite
	e    *end
	fs   []frame.Frame
	n    int                    // frames lent
	kept []frame.Frame          // copies of them
	sent map[uint32]frame.Frame // what may arrive
}

// offer sends n frames towards the loan's end, as many as there is room for.
func (l *loan) offer(from *end, n int) {
	fs := l.s.plains(n)
	for i := range fs {
		l.sent[number(fs[i].Data)] = fs[i]
	}
	l.s.must(from.mayWrite(fs))
}

// borrow reads until frames of ours come, and sees that they are what was sent.
func (l *loan) borrow() {
	s := l.s
	own := false
	for !own {
		var err error
		s.must(s.bounded(l.e.name+": ReadFrames with frames to read", func() { l.n, err = l.e.read(l.fs) }))
		s.must(err)
		l.kept = l.kept[:0]
		for i := range l.fs[:l.n] {
			f := &l.fs[i]
			l.kept = append(l.kept, f.Clone())
			if !f.WellFormed() || !ours(f.AppendWire(nil)) {
				continue
			}
			own = true
			if d := diff(*f, l.sent[number(f.Data)]); d != "" {
				s.t.Fatalf("%s: frame %d of the %d that ReadFrames gives is wrong when it returns: %s", l.e.name, i, l.n, d)
			}
		}
	}
}

// same sees that what is lent has not changed.
func (l *loan) same(after string) {
	for i := range l.kept {
		if !bytes.Equal(l.fs[i].Data, l.kept[i].Data) || l.fs[i].Tag != l.kept[i].Tag || l.fs[i].Lifted != l.kept[i].Lifted {
			l.s.t.Fatalf("%s: lent frame %d of %d has changed after %s", l.e.name, i, l.n, after)
		}
	}
}
