package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of /proc/stat (USER_HZ), the same on every machine that Go runs on.
const tick = 10 * time.Millisecond

// machineBusy is how long the processors of the machine have worked since it started,
// all together, softirqs included; what the host took away (steal) is not in it.
func machineBusy() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(string(b))
}

// parseBusy reads the first line of /proc/stat: cpu user nice system idle iowait irq
// softirq steal.
func parseBusy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	var user, nice, system, idle, iowait, irq, softirq int64
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq); err != nil {
		return 0, fmt.Errorf("/proc/stat: %q: %w", line, err)
	}
	return time.Duration(user+nice+system+irq+softirq) * tick, nil
}

// processBusy is the processor time of processes since they started, to the nanosecond:
// their CPU clocks (clock_getcpuclockid(3)), which for a process of one's own is what
// getrusage tells. A process that is not there took none.
func processBusy(pids []int) (sum time.Duration) {
	const schedClock = 2 // CPUCLOCK_SCHED
	for _, pid := range pids {
		var t unix.Timespec
		if unix.ClockGettime(int32(^pid<<3|schedClock), &t) == nil {
			sum += time.Duration(t.Nano())
		}
	}
	return sum
}

// monotonic is the clock that all processes of the machine share.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail
	return t.Nano()
}
