package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ddfb540f/bridge/filter"
)

// parseLoopProbe reads off, report or hold, and behind it every= and hold=, in seconds.
// nil is off.
func parseLoopProbe(text string) (*filter.Probing, error) {
	c := new(filter.Probing)
	word, options, _ := strings.Cut(text, ",")
	switch word {
	case "off":
		if options != "" {
			return nil, errors.New("off has no options")
		}
		return nil, nil
	case "report":
		c.Hold = -1
	case "hold":
	default:
		return nil, errors.New("neither off, report nor hold")
	}
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		n, err := strconv.Atoi(value)
		d := time.Duration(n) * time.Second
		switch {
		case options == "":
		case name != "every" && name != "hold":
			return nil, fmt.Errorf("%q is neither every=SECONDS nor hold=SECONDS", option)
		case err != nil || n < 1 || n > 86400:
			return nil, fmt.Errorf("%s: not a number from 1 to 86400", option)
		case name == "every":
			c.Every = d
		case word == "report":
			return nil, fmt.Errorf("%s: report holds no port", option)
		default:
			c.Hold = d
		}
	}
	return c, nil
}

// newLoop makes the filter that looks for loops, if it is asked for.
func (s *session) newLoop() (err error) {
	if s.o.loopProbe == nil {
		return nil
	}
	c := *s.o.loopProbe
	for _, p := range s.ports {
		if p.loopKeep {
			c.Keep = append(c.Keep, p.name)
		}
	}
	s.loop, err = filter.NewLoop(c)
	return err
}

// probeLoops has the ports probed when it is time, and says which are let go.
func (s *session) probeLoops(now time.Time) {
	if s.loop == nil || now.Before(s.nextProbe) {
		return
	}
	before := s.loop.Held()
	s.nextProbe = s.loop.Tick(s.b, now)
	held := s.loop.Held()
	for _, name := range before {
		if !slices.Contains(held, name) {
			s.say("%s: held down no more: no probe has come back for a while", name)
		}
	}
}
