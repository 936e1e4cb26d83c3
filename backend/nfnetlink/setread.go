package nfnetlink

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// errStrange is an element that hookline never writes and could not take out again.
var errStrange = errors.New("an element that hookline never writes")

// OwnSet reads a named set with all its elements. want is the set as it is to be,
// or nil: the kernel is asked for its elements one by one then, which is faster than
// a listing. One that stands exactly so gets the wanted elements themselves. What is
// told is always what the kernel says.
//
// ErrInterrupted says that the ruleset changed meanwhile; what several requests say
// is of one state only if the generation before and after is the same.
func (k *Conn) OwnSet(kind ir.TableKind, info *Set, want *ir.OwnSet) (*ir.OwnSet, error) {
	s := info.own(want)
	if s.Foreign != "" {
		return s, nil
	}
	err := k.ownElements(kind, info, s, want)
	if errors.Is(err, errStrange) {
		s.Foreign, s.Type, s.Elements, s.Counted = "a set with "+errStrange.Error(), nil, nil, max(info.Count, 0)
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the set %s of %s %s: %w", info.Name, kind, info.Table, err)
	}
	return s, nil
}

// own is the set without its elements. The kernel keeps addresses and prefixes in
// the same way; the wanted set says which they are.
func (s *Set) own(want *ir.OwnSet) *ir.OwnSet {
	out := &ir.OwnSet{Name: s.Name, Counted: -1, Interval: s.Flags&unix.NFT_SET_INTERVAL != 0, Timeouts: s.Flags&unix.NFT_SET_TIMEOUT != 0, Timeout: uint32(s.Timeout / 1000)}
	known := uint32(unix.NFT_SET_INTERVAL | unix.NFT_SET_TIMEOUT | setConcat)
	out.Type, out.Family = s.ownType(out.Interval)
	key := setKey{}
	if out.Type != nil {
		key = keyOf(out)
	}
	plain := out.Type != nil && s.Flags&^known == 0 && s.DataType == 0 && !s.Object && !s.Exprs && s.Room == 0 && s.Timeout%1000 == 0 && s.Timeout/1000 <= 1<<32-1 &&
		int(s.KeyLen) == key.size && key.number() == s.KeyType && (s.Flags&setConcat != 0) == key.ranges
	for n := 0; plain && n < len(s.Fields); n++ {
		plain = n < len(key.parts) && int(s.Fields[n]) == key.parts[n].size
	}
	if !plain {
		out.Foreign, out.Type, out.Family, out.Counted = s.describe(), nil, 0, max(s.Count, 0)
		return out
	}
	if want != nil && want.Foreign == "" && want.Family == out.Family && want.Interval == out.Interval && keyOf(want).number() == s.KeyType {
		out.Type = want.Type
	}
	return out
}

// ownType are the fields of the language that the key's type can be for.
func (s *Set) ownType(interval bool) (ir.SetType, ir.Family) {
	var t ir.SetType
	var family ir.Family
	var types []uint32
	for n := s.KeyType; n != 0; n >>= typeBits {
		types = append(types, n&(1<<typeBits-1))
	}
	slices.Reverse(types)
	concat := len(types) > 1
	for n := 0; n < len(types); n++ {
		switch typ := types[n]; {
		case typ == typeIPv4 || typ == typeIPv6:
			f := ir.IPv4
			if typ == typeIPv6 {
				f = ir.IPv6
			}
			if family != 0 && family != f {
				return nil, 0
			}
			family = f
			if interval {
				t = append(t, ir.CIDRField)
			} else {
				t = append(t, ir.AddressField)
			}
		case typ == typeProtocol && concat && n+1 < len(types) && types[n+1] == typeService:
			t = append(t, ir.PortField)
			n++
		case typ == typeService && !concat:
			t = append(t, ir.PortField)
		case typ == typeEther:
			t = append(t, ir.MACField)
		case typ == typeMark:
			t = append(t, ir.MarkField)
		case typ == typeInterface:
			t = append(t, ir.InterfaceField)
		default:
			return nil, 0
		}
	}
	return t, family
}

