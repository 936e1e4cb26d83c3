package nfnetlink_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

const table = "hookline-t"

// host is a network namespace of its own.
type host struct {
	t    testing.TB
	ns   *netns.NS
	conn *nfnetlink.Conn
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t, ns: netns.ForTest(t)}
	var err error
	if h.conn, err = nfnetlink.Dial(h.ns.Do); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.conn.Close() })
	return h
}

func (h *host) nft(script string) string {
	h.t.Helper()
	res, err := h.ns.Runner().Run(context.Background(), backend.Cmd{Argv: []string{"nft", "-f", "-"}, Stdin: script})
	if err != nil || res.Exit != 0 {
		h.t.Fatalf("nft: %v %s\n%.400s", err, res.Stderr, script)
	}
	return res.Stdout
}

// read reads the sets, with or without knowing what is wanted.
func (h *host) read(wanted ...*ir.OwnSet) *ir.OwnTable {
	h.t.Helper()
	sets, err := h.conn.Sets(unix.NFPROTO_INET, "inet", table)
	if err != nil {
		h.t.Fatal(err)
	}
	out := &ir.OwnTable{Kind: ir.Inet, Name: table}
	for i := range sets {
		if sets[i].Anonymous() {
			continue
		}
		var want *ir.OwnSet
		if n := slices.IndexFunc(wanted, func(w *ir.OwnSet) bool { return w.Name == sets[i].Name }); n >= 0 {
			want = wanted[n]
		}
		s, err := h.conn.OwnSet(ir.Inet, &sets[i], want)
		if err != nil {
			h.t.Fatal(err)
		}
		out.Sets = append(out.Sets, s)
	}
	return out
}

func wantedTable(sets ...*ir.OwnSet) *ir.OwnTable {
	return &ir.OwnTable{Kind: ir.Inet, Name: table, Sets: sets}
}

// steps make one table of the other.
func steps(live, want *ir.OwnTable) []ir.NFTOp {
	d := nftables.DiffSets(live, want)
	return slices.Concat(d.Before, d.Between, d.After)
}

