//go:build !linux

package bridge

import (
	"errors"
	"fmt"
)

// errNoRaw matches errors.ErrUnsupported.
var errNoRaw = fmt.Errorf("%w: raw sockets need Linux", errors.ErrUnsupported)

func openRaw(RawConfig) (rawDevice, error) { return nil, errNoRaw }
