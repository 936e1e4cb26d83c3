package nfnetlink

import (
	"bytes"
	"encoding/binary"

	"hookline/compiler/ir"
)

// Numbers that nft has for its types of data (enum datatypes), by which it knows
// what a set's keys are; the kernel keeps them and does not look.
const (
	typeIPv4      = 7
	typeIPv6      = 8
	typeEther     = 9
	typeProtocol  = 12
	typeService   = 13
	typeMark      = 19
	typeInterface = 41
	typeBits      = 6
)

// keyPart is one field of a set's key in the kernel.
type keyPart struct {
	typ, size int
	// field of the set that it is a part of; a port of a concatenation has two parts, the
	// first of which is its protocol.
	field    int
	protocol bool
	kind     ir.SetField
	// native tells that a number is in the machine's byte order.
	native bool
}

// setKey is how the kernel keeps the elements of a set.
type setKey struct {
	parts  []keyPart
	family ir.Family
	// size in bytes; in a concatenation each part begins at a multiple of four.
	size int
	// ranges tells that an element of several parts has a second key for its end, ends
	// that one of a single part has an element of its own behind its last value.
	ranges, ends bool
}

func padded(n int) int { return (n + 3) &^ 3 }

// keyOf is the key of a set that hookline makes.
func keyOf(s *ir.OwnSet) setKey {
	k := setKey{family: s.Family}
	for i, f := range s.Type {
		p := keyPart{field: i, kind: f}
		switch f {
		case ir.AddressField, ir.CIDRField:
			if p.typ, p.size = typeIPv4, 4; s.Family == ir.IPv6 {
				p.typ, p.size = typeIPv6, 16
			}
		case ir.PortField:
			if len(s.Type) > 1 {
				k.parts = append(k.parts, keyPart{typ: typeProtocol, size: 1, field: i, protocol: true, kind: f})
			}
			p.typ, p.size = typeService, 2
		case ir.InterfaceField:
			p.typ, p.size = typeInterface, 16
		case ir.MACField:
			p.typ, p.size = typeEther, 6
		case ir.MarkField:
			p.typ, p.size = typeMark, 4
		}
		k.parts = append(k.parts, p)
	}
	if len(k.parts) == 1 {
		k.size, k.ends = k.parts[0].size, s.Interval
		k.parts[0].native = k.parts[0].kind == ir.MarkField && !k.ends
		return k
	}
	k.ranges = s.Interval
	for i := range k.parts {
		k.size += padded(k.parts[i].size)
		// In a set of ranges nft turns a mark around, and has rules do so too.
		k.parts[i].native = k.parts[i].kind == ir.MarkField && !k.ranges
	}
	return k
}

// number is the key's type as nft numbers it.
func (k setKey) number() uint32 {
	n := uint32(0)
	for _, p := range k.parts {
		n = n<<typeBits | uint32(p.typ)
	}
	return n
}

// append appends the lowest or the highest values of an element.
func (k setKey) append(b []byte, e *ir.Element, high bool) []byte {
	for _, p := range k.parts {
		x := e.Interval
		if p.field > 0 {
			x = e.Rest[p.field-1]
		}
		v := x.Low
		if high {
			v = x.High
		}
		b = p.append(b, v)
		if len(k.parts) > 1 {
			for n := p.size; n%4 != 0; n++ {
				b = append(b, 0)
			}
		}
	}
	return b
}

func (p keyPart) append(b []byte, v ir.Value) []byte {
	switch {
	case p.protocol:
		return append(b, byte(v.Low>>16))
	case p.native:
		return binary.NativeEndian.AppendUint32(b, uint32(v.Low))
	case p.size == 16:
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, v.High), v.Low)
	}
	for i := p.size - 1; i >= 0; i-- {
		b = append(b, byte(v.Low>>(8*i)))
	}
	return b
}

// read takes an element's values from a key, and from a second one if there is one.
// Ranges of what has none in the language are taken as they are. It says no to what
// no command of nft could take out again.
func (k setKey) read(low, high []byte) (e ir.Element, ok bool) {
	if len(low) != k.size || len(high) != k.size {
		return e, false
	}
	at := 0
	var protocol [2]uint64
	if n := k.parts[len(k.parts)-1].field; n > 0 {
		e.Rest = make([]ir.Interval, n)
	}
	for _, p := range k.parts {
		a, b := low[at:at+p.size], high[at:at+p.size]
		at += p.size
		if len(k.parts) > 1 {
			at = padded(at)
		}
		x := ir.Interval{Low: p.read(a), High: p.read(b)}
		if p.protocol {
			protocol = [2]uint64{x.Low.Low << 16, x.High.Low << 16}
			continue
		}
		if p.kind == ir.PortField {
			x.Low.Low |= protocol[0]
			x.High.Low |= protocol[1]
			protocol = [2]uint64{}
		}
		if p.kind == ir.InterfaceField && (x.Low != x.High || !plainName(a)) || p.kind == ir.MarkField && x.Low != x.High {
			return e, false
		}
		if p.field == 0 {
			e.Interval = x
		} else {
			e.Rest[p.field-1] = x
		}
	}
	return e, true
}

func (p keyPart) read(b []byte) ir.Value {
	switch {
	case p.native:
		return ir.Value{Low: uint64(binary.NativeEndian.Uint32(b))}
	case p.size == 16:
		return ir.Value{High: binary.BigEndian.Uint64(b), Low: binary.BigEndian.Uint64(b[8:])}
	}
	v := ir.Value{}
	for _, c := range b {
		v.Low = v.Low<<8 | uint64(c)
	}
	return v
}

// plainName tells that a key is the name of an interface as nft writes one: nothing
// stands behind its NUL, and it needs no quotes inside of quotes.
func plainName(b []byte) bool {
	name := Cut(b)
	if len(name) == 0 || len(name) > 15 || len(bytes.Trim(b[len(name):], "\x00")) > 0 {
		return false
	}
	return !bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '*' || r == '\\' })
}

// after is the key behind one, as a number; false behind the last one.
func after(key []byte) ([]byte, bool) {
	out := bytes.Clone(key)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out, true
		}
	}
	return out, false
}