func script(ops []ir.NFTOp) string {
	var b strings.Builder
	for i := range ops {
		for _, l := range nftables.SetLines(&ops[i]) {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

func (h *host) commit(ops []ir.NFTOp) {
	h.t.Helper()
	if err := h.conn.CommitSets(ops); err != nil {
		h.t.Fatal(err)
	}
}

var addTable = ir.NFTOp{Kind: ir.Inet, Table: table, Do: ir.NFTAddTable}

// isAsWanted fails if a set that was read is not the wanted one.
func isAsWanted(t testing.TB, when string, live *ir.OwnTable, wanted []*ir.OwnSet) {
	t.Helper()
	for _, d := range nftables.DiffSets(live, wantedTable(wanted...)).Differences {
		text := ""
		show := func(s *ir.OwnSet, mark string, list []ir.Element) {
			for _, e := range list[:min(len(list), 3)] {
				text += mark + " " + nftables.ElementText(s, e) + "\n"
			}
		}
		if d.Want != nil {
			show(d.Want, "+", d.Add)
		}
		if d.Live != nil && d.Live.Foreign == "" {
			show(d.Live, "-", d.Remove)
		}
		name := ""
		if d.Want != nil {
			name = d.Want.Name
		}
		t.Errorf("%s: set %s differs (replaced %v, live %+v):\n%s", when, name, d.Replaced, d.Live != nil && d.Replaced, text)
	}
}

func single(n uint64) ir.Interval { return ir.Interval{Low: ir.Value{Low: n}, High: ir.Value{Low: n}} }

// everySet are sets of every type, family and shape, with elements at both ends of
// what there is.
func everySet() []*ir.OwnSet {
	name := func(s string) ir.Interval { return ir.Interval{Low: ir.NameValue(s), High: ir.NameValue(s)} }
	ports := func(proto, low, high uint64) ir.Interval {
		return ir.Interval{Low: ir.Value{Low: proto<<16 | low}, High: ir.Value{Low: proto<<16 | high}}
	}
	six := func(low, high uint64) ir.Interval {
		return ir.Interval{Low: ir.Value{High: 0xfd << 56, Low: low}, High: ir.Value{High: 0xfd << 56, Low: high}}
	}
	byField := map[ir.SetField][]ir.Interval{
		ir.PortField:      {ports(0, 0, 22), ports(0, 80, 80), ports(0, 81, 90), ports(0, 65000, 65535)},
		ir.InterfaceField: {name("eth0"), name("a23456789012345"), name("wt0.5")},
		ir.MACField:       {single(1), single(0x02005e100001)},
		ir.MarkField:      {single(0), single(5), single(0xfffffffe)},
	}
	parts := map[ir.SetField][]ir.Interval{
		ir.PortField: {ports(6, 80, 90), ports(17, 53, 53), ports(17, 0, 65535)}, ir.InterfaceField: byField[ir.InterfaceField],
		ir.MACField: byField[ir.MACField], ir.MarkField: byField[ir.MarkField],
	}
	addresses := map[ir.Family][]ir.Interval{ir.IPv4: {single(0), single(10<<24 + 1), single(1<<32 - 1)}, ir.IPv6: {six(0, 0), six(7, 7), {Low: ir.LastAddress(ir.IPv6), High: ir.LastAddress(ir.IPv6)}}}
	nets := map[ir.Family][]ir.Interval{
		ir.IPv4: {{Low: ir.Value{Low: 10 << 24}, High: ir.Value{Low: 10<<24 + 255}}, {Low: ir.Value{Low: 10<<24 + 256}, High: ir.Value{Low: 10<<24 + 258}}, {Low: ir.Value{Low: 255 << 24}, High: ir.Value{Low: 1<<32 - 1}}},
		ir.IPv6: {six(0, 255), six(300, 300), six(301, 307)},
	}
	types := []ir.SetType{
		{ir.AddressField},
		{ir.CIDRField},
		{ir.PortField},
		{ir.InterfaceField},
		{ir.MACField},
		{ir.MarkField},
		{ir.CIDRField, ir.InterfaceField},
		{ir.AddressField, ir.InterfaceField},
		{ir.AddressField, ir.PortField},
		{ir.CIDRField, ir.PortField},
		{ir.AddressField, ir.MarkField},
		{ir.AddressField, ir.MACField},
		{ir.AddressField, ir.AddressField},
		{ir.CIDRField, ir.CIDRField},
		{ir.AddressField, ir.PortField, ir.AddressField},
		{ir.CIDRField, ir.PortField, ir.CIDRField},
		{ir.MACField, ir.InterfaceField, ir.MarkField, ir.PortField},
	}
	var out []*ir.OwnSet
	for _, kind := range types {
		for _, f := range ir.Families {
			for mode := range 4 {
				n := &ir.NamedSet{Family: f, Type: kind, Timeouts: mode >= 2, Timeout: uint32(mode/3) * 3600}
				values := func(i int, field ir.SetField) []ir.Interval {
					switch {
					case field == ir.AddressField:
						return addresses[f]
					case field == ir.CIDRField:
						return nets[f]
					case len(kind) > 1:
						return parts[field]
					}
					return byField[field]
				}
				for i := range values(0, kind[0]) {
					e := ir.Element{Interval: values(0, kind[0])[i]}
					for j, field := range kind[1:] {
						list := values(j+1, field)
						e.Rest = append(e.Rest, list[(i+j)%len(list)])
					}
					if o := (ir.ElementOptions{}); mode > 0 {
						if i%2 == 0 {
							o.Comment = "hi; } add $x # 'é"
						}
						if mode > 1 && i%3 == 0 {
							o.Timeout, o.HasTimeout = 7000+uint32(i), true
						}
						if o != (ir.ElementOptions{}) {
							e.Options = &o
						}
					}
					n.Elements = append(n.Elements, e)
				}
				slices.SortFunc(n.Elements, ir.Element.Compare)
				s := &ir.OwnSet{
					Name: fmt.Sprintf("s%d", len(out)), Type: kind, Timeouts: n.Timeouts, Timeout: n.Timeout, Elements: nftables.PlainElements(n), Counted: -1,
					Interval: slices.Contains(kind, ir.CIDRField) || slices.Contains(kind, ir.PortField),
				}
				if kind.HasFamily() {
					s.Family = f
				}
				out = append(out, s)
			}
		}
	}
	for _, f := range ir.Families {
		all := ir.Interval{High: ir.LastAddress(f)}
		out = append(out, &ir.OwnSet{Name: "all" + f.String(), Type: ir.SetType{ir.CIDRField}, Family: f, Interval: true, Elements: []ir.Element{{Interval: all}}, Counted: -1},
			&ir.OwnSet{Name: "empty" + f.String(), Type: ir.SetType{ir.CIDRField}, Family: f, Interval: true, Counted: -1})
	}
	return out
}

// Sets of every type are written by nft and by netlink, and both read back as they
// were meant; and what nft lists of the two is the same.
func TestEverySetReadsBack(t *testing.T) {
	t.Parallel()
	wanted := everySet()
	ops := steps(nil, wantedTable(wanted...))
	byNFT, byNetlink := newHost(t), newHost(t)
	byNFT.nft("add table inet " + table + "\n" + script(ops))
	byNetlink.commit(append([]ir.NFTOp{addTable}, ops...))
	isAsWanted(t, "by nft", byNFT.read(wanted...), wanted)
	isAsWanted(t, "by netlink", byNetlink.read(wanted...), wanted)
	list := func(h *host) []string {
		var out []string
		for line := range strings.Lines(h.nft("list table inet " + table + "\n")) {
			if line = strings.TrimSpace(line); line != "" {
				// The time that is left runs.
				words := strings.Fields(line)
				for i := range words[1:] {
					if words[i] == "expires" {
						words[i+1] = "-"
					}
				}
				out = append(out, strings.Join(words, " "))
			}
		}
		return out
	}
	a, b := list(byNFT), list(byNetlink)
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("nft lists them otherwise:\n%s\n%s", a[i], b[i])
			}
		}
		t.Fatalf("nft lists %d lines and %d", len(a), len(b))
	}
	for _, h := range []*host{byNFT, byNetlink} {
		// All elements go, and come back in the other way.
		var empty []*ir.OwnSet
		for _, w := range wanted {
			c := *w
			c.Elements = nil
			empty = append(empty, &c)
		}
		live := h.read(wanted...)
		h.nft(script(steps(live, wantedTable(empty...))))
		isAsWanted(t, "emptied by nft", h.read(empty...), empty)
		h.commit(steps(h.read(empty...), wantedTable(wanted...)))
		h.commit(steps(h.read(wanted...), wantedTable(empty...)))
		isAsWanted(t, "emptied by netlink", h.read(empty...), empty)
		h.commit(steps(h.read(), wantedTable()))
		if left := h.read().Sets; len(left) > 0 {
			t.Errorf("%d sets are left", len(left))
		}
	}
}

