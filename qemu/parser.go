package qemu

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ddfb540f/bridge/frame"
)

const (
	// prefixLen is the length of a frame's length.
	prefixLen = 4

	// slabLen is what one read takes from a connection at most, frames of 1500
	// bytes by the hundred, with room for three of the longest.
	slabLen = 256 << 10
)

// A parser takes the frames of a stream apart, in the memory that they were read to.
//
//	slab: | lent, or over | frames to give | the beginning of one | room |
//	       0               at                                      end
type parser struct {
	slab    []byte
	lent    int // the caller was given what is between here and at
	at, end int
	link    *link // whose bytes these are
}

// A lengthError is an impossible length.
type lengthError uint32

func (e lengthError) Error() string {
	return fmt.Sprintf("the peer announced a frame of %d bytes, and %d are the most", uint32(e), MaxFrame)
}

// endLoan takes the memory back that the last take lent.
func (p *parser) endLoan() {
	spoilLent(p.slab[p.lent:p.at])
	p.lent = p.at
}

// begin forgets what is left of another connection.
func (p *parser) begin(l *link) {
	if p.slab == nil {
		p.slab = make([]byte, slabLen)
	}
	p.link, p.lent, p.at, p.end = l, 0, 0, 0
}

// take gives the frames that are there whole. The error is a lengthError, which comes
// when the frames in front of it have been given.
func (p *parser) take(fs []frame.Frame) (n int, err error) {
	for n < len(fs) && p.end-p.at >= prefixLen {
		size := binary.BigEndian.Uint32(p.slab[p.at:])
		if size > MaxFrame {
			if n == 0 {
				err = lengthError(size)
			}
			break
		}
		from := p.at + prefixLen
		to := from + int(size)
		if to > p.end {
			break
		}
		fs[n] = frame.Frame{Data: p.slab[from:to:to]}
		p.at = to
		n++
	}
	return n, err
}

// fill reads once. The last take gave no frame, so nothing is lent, and what is there
// is less than one of the longest: it leaves room behind it.
func (p *parser) fill(r io.Reader) error {
	if p.at > 0 {
		p.end = copy(p.slab, p.slab[p.at:p.end])
		p.lent, p.at = 0, 0
	}
	n, err := r.Read(p.slab[p.end:])
	p.end += n
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// cut reports whether a frame has begun that is not whole.
func (p *parser) cut() bool { return p.end > p.at }
