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

// mostMissing is how many elements may be missing before a listing is faster than to
// ask for what is there: each costs a request.
const mostMissing = 1000

// askFor asks a set for the elements that are wanted. known tells that the answers
// and the kernel's count leave no doubt of what is in the set: list are its elements,
// the wanted ones themselves if it holds just these. Else only a listing can tell.
func (k *Conn) askFor(kind ir.TableKind, info *Set, want *ir.OwnSet) (list []ir.Element, known bool, err error) {
	l := &lookup{conn: k, family: ProtoOf(kind), head: elementsOf(info.Table, want.Name), key: keyOf(want), timeout: want.Timeout, want: want.Elements}
	if l.most, err = k.growReceive(lookups * answerBytes); err != nil {
		return nil, false, err
	}
	if l.missing = l.tooFew(info.Count); l.missing < 0 || l.missing > mostMissing {
		return nil, false, nil
	}
	sure, err := l.all()
	if !sure || err != nil {
		return nil, false, err
	}
	if sure, err = l.counts(info.Count); !sure || err != nil {
		return nil, false, err
	}
	return l.found(), true, nil
}

// lookup asks a set for elements.
type lookup struct {
	conn    *Conn
	family  byte
	head    []byte
	key     setKey
	timeout uint32
	want    []ir.Element
	// most is how many answers the socket holds, missing how many elements are too few
	// by the kernel's count.
	most, missing int
	// gone are the indices of elements that are not there, other those of which the
	// kernel says something else besides.
	gone  []int
	other map[int]*ir.ElementOptions
}

// tooFew is how many elements are missing if there are no others, by the count.
func (l *lookup) tooFew(count int) int {
	return len(l.want) - count
}

// found are the elements of the set.
func (l *lookup) found() []ir.Element {
	if len(l.gone) == 0 && len(l.other) == 0 {
		return l.want
	}
	out := make([]ir.Element, 0, len(l.want)-len(l.gone))
	gone := l.gone
	for i, e := range l.want {
		if len(gone) > 0 && gone[0] == i {
			gone = gone[1:]
			continue
		}
		if o, ok := l.other[i]; ok {
			e.Options = o
		}
		out = append(out, e)
	}
	return out
}

// question is one element that is asked for.
type question struct {
	// index of the wanted element.
	index   int
	element *ir.Element
	// key of the edge, and whether it is an end.
	key []byte
	end bool
}

// all asks for every wanted element. It says no where the answers do not tell: a
// value is in another range than the wanted one, or too many are missing.
func (l *lookup) all() (bool, error) {
	per := max(1, min(lookups, l.most))
	var questions []question
	for i := 0; i < len(l.want); {
		questions = questions[:0]
		for n := i; n < len(l.want) && len(questions) < per; n++ {
			e := &l.want[n]
			questions = append(questions, question{index: n, element: e, key: l.key.append(nil, e, false)})
			if l.key.ends && !l.adjacent(n) {
				if stop, more := after(l.key.append(nil, e, true)); more {
					questions = append(questions, question{index: n, key: stop, end: true})
				}
			}
		}
		answered, fits, err := l.ask(questions)
		switch {
		case err != nil || !fits:
			return false, err
		case answered == len(questions):
			i = questions[answered-1].index + 1
			continue
		}
		// The kernel stops at the first that is not there.
		q := questions[answered]
		if l.gone = append(l.gone, q.index); q.end || len(l.gone) > mostMissing || l.adjacent(q.index-1) {
			return false, nil // it begins, and ends elsewhere
		}
		if l.key.ends {
			// No range holds the value. Whether its end is there is told by the count.
			if stop, more := after(l.key.append(nil, q.element, true)); more {
				if n, _, err := l.ask([]question{{index: q.index, key: stop, end: true}}); n > 0 || err != nil {
					return false, err
				}
			}
		}
		i = q.index + 1
	}
	return true, nil
}

// adjacent tells that the next wanted range begins where one ends: its begin ends
// this one, and is what the kernel gives if it is asked for an end there.
func (l *lookup) adjacent(i int) bool {
	if !l.key.ends || i < 0 || i+1 >= len(l.want) {
		return false
	}
	return valueBefore(l.want[i+1].Low) == l.want[i].High
}

// counts tells whether the elements that were found are as many as the kernel
// counts, so that there are no others.
func (l *lookup) counts(count int) (bool, error) {
	n := len(l.want) - len(l.gone)
	if !l.key.ends {
		return n == count, nil
	}
	// Begins and ends are elements of their own, and two count as one, rounded down. nft
	// adds an end at 0 that closes nothing.
	null, fits, err := l.ask([]question{{key: make([]byte, l.key.size), end: true}})
	if err != nil {
		return false, err
	}
	if !fits {
		null = 0 // a range begins there
	}
	entries, last := 2*n, len(l.want)-1
	open := l.want[last].High == l.key.last() && (len(l.gone) == 0 || l.gone[len(l.gone)-1] != last)
	if open {
		entries--
	}
	entries += null
	if entries/2 != count {
		return false, nil
	}
	if open || entries%2 == 1 {
		return true, nil
	}
	// One entry more would be counted the same: a range that is open at its end.
	taken, _, err := l.ask([]question{{key: bytes.Repeat([]byte{0xff}, l.key.size)}})
	return taken == 0, err
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
			b = l.key.appendKey(b, setElemKeyEnd, q.element, true)
		}
		binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at))
	}
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

// ask asks for elements, up to the first that is not there. fits tells that every
// answer is just what was asked for, or differs only in what it says besides.
func (l *lookup) ask(questions []question) (answered int, fits bool, err error) {
	fits = true
	err = l.conn.stream(unix.NFT_MSG_GETSETELEM, l.family, netlink.Acknowledge, l.request(questions), func(b []byte) error {
		return eachElement(b, func(e *rawElement) error {
			fits = fits && answered < len(questions) && l.fits(&questions[answered], e)
			answered++
			return nil
		})
	})
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return answered, fits, err
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
	if o := e.options(l.timeout); !o.Same(q.element.Options) {
		if l.other == nil {
			l.other = map[int]*ir.ElementOptions{}
		}
		l.other[q.index] = o
	}
	return true
}

// growReceive makes room for answers that wait, and tells how many that is.
func (k *Conn) growReceive(size int) (answers int, err error) {
	raw, err := k.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fail error
	err = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			if fail = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size); fail != nil {
				return
			}
		}
		answers, fail = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	return answers / (2 * answerBytes), errors.Join(err, fail)
}
