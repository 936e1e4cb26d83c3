package nfnetlink

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Set is a set as nf_tables has it, without its elements.
type Set struct {
	Table, Name string
	// Flags are unix.NFT_SET_ANONYMOUS and so on.
	Flags uint32
	// KeyType and DataType are numbers of nft's, which the kernel only keeps.
	KeyType, KeyLen, DataType, DataLen uint32
	// Timeout of elements in milliseconds, 0 if they have none of their own.
	Timeout uint64
	// Fields are the lengths in bytes of a key's parts, if the set says so.
	Fields []uint32
	// Exprs tells that elements carry expressions (counters, limits).
	Exprs bool
	// Object tells that a map's values are objects; Room is how many elements the set
	// takes, 0 if that is not said.
	Object bool
	Room   uint32
	// Count is how many elements there are: two of a set of ranges of one part
	// count as one, rounded down. It is -1 before Linux 6.17, which does not say.
	Count int
	// UserData is nft's own.
	UserData []byte
}

// Anonymous tells that the set is a part of one rule.
func (s *Set) Anonymous() bool { return s.Flags&unix.NFT_SET_ANONYMOUS != 0 }

// Sets lists the sets of a table. An error calls the family f.
func (k *Conn) Sets(proto byte, f, table string) ([]Set, error) {
	answers, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETSET, proto, netlink.Dump, AppendAttr(nil, unix.NFTA_SET_TABLE, CString(table)))
	if err != nil {
		return nil, fmt.Errorf("listing the sets of %s %s: %w", f, table, err)
	}
	var out []Set
	for _, a := range answers {
		s, err := readSet(a)
		if err != nil {
			return nil, fmt.Errorf("listing the sets of %s %s: %w", f, table, err)
		}
		if s.Table == table {
			out = append(out, s)
		}
	}
	return out, nil
}

func readSet(answer []byte) (Set, error) {
	s := Set{Count: -1}
	err := EachAttr(answer, func(typ uint16, data []byte) error {
		switch typ {
		case unix.NFTA_SET_TABLE:
			s.Table = string(Cut(data))
		case unix.NFTA_SET_NAME:
			s.Name = string(Cut(data))
		case unix.NFTA_SET_FLAGS:
			s.Flags = Uint32(data)
		case unix.NFTA_SET_KEY_TYPE:
			s.KeyType = Uint32(data)
		case unix.NFTA_SET_KEY_LEN:
			s.KeyLen = Uint32(data)
		case unix.NFTA_SET_DATA_TYPE:
			s.DataType = Uint32(data)
		case unix.NFTA_SET_DATA_LEN:
			s.DataLen = Uint32(data)
		case unix.NFTA_SET_TIMEOUT:
			s.Timeout = Uint64(data)
		case unix.NFTA_SET_USERDATA:
			s.UserData = data
		case unix.NFTA_SET_OBJ_TYPE:
			s.Object = true
		case setCount:
			s.Count = int(Uint32(data))
		case setExpr, setExpressions:
			s.Exprs = true
		case unix.NFTA_SET_DESC:
			return EachAttr(data, func(typ uint16, data []byte) error {
				switch typ {
				case unix.NFTA_SET_DESC_SIZE:
					s.Room = Uint32(data)
				case setDescConcat:
					return s.readFields(data)
				}
				return nil
			})
		}
		return nil
	})
	return s, err
}

// Attributes that golang.org/x/sys does not name, by linux/netfilter/nf_tables.h.
const (
	setDescConcat      = 2
	setExpr            = 17
	setExpressions     = 18
	setCount           = 20
	setElemKeyEnd      = 10
	setElemExpressions = 11
)

func (s *Set) readFields(data []byte) error {
	return EachAttr(data, func(_ uint16, elem []byte) error {
		return EachAttr(elem, func(_ uint16, n []byte) error {
			s.Fields = append(s.Fields, Uint32(n))
			return nil
		})
	})
}

