package nftables

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
)

// at is an element of a single field; options may be nil.
func at(low, high uint64, o *ir.ElementOptions) ir.Element {
	return ir.Element{Interval: ir.Interval{Low: ir.Value{Low: low}, High: ir.Value{Low: high}}, Options: o}
}

// table is a table with sets and, for each, a rule that asks it.
func tableOf(sets ...*ir.OwnSet) *ir.OwnTable {
	t := &ir.OwnTable{Kind: Inet, Name: "hookline-x", Sets: sets}
	c := &ir.OwnChain{Name: "filter-INPUT"}
	for i, s := range sets {
		c.Rules = append(c.Rules, ir.OwnRule{Text: "ip saddr @" + s.Name + " drop", Handle: uint64(i + 1)})
	}
	t.Chains = append(t.Chains, c)
	return t
}

func lines(ops []ir.NFTOp) []string {
	var out []string
	for i := range ops {
		out = append(out, SetLines(&ops[i])...)
	}
	return out
}

// Steps are by element; only another shape makes a set anew.
func TestDiffSets(t *testing.T) {
	nets := func(list ...ir.Element) *ir.OwnSet {
		return &ir.OwnSet{Name: "nets", Type: ir.SetType{ir.CIDRField}, Family: ir.IPv4, Interval: true, Elements: list, Counted: -1}
	}
	timed := func(seconds uint32, list ...ir.Element) *ir.OwnSet {
		s := nets(list...)
		s.Timeouts, s.Timeout = true, seconds
		return s
	}
	a, b, grown := at(10<<24, 10<<24+255, nil), at(192<<24, 192<<24, nil), at(10<<24, 10<<24+511, nil)
	said := at(192<<24, 192<<24, &ir.ElementOptions{Comment: "hi; } #$x"})
	unread := nets()
	unread.Counted = 7
	for _, tt := range []struct {
		name                   string
		live, want             []*ir.OwnSet
		before, between, after []string
	}{
		{"nothing to do", []*ir.OwnSet{nets(a, b)}, []*ir.OwnSet{nets(a, b)}, nil, nil, nil},
		{"new", nil, []*ir.OwnSet{nets(a, b)}, []string{
			"add set inet hookline-x nets { type ipv4_addr; flags interval; }", "add element inet hookline-x nets { 10.0.0.0/24, 192.0.0.0 }",
		}, nil, nil},
		{"new and empty", nil, []*ir.OwnSet{nets()}, []string{"add set inet hookline-x nets { type ipv4_addr; flags interval; }"}, nil, nil},
		{"one more", []*ir.OwnSet{nets(a)}, []*ir.OwnSet{nets(a, b)}, []string{"add element inet hookline-x nets { 192.0.0.0 }"}, nil, nil},
		{"one less", []*ir.OwnSet{nets(a, b)}, []*ir.OwnSet{nets(a)}, []string{"delete element inet hookline-x nets { 192.0.0.0 }"}, nil, nil},
		{"grows", []*ir.OwnSet{nets(a, b)}, []*ir.OwnSet{nets(grown, b)}, []string{
			"delete element inet hookline-x nets { 10.0.0.0/24 }", "add element inet hookline-x nets { 10.0.0.0/23 }",
		}, nil, nil},
		{"says something else", []*ir.OwnSet{nets(b)}, []*ir.OwnSet{nets(said)}, []string{
			"delete element inet hookline-x nets { 192.0.0.0 }", `add element inet hookline-x nets { 192.0.0.0 comment "hi; } #$x" }`,
		}, nil, nil},
		{"goes", []*ir.OwnSet{nets(a)}, nil, nil, nil, []string{"delete set inet hookline-x nets"}},
		{"another shape", []*ir.OwnSet{nets(a)}, []*ir.OwnSet{timed(60, a)}, nil, []string{
			"delete set inet hookline-x nets", "add set inet hookline-x nets { type ipv4_addr; flags interval,timeout; timeout 60s; }",
			"add element inet hookline-x nets { 10.0.0.0/24 }",
		}, nil},
		{"another default", []*ir.OwnSet{timed(60, a)}, []*ir.OwnSet{timed(61)}, nil, []string{
			"delete set inet hookline-x nets", "add set inet hookline-x nets { type ipv4_addr; flags interval,timeout; timeout 61s; }",
		}, nil},
		{"elements not known", []*ir.OwnSet{unread}, []*ir.OwnSet{nets(a)}, nil, []string{
			"delete set inet hookline-x nets", "add set inet hookline-x nets { type ipv4_addr; flags interval; }",
			"add element inet hookline-x nets { 10.0.0.0/24 }",
		}, nil},
	} {
		d := DiffSets(tableOf(tt.live...), tableOf(tt.want...))
		for _, c := range []struct {
			what      string
			want, got []string
		}{{"before", tt.before, lines(d.Before)}, {"between", tt.between, lines(d.Between)}, {"after", tt.after, lines(d.After)}} {
			if diff := cmp.Diff(c.want, c.got); diff != "" {
				t.Errorf("%s: steps %s mismatch (-want +got):\n%s", tt.name, c.what, diff)
			}
		}
		rule := ir.OwnRule{Text: "ip saddr @nets drop"}
		if got := d.Rewrites(&rule); got != (len(tt.between) > 0) {
			t.Errorf("%s: the rule is written again: %v", tt.name, got)
		}
	}
}

