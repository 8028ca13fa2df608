//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

func lesson(context.Context, options, io.Writer) error {
	return fmt.Errorf("%w: network namespaces need Linux", errors.ErrUnsupported)
}
