package qemu

// PortableDgram has a Dgram go the way of systems that are not Linux, before it is
// used.
func PortableDgram(d *Dgram) error {
	io, err := newNetDgram(d)
	d.io = io
	return err
}

// SlabLen is what a Stream reads to.
const SlabLen = slabLen

// SlabOf is how much memory a Stream has for reading.
func SlabOf(s *Stream) int { return cap(s.in.slab) }

// QueueOf is how much memory a Stream has for what is queued.
func QueueOf(s *Stream) int {
	l := s.link.Load()
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return cap(l.queue.buf)
}

// ShrinkReadBuffer has the system keep as little as it can for who reads.
func (d *Dgram) ShrinkReadBuffer() error { return d.socks.in.SetReadBuffer(1) }