// describe says what a set is that hookline never makes.
func (s *Set) describe() string {
	words := []string{fmt.Sprintf("a set with keys of nft's type %d", s.KeyType)}
	if s.DataType != 0 || s.Object {
		words = []string{"a map"}
	}
	if s.Exprs {
		words = append(words, "statements for each element")
	}
	if s.Room != 0 {
		words = append(words, fmt.Sprintf("room for %d elements", s.Room))
	}
	return strings.Join(append(words, fmt.Sprintf("flags 0x%x", s.Flags)), ", ")
}

// ownElements fills in a set's elements.
func (k *Conn) ownElements(kind ir.TableKind, info *Set, s, want *ir.OwnSet) error {
	if info.Count == 0 && !keyOf(s).ends {
		s.Elements = []ir.Element{}
		return nil
	}
	if want != nil && want.SameShape(s) && info.Count >= fewElements && len(want.Elements) >= fewElements {
		list, known, err := k.askFor(kind, info, want)
		if known || err != nil {
			s.Elements = list
			return err
		}
	}
	return k.walk(kind, info.Table, s)
}

// fewElements is how many a listing gives in a few messages: to list them is as fast
// as to ask for them.
const fewElements = 4096

// rawElement is an element as a listing has it. The bytes are pieces of the message.
type rawElement struct {
	key, keyEnd []byte
	end         bool
	timeout     uint64 // in milliseconds
	hasTimeout  bool
	user        []byte
	strange     bool
}

// eachElement calls f with the elements of a message.
func eachElement(b []byte, f func(*rawElement) error) error {
	return EachAttr(b, func(typ uint16, data []byte) error {
		if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return nil
		}
		return EachAttr(data, func(_ uint16, data []byte) error {
			var e rawElement
			err := EachAttr(data, func(typ uint16, data []byte) error {
				switch typ {
				case unix.NFTA_SET_ELEM_KEY:
					e.key = Value(data)
				case setElemKeyEnd:
					e.keyEnd = Value(data)
				case unix.NFTA_SET_ELEM_FLAGS:
					flags := Uint32(data)
					e.end, e.strange = flags&elemIntervalEnd != 0, e.strange || flags&^elemIntervalEnd != 0
				case unix.NFTA_SET_ELEM_TIMEOUT:
					e.timeout, e.hasTimeout = Uint64(data), true
				case unix.NFTA_SET_ELEM_USERDATA:
					e.user = data
				case unix.NFTA_SET_ELEM_EXPIRATION, unix.NFTA_SET_ELEM_PAD:
				default:
					e.strange = true
				}
				return nil
			})
			if err != nil {
				return err
			}
			return f(&e)
		})
	})
}

// options are what an element says besides.
func (e *rawElement) options(set uint32) *ir.ElementOptions {
	o := ir.ElementOptions{Comment: elementComment(e.user)}
	if e.hasTimeout && e.timeout != uint64(set)*1000 {
		o.HasTimeout, o.Timeout = true, uint32((e.timeout+999)/1000)
	}
	if o == (ir.ElementOptions{}) {
		return nil
	}
	return &o
}

// elementComment is the comment in the user data of an element, as nft keeps it.
func elementComment(user []byte) string {
	for len(user) >= 2 && len(user) >= 2+int(user[1]) {
		if value := user[2 : 2+int(user[1])]; user[0] == udataComment {
			return string(Cut(value))
		}
		user = user[2+int(user[1]):]
	}
	return ""
}

// edge is where a range of a single field begins or, if it is an end, what is the
// first value behind it.
type edge struct {
	at      ir.Value
	end     bool
	options *ir.ElementOptions
}

