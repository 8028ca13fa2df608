//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

func lesson(context.Context, options, io.Writer) error {
	return fmt.Errorf("%w: the guests of this lesson need Linux", errors.ErrUnsupported)
}
