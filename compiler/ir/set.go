package ir

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// SetField is what one part of a set's elements says.
type SetField string

// The fields of the language. Addresses and prefixes belong to a family, the others
// to both.
const (
	AddressField   SetField = "address"
	CIDRField      SetField = "cidr"
	PortField      SetField = "port"
	InterfaceField SetField = "interface"
	MACField       SetField = "mac"
	MarkField      SetField = "mark"
)

// SetType is what a set's elements are made of: one field, or several for a
// concatenation.
type SetType []SetField

// setTypeSeparator stands between the fields of a type and between those of an
// element, as nft(8) has it.
const setTypeSeparator = " . "

func (t SetType) String() string {
	words := make([]string, len(t))
	for i, f := range t {
		words[i] = string(f)
	}
	return strings.Join(words, setTypeSeparator)
}

// HasFamily tells that elements of the type belong to a family.
func (t SetType) HasFamily() bool {
	return slices.Contains(t, AddressField) || slices.Contains(t, CIDRField)
}

// NamedSet is a set that a ruleset declares, for one family. It says nothing about
// how a backend keeps it.
type NamedSet struct {
	Family Family
	// Name in the kernel; Declared is the name in the ruleset.
	Name, Declared string
	Type           SetType
	// Elements in ascending order, each once. Those of one field do not overlap, and
	// where the field has ranges (cidr, port) no two are adjacent and say the same
	// besides. Of several fields, elements that differ in one field only do not overlap.
	Elements []Element
	// Timeouts tells that elements can end, Timeout is the number of seconds after which
	// those without a word of their own do; 0: they stay.
	Timeouts bool
	Timeout  uint32
	// Comments tells that elements have comments.
	Comments bool
	Span     diag.Span
}

// Element is one element of a set: a range for each field of the type.
type Element struct {
	Interval
	// Rest are the further fields of a concatenation.
	Rest []Interval
	// Options is nil for an element that says nothing besides.
	Options *ElementOptions
}

// ElementOptions are what an element says besides what it matches.
type ElementOptions struct {
	Comment string
	// Timeout in seconds of an element that has its own.
	Timeout    uint32
	HasTimeout bool
}

// Interval is a range of values, both ends included.
type Interval struct{ Low, High Value }

// Value is a field's value as a number of 128 bits: an address, a MAC address, a
// mark, or a port (in a concatenation with the protocol's number above its 16
// bits). Of an interface it is the name, its first byte highest.
type Value struct{ High, Low uint64 }

// Compare orders values as numbers.
func (v Value) Compare(w Value) int {
	if c := cmp.Compare(v.High, w.High); c != 0 {
		return c
	}
	return cmp.Compare(v.Low, w.Low)
}

// next is the value behind v; false behind the last one.
func (v Value) next() (Value, bool) {
	low, carry := bits.Add64(v.Low, 1, 0)
	high, over := bits.Add64(v.High, 0, carry)
	return Value{high, low}, over == 0
}

// AddressValue is an address as a value.
func AddressValue(a netip.Addr) Value {
	if a.Is4() {
		b := a.As4()
		return Value{Low: uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])}
	}
	return bytesValue(a.As16())
}

// Address is the address of a family that a value stands for.
func (v Value) Address(f Family) netip.Addr {
	if f == IPv4 {
		return netip.AddrFrom4([4]byte{byte(v.Low >> 24), byte(v.Low >> 16), byte(v.Low >> 8), byte(v.Low)})
	}
	return netip.AddrFrom16(v.bytes())
}

// NameValue is a name of at most 15 bytes as a value, Name the name again.
func NameValue(name string) Value {
	var b [16]byte
	copy(b[:15], name)
	return bytesValue(b)
}

// Name is the name that a value stands for.
func (v Value) Name() string {
	b := v.bytes()
	return strings.TrimRight(string(b[:]), "\x00")
}

func bytesValue(b [16]byte) Value {
	var v Value
	for i := range 8 {
		v.High, v.Low = v.High<<8|uint64(b[i]), v.Low<<8|uint64(b[8+i])
	}
	return v
}

func (v Value) bytes() (b [16]byte) {
	for i := range 8 {
		b[i], b[8+i] = byte(v.High>>(56-8*i)), byte(v.Low>>(56-8*i))
	}
	return b
}

// Width is the number of bits of a family's addresses.
func (f Family) Width() int {
	if f == IPv4 {
		return 32
	}
	return 128
}

// PrefixInterval is a prefix as a range of its family's addresses.
func PrefixInterval(p netip.Prefix) Interval {
	v := AddressValue(p.Masked().Addr())
	host := p.Addr().BitLen() - p.Bits()
	return Interval{v, v.or(host)}
}