// Elements of every type are written as nft reads them.
func TestElementText(t *testing.T) {
	name := ir.NameValue("eth0.1")
	port := func(proto, low, high uint64) ir.Interval {
		return ir.Interval{Low: ir.Value{Low: proto<<16 | low}, High: ir.Value{Low: proto<<16 | high}}
	}
	one := func(n uint64) ir.Interval { return ir.Interval{Low: ir.Value{Low: n}, High: ir.Value{Low: n}} }
	v6 := ir.Interval{Low: ir.Value{High: 0xfd << 56}, High: ir.Value{High: 0xfd << 56, Low: ^uint64(0)}}
	for _, tt := range []struct {
		kind   ir.SetType
		family ir.Family
		e      ir.Element
		want   string
	}{
		{ir.SetType{ir.AddressField}, ir.IPv4, at(1, 1, nil), "0.0.0.1"},
		{ir.SetType{ir.CIDRField}, ir.IPv4, at(0, 1<<32-1, nil), "0.0.0.0/0"},
		{ir.SetType{ir.CIDRField}, ir.IPv4, at(1, 3, nil), "0.0.0.1-0.0.0.3"},
		{ir.SetType{ir.CIDRField}, ir.IPv6, ir.Element{Interval: v6}, "fd00::/64"},
		{ir.SetType{ir.PortField}, 0, at(80, 90, nil), "80-90"},
		{ir.SetType{ir.InterfaceField}, 0, ir.Element{Interval: ir.Interval{Low: name, High: name}}, `"eth0.1"`},
		{ir.SetType{ir.MACField}, 0, at(0x02005e100001, 0x02005e100001, nil), "02:00:5e:10:00:01"},
		{ir.SetType{ir.MarkField}, 0, at(16, 16, nil), "0x00000010"},
		{ir.SetType{ir.AddressField, ir.PortField}, ir.IPv4, ir.Element{Interval: one(1), Rest: []ir.Interval{port(17, 53, 60)}}, "0.0.0.1 . udp . 53-60"},
		{
			ir.SetType{ir.CIDRField, ir.InterfaceField, ir.MarkField},
			ir.IPv4,
			ir.Element{Interval: ir.Interval{High: ir.Value{Low: 255}}, Rest: []ir.Interval{{Low: name, High: name}, one(2)}},
			`0.0.0.0/24 . "eth0.1" . 0x00000002`,
		},
		{ir.SetType{ir.AddressField}, ir.IPv4, at(1, 1, &ir.ElementOptions{HasTimeout: true, Timeout: 90, Comment: "a"}), `0.0.0.1 timeout 90s comment "a"`},
	} {
		if got := ElementText(&ir.OwnSet{Type: tt.kind, Family: tt.family}, tt.e); got != tt.want {
			t.Errorf("ElementText(%s) = %s, want %s", tt.kind, got, tt.want)
		}
	}
}

