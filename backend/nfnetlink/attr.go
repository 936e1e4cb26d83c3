package nfnetlink

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// The code below works on the bytes in place: a dump of a hundred thousand rules
// is forty megabytes.

// nlaTypeMask leaves out the flags "nested" and "network byte order".
const nlaTypeMask = 0x3fff

var errShortAttr = errors.New("netlink: an attribute is shorter than it says")

// EachAttr calls f with every attribute in a list. data is a piece of b.
func EachAttr(b []byte, f func(typ uint16, data []byte) error) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return errShortAttr
		}
		if err := f(binary.NativeEndian.Uint16(b[2:])&nlaTypeMask, b[4:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// AppendAttr appends one attribute. One that holds others is of a type with
// unix.NLA_F_NESTED.
func AppendAttr(b []byte, typ uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Attrs are an expression's attributes by number.
type Attrs [16][]byte

// Read fills in the attributes of a list; those with greater numbers are left out.
func (a *Attrs) Read(data []byte) error {
	return EachAttr(data, func(typ uint16, b []byte) error {
		if int(typ) < len(a) {
			a[typ] = b
		}
		return nil
	})
}

// Value is the bytes of an NFTA_DATA_VALUE; nil if there is none.
func Value(data []byte) []byte {
	var out []byte
	_ = EachAttr(data, func(typ uint16, b []byte) error {
		if typ == unix.NFTA_DATA_VALUE {
			out = b
		}
		return nil
	})
	return out
}

// CString is a text as the kernel takes it, with a NUL behind it.
func CString(s string) []byte { return append([]byte(s), 0) }

// Cut is the part of a C string before its NUL.
func Cut(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}

// Bytes32 is a number as nf_tables takes it.
func Bytes32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// Uint32 is a number as nf_tables gives it; 0 if b is too short to hold one.
func Uint32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// Uint64 is a number as nf_tables gives it; 0 if b is too short to hold one.
func Uint64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
