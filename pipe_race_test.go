//go:build race

package bridge_test

import (
	"bytes"
	"testing"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

const raceEnabled = true

// A reader that keeps a frame past its loan sees bytes that no frame has.
func TestPipeSpoilsWhatIsKept(t *testing.T) {
	for name, next := range map[string]func(a, b *bridge.Pipe){
		"TryRead":            func(_, b *bridge.Pipe) { b.TryRead(nil) },
		"ReadFrames":         func(_, b *bridge.Pipe) { b.ReadFrames(nil) },
		"the read that ends": func(_, b *bridge.Pipe) { b.Close(); b.ReadFrames(make([]frame.Frame, 1)) },
	} {
		a, b := bridge.NewPipe(bridge.PipeConfig{})
		a.WriteFrames(pipeFrames(2, 60))
		kept := make([]frame.Frame, 2)
		b.TryRead(kept)
		next(a, b)
		for i := range kept {
			if !bytes.Equal(kept[i].Data, bytes.Repeat([]byte{0xdb}, 60)) {
				t.Errorf("%s: frame %d, kept past its loan, still reads % x", name, i, kept[i].Data)
			}
		}
	}
}
