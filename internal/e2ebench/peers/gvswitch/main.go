//go:build linux

// Command gvswitch is the switch of github.com/containers/gvisor-tap-vsock, its pkg/tap,
// with two ports and no gateway, for comparison:
//
//	gvswitch tap NAME NAME      TAPs of these names are made; each holds one in this process
//	gvswitch socket PATH PATH   unix sockets that speak the framing of QEMU
//
// It says "ready" and ends with its standard input. It is a module of its own, so that
// what it needs is not needed by the bridge.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: gvswitch tap|socket PORT PORT")
	}
	s := tap.NewSwitch(false)
	s.Connect(gateway{})
	for _, port := range os.Args[2:] {
		if err := add(s, os.Args[1], port); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func add(s *tap.Switch, kind, port string) error {
	if kind == "tap" {
		file, err := openTAP(port)
		if err != nil {
			return err
		}
		// The BESS protocol is a frame a read and a frame a write, as a TAP has it.
		go serve(s, conn{file}, types.BessProtocol)
		return nil
	}
	l, err := net.Listen("unix", port)
	if err != nil {
		return err
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		serve(s, c, types.QemuProtocol)
	}()
	return nil
}

func serve(s *tap.Switch, c net.Conn, protocol types.Protocol) {
	log.Print(s.Accept(context.Background(), c, protocol))
}

// A gateway is what the switch insists on: it gets nothing and answers nothing.
type gateway struct{}

func (gateway) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}
func (gateway) LinkAddress() tcpip.LinkAddress                                        { return "\x5a\x94\xef\xe4\x0c\xdd" }
func (gateway) IP() string                                                            { return "10.99.0.254" }

// A conn has a file look like a connection.
type conn struct{ *os.File }

func (conn) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "tap"} }
func (conn) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "tap"} }
func (conn) SetDeadline(time.Time) error      { return nil }
func (conn) SetReadDeadline(time.Time) error  { return nil }
func (conn) SetWriteDeadline(time.Time) error { return nil }

func openTAP(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	r, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
