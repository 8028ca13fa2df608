package rtnl

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

type pair struct {
	kind  uint16
	value string
}

func pairs(b []byte) (all []pair) {
	for kind, v := range Attrs(b) {
		all = append(all, pair{kind, string(v)})
	}
	return all
}

// What is put into a message comes out of it.
func TestMsg(t *testing.T) {
	m := New(unix.RTM_NEWLINK, unix.NLM_F_CREATE, Link(unix.AF_BRIDGE, 7, unix.IFF_UP, unix.IFF_UP))
	m.U8(1, 8).U16(2, 16).U32(3, 32).U64(4, 64).Text(5, "br0")
	m.Nest(6|Nested, func() { m.U8(1, 1); m.Nest(2, func() { m.Raw32(1, 2) }) })
	got := map[uint16][]byte{}
	for kind, v := range Attrs(m.b[unix.SizeofNlMsghdr+unix.SizeofIfInfomsg:]) {
		got[kind] = v
	}
	for kind, n := range map[uint16]uint64{1: 8, 2: 16, 3: 32, 4: 64} {
		assert.Equal(t, n, Num(got[kind]))
	}
	assert.Equal(t, "br0\x00", string(got[5]))
	inner := pairs(got[6])
	require.Len(t, inner, 2)
	assert.Equal(t, pair{1, "\x01"}, inner[0])
	assert.Len(t, inner[1].value, 8)
	assert.Zero(t, Num([]byte("three")[:3]), "no number has three bytes")
}

// FuzzAttrs: whatever the bytes, attributes come one behind the other and within
// them, and what is read and written again reads the same.
func FuzzAttrs(f *testing.F) {
	f.Add([]byte{5, 0, 1, 0, 9, 0, 0, 0, 4, 0, 2, 128})
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{255, 255, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, sum := &Msg{}, 0
		for kind, v := range Attrs(b) {
			sum += unix.SizeofNlAttr + len(v)
			m.Bytes(kind, v)
		}
		assert.LessOrEqual(t, sum, len(b))
		assert.Equal(t, pairs(b), pairs(m.b))
	})
}

// FuzzAnswers: whatever comes in a datagram, it is read to its end or refused, and no
// message is handed over that is not within it.
func FuzzAnswers(f *testing.F) {
	f.Add(New(unix.RTM_NEWLINK, 0, Link(0, 1, 0, 0)).b)
	f.Add([]byte{20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Add([]byte{20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128})
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := 0
		c := &Conn{}
		_, err := c.answers(b, func(_ uint16, body []byte) { sum += unix.SizeofNlMsghdr + len(body) })
		assert.LessOrEqual(t, sum, len(b))
		var no unix.Errno
		if errors.As(err, &no) {
			assert.Positive(t, int(no))
		}
	})
}

// The kernel answers: with an object, with many, and with a refusal by number.
func TestConn(t *testing.T) {
	c, err := Open()
	require.NoError(t, err)
	defer c.Close()
	body, err := c.Get(New(unix.RTM_GETLINK, 0, Link(0, 1, 0, 0)))
	require.NoError(t, err)
	assert.Equal(t, uint64(1), Num(body[4:8]), "the loopback interface is the first")
	links := 0
	require.NoError(t, c.Dump(New(unix.RTM_GETLINK, 0, Link(0, 0, 0, 0)), func([]byte) { links++ }))
	assert.Positive(t, links)
	err = c.Do(New(unix.RTM_DELLINK, 0, Link(0, 1<<30, 0, 0)))
	if os.Geteuid() == 0 {
		assert.Equal(t, unix.ENODEV, err)
	} else {
		assert.Equal(t, unix.EPERM, err)
	}
}
