package frameiotest

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// checkCloseEndsRead: Close, from another goroutine, ends a ReadFrames that waits
// with net.ErrClosed.
func checkCloseEndsRead(s *suite) {
	a, _ := s.cable()
	a.listen(8)
	s.must(a.quiet()) // time enough to get to waiting
	s.must(a.close())
	s.must(a.awaitReader())
	if err := a.readErr(); !errors.Is(err, errClosed) {
		s.t.Errorf("%s: Close ends a ReadFrames that waits with %v; want an error matching net.ErrClosed", a.name, err)
	}
}

// checkCloseEndsAll: after Close both calls fail, each time, and frames that were
// waiting to be read are not given any more.
func checkCloseEndsAll(s *suite) {
	for _, queued := range []int{0, 5} {
		a, b := s.cable()
		s.must(b.mayWrite(s.plains(queued)))
		time.Sleep(s.opt.Settle) // on their way, where there is one
		s.must(a.close())
		fs := make([]frame.Frame, 2)
		for range 3 {
			var n int
			var err error
			s.must(s.bounded(a.name+": ReadFrames after Close", func() { n, err = a.io.ReadFrames(fs) }))
			s.must(isClosed(a, "ReadFrames", n, err))
			s.must(s.bounded(a.name+": WriteFrames after Close", func() { n, err = a.io.WriteFrames(s.plains(2)) }))
			s.must(isClosed(a, "WriteFrames", n, err))
		}
	}
}

// checkCloseTwice: Close may come again, also at the same time.
func checkCloseTwice(s *suite) {
	a, b := s.cable()
	s.must(a.sendAll(s.plains(1)))
	for range 2 {
		s.must(a.close())
	}
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() { errs <- b.close() }() // ends within Options.Wait
	}
	for range cap(errs) {
		s.must(<-errs)
	}
}

// checkCloseWhileBusy: Close comes while both ends read and write, and ends this
// end's calls with net.ErrClosed.
func checkCloseWhileBusy(s *suite) {
	a, b := s.cable()
	a.listen(8)
	b.listen(8)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	fromB := s.plains(1)
	wg.Go(func() { // ends when a's Close is over; what b is told then is its own affair
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = b.io.WriteFrames(fromB)
			}
		}
	})
	ended := make(chan error, 1)
	go func() { // ends with a's Close
		fs := []frame.Frame{{Data: make([]byte, 60)}}
		for {
			if _, err := a.io.WriteFrames(fs); err != nil && !errors.Is(err, bridge.ErrQueueFull) {
				ended <- err
				return
			}
		}
	}()
	time.Sleep(s.opt.Settle)
	s.must(a.close())
	var err error
	late := s.bounded(a.name+": WriteFrames, again and again, while Close comes", func() { err = <-ended })
	close(stop)
	wg.Wait()
	s.must(late)
	s.must(isClosed(a, "WriteFrames", 0, err))
	s.must(a.awaitReader())
	if err := a.readErr(); !errors.Is(err, errClosed) {
		s.t.Errorf("%s: Close ends a busy ReadFrames with %v; want an error matching net.ErrClosed", a.name, err)
	}
}

// checkPeerCloses: when the other end goes away writes may fail, but they come
// back, and this end still closes.
func checkPeerCloses(s *suite) {
	a, b := s.cable()
	a.listen(8)
	b.listen(8)
	s.must(s.carry(a, b, s.plain(60)))
	s.must(b.close())
	for range 100 {
		s.must(s.bounded(a.name+": WriteFrames to a closed end", func() { _, _ = a.io.WriteFrames(s.plains(4)) }))
	}
	s.must(a.close())
	s.must(a.awaitReader())
}

// checkGoroutines: when both ends are closed and have been read to the end,
// nothing of the driver runs any more.
func checkGoroutines(s *suite) {
	var left []string
	mark := fmt.Sprint(marks.Add(1))
	pprof.Do(context.Background(), pprof.Labels(markLabel, mark), func(context.Context) {
		for range 4 {
			a, b := s.cable()
			a.listen(8)
			b.listen(8)
			s.must(s.carry(a, b, s.plain(60)))
			s.must(s.carry(b, a, s.plain(60)))
			for _, e := range []*end{a, b} {
				s.must(e.close())
				s.must(e.awaitReader())
			}
		}
	})
	for end := time.Now().Add(s.opt.Wait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if left = marked(mark); len(left) == 0 {
			return
		}
	}
	s.t.Errorf("goroutines are left %v after 4 cables were closed:\n%s", s.opt.Wait, strings.Join(left, "\n\n"))
}

// A goroutine inherits the labels of the one that starts it, so one of them tells those
// of one check from whatever else runs.
const markLabel = "frameiotest"

var marks atomic.Int64

// marked gives the stacks of the goroutines with a mark, each once.
func marked(mark string) (stacks []string) {
	var profile strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1) // a strings.Builder takes all
	for _, stack := range strings.Split(profile.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q:%q", markLabel, mark)) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}
