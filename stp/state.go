package stp

import "strconv"

// A State is a port's spanning-tree state, with the numbers that Linux gives them
// (BR_STATE_*).
type State uint8

// The states of 802.1D-1998, 8.4. RSTP has three: its Discarding is Blocking here.
const (
	Disabled   State = iota // lets nothing through, and takes no BPDU
	Listening               // lets nothing through, and waits whether a better port speaks up
	Learning                // learns, forwards nothing
	Forwarding              // learns and forwards
	Blocking                // lets nothing through
)

var stateNames = [...]string{"disabled", "listening", "learning", "forwarding", "blocking"}

// String gives the word that bridge(8) prints.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "state " + strconv.Itoa(int(s))
}

// Learns reports whether a port in state s takes frames of stations: it learns from
// them, and if it is Forwarding they go on.
func (s State) Learns() bool { return s == Forwarding || s == Learning }