// A large set is asked for, and not listed. Whatever somebody does to it is seen.
func TestLargeSetIsAskedFor(t *testing.T) {
	t.Parallel()
	const n = 6000
	set := func(kind ir.SetType, edit func(i int, e *ir.Element)) *ir.OwnSet {
		s := &ir.OwnSet{Name: "big", Type: kind, Family: ir.IPv4, Interval: kind[0] == ir.CIDRField, Timeouts: true, Timeout: 3600, Counted: -1}
		for i := range n {
			e := ir.Element{Interval: single(10<<24 + 3*uint64(i))}
			if len(kind) > 1 {
				e.Rest = []ir.Interval{single(6<<16 + 80)}
			}
			if edit != nil {
				edit(i, &e)
			}
			s.Elements = append(s.Elements, e)
		}
		s.Interval = s.Interval || len(kind) > 1
		return s
	}
	for _, kind := range []ir.SetType{{ir.AddressField}, {ir.CIDRField}, {ir.CIDRField, ir.PortField}} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			said := &ir.ElementOptions{Comment: "x", Timeout: 9000, HasTimeout: true}
			want := set(kind, func(i int, e *ir.Element) {
				if i == 17 {
					e.Options = said
				}
				if kind[0] == ir.CIDRField && i == 100 {
					e.High.Low++
				}
				if kind[0] == ir.CIDRField && i == 101 {
					e.Low.Low-- // directly behind the one before, and it says something else
					e.Options = said
				}
			})
			h := newHost(t)
			h.commit(append([]ir.NFTOp{addTable}, steps(nil, wantedTable(want))...))
			same := func(when string) {
				t.Helper()
				if got := h.read(want).Sets[0].Elements; len(got) != n || &got[0] != &want.Elements[0] {
					t.Errorf("%s: %d elements, and not the wanted ones", when, len(got))
				}
			}
			same("as wanted")
			element := func(e ir.Element) string { return nftables.ElementText(want, e) }
			at := "inet " + table + " big"
			other := want.Elements[0]
			other.Interval = single(1)
			last := want.Elements[0]
			last.Interval = single(1<<32 - 1)
			for _, tt := range []struct{ what, do string }{
				{"one is missing", "delete element " + at + " { " + element(want.Elements[40]) + " }"},
				{"the first is missing", "delete element " + at + " { " + element(want.Elements[0]) + " }"},
				{"the last is missing", "delete element " + at + " { " + element(want.Elements[n-1]) + " }"},
				{"many are missing", script([]ir.NFTOp{{Kind: ir.Inet, Table: table, Do: ir.NFTDeleteElements, Set: want, Elements: want.Elements[200:2000]}})},
				{"one of two neighbours is missing", script([]ir.NFTOp{{Kind: ir.Inet, Table: table, Do: ir.NFTDeleteElements, Set: want, Elements: want.Elements[100:101]}})},
				{"one is too many", "add element " + at + " { " + element(other) + " }"},
				{"the last there is, is too many", "add element " + at + " { " + element(last) + " }"},
				{"one for another", "delete element " + at + " { " + element(want.Elements[5]) + " }\nadd element " + at + " { " + element(other) + " }"},
				{"another comment", "delete element " + at + " { " + element(want.Elements[17])[:strings.Index(element(want.Elements[17]), " timeout")] + " }\nadd element " + at + " { " +
					strings.Replace(element(want.Elements[17]), `"x"`, `"y"`, 1) + " }"},
				{"another timeout", "delete element " + at + " { " + element(want.Elements[18]) + " }\nadd element " + at + " { " + element(want.Elements[18]) + " timeout 77s }"},
			} {
				h.nft(tt.do + "\n")
				asked, listed := h.read(want).Sets[0], h.read().Sets[0]
				listed.Type = want.Type
				if d := nftables.DifferenceOf(asked, listed); d != nil {
					t.Errorf("%s: what was asked for and what is listed differ: %d to add, %d to remove", tt.what, len(d.Add), len(d.Remove))
				}
				d := nftables.DifferenceOf(asked, want)
				if d == nil || d.Replaced {
					t.Fatalf("%s: not seen: %+v", tt.what, d)
				}
				h.commit(steps(wantedTable(asked), wantedTable(want)))
				same(tt.what + ", and mended")
			}
		})
	}
}