// or sets the lowest n bits.
func (v Value) or(n int) Value {
	switch {
	case n >= 128:
		return Value{^uint64(0), ^uint64(0)}
	case n >= 64:
		return Value{v.High | (1<<(n-64) - 1), ^uint64(0)}
	}
	return Value{v.High, v.Low | (1<<n - 1)}
}

// HostBits is the number of bits in which the ends of a prefix's range differ.
func (x Interval) HostBits() int {
	if d := x.Low.High ^ x.High.High; d != 0 {
		return 64 + bits.Len64(d)
	}
	return bits.Len64(x.Low.Low ^ x.High.Low)
}

// zeros counts the zero bits at the end.
func (v Value) zeros() int {
	if v.Low != 0 {
		return bits.TrailingZeros64(v.Low)
	}
	return 64 + bits.TrailingZeros64(v.High)
}

// LastAddress is the highest address of a family.
func LastAddress(f Family) Value { return Value{}.or(f.Width()) }

// EachPrefix cuts a range into the fewest prefixes, in ascending order. None has
// more than maxHost bits behind the prefix: 32 allow IPv4's /0.
func (x Interval) EachPrefix(maxHost int, f func(Interval)) {
	for low := x.Low; ; {
		host := min(low.zeros(), maxHost)
		for low.or(host).Compare(x.High) > 0 {
			host--
		}
		last := low.or(host)
		f(Interval{low, last})
		if last.Compare(x.High) >= 0 {
			return
		}
		low, _ = last.next()
	}
}

// Compare orders elements by their fields.
func (e Element) Compare(o Element) int {
	if c := e.Interval.compare(o.Interval); c != 0 {
		return c
	}
	return slices.CompareFunc(e.Rest, o.Rest, Interval.compare)
}

func (x Interval) compare(y Interval) int {
	if c := x.Low.Compare(y.Low); c != 0 {
		return c
	}
	return x.High.Compare(y.High)
}

// field is the i-th field of an element.
func (e Element) field(i int) Interval {
	if i == 0 {
		return e.Interval
	}
	return e.Rest[i-1]
}

func (e Element) with(i int, x Interval) Element {
	if i == 0 {
		e.Interval = x
		return e
	}
	e.Rest = slices.Clone(e.Rest)
	e.Rest[i-1] = x
	return e
}

// Same tells that two elements say the same besides what they match.
func (o *ElementOptions) Same(p *ElementOptions) bool {
	return o == p || o != nil && p != nil && *o == *p
}

// MergeElements brings elements into the order and the form of a NamedSet. The
// slice is used up. Of elements that overlap and say different things besides, the
// first such pair is returned as a conflict: an element is in a set once.
func MergeElements(t SetType, list []Element) (merged []Element, conflict []Element) {
	for i := range t {
		list, conflict = mergeField(t, list, i)
		if conflict != nil {
			return nil, conflict
		}
	}
	slices.SortFunc(list, Element.Compare)
	return list, nil
}

// mergeField merges elements that differ in field i only.
func mergeField(t SetType, list []Element, i int) (merged []Element, conflict []Element) {
	others := func(a, b Element) int {
		for k := range t {
			if k != i {
				if c := a.field(k).compare(b.field(k)); c != 0 {
					return c
				}
			}
		}
		return 0
	}
	slices.SortFunc(list, func(a, b Element) int {
		if len(t) > 1 {
			if c := others(a, b); c != 0 {
				return c
			}
		}
		return a.field(i).compare(b.field(i))
	})
	ranges := t[i] == CIDRField || t[i] == PortField
	out := list[:0]
	for _, e := range list {
		n := len(out) - 1
		if n < 0 || len(t) > 1 && others(out[n], e) != 0 {
			out = append(out, e)
			continue
		}
		last, x, same := out[n].field(i), e.field(i), out[n].Options.Same(e.Options)
		next, more := last.High.next()
		switch {
		case x.Low.Compare(last.High) <= 0 && !same:
			return nil, []Element{out[n], e}
		case x.Low.Compare(last.High) <= 0, ranges && same && more && x.Low == next:
			if x.High.Compare(last.High) > 0 {
				out[n] = out[n].with(i, Interval{last.Low, x.High})
			}
		default:
			out = append(out, e)
		}
	}
	return out, nil
}

// Size is the number of elements of a set that stands.
func (s *Set) Size() int {
	if s.Counted >= 0 && len(s.Elements) == 0 {
		return s.Counted
	}
	return len(s.Elements)
}
