package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// eye is a packet socket that looks at an interface of the host as tcpdump does:
// the kernel shows it each frame that comes in, in netif_receive_skb, and each that
// goes out, right before it calls the driver.
type eye struct {
	dev    string
	driver string // the function by which the driver sends
	fd     int
}

// openEyes looks at interfaces of the host from now on.
func (w *world) openEyes(names []string) error {
	for _, name := range names {
		e := &eye{dev: name, driver: "tun_net_xmit"}
		if name == "eth0" {
			e.driver = "veth_xmit"
		}
		if err := w.host.Do(e.open); err != nil {
			return fmt.Errorf("look at %s: %w", name, err)
		}
		w.later(func() { _ = unix.Close(e.fd) })
		w.eyes = append(w.eyes, e)
	}
	return nil
}

func (e *eye) open() error {
	i, err := net.InterfaceByName(e.dev)
	if err != nil {
		return err
	}
	e.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	err = unix.SetsockoptInt(e.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if err == nil {
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		err = unix.Bind(e.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
	}
	if err != nil {
		_ = unix.Close(e.fd)
	}
	return err
}

// look gives what the kernel has shown since the last time.
func (e *eye) look() (all []sight, err error) {
	data, oob := make([]byte, 2048), make([]byte, 256)
	for {
		n, oobn, _, from, err := unix.Recvmsg(e.fd, data, oob, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return all, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return all, err
		}
		f := frame.Frame{Data: data[:n]}
		if link, ok := from.(*unix.SockaddrLinklayer); ok && f.WellFormed() {
			all = append(all, e.see(&f, link.Pkttype == unix.PACKET_OUTGOING, arrival(oob[:oobn])))
		}
	}
}

// see says what the kernel did with a frame. The host gets a frame by what it
// receives on a port, and by what it sends on br0.
func (e *eye) see(f *frame.Frame, out bool, at time.Time) sight {
	s := sight{at: at, who: "kernel", src: f.Src(), dst: f.Dst(), what: contents(f)}
	function := "netif_receive_skb"
	if out {
		function = e.driver
	}
	s.enters = out == (e.dev == "br0")
	s.text = fmt.Sprintf("%s dev: %s %s -> %s", function, e.dev, s.src, s.dst)
	return s
}

// arrival is the kernel's time stamp of a frame.
func arrival(oob []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Time{}
}

// contents says in words what a frame of this lesson carries.
func contents(f *frame.Frame) string {
	const ipHeader, icmp = 20, 1
	d := f.Data[frame.HeaderLen:]
	switch {
	case f.Type() == frame.TypeARP && len(d) >= 28 && d[7] == 1:
		return fmt.Sprintf("ARP: who has %s? tell %s", net.IP(d[24:28]), net.IP(d[14:18]))
	case f.Type() == frame.TypeARP && len(d) >= 28:
		return fmt.Sprintf("ARP: %s is at %s", net.IP(d[14:18]), f.Src())
	case f.Type() == frame.TypeIPv4 && len(d) > ipHeader && d[9] == icmp:
		word := map[byte]string{0: "echo reply", 8: "echo request"}[d[ipHeader]]
		return fmt.Sprintf("ICMP %s, %s > %s", word, net.IP(d[12:16]), net.IP(d[16:20]))
	}
	return f.Type().String()
}
