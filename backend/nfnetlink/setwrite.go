package nfnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// Numbers of nf_tables that golang.org/x/sys does not have.
const (
	nftaFieldLen      = 1
	setConcat         = 0x80
	elemIntervalEnd   = 1
	udataKeyByteOrder = 0
	udataMergeOff     = 3
	udataComment      = 0
	udataElemFlags    = 1
	udataOpenInterval = 1
	bigEndian         = 2
	hostEndian        = 1
)

// elementBytes bounds the elements of one message: an attribute has a length of 16
// bits.
const elementBytes = 65000

// ProtoOf is a kind of table as a number in nfgenmsg.
func ProtoOf(k ir.TableKind) byte {
	switch k {
	case ir.IP:
		return unix.NFPROTO_IPV4
	case ir.IP6:
		return unix.NFPROTO_IPV6
	case ir.Inet:
	}
	return unix.NFPROTO_INET
}

// SetError is a change of a set that the kernel refused. Nothing of the transaction
// has been done.
type SetError struct {
	// Step is the index of the step, and Op itself.
	Step int
	Op   ir.NFTOp
	// First and Last are the elements of the step among which the refused one is, as
	// indices; Last is behind them. Both are 0 if the step has none.
	First, Last int
	Err         error
}

func (e *SetError) Error() string {
	return fmt.Sprintf("set %s of table %s %s: %v", e.Op.Set.Name, e.Op.Kind, e.Op.Table, e.Err)
}

func (e *SetError) Unwrap() error { return e.Err }

// CommitSets does steps on sets (NFTAddTable, NFTAddSet, NFTDeleteSet,
// NFTAddElements and NFTDeleteElements) as one transaction: all of them or, with an
// error, none. A refused step is a *SetError.
func (k *Conn) CommitSets(ops []ir.NFTOp) error {
	w := setWriter{}
	for i := range ops {
		if err := w.step(i, &ops[i]); err != nil {
			return err
		}
	}
	if len(w.pieces) == 0 {
		return nil
	}
	at, err := k.commitBatch(w.messages)
	if at >= 0 && at < len(w.pieces) {
		p := w.pieces[at]
		return &SetError{Step: p.step, Op: ops[p.step], First: p.first, Last: p.last, Err: err}
	}
	if err != nil {
		return fmt.Errorf("changing sets: %w", err)
	}
	return nil
}

// setWriter makes the messages of a transaction.
type setWriter struct {
	// messages one behind another, each with its header.
	messages []byte
	pieces   []piece
}

// piece is where a message comes from.
type piece struct{ step, first, last int }

// message appends a message, whose attributes fill appends.
func (w *setWriter) message(p piece, typ uint16, flags netlink.HeaderFlags, kind ir.TableKind, fill func(b []byte) []byte) {
	start := len(w.messages)
	w.pieces = append(w.pieces, p)
	w.messages = fill(appendHeader(w.messages, unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, len(w.pieces), ProtoOf(kind), 0))
	binary.NativeEndian.PutUint32(w.messages[start:], uint32(len(w.messages)-start))
}

// appendHeader appends an nlmsghdr without length and port, and an nfgenmsg.
func appendHeader(b []byte, typ uint16, flags netlink.HeaderFlags, seq int, family byte, res uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, uint16(netlink.Request|flags))
	b = binary.NativeEndian.AppendUint32(b, uint32(seq))
	b = binary.NativeEndian.AppendUint32(b, 0)
	return binary.BigEndian.AppendUint16(append(b, family, unix.NFNETLINK_V0), res)
}

func (w *setWriter) step(i int, o *ir.NFTOp) error {
	table := CString(o.Table)
	switch o.Do {
	case ir.NFTAddTable:
		w.message(piece{step: i}, unix.NFT_MSG_NEWTABLE, netlink.Create, o.Kind, func(b []byte) []byte {
			return AppendAttr(b, unix.NFTA_TABLE_NAME, table)
		})
	case ir.NFTAddSet:
		w.message(piece{step: i}, unix.NFT_MSG_NEWSET, netlink.Create|netlink.Excl, o.Kind, func(b []byte) []byte {
			return appendSet(b, o, len(w.pieces))
		})
	case ir.NFTDeleteSet:
		w.message(piece{step: i}, unix.NFT_MSG_DELSET, 0, o.Kind, func(b []byte) []byte {
			return AppendAttr(AppendAttr(b, unix.NFTA_SET_TABLE, table), unix.NFTA_SET_NAME, CString(o.Set.Name))
		})
	case ir.NFTAddElements:
		w.elements(i, o, unix.NFT_MSG_NEWSETELEM, netlink.Create|netlink.Excl)
	case ir.NFTDeleteElements:
		w.elements(i, o, unix.NFT_MSG_DELSETELEM, 0)
	default:
		return fmt.Errorf("step %d of kind %d is none that goes by netlink", i+1, o.Do)
	}
	return nil
}