// walk lists the elements of a set. The kernel walks the set from its start for each
// message.
func (k *Conn) walk(kind ir.TableKind, table string, s *ir.OwnSet) error {
	key := keyOf(s)
	var edges []edge
	err := k.stream(unix.NFT_MSG_GETSETELEM, ProtoOf(kind), netlink.Dump, elementsOf(table, s.Name), func(b []byte) error {
		return eachElement(b, func(e *rawElement) error {
			high := e.key
			if key.ranges && e.keyEnd != nil {
				high = e.keyEnd
			}
			x, ok := key.read(e.key, high)
			if !ok || e.strange || !key.ends && e.end || !key.ranges && e.keyEnd != nil {
				return errStrange
			}
			x.Options = e.options(s.Timeout)
			if key.ends {
				edges = append(edges, edge{x.Low, e.end, x.Options})
			} else {
				s.Elements = append(s.Elements, x)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if key.ends {
		s.Elements = key.between(edges)
		return nil
	}
	slices.SortFunc(s.Elements, ir.Element.Compare)
	return nil
}

func elementsOf(table, set string) []byte {
	b := AppendAttr(nil, unix.NFTA_SET_ELEM_LIST_TABLE, CString(table))
	return AppendAttr(b, unix.NFTA_SET_ELEM_LIST_SET, CString(set))
}

// between makes ranges of their begins and ends. A range that has no end of its own
// goes on to the next begin, or to the last value.
func (k setKey) between(edges []edge) []ir.Element {
	slices.SortFunc(edges, func(a, b edge) int {
		if c := a.at.Compare(b.at); c != 0 || a.end == b.end {
			return c
		}
		return cmp.Compare(boolInt(b.end), boolInt(a.end))
	})
	out := make([]ir.Element, 0, len(edges)/2+1)
	for i, e := range edges {
		if e.end {
			continue
		}
		x := ir.Element{Interval: ir.Interval{Low: e.at, High: k.last()}, Options: e.options}
		if i+1 < len(edges) {
			x.High = valueBefore(edges[i+1].at)
		}
		out = append(out, x)
	}
	return out
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func valueBefore(v ir.Value) ir.Value {
	if v.Low == 0 {
		v.High--
	}
	v.Low--
	return v
}

// last is the highest value of a key of one part.
func (k setKey) last() ir.Value {
	full := make([]byte, k.size)
	for i := range full {
		full[i] = 0xff
	}
	return k.parts[0].read(full)
}

// stream sends one request and calls f with the attributes of each answer, which
// are valid until f returns, until the kernel says that this is all.
func (k *Conn) stream(msg uint16, family byte, flags netlink.HeaderFlags, attrs []byte, f func([]byte) error) error {
	raw, err := k.conn.SyscallConn()
	if err != nil {
		return err
	}
	k.seq++
	seq := k.seq
	b := append(appendHeader(nil, unix.NFNL_SUBSYS_NFTABLES<<8|msg, flags, int(seq), family, 0), attrs...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	if err := sendWhole(raw, b); err != nil {
		return err
	}
	if k.buf == nil {
		k.buf = make([]byte, messageSize)
	}
	var failed error
	interrupted := false
	for {
		n, err := receive(raw, k.buf)
		if err != nil {
			return err
		}
		for b := k.buf[:n]; len(b) >= 16; {
			h := header{b}
			if h.size() < 16 || h.size() > len(b) {
				return errShortAttr
			}
			if h.seq() == seq {
				done, err := h.ended()
				switch {
				case done && err == nil && failed == nil && (interrupted || h.flags()&unix.NLM_F_DUMP_INTR != 0):
					return ErrInterrupted
				case done && failed != nil:
					return failed
				case done:
					return err
				}
				interrupted = interrupted || h.flags()&unix.NLM_F_DUMP_INTR != 0
				if failed == nil && h.size() >= 20 {
					failed = f(b[20:h.size()])
				}
			}
			b = b[min(padded(h.size()), len(b)):]
		}
	}
}

// header is a message that begins with an nlmsghdr.
type header struct{ b []byte }

func (h header) size() int     { return int(binary.NativeEndian.Uint32(h.b)) }
func (h header) flags() uint16 { return binary.NativeEndian.Uint16(h.b[6:]) }
func (h header) seq() uint32   { return binary.NativeEndian.Uint32(h.b[8:]) }

// ended tells that the message is the last one, and whether it is an error.
func (h header) ended() (bool, error) {
	switch typ := binary.NativeEndian.Uint16(h.b[4:]); {
	case typ != unix.NLMSG_ERROR && typ != unix.NLMSG_DONE:
		return false, nil
	case h.size() < 20:
		return true, nil
	}
	switch code := int32(binary.NativeEndian.Uint32(h.b[16:])); {
	case code == 0:
		return true, nil
	case unix.Errno(-code) == unix.EINTR:
		return true, ErrInterrupted
	default:
		return true, unix.Errno(-code)
	}
}