// A transaction that the kernel refuses does nothing, and the refused element's step
// is named.
func TestCommitSetsRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	s := &ir.OwnSet{Name: "s", Type: ir.SetType{ir.CIDRField}, Family: ir.IPv4, Interval: true, Counted: -1}
	for i := range uint64(20000) {
		s.Elements = append(s.Elements, ir.Element{Interval: single(2 * i)})
	}
	h.commit(append([]ir.NFTOp{addTable}, steps(nil, wantedTable(s))...))
	more := *s
	more.Elements = []ir.Element{{Interval: single(1 << 30)}}
	step := func(do ir.NFTOpKind, set *ir.OwnSet, list []ir.Element) ir.NFTOp {
		return ir.NFTOp{Kind: ir.Inet, Table: table, Do: do, Set: set, Elements: list}
	}
	gone := s.Elements[15000]
	h.commit([]ir.NFTOp{step(ir.NFTDeleteElements, s, []ir.Element{gone})})
	for _, tt := range []struct {
		what string
		ops  []ir.NFTOp
		step int
		err  error
	}{
		{"one that is not there", []ir.NFTOp{step(ir.NFTAddElements, s, more.Elements), step(ir.NFTDeleteElements, s, s.Elements)}, 1, unix.ENOENT},
		{"one that is there", []ir.NFTOp{step(ir.NFTAddElements, s, more.Elements), step(ir.NFTAddElements, s, s.Elements[:1])}, 1, unix.EEXIST},
		{"one that overlaps", []ir.NFTOp{step(ir.NFTAddElements, s, []ir.Element{{Interval: ir.Interval{Low: ir.Value{Low: 1}, High: ir.Value{Low: 5}}}})}, 0, unix.EEXIST},
		{"no such set", []ir.NFTOp{step(ir.NFTAddElements, s, more.Elements), step(ir.NFTDeleteSet, &ir.OwnSet{Name: "x"}, nil)}, 1, unix.ENOENT},
		{"the set stands", []ir.NFTOp{step(ir.NFTAddElements, s, more.Elements), step(ir.NFTAddSet, s, nil)}, 1, unix.EEXIST},
	} {
		err := h.conn.CommitSets(tt.ops)
		var refused *nfnetlink.SetError
		if !errors.As(err, &refused) || refused.Step != tt.step || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		if tt.what == "one that is not there" && (refused.First > 15000 || refused.Last <= 15000) {
			t.Errorf("%s: among %d to %d", tt.what, refused.First, refused.Last)
		}
		if n := len(h.read().Sets[0].Elements); n != 19999 {
			t.Errorf("%s: %d elements are left", tt.what, n)
		}
	}
	// The socket still works, and the whole comes in.
	h.commit([]ir.NFTOp{step(ir.NFTAddElements, s, []ir.Element{gone})})
	isAsWanted(t, "behind the refusals", h.read(s), []*ir.OwnSet{s})
}

