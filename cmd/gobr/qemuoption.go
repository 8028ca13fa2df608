package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseQEMU reads the NAME=ADDRESS[,OPTION...] of --qemu. As in the options of QEMU,
// a comma that belongs to a value is doubled.
func parseQEMU(text string) (portSource, error) {
	words := splitOptions(text)
	name, address, ok := strings.Cut(words[0], "=")
	s := &qemuSource{name: name, text: text}
	switch {
	case !ok:
		return s, errors.New("it is not NAME=ADDRESS")
	case name == "" || strings.ContainsAny(name, "@%/: \t\r\n"):
		return s, errors.New("the name of a port has none of @ % / : and no white space, and is not empty")
	}
	network, at, _ := strings.Cut(address, ":")
	s.network = network
	how, ok := qemuKinds[network]
	if !ok || at == "" {
		return s, fmt.Errorf("%q is none of unix:PATH, tcp:HOST:PORT, unixgram:PATH, udp:HOST:PORT and mcast:GROUP:PORT", address)
	}
	if err := how.take(s, at); err != nil {
		return s, fmt.Errorf("%s: %w", address, err)
	}
	given := map[string]bool{}
	for _, word := range words[1:] {
		option, value, hasValue := strings.Cut(word, "=")
		take, ok := how.options[option]
		switch {
		case !ok:
			return s, fmt.Errorf("%q is no option of %s; there are: %s", word, network, how.names)
		case given[option]:
			return s, fmt.Errorf("%s: %s was said already", word, option)
		case hasValue && value == "":
			return s, fmt.Errorf("%s: the value is missing", word)
		}
		given[option] = true
		if err := take(s, value); err != nil {
			return s, fmt.Errorf("%s: %w", word, err)
		}
	}
	return s, s.checkQEMU(given)
}

// splitOptions parts words at commas, of which two stand for one that does not part.
func splitOptions(text string) (words []string) {
	var word strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != ',':
			word.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == ',':
			word.WriteByte(',')
			i++
		default:
			words = append(words, word.String())
			word.Reset()
		}
	}
	return append(words, word.String())
}

// qemuKind is one kind of socket.
type qemuKind struct {
	take    func(s *qemuSource, at string) error // what is behind the colon
	options map[string]func(s *qemuSource, value string) error
	names   string // of the options
}

var qemuKinds = map[string]qemuKind{
	"unix": {takeUnix, map[string]func(*qemuSource, string) error{
		"connect": takeConnect, "reconnect-ms": takeReconnect, "mode": takeMode,
	}, "connect, reconnect-ms=MS, mode=MODE"},
	"tcp": {takeTCP, map[string]func(*qemuSource, string) error{
		"connect": takeConnect, "reconnect-ms": takeReconnect,
	}, "connect, reconnect-ms=MS"},
	"unixgram": {takeUnixgram, map[string]func(*qemuSource, string) error{
		"remote": takeRemotePath, "mode": takeMode,
	}, "remote=PATH, mode=MODE"},
	"udp": {takeUDP, map[string]func(*qemuSource, string) error{
		"remote": takeRemoteUDP,
	}, "remote=HOST:PORT"},
	"mcast": {takeGroup, map[string]func(*qemuSource, string) error{
		"localaddr": takeLocalAddr,
	}, "localaddr=IP"},
}

func takeUnix(s *qemuSource, at string) error {
	s.path, s.stream.Address = at, "unix:"+at
	return nil
}

func takeTCP(s *qemuSource, at string) error {
	s.stream.Address = "tcp:" + at
	return checkHostPort(at)
}

func takeUnixgram(s *qemuSource, at string) error {
	s.path, s.dgram.Local = at, "unix:"+at
	return nil
}

func takeUDP(s *qemuSource, at string) error {
	s.dgram.Local = "udp:" + at
	return checkHostPort(at)
}

func takeGroup(s *qemuSource, at string) error {
	s.dgram.Remote = "udp:" + at
	group, err := netip.ParseAddrPort(at)
	if err != nil || !group.Addr().Is4() || !group.Addr().IsMulticast() || group.Port() == 0 {
		return errors.New("not a multicast group of IPv4 and a port, such as 230.0.0.1:1234")
	}
	return nil
}

func checkHostPort(at string) error {
	_, port, err := net.SplitHostPort(at)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("not HOST:PORT, with a PORT from 0 to 65535")
	}
	return nil
}

func takeConnect(s *qemuSource, value string) error {
	if value != "" {
		return errors.New("it has no value")
	}
	s.connect = true
	return nil
}

func takeReconnect(s *qemuSource, value string) error {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || n == 0 {
		return errors.New("not a number of milliseconds, 1 or more")
	}
	s.stream.Reconnect = time.Duration(n) * time.Millisecond
	return nil
}

func takeMode(s *qemuSource, value string) error {
	n, err := strconv.ParseUint(value, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return errors.New("not a mode of a file, such as 0660")
	}
	s.mode = fs.FileMode(n)
	return nil
}

func takeRemotePath(s *qemuSource, value string) error {
	if value == "" {
		return errors.New("the path is missing")
	}
	s.dgram.Remote = "unix:" + value
	return nil
}

func takeRemoteUDP(s *qemuSource, value string) error {
	s.dgram.Remote = "udp:" + value
	return checkHostPort(value)
}

func takeLocalAddr(s *qemuSource, value string) error {
	a, err := netip.ParseAddr(value)
	if err != nil || !a.Is4() {
		return errors.New("not the IPv4 address of an interface")
	}
	s.dgram.Local = "udp:" + value + ":0"
	return nil
}

// checkQEMU checks what the words are together, and adds what they leave open.
func (s *qemuSource) checkQEMU(given map[string]bool) error {
	abstract := strings.HasPrefix(s.path, "@")
	switch {
	case given["reconnect-ms"] && !s.connect:
		return errors.New("reconnect-ms is for connect: whoever listens waits")
	case s.mode != 0 && s.connect:
		return errors.New("mode is for a socket that is made here, not for connect")
	case s.mode != 0 && abstract:
		return errors.New("a name in the abstract namespace has no mode: anybody may connect")
	case strings.HasPrefix(s.dgram.Local, "udp:") && s.dgram.Remote == "":
		return errors.New("remote=HOST:PORT is missing, the peer's end")
	}
	if s.connect && s.stream.Reconnect == 0 {
		s.stream.Reconnect = defaultReconnect
	}
	return nil
}