// appendSet appends the attributes of a new set, as nft gives them.
func appendSet(b []byte, o *ir.NFTOp, id int) []byte {
	s, key := o.Set, keyOf(o.Set)
	flags := uint32(0)
	if s.Interval {
		flags |= unix.NFT_SET_INTERVAL
	}
	if s.Timeouts {
		flags |= unix.NFT_SET_TIMEOUT
	}
	if key.ranges {
		flags |= setConcat
	}
	b = AppendAttr(b, unix.NFTA_SET_TABLE, CString(o.Table))
	b = AppendAttr(b, unix.NFTA_SET_NAME, CString(s.Name))
	b = AppendAttr(b, unix.NFTA_SET_FLAGS, Bytes32(flags))
	b = AppendAttr(b, unix.NFTA_SET_KEY_TYPE, Bytes32(key.number()))
	b = AppendAttr(b, unix.NFTA_SET_KEY_LEN, Bytes32(uint32(key.size)))
	b = AppendAttr(b, unix.NFTA_SET_ID, Bytes32(uint32(id)))
	if s.Timeout > 0 {
		b = AppendAttr(b, unix.NFTA_SET_TIMEOUT, milliseconds(s.Timeout))
	}
	order := byte(bigEndian)
	if f := s.Type[0]; len(key.parts) == 1 && (f == ir.MarkField || f == ir.InterfaceField) {
		order = hostEndian
	}
	if len(key.parts) == 1 {
		b = AppendAttr(b, unix.NFTA_SET_USERDATA, append([]byte{udataKeyByteOrder, 4}, nativeBytes(uint32(order))...))
	}
	if key.ranges {
		var fields []byte
		for _, p := range key.parts {
			fields = AppendAttr(fields, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, AppendAttr(nil, nftaFieldLen, Bytes32(uint32(p.size))))
		}
		b = AppendAttr(b, unix.NFTA_SET_DESC|unix.NLA_F_NESTED, AppendAttr(nil, setDescConcat|unix.NLA_F_NESTED, fields))
	}
	return b
}

func nativeBytes(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func milliseconds(seconds uint32) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(seconds)*1000)
}

// elements appends messages for elements, each as full as it can be.
func (w *setWriter) elements(i int, o *ir.NFTOp, typ uint16, flags netlink.HeaderFlags) {
	key := keyOf(o.Set)
	for first := 0; first < len(o.Elements); {
		last := first
		p := piece{step: i, first: first}
		w.message(p, typ, flags, o.Kind, func(b []byte) []byte {
			b = AppendAttr(b, unix.NFTA_SET_ELEM_LIST_TABLE, CString(o.Table))
			b = AppendAttr(b, unix.NFTA_SET_ELEM_LIST_SET, CString(o.Set.Name))
			start := len(b)
			b = AppendAttr(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED, nil)
			for last < len(o.Elements) && len(b)-start < elementBytes-maxElement {
				b = key.element(b, &o.Elements[last], o.Do == ir.NFTAddElements)
				last++
			}
			binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
			return b
		})
		w.pieces[len(w.pieces)-1].last = last
		first = last
	}
}

// maxElement is more than an element takes: two keys, a comment and the rest.
const maxElement = 1024

// element appends an element to a list: one or, for a range of a single field, its
// begin and its end. What it says besides matters only where it is new.
func (k setKey) element(b []byte, e *ir.Element, full bool) []byte {
	begin := func() int {
		b = AppendAttr(b, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, nil)
		return len(b) - 4
	}
	end := func(at int) { binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at)) }
	at := begin()
	b = k.appendKey(b, unix.NFTA_SET_ELEM_KEY, e, false)
	if k.ranges {
		b = k.appendKey(b, setElemKeyEnd, e, true)
	}
	open := false
	var stop []byte
	if k.ends {
		var more bool
		stop, more = after(k.append(nil, e, true))
		open = !more
	}
	if full {
		b = appendElementOptions(b, e.Options, open)
	}
	end(at)
	if k.ends && !open {
		at = begin()
		b = AppendAttr(b, unix.NFTA_SET_ELEM_KEY|unix.NLA_F_NESTED, AppendAttr(nil, unix.NFTA_DATA_VALUE, stop))
		b = AppendAttr(b, unix.NFTA_SET_ELEM_FLAGS, Bytes32(elemIntervalEnd))
		end(at)
	}
	return b
}

func (k setKey) appendKey(b []byte, attr uint16, e *ir.Element, high bool) []byte {
	var room [64]byte
	value := k.append(room[:0], e, high)
	b = binary.NativeEndian.AppendUint16(b, uint16(8+len(value)+padded(len(value))-len(value)))
	b = binary.NativeEndian.AppendUint16(b, attr|unix.NLA_F_NESTED)
	return AppendAttr(b, unix.NFTA_DATA_VALUE, value)
}

func appendElementOptions(b []byte, o *ir.ElementOptions, open bool) []byte {
	var user []byte
	if o != nil {
		if o.HasTimeout {
			b = AppendAttr(b, unix.NFTA_SET_ELEM_TIMEOUT, milliseconds(o.Timeout))
		}
		if o.Comment != "" {
			user = append(user, udataComment, byte(len(o.Comment)+1))
			user = append(append(user, o.Comment...), 0)
		}
	}
	if open {
		// By this nft knows that the range ends with the last value there is.
		user = append(append(user, udataElemFlags, 4), nativeBytes(udataOpenInterval)...)
	}
	if len(user) > 0 {
		b = AppendAttr(b, unix.NFTA_SET_ELEM_USERDATA, user)
	}
	return b
}

// errNoAnswer is a batch of which the kernel says nothing.
var errNoAnswer = errors.New("the kernel did not answer")
