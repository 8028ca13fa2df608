package filter

import (
	"fmt"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A Class is a class of frames that go to many.
type Class uint8

// The classes.
const (
	Broadcast Class = iota
	Multicast
	UnknownUnicast // the destination is not in the forwarding database
	numClasses
)

var classNames = [numClasses]string{"broadcast", "multicast", "unknown unicast"}

// String gives "broadcast".
func (c Class) String() string {
	if c < numClasses {
		return classNames[c]
	}
	return ""
}

// A Rate is how much may come in; 0 is no limit.
type Rate struct {
	Frames int64 // a second; one whose segmentation is owed counts as its segments
	Bytes  int64 // a second, of the wire form

	// Burst is how long what was not used is saved up: at once may come what the
	// rate allows in this time, one frame at least. 0: 100 ms.
	Burst time.Duration
}

const defaultBurst = 100 * time.Millisecond

func (r Rate) check() error {
	if r.Frames < 0 || r.Bytes < 0 || r.Burst < 0 {
		return errNoLimit
	}
	return nil
}

// Rates are the limits of one port, by Class.
type Rates [numClasses]Rate

// Storm holds broadcast, multicast and unknown unicast that come in by a port to a
// rate (storm control), by token buckets. What is too much is dropped before it is
// learned from.
type Storm struct {
	other   Rates
	ports   map[string]Rates
	dropped [numClasses]atomic.Uint64
	clock   clock

	mu      sync.RWMutex // guards buckets
	buckets map[string]*buckets
}

type buckets [numClasses]bucket

// A bucket is two limits in the form of the time until which what came in is paid
// for (GCRA, ITU-T I.371).
type bucket struct {
	mu            sync.Mutex // guards the rest
	frames, bytes int64      // on the scale of Storm.clock
}

// maxBuckets bounds what is kept of ports that were once there.
const maxBuckets = 4096

// NewStorm makes a filter from the rates of ports, by name, and those of each other
// port. The host may send what it likes. Errors: a negative number, a port without a
// name.
func NewStorm(ports map[string]Rates, other Rates) (*Storm, error) {
	s := &Storm{other: other, ports: maps.Clone(ports), buckets: map[string]*buckets{}}
	for name, rates := range s.ports {
		if name == "" {
			return nil, errPortName
		}
		for _, r := range rates {
			if err := r.check(); err != nil {
				return nil, fmt.Errorf("port %s: %w", name, err)
			}
		}
	}
	for _, r := range other {
		if err := r.check(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Filter is the filter, named "storm".
func (s *Storm) Filter() bridge.Filter {
	return bridge.Filter{Name: "storm", Hooks: bridge.Hooks(bridge.HookPreRouting), Judge: s.judge}
}

// Dropped is how many frames of a class were too many.
func (s *Storm) Dropped(c Class) uint64 {
	if c >= numClasses {
		return 0
	}
	return s.dropped[c].Load()
}

func (s *Storm) judge(p *bridge.Passage) bridge.Ruling {
	name := p.In.Name()
	rates, own := s.ports[name]
	if !own {
		rates = s.other
	}
	c := UnknownUnicast
	switch dst := p.Frame.Dst(); {
	case dst.IsBroadcast():
		c = Broadcast
	case dst.IsMulticast():
		c = Multicast
	}
	r := rates[c]
	if r.Frames == 0 && r.Bytes == 0 {
		return bridge.Ruling{}
	}
	if c == UnknownUnicast {
		if _, _, known := p.Lookup(p.Frame.Dst()); known {
			return bridge.Ruling{}
		}
	}
	if s.of(name, p.Dry)[c].take(p, r, s.clock.now(p)) {
		return bridge.Ruling{}
	}
	if !p.Dry {
		s.dropped[c].Add(1)
	}
	p.Report(func() error { return fmt.Errorf("too much %s", c) })
	return bridge.FilterDrop.Because(stormWords[c])
}

var stormWords = [numClasses]string{"too much broadcast", "too much multicast", "too much unknown unicast"}

// of gives the buckets of a port; a dry run makes none that stay.
func (s *Storm) of(port string, dry bool) *buckets {
	s.mu.RLock()
	b := s.buckets[port]
	s.mu.RUnlock()
	switch {
	case b != nil:
		return b
	case dry:
		return new(buckets)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b = s.buckets[port]; b == nil {
		if len(s.buckets) >= maxBuckets {
			clear(s.buckets)
		}
		b = new(buckets)
		s.buckets[port] = b
	}
	return b
}

// take pays for a frame, and says whether there was enough for it.
func (b *bucket) take(p *bridge.Passage, r Rate, now int64) bool {
	burst := int64(r.Burst)
	if burst == 0 {
		burst = int64(defaultBurst)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	frames, ok := paid(b.frames, now, segments(p.Frame), r.Frames, burst)
	if !ok {
		return false
	}
	bytes, ok := paid(b.bytes, now, int64(p.Frame.WireLen()), r.Bytes, burst)
	if ok && !p.Dry {
		b.frames, b.bytes = frames, bytes
	}
	return ok
}

// paid gives until when n more are paid for at a rate a second, if they are not too
// many.
func paid(until, now, n, rate, burst int64) (int64, bool) {
	if rate == 0 {
		return until, true
	}
	price := int64(min(float64(n)*float64(time.Second)/float64(rate), math.MaxInt64/4))
	next := max(until, now) + price
	return next, next-now <= max(burst, price)
}

// segments is how many frames a frame will be when what it owes is done.
func segments(f *frame.Frame) int64 {
	if !f.Owed.GSO() || f.Owed.GSOSize == 0 {
		return 1
	}
	size := int64(f.Owed.GSOSize)
	return max((int64(len(f.Data))-int64(f.Owed.HdrLen)+size-1)/size, 1)
}