// Element is an element of a set as nf_tables has it.
type Element struct {
	Key []byte
	// KeyEnd is the other end, inclusive, of an element of a set of ranges of several
	// parts; else nil.
	KeyEnd []byte
	// Flags are unix.NFT_SET_ELEM_INTERVAL_END: the element ends the range before it,
	// exclusive.
	Flags uint32
	// Data is what a map gives for the key: attributes as NFTA_DATA_VERDICT, or nil.
	Data []byte
	// Timeout and Expiration in milliseconds, 0 if it has none.
	Timeout, Expiration uint64
	// Exprs tells that the element carries expressions, Object that it names an object.
	Exprs, Object bool
	UserData      []byte
}

// Elements lists the elements of a set in the order of the kernel, which means
// nothing. An error calls the family f.
func (k *Conn) Elements(proto byte, f, table, set string) ([]Element, error) {
	attrs := AppendAttr(nil, unix.NFTA_SET_ELEM_LIST_TABLE, CString(table))
	attrs = AppendAttr(attrs, unix.NFTA_SET_ELEM_LIST_SET, CString(set))
	answers, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETSETELEM, proto, netlink.Dump, attrs)
	if err != nil {
		return nil, fmt.Errorf("listing the elements of %s %s %s: %w", f, table, set, err)
	}
	var out []Element
	for _, a := range answers {
		err := EachAttr(a, func(typ uint16, list []byte) error {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				return nil
			}
			return EachAttr(list, func(_ uint16, data []byte) error {
				e, err := readElement(data)
				out = append(out, e)
				return err
			})
		})
		if err != nil {
			return nil, fmt.Errorf("listing the elements of %s %s %s: %w", f, table, set, err)
		}
	}
	return out, nil
}

func readElement(data []byte) (Element, error) {
	var e Element
	err := EachAttr(data, func(typ uint16, data []byte) error {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			e.Key = Value(data)
		case setElemKeyEnd:
			e.KeyEnd = Value(data)
		case unix.NFTA_SET_ELEM_FLAGS:
			e.Flags = Uint32(data)
		case unix.NFTA_SET_ELEM_DATA:
			e.Data = data
		case unix.NFTA_SET_ELEM_TIMEOUT:
			e.Timeout = Uint64(data)
		case unix.NFTA_SET_ELEM_EXPIRATION:
			e.Expiration = Uint64(data)
		case unix.NFTA_SET_ELEM_EXPR, setElemExpressions:
			e.Exprs = true
		case unix.NFTA_SET_ELEM_OBJREF:
			e.Object = true
		case unix.NFTA_SET_ELEM_USERDATA:
			e.UserData = data
		}
		return nil
	})
	return e, err
}

// Range is what an element, or two of a set of ranges, stand for: both ends belong
// to it.
type Range struct {
	From, To []byte
	Data     []byte
}

// Ranges joins the elements of a set, in order. Those of a set of ranges of one part
// come as a beginning and an end each.
func (s *Set) Ranges(elements []Element) []Range {
	list := slices.Clone(elements)
	slices.SortStableFunc(list, func(a, b Element) int {
		// Where one range ends and the next begins, the end comes first.
		return cmp.Or(bytes.Compare(a.Key, b.Key), cmp.Compare(b.Flags, a.Flags))
	})
	var out []Range
	open := false
	for _, e := range list {
		end := e.Flags&unix.NFT_SET_ELEM_INTERVAL_END != 0
		if n := len(out); n > 0 && open {
			out[n-1].To, open = before(e.Key), false
		}
		if end {
			continue
		}
		r := Range{From: e.Key, To: e.Key, Data: e.Data}
		switch {
		case e.KeyEnd != nil:
			r.To = e.KeyEnd
		case s.Flags&unix.NFT_SET_INTERVAL != 0 && len(s.Fields) < 2:
			r.To, open = bytes.Repeat([]byte{0xff}, len(e.Key)), true
		}
		out = append(out, r)
	}
	return out
}

// before is the number below a number.
func before(n []byte) []byte {
	out := bytes.Clone(n)
	for i := len(out) - 1; i >= 0; i-- {
		out[i]--
		if out[i] != 0xff {
			break
		}
	}
	return out
}
