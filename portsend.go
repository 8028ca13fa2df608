package bridge

import (
	"sync"

	"github.com/ddfb540f/bridge/frame"
)

// sender is the context of the frames that Port.Send sends.
type sender struct {
	sync.Mutex // guards in, and lets one Send in at a time
	in         *Input
}

// Send has frames leave by the port as a program on the port's own device would send
// them, by a packet socket in Linux: what answers the frames of PortConfig.OnPass, or a
// probe. They pass no filter, nothing is learned from them, and neither the flags nor the
// state nor the VLANs of the port are asked; a frame of a VLAN has its Tag. That the
// device is up, and its MTU, counts as for any frame. They are offered in the port's
// egress ledger. It keeps and changes nothing of fs. The error is the first refusal, the
// other frames are sent all the same: EINVAL for a frame shorter than 14 bytes, or that
// owes what it cannot; ENODEV, or one matching net.ErrClosed, when the port has left. That
// a frame is not taken is no error. It is for those outside a batch, like Receive.
func (p *Port) Send(fs ...frame.Frame) error {
	b := p.b
	defer b.afterwards() // once the lock is free
	b.sender.Lock()
	defer b.sender.Unlock()
	if b.sender.in == nil {
		b.sender.in = b.host.input()
	}
	var first error
	for len(fs) > 0 {
		n := min(len(fs), batchSize)
		if err := b.sender.in.send(p, fs[:n]); err != nil && first == nil {
			first = err
		}
		fs = fs[n:]
	}
	return first
}

// send is a batch of frames that leave by p, and came in nowhere.
func (in *Input) send(p *Port, fs []frame.Frame) (first error) {
	in.begin(0)
	defer in.end()
	in.adopt(in.b.cfg.Load())
	pc := in.cfg.conf(p)
	switch {
	case in.cfg.closed:
		return errClosed
	case pc == nil:
		return refuse("send", p.name, ENODEV, "the port has left")
	}
	for i := range fs {
		f := &fs[i]
		switch {
		case !f.WellFormed():
			first = orFirst(first, refuse("send", p.name, EINVAL, "a frame has 14 bytes at least"))
		case f.Owes() && f.CheckOwed() != nil:
			first = orFirst(first, refuse("send", p.name, EINVAL, "a frame owes what cannot be done"))
		default:
			in.sendOne(pc, f)
		}
	}
	in.flush()
	return first
}

func orFirst(first, err error) error {
	if first != nil {
		return first
	}
	return err
}

func (in *Input) sendOne(pc *portConf, f *frame.Frame) {
	in.header = headerOf(f)
	in.vid = 0
	if why := pc.forwardable(f); why != NotDropped {
		in.notForwardable(pc, f, why)
		return
	}
	in.enter(f)
	in.putEntered(pc.num, pc.p)
}
