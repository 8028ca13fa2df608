package snoop

import "github.com/ddfb540f/bridge/frame"

// Check is what Handle would answer, and changes nothing.
func (m *Machine) Check(port uint16, vid frame.VID, p *Packet) error {
	return nil
}
