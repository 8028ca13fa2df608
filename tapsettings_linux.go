package bridge

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ddfb540f/bridge/frame"
)

// tapSettings is what a TAP changes about its interface, and puts back when it is
// closed if the interface was there before.
type tapSettings struct {
	found    bool       // the interface was there before; set once, when opening
	mu       sync.Mutex // guards the rest
	address  tapSetting[frame.MAC]
	mtu      tapSetting[int]
	queueLen tapSetting[int]
	up       tapSetting[bool]
}

func (s *tapSettings) init(t *linuxTAP) {
	s.address = tapSetting[frame.MAC]{tap: t, what: "address", get: t.address, put: t.putAddress}
	s.mtu = tapSetting[int]{tap: t, what: "MTU", get: t.mtu, put: t.putMTU}
	s.queueLen = tapSetting[int]{tap: t, what: "queue length", get: t.queueLen, put: t.putQueueLen}
	s.up = tapSetting[bool]{tap: t, what: "state, up or down", get: t.up, put: t.putUp}
}

// restore puts everything back. It is called once, after closed was set, so that
// no change follows.
func (s *tapSettings) restore() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.found {
		return nil
	}
	// Up or down first: an interface that goes down again passes nothing under
	// settings that are half of this and half of that.
	return errors.Join(s.up.restore(), s.queueLen.restore(), s.mtu.restore(), s.address.restore())
}

// tapSetting is one of them.
type tapSetting[T comparable] struct {
	tap     *linuxTAP
	what    string
	get     func() (T, error)
	put     func(T) error
	changed bool // was and is hold
	was     T    // before the TAP changed it
	is      T    // as the TAP set it last
}

// set changes the setting. What is so already needs no right to change it.
func (s *tapSetting[T]) set(v T) error {
	s.tap.settings.mu.Lock()
	defer s.tap.settings.mu.Unlock()
	if s.tap.closed.Load() {
		return net.ErrClosed
	}
	now, err := s.get()
	if err != nil || now == v {
		return err
	}
	if err := s.put(v); err != nil {
		return err
	}
	if !s.changed || s.is != now { // somebody else set it to now
		s.was = now
	}
	s.changed, s.is = true, v
	return nil
}

// restore puts the setting back, unless somebody else has changed it since. What
// has happened to an interface that is no longer here is not a TAP's affair.
func (s *tapSetting[T]) restore() error {
	if !s.changed || s.was == s.is {
		return nil
	}
	now, err := s.get()
	if err == nil && now == s.is {
		err = s.put(s.was)
	}
	if err == nil || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("put back its %s (%v): %w", s.what, s.was, err)
}

func (t *linuxTAP) setAddress(a frame.MAC) error { return t.settings.address.set(a) }
func (t *linuxTAP) setMTU(n int) error           { return t.settings.mtu.set(n) }
func (t *linuxTAP) setUp(up bool) error          { return t.settings.up.set(up) }

func (t *linuxTAP) putAddress(a frame.MAC) error {
	var r ifreq
	r.putMAC(a)
	return t.onFile(unix.SIOCSIFHWADDR, &r)
}

func (t *linuxTAP) mtu() (int, error)       { return t.getLong(unix.SIOCGIFMTU) }
func (t *linuxTAP) putMTU(n int) error      { return t.putLong(unix.SIOCSIFMTU, n) }
func (t *linuxTAP) queueLen() (int, error)  { return t.getLong(unix.SIOCGIFTXQLEN) }
func (t *linuxTAP) putQueueLen(n int) error { return t.putLong(unix.SIOCSIFTXQLEN, n) }

func (t *linuxTAP) getLong(req uint) (int, error) {
	r, err := t.device()
	if err == nil {
		err = t.onControl(req, r)
	}
	if err != nil {
		return 0, err
	}
	return int(*r.long()), nil
}

func (t *linuxTAP) putLong(req uint, n int) error {
	r, err := t.device()
	if err != nil {
		return err
	}
	*r.long() = int32(n)
	return t.onControl(req, r)
}

// flags gives an ifreq that holds the flags of the interface.
func (t *linuxTAP) flags() (*ifreq, error) {
	r, err := t.device()
	if err != nil {
		return nil, err
	}
	return r, t.onControl(unix.SIOCGIFFLAGS, r)
}

func (t *linuxTAP) link() (up, carrier bool, err error) {
	r, err := t.flags()
	if err == nil {
		err = t.on(t.ctl, func(fd uintptr) syscall.Errno {
			up, carrier = r.link(fd)
			return 0
		})
	}
	return up, carrier, err
}

func (t *linuxTAP) up() (bool, error) {
	r, err := t.flags()
	if err != nil {
		return false, err
	}
	return *r.short()&unix.IFF_UP != 0, nil
}

func (t *linuxTAP) putUp(up bool) error {
	r, err := t.flags()
	if err != nil {
		return err
	}
	*r.short() &^= unix.IFF_UP
	if up {
		*r.short() |= unix.IFF_UP
	}
	return t.onControl(unix.SIOCSIFFLAGS, r)
}
