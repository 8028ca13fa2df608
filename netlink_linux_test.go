package bridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// statsAnswer is how the kernel answers an RTM_GETSTATS request, with attrs as they
// stand behind the struct if_stats_msg.
func statsAnswer(kind uint16, attrs []byte) []byte {
	ne := binary.NativeEndian
	b := ne.AppendUint32(nil, uint32(nlHeaderLen+ifStatsMsgLen+len(attrs)))
	b = ne.AppendUint16(b, kind)
	b = append(b, make([]byte, 2+4+4+ifStatsMsgLen)...)
	return append(b, attrs...)
}

// statsAttr is an attribute that holds the counters n, n+1 and so on.
func statsAttr(kind uint16, n uint64, counters int) []byte {
	ne := binary.NativeEndian
	b := ne.AppendUint16(nil, uint16(nlAttrLen+8*counters))
	b = ne.AppendUint16(b, kind)
	for i := range counters {
		b = ne.AppendUint64(b, n+uint64(i))
	}
	return b
}

func TestParseLinkStats(t *testing.T) {
	pad := make([]byte, 8) // an attribute of one byte, and its padding
	binary.NativeEndian.PutUint16(pad, 5)
	binary.NativeEndian.PutUint16(pad[2:], 99)
	good := statsAttr(unix.IFLA_STATS_LINK_64, 100, 25)
	for name, b := range map[string][]byte{
		"alone":                  statsAnswer(unix.RTM_NEWSTATS, good),
		"behind another":         statsAnswer(unix.RTM_NEWSTATS, slices.Concat(pad, good)),
		"of an old kernel":       statsAnswer(unix.RTM_NEWSTATS, statsAttr(unix.IFLA_STATS_LINK_64, 100, 8)),
		"with more behind it":    append(statsAnswer(unix.RTM_NEWSTATS, good), 1, 2, 3),
		"before one cut in half": statsAnswer(unix.RTM_NEWSTATS, slices.Concat(good, pad[:3])),
	} {
		rx, tx, err := parseLinkStats(b)
		assert.NoError(t, err, name)
		assert.Equal(t, [2]uint64{106, 107}, [2]uint64{rx, tx}, name)
	}
	whole := statsAnswer(unix.RTM_NEWSTATS, good)
	for n := range len(whole) {
		_, _, err := parseLinkStats(whole[:n])
		assert.ErrorIs(t, err, errNetlinkAnswer, "%d bytes", n)
	}
	for name, b := range map[string][]byte{
		"no attribute":        statsAnswer(unix.RTM_NEWSTATS, nil),
		"another attribute":   statsAnswer(unix.RTM_NEWSTATS, statsAttr(99, 100, 25)),
		"too few counters":    statsAnswer(unix.RTM_NEWSTATS, statsAttr(unix.IFLA_STATS_LINK_64, 100, 7)),
		"another message":     statsAnswer(unix.RTM_NEWLINK, good),
		"an attribute of 0":   statsAnswer(unix.RTM_NEWSTATS, make([]byte, 64)),
		"an error of nothing": statsAnswer(unix.NLMSG_ERROR, nil),
	} {
		_, _, err := parseLinkStats(b)
		assert.ErrorIs(t, err, errNetlinkAnswer, name)
	}
	refused := statsAnswer(unix.NLMSG_ERROR, nil)
	no := -int32(unix.ENODEV)
	binary.NativeEndian.PutUint32(refused[nlHeaderLen:], uint32(no))
	_, _, err := parseLinkStats(refused)
	assert.ErrorIs(t, err, unix.ENODEV)
}

func FuzzParseLinkStats(f *testing.F) {
	f.Add(statsAnswer(unix.RTM_NEWSTATS, statsAttr(unix.IFLA_STATS_LINK_64, 1, 25)))
	f.Add(statsAnswer(unix.NLMSG_ERROR, []byte{1, 2, 3, 0xff}))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := slices.Clone(b)
		rx, tx, err := parseLinkStats(b)
		assert.Equal(t, before, b)
		var no syscall.Errno
		switch {
		case err == nil: // both are in it, one behind the other
			pair := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, rx), tx)
			assert.True(t, bytes.Contains(b, pair))
		case errors.As(err, &no):
			assert.NotZero(t, no)
		default:
			assert.Equal(t, errNetlinkAnswer, err)
		}
	})
}

// What the kernel says of a loopback, and of an interface that there is not.
func TestLinkStats(t *testing.T) {
	ctl, err := openControl()
	require.NoError(t, err)
	defer ctl.Close()
	r := newIfreq("lo")
	require.NoError(t, onDescriptor(ctl, func(fd uintptr) syscall.Errno { return ioctlIfreq(fd, unix.SIOCGIFINDEX, r) }))
	for range 3 {
		_, _, err = linkStats(ctl, int(*r.long()))
		assert.NoError(t, err)
		_, _, err = linkStats(ctl, 1<<30)
		assert.ErrorIs(t, err, unix.ENODEV)
	}
	require.NoError(t, ctl.Close())
	_, _, err = linkStats(ctl, 1)
	assert.Error(t, err)
}
