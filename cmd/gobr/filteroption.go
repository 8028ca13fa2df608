package main

import (
	"errors"
	"net/netip"

	"github.com/ddfb540f/bridge"
	"github.com/ddfb540f/bridge/filter"
)

func takeAllowedMAC(o *portOptions, value string) error {
	m, err := parseStation(value)
	if err == nil {
		o.allowed.MACs = append(o.allowed.MACs, m)
	}
	return err
}

// takeAllowedIP takes an address, or a prefix without bits behind its length.
func takeAllowedIP(o *portOptions, value string) error {
	p, err := netip.ParsePrefix(value)
	if a, aerr := netip.ParseAddr(value); aerr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p.Addr().Is4In6() || p != p.Masked() {
		return errors.New("neither an IP address nor a prefix, such as 10.0.0.5 or 10.0.0.0/24")
	}
	o.allowed.IPs = append(o.allowed.IPs, p)
	return nil
}

// rate is an option that holds a class of frames to a number a second.
func rate(name string, c filter.Class) portOption {
	return number(name, forPort, 1, 1e9, func(o *portOptions, n int) { o.rates[c].Frames = int64(n) })
}

// setFilters has the bridge ask the filters that ports have options for.
func (s *session) setFilters() error {
	allowed, rates := map[string]filter.Allowed{}, map[string]filter.Rates{}
	for _, p := range s.ports {
		if len(p.allowed.MACs)+len(p.allowed.IPs) > 0 {
			allowed[p.name] = p.allowed
		}
		if p.rates != (filter.Rates{}) {
			rates[p.name] = p.rates
		}
	}
	var fs []bridge.Filter
	if s.loop != nil {
		fs = append(fs, s.loop.Filter())
	}
	if len(allowed) > 0 {
		a, err := filter.NewAddresses(allowed)
		if err != nil {
			return err
		}
		fs = append(fs, a.Filter())
	}
	if len(rates) > 0 {
		storm, err := filter.NewStorm(rates, filter.Rates{})
		if err != nil {
			return err
		}
		fs = append(fs, storm.Filter())
	}
	return s.b.SetFilters(fs...)
}