// What hookline never makes is read as foreign, and replaced as a whole.
func TestForeignSets(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.nft(`add table inet hookline-t
add set inet hookline-t room { type ipv4_addr; size 16; }
add set inet hookline-t counted { type ipv4_addr; counter; }
add set inet hookline-t dyn { type ipv4_addr; flags dynamic; }
add set inet hookline-t mixed { type ipv4_addr . ipv6_addr; }
add set inet hookline-t service { type inet_service . ipv4_addr; }
add set inet hookline-t states { type ct_state; }
add set inet hookline-t wild { type ifname; flags interval; elements = { "eth*" } }
add map inet hookline-t verdicts { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop } }
add set inet hookline-t quoted { type ifname; elements = { "a+b" } }
add chain inet hookline-t c
add rule inet hookline-t c ip saddr { 1.1.1.1, 2.2.2.2 } drop
`)
	plain := map[string]bool{"quoted": true}
	for _, s := range h.read().Sets {
		if (s.Foreign == "") != plain[s.Name] {
			t.Errorf("set %s: foreign is %q", s.Name, s.Foreign)
		}
		want := &ir.OwnSet{Name: s.Name, Type: ir.SetType{ir.AddressField}, Family: ir.IPv4, Counted: -1}
		if d := nftables.DifferenceOf(s, want); d == nil || !d.Replaced {
			t.Errorf("set %s: not replaced", s.Name)
		}
	}
}

// A set that rules ask is made anew with another type in one transaction with those
// rules; the other rules keep their counters.
func TestSetIsReplacedWithItsRules(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.nft(`add table inet hookline-t
add set inet hookline-t s { type ipv4_addr; }
add element inet hookline-t s { 10.0.0.1 }
add chain inet hookline-t c
add rule inet hookline-t c counter packets 7 bytes 70
add rule inet hookline-t c ip saddr @s drop
`)
	want := &ir.OwnSet{Name: "s", Type: ir.SetType{ir.CIDRField, ir.PortField}, Family: ir.IPv4, Interval: true, Counted: -1, Elements: []ir.Element{
		{Interval: single(10<<24 + 1), Rest: []ir.Interval{single(6<<16 + 80)}},
	}}
	d := nftables.DiffSets(h.read(want), wantedTable(want))
	if len(d.Between) != 3 || len(d.Before)+len(d.After) > 0 {
		t.Fatalf("steps: %+v", d)
	}
	before, err := h.conn.Generation()
	if err != nil {
		t.Fatal(err)
	}
	h.nft("delete rule inet hookline-t c handle 4\n" + script(d.Between) + "add rule inet hookline-t c ip saddr . meta l4proto . th dport @s drop\n")
	after, err := h.conn.Generation()
	if err != nil || after != before+1 {
		t.Errorf("%d commits, %v", after-before, err)
	}
	isAsWanted(t, "replaced", h.read(want), []*ir.OwnSet{want})
	if list := h.nft("list table inet hookline-t\n"); !strings.Contains(list, "packets 7 bytes 70") {
		t.Errorf("counters are gone:\n%s", list)
	}
}
