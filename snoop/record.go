package snoop

import "encoding/binary"

// RecordType says what a host tells about a group (RFC 3376, section 4.2.12; RFC
// 3810, section 5.2.12).
type RecordType uint8

// The types of group records.
const (
	IsIn  RecordType = iota + 1 // MODE_IS_INCLUDE
	IsEx                        // MODE_IS_EXCLUDE
	ToIn                        // CHANGE_TO_INCLUDE_MODE
	ToEx                        // CHANGE_TO_EXCLUDE_MODE
	Allow                       // ALLOW_NEW_SOURCES
	Block                       // BLOCK_OLD_SOURCES
)

// Record is one group record of a report of IGMPv3 or MLDv2. It points into the
// frame.
type Record struct {
	Type    RecordType // as read; those that are not known are to be passed over
	Family  Family
	Group   Addr
	sources []byte
}

// Len is the number of sources.
func (r *Record) Len() int { return len(r.sources) / addrSize(r.Family) }

// Source is the i-th source, from 0 to Len()-1.
func (r *Record) Source(i int) (a Addr) {
	n := addrSize(r.Family)
	copy(a[:], r.sources[i*n:(i+1)*n])
	return a
}

func addrSize(f Family) int {
	if f == IPv4 {
		return 4
	}
	return 16
}

// EachRecord gives the records of a report in order until yield returns false. The
// error is BadRecord if the report ends within one; those before it were given.
// Auxiliary data, of which the protocols define none, is not skipped (Linux takes
// it for the next record).
func (p *Packet) EachRecord(yield func(Record) bool) error {
	b, n := p.records, addrSize(p.Family)
	for range p.Records {
		if len(b) < 4+n {
			return BadRecord
		}
		r := Record{Type: RecordType(b[0]), Family: p.Family}
		copy(r.Group[:n], b[4:])
		sources := int(binary.BigEndian.Uint16(b[2:])) * n
		b = b[4+n:]
		if len(b) < sources {
			return BadRecord
		}
		r.sources, b = b[:sources], b[sources:]
		if !yield(r) {
			return nil
		}
	}
	return nil
}
