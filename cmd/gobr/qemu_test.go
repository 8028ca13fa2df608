package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ddfb540f/bridge/qemu"
)

// What is written behind --qemu is what is opened.
func TestQEMUOptions(t *testing.T) {
	for text, want := range map[string]qemuSource{
		"unix:/run/vm1.sock":                       {stream: qemu.StreamConfig{Address: "unix:/run/vm1.sock"}, path: "/run/vm1.sock"},
		"unix:a,,b=c,mode=0660":                    {stream: qemu.StreamConfig{Address: "unix:a,b=c"}, path: "a,b=c", mode: 0o660},
		"unix:@vm1,connect":                        {stream: qemu.StreamConfig{Address: "unix:@vm1", Reconnect: time.Second}, path: "@vm1", connect: true},
		"tcp:127.0.0.1:0":                          {stream: qemu.StreamConfig{Address: "tcp:127.0.0.1:0"}},
		"tcp:[::1]:5,reconnect-ms=20,connect":      {stream: qemu.StreamConfig{Address: "tcp:[::1]:5", Reconnect: 20 * time.Millisecond}, connect: true},
		"unixgram:/run/br.sock":                    {dgram: qemu.DgramConfig{Local: "unix:/run/br.sock"}, path: "/run/br.sock"},
		"unixgram:b,remote=g,mode=0666":            {dgram: qemu.DgramConfig{Local: "unix:b", Remote: "unix:g"}, path: "b", mode: 0o666},
		"udp::5000,remote=localhost:5001":          {dgram: qemu.DgramConfig{Local: "udp::5000", Remote: "udp:localhost:5001"}},
		"mcast:230.0.0.1:1234":                     {dgram: qemu.DgramConfig{Remote: "udp:230.0.0.1:1234"}},
		"mcast:230.0.0.1:1234,localaddr=127.0.0.1": {dgram: qemu.DgramConfig{Local: "udp:127.0.0.1:0", Remote: "udp:230.0.0.1:1234"}},
	} {
		want.name, want.text = "vm1", "vm1="+text
		want.network, _, _ = strings.Cut(text, ":")
		o, err := parseRun([]string{"--qemu", "vm1=" + text, "--port", "vm1=mtu=9000,up=off,isolated", "--vlan", "vm1=access:10"})
		require.NoError(t, err, text)
		require.Len(t, o.ports, 1)
		assert.Equal(t, &want, o.ports[0].source, text)
		assert.Equal(t, "--qemu vm1="+text, o.ports[0].source.String())
		assert.Equal(t, 9000, o.ports[0].mtu)
	}
	o := parse(t, "--mtu 1400 --qemu a=unix:a --raw b --tap c --port c=mtu=1300")
	assert.Equal(t, []int{1400, 0, 1300}, []int{o.ports[0].mtu, o.ports[1].mtu, o.ports[2].mtu})
}

// What makes no sense is refused with a line that says why, before anything is made.
func TestQEMUComplaints(t *testing.T) {
	for args, says := range map[string]string{
		"--qemu vm1":                                  "it is not NAME=ADDRESS",
		"--qemu =unix:a":                              "the name of a port has none of",
		"--qemu vm%d=unix:a":                          "the name of a port has none of",
		"--qemu vm1@lab=unix:a":                       "the name of a port has none of",
		"--qemu vm1=":                                 `"" is none of unix:PATH, tcp:HOST:PORT,`,
		"--qemu vm1=unix:":                            `"unix:" is none of unix:PATH`,
		"--qemu vm1=/run/vm1.sock":                    `"/run/vm1.sock" is none of unix:PATH`,
		"--qemu vm1=tcp:5555":                         "tcp:5555: not HOST:PORT",
		"--qemu vm1=tcp:localhost:65536":              "tcp:localhost:65536: not HOST:PORT",
		"--qemu vm1=udp:5555,remote=a:1":              "udp:5555: not HOST:PORT",
		"--qemu vm1=mcast:10.0.0.1:5":                 "not a multicast group of IPv4",
		"--qemu vm1=mcast:[ff02::1]:5":                "not a multicast group of IPv4",
		"--qemu vm1=unix:a,server":                    "\"server\" is no option of unix; there are: connect, reconnect-ms=MS, mode=MODE",
		"--qemu vm1=tcp:a:1,mode=0600":                "\"mode=0600\" is no option of tcp",
		"--qemu vm1=unix:a,":                          "\"\" is no option of unix",
		"--qemu vm1=unix:a,connect,connect":           "connect: connect was said already",
		"--qemu vm1=unix:a,connect=on":                "connect=on: it has no value",
		"--qemu vm1=unix:a,connect,reconnect-ms=0":    "reconnect-ms=0: not a number of milliseconds, 1 or more",
		"--qemu vm1=unix:a,connect,reconnect-ms":      "reconnect-ms: not a number",
		"--qemu vm1=unix:a,reconnect-ms=5":            "reconnect-ms is for connect",
		"--qemu vm1=unix:a,connect,mode=0600":         "mode is for a socket that is made here",
		"--qemu vm1=unix:@a,mode=0600":                "abstract namespace has no mode",
		"--qemu vm1=unix:a,mode=rw":                   "mode=rw: not a mode of a file",
		"--qemu vm1=unix:a,mode=1777":                 "mode=1777: not a mode of a file",
		"--qemu vm1=unix:a,mode=":                     "mode=: the value is missing",
		"--qemu vm1=unixgram:a,remote":                "remote: the path is missing",
		"--qemu vm1=udp:a:1":                          "remote=HOST:PORT is missing",
		"--qemu vm1=udp:a:1,remote=2":                 "remote=2: not HOST:PORT",
		"--qemu vm1=mcast:230.0.0.1:1,localaddr=eth0": "localaddr=eth0: not the IPv4 address of an interface",
		"--qemu br0=unix:a":                           "--qemu br0=unix:a: that is the bridge's name",
		"--qemu a=unix:a --qemu a=unix:b":             "--qemu a=unix:b: there is a port of this name already",
		"--qemu a=unix:a --tap a":                     "--tap a: there is a port of this name already",
		"--qemu a=unix:a --port a=txqueue=9":          "--port a=txqueue=9: that is no option of a cable named with --qemu",
		"--qemu a=unix:a --port a=rcvbuf=9999":        "that is no option of a cable named with --qemu",
		"--qemu a=unix:a --port a=queues=2":           "that is no option of a cable named with --qemu",
		"--qemu a=unix:a --port a=offload=off":        "that is no option of a cable named with --qemu",
	} {
		var out, errs strings.Builder
		assert.Equal(t, exitUsage, run(t.Context(), append([]string{"run"}, strings.Fields(args)...), &out, &errs), args)
		assert.Empty(t, out.String(), args)
		assert.Contains(t, errs.String(), says)
		assert.Regexp(t, "-(qemu|port|tap) ?", errs.String(), "the flag is named")
		assert.Equal(t, 1, strings.Count(errs.String(), "\n"), errs.String())
	}
}

// The help has a word for each kind of socket and each option.
func TestHelpOnQEMU(t *testing.T) {
	for network, kind := range qemuKinds {
		assert.Contains(t, usage, "\n  "+network+":")
		for option := range kind.options {
			assert.Contains(t, kind.names, option)
			assert.Regexp(t, `[ ,]`+option+`\b`, usage)
		}
	}
}
