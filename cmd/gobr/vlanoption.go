package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/frame"
)

// parseVLANs reads the VLANS of --vlan. The result is not nil: nil stands for the
// default PVID.
func parseVLANs(text string) ([]bridge.VLAN, error) {
	if text == "none" {
		return []bridge.VLAN{}, nil
	}
	if vid, ok := strings.CutPrefix(text, "access:"); ok {
		v, err := parseVID(vid)
		if err != nil {
			return nil, err
		}
		return bridge.Access(v), nil
	}
	list, trunk := strings.CutPrefix(text, "trunk:")
	var vs, native []bridge.VLAN
	for item := range strings.SplitSeq(list, ",") {
		vid, is := strings.CutPrefix(item, "native:")
		switch {
		case is && !trunk:
			return nil, errors.New("native:VID belongs behind trunk:, with the other VLANs")
		case is && native != nil:
			return nil, errors.New("there is one native VLAN at most")
		case is:
			v, err := parseVID(vid)
			if err != nil {
				return nil, err
			}
			native = bridge.Access(v)
		case trunk && strings.Contains(item, ":"):
			return nil, fmt.Errorf("%s: behind trunk: every VLAN is tagged, but for native:VID", item)
		default:
			v, err := parseVLAN(item)
			if err != nil {
				return nil, err
			}
			vs = append(vs, v)
		}
	}
	// Whatever is said of a VLAN last counts, so the native one may be in a range.
	return append(vs, native...), checkVLANs(vs)
}

// parseVLAN reads VID[-VID][:pvid][:untagged].
func parseVLAN(item string) (v bridge.VLAN, err error) {
	words := strings.Split(item, ":")
	first, last, ranged := strings.Cut(words[0], "-")
	if v.VID, err = parseVID(first); err != nil {
		return v, err
	}
	if ranged {
		if v.End, err = parseVID(last); err != nil {
			return v, err
		}
		if v.End <= v.VID {
			return v, fmt.Errorf("%s: a range ends above its begin", words[0])
		}
	}
	for _, w := range words[1:] {
		switch {
		case w == "pvid" && ranged:
			return v, fmt.Errorf("%s: the PVID is one VLAN", item)
		case w == "pvid":
			v.PVID = true
		case w == "untagged":
			v.Untagged = true
		default:
			return v, fmt.Errorf("%s: %q is neither pvid nor untagged", item, w)
		}
	}
	return v, nil
}

func parseVID(text string) (frame.VID, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < 1 || n > uint64(frame.MaxVID) {
		return 0, fmt.Errorf("%q is no VLAN id from 1 to 4094", text)
	}
	return frame.VID(n), nil
}

// checkVLANs refuses what would take back what was said before.
func checkVLANs(vs []bridge.VLAN) error {
	var seen [frame.MaxVID + 1]bool
	pvid := false
	for _, v := range vs {
		for vid := v.VID; vid <= max(v.VID, v.End); vid++ {
			if seen[vid] {
				return fmt.Errorf("VLAN %d is named twice", vid)
			}
			seen[vid] = true
		}
		if v.PVID && pvid {
			return errors.New("there is one PVID at most")
		}
		pvid = pvid || v.PVID
	}
	return nil
}
