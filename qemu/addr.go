package qemu

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/ddfb540f/bridge"
)

// maxUnixPath is the longest path of a socket on Linux (sun_path less its last byte);
// other systems refuse some that are shorter when they are used.
const maxUnixPath = 107

// parseAddress takes "unix:PATH", or one of a host and a port with another name of a
// network in front, apart. unix is what package net calls the network of a path.
func parseAddress(text, inet, unix string) (network, at string, err error) {
	name, at, _ := strings.Cut(text, ":")
	switch {
	case name == "unix" && len(at) > maxUnixPath:
		return "", "", fmt.Errorf("%w: the path of a unix socket has %d bytes at most: %s", bridge.EINVAL, maxUnixPath, at)
	case name == "unix" && at != "":
		return unix, at, nil
	case name == inet && at != "":
		if _, _, err := net.SplitHostPort(at); err == nil {
			return inet, at, nil
		}
	}
	return "", "", fmt.Errorf("%w: %q is neither unix:PATH nor %s:HOST:PORT", bridge.EINVAL, text, inet)
}

// overStale binds a socket, in the place of one that nobody holds any more if its
// path was left behind.
func overStale(network, at string, bind func() error) error {
	err := bind()
	if err == nil || !strings.HasPrefix(network, "unix") || !inUse(err) {
		return err
	}
	info, bad := os.Lstat(at)
	switch {
	case bad != nil: // no path, but a name in the abstract namespace
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%w: what is there is no socket, so it stays; choose another path", err)
	case somebodyHolds(at):
		return fmt.Errorf("%w: a program that runs has this socket; end that, or choose another path", err)
	}
	if err := os.Remove(at); err != nil {
		return fmt.Errorf("replace what a program has left behind: %w", err)
	}
	return bind()
}

// somebodyHolds reports whether a socket at a path is somebody's, as far as can be
// known. A socket of datagrams asks, also after one of a stream: that is refused for
// its kind, and whoever listens there hears of no connection.
func somebodyHolds(at string) bool {
	conn, err := net.Dial("unixgram", at)
	if err == nil {
		conn.Close()
		return true
	}
	return !nobodyThere(err)
}
