//go:build !linux

package xdp

import (
	"errors"
	"fmt"
)

// errNone matches errors.ErrUnsupported.
var errNone = fmt.Errorf("xdp: %w: AF_XDP needs Linux", errors.ErrUnsupported)

func openGroup(Config) ([]device, error) { return nil, errNone }
