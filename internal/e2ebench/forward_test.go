//go:build linux

package main

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// A script is a cable that answers as it is told: how many frames it takes, and what is
// wrong then.
type script struct {
	answers []answer
	given   []int // how many frames each call had
}

type answer struct {
	n   int
	err error
}

func (s *script) WriteFrames(fs []frame.Frame) (int, error) {
	s.given = append(s.given, len(fs))
	a := s.answers[0]
	s.answers = s.answers[1:]
	return a.n, a.err
}

func (s *script) ReadFrames(fs []frame.Frame) (int, error) { return s.WriteFrames(fs) }
func (s *script) Close() error                             { return nil }

func TestWriteAll(t *testing.T) {
	refused := &bridge.FrameError{Reason: bridge.DropTooLong, Err: errors.New("too long")}
	for _, tc := range []struct {
		name    string
		answers []answer
		given   []int
		alive   bool
	}{
		{"all", []answer{{5, nil}}, []int{5}, true},
		{"in two pieces", []answer{{2, nil}, {3, nil}}, []int{5, 3}, true},
		{"one is refused", []answer{{2, refused}, {2, nil}}, []int{5, 2}, true},
		{"the last is refused", []answer{{4, refused}}, []int{5}, true},
		{"full", []answer{{2, bridge.ErrQueueFull}}, []int{5}, true},
		{"down", []answer{{0, bridge.ENETDOWN}}, []int{5}, true},
		{"gone", []answer{{0, io.EOF}}, []int{5}, false},
		{"no progress", []answer{{0, nil}}, []int{5}, false},
	} {
		s := &script{answers: tc.answers}
		assert.Equal(t, tc.alive, writeAll(s, make([]frame.Frame, 5)), tc.name)
		assert.Equal(t, tc.given, s.given, tc.name)
	}
}

// What was read before the other end went away is written, and an interface that is
// down ends nothing.
func TestPump(t *testing.T) {
	from := &script{answers: []answer{{0, bridge.ENETDOWN}, {7, nil}, {3, io.EOF}}}
	to := &script{answers: []answer{{7, nil}, {3, nil}}}
	pump(from, to)
	assert.Equal(t, []int{pumpBatch, pumpBatch, pumpBatch}, from.given)
	assert.Equal(t, []int{7, 3}, to.given)
}

func TestForwarderRefuses(t *testing.T) {
	var f forwarder
	_, err := f.answer(request{Op: asPatch, Ends: []end{{Kind: "string"}}})
	assert.ErrorContains(t, err, `no end is a "string"`)
	_, err = f.answer(request{Op: asPatch})
	assert.ErrorContains(t, err, "a forwarder cannot be a patch of 0 ends")
	_, err = (&station{}).answer(request{Op: "sing"})
	assert.ErrorContains(t, err, `a station knows no "sing"`)
}
