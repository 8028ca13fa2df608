//go:build !linux

package bridge

import (
	"errors"
	"fmt"
)

// errNoTAP matches errors.ErrUnsupported.
var errNoTAP = fmt.Errorf("%w: TAPs need Linux", errors.ErrUnsupported)

func openTAP(TAPConfig) (tapDevice, error) { return nil, errNoTAP }
