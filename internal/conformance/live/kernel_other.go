//go:build !linux

package live

import (
	"errors"

	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// Kernel is the running kernel, which is not Linux.
type Kernel struct{ Features Features }

// Open fails: there is no bridge to compare with.
func Open() (*Kernel, error) { return nil, errors.New("a live bridge needs Linux") }

// Record is never called, since Open fails.
func (k *Kernel) Record(*replay.Scenario) (*replay.Scenario, error) {
	return nil, errors.New("a live bridge needs Linux")
}
