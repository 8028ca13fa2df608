//go:build !linux

package main

import "errors"

func newReal() (network, error) { return nil, errors.New("-real needs Linux, and root") }
