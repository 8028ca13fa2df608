package frameiotest

import (
	"context"
	"time"
)

// testContext is a context that ends with its channel.
type testContext struct{ done <-chan struct{} }

var _ context.Context = testContext{}

func (testContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c testContext) Done() <-chan struct{}     { return c.done }
func (testContext) Value(any) any               { return nil }
func (c testContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}