// A set keeps its name where nft can read it, and two never get the same one.
func TestSetName(t *testing.T) {
	seen := map[string]string{}
	for _, tt := range [][2]string{
		{"blocked-4", "blocked-4"},
		{"blocked", "blocked"},
		{"web.1_x", "web.1_x"},
		{"mark", "set-mark"},
		{"set-mark", "set-set-mark"},
		{"4ever", "set-4ever"},
		{"-x", "set--x"},
		{"a:b", "a/3ab"},
		{"a/3ab", "a/2f3ab"},
		{"hosts@home", "hosts/40home"},
	} {
		got := SetName(tt[0])
		if got != tt[1] || !ir.NFTName(got) {
			t.Errorf("SetName(%s) = %s, want %s", tt[0], got, tt[1])
		}
		if other, taken := seen[got]; taken {
			t.Errorf("%s and %s are both %s", tt[0], other, got)
		}
		seen[got] = tt[0]
	}
}

// If a set of a table is large, steps on elements go ahead of the rules, in a
// transaction of their own; a set that is made anew stays with its rules.
func TestParts(t *testing.T) {
	var many []ir.Element
	for i := range uint64(Large) {
		many = append(many, at(2*i, 2*i, nil))
	}
	set := func(name string, f ir.Family, list []ir.Element) *ir.OwnSet {
		return &ir.OwnSet{Name: name, Type: ir.SetType{ir.AddressField}, Family: f, Elements: list, Counted: -1}
	}
	live := tableOf(set("big", ir.IPv4, many), set("small", ir.IPv4, many[:1]), set("other", ir.IPv4, nil))
	want := tableOf(set("big", ir.IPv4, many), set("small", ir.IPv4, many[:2]), set("other", ir.IPv6, nil), set("new", ir.IPv4, many[:1]))
	d := DiffSets(live, want)
	rule := ir.NFTOp{Kind: Inet, Table: "hookline-x", Do: ir.NFTAddRule, Chain: "c", Rule: &ir.OwnRule{Text: "ip saddr @new drop"}}
	var got []string
	for _, p := range Parts(slices.Concat(d.Before, d.Between, []ir.NFTOp{rule}, d.After)) {
		for _, o := range p.Ops {
			name := "rule"
			if o.Set != nil {
				name = o.Set.Name
			}
			got = append(got, fmt.Sprintf("%v %d %s", p.Netlink, o.Do, name))
		}
	}
	want2 := []string{"true 5 small", "true 3 new", "true 5 new", "false 4 other", "false 3 other", "false 10 rule"}
	if diff := cmp.Diff(want2, got); diff != "" {
		t.Errorf("Parts mismatch (-want +got):\n%s", diff)
	}
	first := DiffSets(nil, want)
	parts := Parts(append([]ir.NFTOp{{Kind: Inet, Table: "hookline-x", Do: ir.NFTAddTable}}, append(first.Before, rule)...))
	if len(parts) != 2 || parts[0].Ops[0].Do != ir.NFTAddTable || len(parts[1].Ops) != 1 {
		t.Errorf("a new table: %d parts", len(parts))
	}
	if small := Parts(DiffSets(nil, tableOf(set("s", ir.IPv4, many[:9]))).Before); len(small) != 1 || small[0].Netlink {
		t.Error("a small set does not go in the script")
	}
}

