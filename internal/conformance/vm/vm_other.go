//go:build !linux

package vm

import (
	"context"
	"errors"

	"github.com/ddfb540f/bridge/internal/conformance/live"
	"github.com/ddfb540f/bridge/internal/conformance/replay"
)

// GuestFlag is the argument by which the program learns that it is in the guest.
const GuestFlag = "-guest"

// Parallel is how many scenarios a machine performs at the same time.
const Parallel = 1

var errNeedsLinux = errors.New("a virtual machine for comparisons needs Linux")

// A Machine is a virtual machine that runs.
type Machine struct{ Features live.Features }

// Open fails.
func Open(context.Context) (*Machine, error) { return nil, errNeedsLinux }

// Close does nothing: there is no Machine.
func (m *Machine) Close() error { return nil }

// Record is never called, since Open fails.
func (m *Machine) Record(*replay.Scenario) (*replay.Scenario, error) { return nil, errNeedsLinux }

// Guest does nothing: there is no guest.
func Guest() {}
