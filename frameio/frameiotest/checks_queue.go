package frameiotest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// checkRefusal: a frame that is refused stops nothing; those before it have been
// taken, and those behind it are when they are offered again.
func checkRefusal(s *suite) {
	a, b := s.cable()
	b.listen(8)
	bad := []frame.Frame{{}, {Data: make([]byte, 5)}}
	if s.opt.Caps.TagAside {
		bad = append(bad, frame.Frame{Data: make([]byte, 16), Lifted: true}, frame.Frame{Data: make([]byte, 14), Lifted: true, Tag: frame.Tag{TPID: frame.TypeDot1Q}})
	}
	if s.opt.Caps.MaxFrame > 0 {
		bad = append(bad, s.tooLong()...)
	}
	for _, f := range bad {
		for at := range 4 {
			fs := s.plains(3)
			refused, err := a.send(slices.Insert(slices.Clone(fs), at, f))
			s.must(err)
			what := fmt.Sprintf("a frame of %d bytes (tag %v, lifted %v) at fs[%d] of 4", len(f.Data), f.Tag, f.Lifted, at)
			switch {
			case len(refused) == 1 && refused[0] == at:
			case len(refused) > 0:
				s.t.Fatalf("%s: WriteFrames refuses fs%v instead", what, refused)
			case f.WellFormed(): // taken, so it has to come
				fs = slices.Insert(fs, at, f)
			}
			if err := s.expect(b, fs); err != nil {
				s.t.Fatalf("%s: %v", what, err)
			}
		}
	}
}

// checkQueueFull: writing to an end that nobody reads never waits. What is taken
// arrives, what is not taken is not, and with room again frames pass again. The
// other direction never notices.
func checkQueueFull(s *suite) {
	a, b := s.cable()
	a.listen(8)
	var taken []frame.Frame
	full := false
	for !full && len(taken) < s.opt.Fill {
		fs := s.plains(16)
		n, err := a.write(fs)
		taken = append(taken, fs[:n]...)
		full = errors.Is(err, bridge.ErrQueueFull)
		if err != nil && !full {
			s.t.Fatalf("%s: WriteFrames to an end that nobody reads, %d frames so far: %v", a.name, len(taken), err)
		}
	}
	if !full && s.opt.Full == FullAnswers {
		s.t.Fatalf("%s: WriteFrames took %d frames that nobody read and never answered ErrQueueFull; say FullDrops or FullUnknown if that is meant", a.name, len(taken))
	}
	for range 3 { // full, or not: it must come back
		f := s.plains(1)
		n, err := a.write(f)
		taken = append(taken, f[:n]...)
		if err != nil && !errors.Is(err, bridge.ErrQueueFull) {
			s.t.Fatalf("%s: WriteFrames to a full queue = %d, %v; want ErrQueueFull", a.name, n, err)
		}
	}
	s.must(s.carry(b, a, s.plain(60)))
	b.listen(8)
	if full && s.opt.Full == FullAnswers {
		if err := s.expect(b, taken); err != nil {
			s.t.Fatalf("of %d frames taken by WriteFrames before and while the queue was full: %v", len(taken), err)
		}
	} else {
		s.must(s.expectSome(b, taken))
	}
	s.must(s.carry(a, b, s.plain(60)))
}

// checkWriteWhileReadWaits: a ReadFrames that waits holds up neither this end's
// WriteFrames nor the other's.
func checkWriteWhileReadWaits(s *suite) {
	a, b := s.cable()
	a.listen(8)
	b.listen(8)
	s.must(a.quiet())
	for range 3 {
		if err := s.carry(a, b, s.plain(60)); err != nil {
			s.t.Fatalf("while ReadFrames waits: %v", err)
		}
		s.must(s.carry(b, a, s.plain(60)))
	}
}

// checkSideBySide: both ends read and write at once, and each way keeps its
// order. Most is to be found here with the race detector on.
func checkSideBySide(s *suite) {
	a, b := s.cable()
	a.listen(16)
	b.listen(16)
	ab, ba := s.plains(500), s.plains(500)
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { errs[0] = a.sendInBatches(ab) })
	wg.Go(func() { errs[1] = b.sendInBatches(ba) })
	wg.Wait()
	s.must(errors.Join(errs[:]...))
	s.must(s.expect(b, ab))
	s.must(s.expect(a, ba))
}

func (e *end) sendInBatches(fs []frame.Frame) error {
	for batch := range slices.Chunk(fs, 7) {
		if err := e.sendAll(batch); err != nil {
			return err
		}
	}
	return nil
}