// Whatever stands and whatever is wanted, the steps make one of the other, in every
// order in which they are allowed to stand among those on rules.
func TestDiffSetsConverges(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 18))
		live, want := randomTable(r), randomTable(r)
		got, err := applySets(live, want)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, w := range want.Sets {
			if d := DifferenceOf(got.Set(w.Name), w); d != nil {
				t.Fatalf("seed %d: set %s: %d to add, %d to remove, replaced %v", seed, w.Name, len(d.Add), len(d.Remove), d.Replaced)
			}
		}
		if len(got.Sets) != len(want.Sets) {
			t.Fatalf("seed %d: %d sets, want %d", seed, len(got.Sets), len(want.Sets))
		}
		if again := DiffSets(got, want); len(again.Differences)+len(again.Before)+len(again.Between)+len(again.After) > 0 {
			t.Fatalf("seed %d: a second time there is something to do", seed)
		}
	}
}

func FuzzDiffSets(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		live, want := randomTable(rand.New(rand.NewPCG(a, 1))), randomTable(rand.New(rand.NewPCG(b, 2)))
		got, err := applySets(live, want)
		if err != nil {
			t.Fatal(err)
		}
		if d := DiffSets(got, want); len(d.Differences) > 0 {
			t.Fatalf("%d sets still differ", len(d.Differences))
		}
	})
}

// applySets does the steps as the model of the kernel does them: rules that ask a set
// which is made anew are deleted ahead of that, and written again behind it.
func applySets(live, want *ir.OwnTable) (*ir.OwnTable, error) {
	d := DiffSets(live, want)
	state := &ir.State{Own: []*ir.OwnTable{live}}
	var gone, come []ir.NFTOp
	for i := range live.Chains[0].Rules {
		rule := &live.Chains[0].Rules[i]
		gone = append(gone, ir.NFTOp{Kind: live.Kind, Table: live.Name, Do: ir.NFTDeleteRule, Chain: live.Chains[0].Name, Rule: rule, Handle: rule.Handle})
	}
	for i := range want.Chains[0].Rules {
		come = append(come, ir.NFTOp{Kind: live.Kind, Table: live.Name, Do: ir.NFTAddRule, Chain: live.Chains[0].Name, Rule: &want.Chains[0].Rules[i]})
	}
	tx := ir.Transaction{NFT: slices.Concat(d.Before, gone, d.Between, come, d.After)}
	if err := ir.CheckTransaction(tx); err != nil {
		return nil, err
	}
	after, err := state.Apply(tx)
	if err != nil {
		return nil, err
	}
	return after.OwnTable(live.Kind, live.Name), nil
}

// randomTable is a table with some sets of few values, so that they overlap.
func randomTable(r *rand.Rand) *ir.OwnTable {
	var sets []*ir.OwnSet
	for _, name := range strings.Fields("a b c d") {
		if r.IntN(4) == 0 {
			continue
		}
		n := &ir.NamedSet{Family: ir.IPv4, Name: name, Type: ir.SetType{ir.CIDRField}, Timeouts: r.IntN(2) == 0}
		if r.IntN(4) == 0 {
			n.Type = ir.SetType{ir.CIDRField, ir.PortField}
		}
		if n.Timeouts {
			n.Timeout = uint32(r.IntN(2) * 60)
		}
		options := []*ir.ElementOptions{nil, {Comment: "x"}, {HasTimeout: true, Timeout: 60}, {HasTimeout: true, Timeout: 30, Comment: "y"}}
		var list []ir.Element
		for range r.IntN(12) {
			low := uint64(r.IntN(24))
			e := at(low, low+uint64(r.IntN(4)), options[r.IntN(len(options))])
			if len(n.Type) > 1 {
				port := ir.Value{Low: 6<<16 | uint64(r.IntN(3))}
				e.Rest = []ir.Interval{{Low: port, High: port}}
			}
			if merged, conflict := ir.MergeElements(n.Type, append(slices.Clone(list), e)); conflict == nil {
				list = merged
			}
		}
		n.Elements = list
		sets = append(sets, &ir.OwnSet{Name: name, Type: n.Type, Family: n.Family, Interval: true, Timeouts: n.Timeouts, Timeout: n.Timeout, Elements: PlainElements(n), Counted: -1})
	}
	return tableOf(sets...)
}
