package replay

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// hostName is the recorded name of the bridge device, and of the host behind it.
const hostName = "br0"

// The kernel of the recordings keeps times in ticks (HZ is 250) and speaks 1/100
// s with its users (USER_HZ is 100). Both ways round down, so 125 is dumped as
// 124.
const (
	tick   = 4 * time.Millisecond
	hz     = 250
	userHZ = 100
)

// duration is the recorded time v in the kernel (clock_t_to_jiffies).
func duration(v int64) time.Duration { return time.Duration(v*hz/userHZ) * tick }

// clock is how the kernel dumps d (jiffies_to_clock_t).
func clock(d time.Duration) int64 { return int64(d/tick) * userHZ / hz }

var stateNumbers = map[string]bridge.PortState{
	"disabled": bridge.StateDisabled, "listening": bridge.StateListening, "learning": bridge.StateLearning,
	"forwarding": bridge.StateForwarding, "blocking": bridge.StateBlocking,
}

// portState reads a state's word or its number, in or out of range.
func portState(word string) (bridge.PortState, error) {
	if s, ok := stateNumbers[word]; ok {
		return s, nil
	}
	n, err := strconv.ParseUint(word, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("bad port state %q", word)
	}
	return bridge.PortState(n), nil
}

var etherTypes = map[string]frame.EtherType{"802.1Q": frame.TypeDot1Q, "802.1ad": frame.TypeDot1AD}

// protocol reads "802.1Q", "802.1ad" or a number.
func protocol(word string) (frame.EtherType, error) {
	if t, ok := etherTypes[word]; ok {
		return t, nil
	}
	n, err := strconv.ParseUint(word, 0, 16)
	if err != nil {
		return 0, fmt.Errorf("bad VLAN protocol %q", word)
	}
	return frame.EtherType(n), nil
}

// protocolName is protocol's inverse.
func protocolName(t frame.EtherType) string {
	for word, u := range etherTypes {
		if t == u {
			return word
		}
	}
	return t.String()
}

// nudState gives the raw state that bridge(8) sends for a word: it starts from
// NOARP, permanent adds PERMANENT, static adds REACHABLE, dynamic has REACHABLE
// alone. A number is the raw state.
func nudState(word string) (bridge.NUDState, error) {
	switch word {
	case "permanent":
		return bridge.NUDNoARP | bridge.NUDPermanent, nil
	case "static":
		return bridge.NUDNoARP | bridge.NUDReachable, nil
	case "dynamic":
		return bridge.NUDReachable, nil
	}
	n, err := strconv.ParseUint(word, 0, 16)
	if err != nil {
		return 0, fmt.Errorf("bad FDB state %q", word)
	}
	return bridge.NUDState(n), nil
}

func bit(on bool) Value {
	if on {
		return Value{Num: 1}
	}
	return Value{}
}

func num[T ~int | ~int64 | ~uint16 | ~uint32](n T) Value { return Value{Num: int64(n)} }

func word(s string) Value { return Value{Word: s, Text: true} }

func ticks(d time.Duration) Value { return Value{Num: clock(d)} }
