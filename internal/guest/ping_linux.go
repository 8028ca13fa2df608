package guest

import (
	"context"
	"fmt"
	"regexp"
)

// rtt is how both pings tell how long it took, that of iputils and that of busybox.
var rtt = regexp.MustCompile(`time=([0-9.]+) ms`)

// Pinged says in a line what a ping that had an answer printed.
func Pinged(ip, out string) (string, error) {
	m := rtt.FindStringSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("no answer from %s:\n%s", ip, out)
	}
	return fmt.Sprintf("%s has answered after %s ms\n", ip, m[1]), nil
}

// Ping sends one echo request from the guest, and says in a line when it was answered.
func (g *Guest) Ping(ctx context.Context, ip string) (string, error) {
	out, err := g.Run(ctx, "ping -c 1 -W 10 "+ip)
	if err != nil {
		return "", err
	}
	return Pinged(ip, out)
}
