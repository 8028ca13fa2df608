//go:build !linux

package qemu

func newDgramIO(d *Dgram) (dgramIO, error) { return newNetDgram(d) }

// sockaddr is made from the name when it is needed.
type sockaddr struct{}

func sockaddrOf(string) sockaddr { return sockaddr{} }
