package nfnetlink

import (
	"strings"

	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// Reader says the rules of one table in the words in which compiler/nftables writes
// them: a rule that it wrote reads back as it was written. Nothing is left out: what
// is not understood stands as NAME(0xDIGEST), of all that an expression says but what
// it has counted.
type Reader struct {
	conn   *Conn
	kind   ir.TableKind
	family Family
	table  string
	sets   map[string]*Set
	// ranges of the sets that are parts of rules, as far as they were asked for.
	ranges map[string][]Range
}

// NewReader makes a reader for a table of which all sets are given. It asks conn for
// the elements of those that are parts of rules.
func NewReader(conn *Conn, kind ir.TableKind, f Family, table string, sets []Set) *Reader {
	r := &Reader{conn: conn, kind: kind, family: f, table: table, sets: map[string]*Set{}, ranges: map[string][]Range{}}
	for i := range sets {
		r.sets[sets[i].Name] = &sets[i]
	}
	return r
}

// RuleText is a rule in words, and what its counters have counted.
type RuleText struct {
	Text           string
	Packets, Bytes uint64
}

// Text says a rule.
func (r *Reader) Text(exprs []byte) (RuleText, error) {
	var out RuleText
	d := describer{exact: true, inet: r.kind == ir.Inet, v6: r.kind == ir.IP6, regs: map[uint32]*loaded{}}
	var failed error
	d.anonymous = func(name string) (*Set, []Range) {
		set, ranges, err := r.anonymous(name)
		if err != nil {
			failed = err
		}
		return set, ranges
	}
	err := EachExpr(exprs, func(name string, data []byte) error {
		var a Attrs
		if err := a.Read(data); err != nil {
			return err
		}
		if name == "counter" && out.Packets == 0 {
			out.Packets, out.Bytes = Uint64(a[unix.NFTA_COUNTER_PACKETS]), Uint64(a[unix.NFTA_COUNTER_BYTES])
		}
		d.data = data
		d.step(name, &a)
		d.index++
		return nil
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return RuleText{}, err
	}
	for _, l := range d.pending() {
		d.say(d.unknown("unused", []byte(l.text)), l.first)
	}
	words := make([]string, len(d.out))
	for i, s := range d.out {
		words[i] = s.Text
	}
	out.Text = strings.Join(words, " ")
	return out, nil
}

// anonymous is a set that is a part of a rule; nil for another one.
func (r *Reader) anonymous(name string) (*Set, []Range, error) {
	set := r.sets[name]
	if set == nil || !set.Anonymous() {
		return nil, nil, nil
	}
	ranges, known := r.ranges[name]
	if !known {
		elements, err := r.conn.Elements(r.family.Proto, r.family.Name, r.table, name)
		if err != nil {
			return nil, nil, err
		}
		ranges = set.Ranges(elements)
		r.ranges[name] = ranges
	}
	return set, ranges, nil
}
