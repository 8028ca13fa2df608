package frame

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// MAC is an IEEE 802 48-bit address: a comparable value of six bytes in wire
// order, usable as a map key. The zero MAC is no valid address of a station.
type MAC [6]byte

// Broadcast is the group address that means every station.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ErrBadMAC is what ParseMAC's errors match.
var ErrBadMAC = errors.New("frame: bad MAC address")

// ParseMAC reads six two-digit hexadecimal groups parted by colons or by
// hyphens, "02:00:00:00:00:01". The error matches ErrBadMAC.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) != 17 || (s[2] != ':' && s[2] != '-') {
		return MAC{}, fmt.Errorf("%w: %q", ErrBadMAC, s)
	}
	for i := range m {
		if i > 0 && s[3*i-1] != s[2] {
			return MAC{}, fmt.Errorf("%w: %q", ErrBadMAC, s)
		}
		if _, err := hex.Decode(m[i:i+1], []byte(s[3*i:3*i+2])); err != nil {
			return MAC{}, fmt.Errorf("%w: %q", ErrBadMAC, s)
		}
	}
	return m, nil
}

// MustParseMAC is ParseMAC for addresses known when the program is written,
// such as in tests; it panics on a bad one.
func MustParseMAC(s string) MAC {
	m, err := ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

// MACFromUint64 gives the address whose 48 bits are the low bits of v, first
// byte highest.
func MACFromUint64(v uint64) MAC {
	return MAC{byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

// Uint64 gives the 48 bits of m as a number, first byte highest, so numbers
// compare as addresses do.
func (m MAC) Uint64() uint64 {
	return uint64(binary.BigEndian.Uint32(m[:4]))<<16 | uint64(binary.BigEndian.Uint16(m[4:]))
}

// IsZero reports whether all six bytes are zero.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsMulticast reports whether m is a group address, the broadcast address
// included (IEEE 802-2014 8.2, the I/G bit).
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// IsBroadcast reports whether m is ff:ff:ff:ff:ff:ff.
func (m MAC) IsBroadcast() bool { return m == Broadcast }

// IsValid reports whether m can be the address of a station: neither zero nor a
// group address (is_valid_ether_addr).
func (m MAC) IsValid() bool { return !m.IsMulticast() && !m.IsZero() }

// IsLinkLocal reports whether m is one of 01:80:c2:00:00:00 to 0f, the
// addresses that IEEE 802.1D bridges reserve (is_link_local_ether_addr).
func (m MAC) IsLinkLocal() bool {
	return m[0] == 0x01 && m[1] == 0x80 && m[2] == 0xc2 && m[3] == 0 && m[4] == 0 && m[5]&0xf0 == 0
}

// Compare orders addresses bytewise: -1, 0 or +1.
func (m MAC) Compare(n MAC) int {
	a, b := m.Uint64(), n.Uint64()
	switch {
	case a < b:
		return -1
	case a > b:
		return +1
	}
	return 0
}

// AppendText appends "02:00:00:00:00:01"; it never fails.
func (m MAC) AppendText(b []byte) ([]byte, error) {
	const digits = "0123456789abcdef"
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[x>>4], digits[x&15])
	}
	return b, nil
}

// MarshalText is AppendText to a new slice.
func (m MAC) MarshalText() ([]byte, error) { return m.AppendText(make([]byte, 0, 17)) }

// UnmarshalText is ParseMAC into m, which is left alone on error.
func (m *MAC) UnmarshalText(b []byte) error {
	n, err := ParseMAC(string(b))
	if err == nil {
		*m = n
	}
	return err
}

// String gives m as "02:00:00:00:00:01".
func (m MAC) String() string {
	b, _ := m.AppendText(make([]byte, 0, 17))
	return string(b)
}
