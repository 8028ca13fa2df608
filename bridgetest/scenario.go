package bridgetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ddfb540f/bridge"
)

// PlayScenario plays a text that teaches: prose, and between it commands, each group of
// them with the log of what they caused. It gives the text back with the logs as they
// are in truth, so a scenario holds if it comes back as it went in.
//
//	A host's first frame goes everywhere.
//
//	switch br0
//	host h1
//	host h2
//	ping h1 h2
//	----
//	0s h1 sends ARP who has 10.0.0.2? tell 10.0.0.1
//	...
//
// Blocks are parted by empty lines. One with a line "----" is commands above it, and
// the log below; any other is prose. Time stands still but in run and ping. The log has
// a line for each frame that a host sends or takes, and for each event of a switch
// (but what plugging in causes). A command that is refused has a line, too. The
// commands:
//
//	switch NAME [ATTR=VALUE...]          a switch
//	host NAME [KEY=VALUE...] [self]      a host on a port: switch, port, mac, ip, vlan; access=VID
//	                                     or trunk=VID,VID... for the port; self: the switch's own
//	cable END END                        two switches, each END is SWITCH:PORT
//	set DEV ATTR=VALUE...                settings, named as ip-link(8) and bridge(8) do
//	cut END, mend END                    the cable between switches that has this end
//	link PORT up|down                    the port's carrier
//	vlan add|del PORT VID [pvid] [untagged]
//	ping HOST HOST
//	send HOST MAC|BROADCAST|HOST [TEXT]  a frame of EtherType 88b5; to a group's address: UDP
//	join, leave, forget HOST GROUP       an IPv4 group
//	query HOST INTERVAL MAXRESP          the host is the querier; "query HOST off"
//	run DURATION                         time goes by
//	log on|events|off                    what happens is written down, without frames, or not
//	trace on|off                         also each step of each switch
//	show fdb|mdb|ports|counters          fdb: without the switches' own addresses
//
// DEV is a switch or a PORT; a PORT is named alone if no other switch has one of its
// name, else SWITCH:PORT. The error tells of a text that is no scenario: a command that
// there is not.
func PlayScenario(text string) (string, error) {
	lab, err := New(Config{Switches: []bridge.Config{}})
	if err != nil {
		return "", err
	}
	defer lab.Close()
	s := &scenario{lab: lab}
	s.watch(true)
	var blocks []string
	for i, block := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		commands, _, ok := strings.Cut("\n"+block+"\n", "\n----\n")
		if !ok {
			blocks = append(blocks, block)
			continue
		}
		log, err := s.play(strings.TrimPrefix(commands, "\n"))
		if err != nil {
			return "", fmt.Errorf("bridgetest: block %d: %w", i+1, err)
		}
		blocks = append(blocks, strings.TrimPrefix(commands, "\n")+"\n----\n"+log)
	}
	for i := range blocks {
		blocks[i] = strings.TrimRight(blocks[i], "\n")
	}
	return strings.Join(blocks, "\n\n") + "\n", lab.Check()
}

// CheckScenario plays the scenario in a file, and fails the test if its logs differ
// from what happens. With rewrite the file is renewed instead: look at what has changed.
func CheckScenario(t TB, file string, rewrite bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v", err)
	}
	played, err := PlayScenario(string(text))
	switch {
	case err != nil:
		t.Fatalf("%s: %v", file, err)
	case played == string(text):
	case rewrite:
		if err := os.WriteFile(file, []byte(played), 0o644); err != nil {
			t.Fatalf("%v", err)
		}
	default:
		t.Errorf("%s: differs from what happens:\n%s", file, firstDifference(string(text), played))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d: %s\n  happens: %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("%d lines, and %d happen", len(w), len(g))
}

// scenario is one that is being played.
type scenario struct {
	lab *Lab
	log bytes.Buffer
	off bool // what happens is not written down

	noFrames bool // nor are frames
	cables   []*Link
}

// Write is the lab's trace.
func (s *scenario) Write(b []byte) (int, error) {
	if s.off || s.noFrames {
		return len(b), nil
	}
	return s.log.Write(b)
}

func (s *scenario) watch(on bool) {
	s.lab.trace = nil
	if on {
		s.lab.trace = s
	}
}

// errUsage is a text that is no scenario.
var errUsage = errors.New("no command")

// play carries out a block of commands.
func (s *scenario) play(commands string) (log string, err error) {
	for line := range strings.Lines(commands) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		err := s.do(strings.Fields(line))
		if errors.Is(err, errUsage) {
			return "", fmt.Errorf("%w: %s", err, line)
		}
		if err != nil {
			fmt.Fprintf(&s.log, "refused: %s\n", strings.TrimPrefix(err.Error(), "bridgetest: "))
		}
	}
	log = s.log.String()
	s.log.Reset()
	return log, nil
}
