package nfnetlink

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// lookups is how many elements one request asks for. Each has an answer of its own,
// which waits in the socket's buffer.
const lookups = 1000

// answerBytes is what an answer takes of the buffer.
const answerBytes = 2048

// standsAs tells whether a set holds exactly the elements that are wanted: as many,
// and each of these with what it says besides.
func (k *Conn) standsAs(kind ir.TableKind, table string, info *setInfo, want *ir.OwnSet) (bool, error) {
	l := lookup{conn: k, family: ProtoOf(kind), head: elementsOf(table, want.Name), key: keyOf(want), timeout: want.Timeout}
	if !l.key.ends {
		if info.count != len(want.Elements) {
			return false, nil
		}
		return l.all(want.Elements)
	}
	return l.ranges(info.count, want.Elements)
}

// lookup asks a set for elements.
type lookup struct {
	conn    *Conn
	family  byte
	head    []byte
	key     setKey
	timeout uint32
	grown   bool
}

// question is one element that is asked for.
type question struct {
	element *ir.Element
	// key of the edge, and whether it is an end.
	key []byte
	end bool
}

// all asks for elements that have one entry in the kernel each.
func (l *lookup) all(list []ir.Element) (bool, error) {
	for len(list) > 0 {
		n := min(len(list), lookups)
		questions := make([]question, 0, n)
		for i := range list[:n] {
			questions = append(questions, question{element: &list[i], key: l.key.append(nil, &list[i], false)})
		}
		if ok, err := l.ask(questions); !ok || err != nil {
			return false, err
		}
		list = list[n:]
	}
	return true, nil
}

// ranges asks for ranges of a single field, of which the kernel has the begins and
// the ends, and counts two of these as one element, rounded up. nft adds an end at 0
// that closes nothing.
func (l *lookup) ranges(count int, list []ir.Element) (bool, error) {
	zero := make([]byte, l.key.size)
	null, err := l.ask([]question{{key: zero, end: true}})
	if err != nil {
		return false, err
	}
	entries := 2 * len(list)
	lastOpen := len(list) > 0 && list[len(list)-1].High == l.key.last()
	if lastOpen {
		entries--
	}
	if null {
		entries++
	}
	if (entries+1)/2 != count {
		return false, nil
	}
	if !lastOpen && entries%2 == 1 {
		// One entry more would be counted the same: a range that is open at its end.
		taken, err := l.taken(bytes.Repeat([]byte{0xff}, l.key.size))
		if taken || err != nil {
			return false, err
		}
	}
	for len(list) > 0 {
		n := min(len(list), lookups/2)
		questions := make([]question, 0, 2*n)
		for i := range list[:n] {
			e := &list[i]
			questions = append(questions, question{element: e, key: l.key.append(nil, e, false)})
			if stop, more := after(l.key.append(nil, e, true)); more {
				questions = append(questions, question{key: stop, end: true})
			}
		}
		if ok, err := l.ask(questions); !ok || err != nil {
			return false, err
		}
		list = list[n:]
	}
	return true, nil
}

// request is a request for elements.
func (l *lookup) request(questions []question) []byte {
	b := append([]byte(nil), l.head...)
	start := len(b)
	b = AppendAttr(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED, nil)
	for _, q := range questions {
		at := len(b)
		b = AppendAttr(b, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, nil)
		b = AppendAttr(b, unix.NFTA_SET_ELEM_KEY|unix.NLA_F_NESTED, AppendAttr(nil, unix.NFTA_DATA_VALUE, q.key))
		if q.end {
			b = AppendAttr(b, unix.NFTA_SET_ELEM_FLAGS, Bytes32(elemIntervalEnd))
		}
		if l.key.ranges {
			b = l.key.appendKey(b, nftaElemKeyEnd, q.element, true)
		}
		binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at))
	}
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

// ask tells whether all of some elements are in the set just as they are asked for.
func (l *lookup) ask(questions []question) (bool, error) {
	if !l.grown {
		l.grown = true
		if err := l.conn.growReceive(lookups * answerBytes); err != nil {
			return false, err
		}
	}
	at, same := 0, true
	err := l.conn.stream(unix.NFT_MSG_GETSETELEM, l.family, netlink.Acknowledge, l.request(questions), func(b []byte) error {
		return eachElement(b, func(e *rawElement) error {
			if at < len(questions) && same {
				same = l.fits(&questions[at], e)
			}
			at++
			return nil
		})
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, err
	}
	return same && at == len(questions), nil
}

// fits compares an answer with what was asked for.
func (l *lookup) fits(q *question, e *rawElement) bool {
	if e.strange || e.end != q.end || !bytes.Equal(e.key, q.key) {
		return false
	}
	if l.key.ranges && !bytes.Equal(e.keyEnd, l.key.append(nil, q.element, true)) {
		return false
	}
	if q.element == nil {
		return true
	}
	if q.element.Options == nil && !e.hasTimeout && len(e.user) == 0 {
		return true
	}
	return e.options(l.timeout).Same(q.element.Options)
}

// taken tells whether any range holds a value.
func (l *lookup) taken(key []byte) (bool, error) {
	found := false
	err := l.conn.stream(unix.NFT_MSG_GETSETELEM, l.family, netlink.Acknowledge, l.request([]question{{key: key}}), func([]byte) error {
		found = true
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return found, err
}

// growReceive makes room for answers that wait.
func (k *Conn) growReceive(size int) error {
	raw, err := k.conn.SyscallConn()
	if err != nil {
		return err
	}
	var fail error
	err = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			fail = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
		}
	})
	return errors.Join(err, fail)
}
