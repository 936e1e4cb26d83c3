package compiler_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

const nativeSets = head + `  sets:
    nets: {type: cidr, elements: [10.0.0.0/9, 10.128.0.0/9, "fd00::/8"]}
    marks: {type: mark, elements: [1]}
    mark: {type: address, families: [ipv4], elements: [10.0.0.1], timeout: 60}
    nobody: {type: address}
  tables:
    filter:
      chains:
        SITE-IN:
          rules:
`

// Declared sets are sets of the table, with their kernel names, and nothing else is.
func TestNFTablesSets(t *testing.T) {
	for _, tt := range []struct {
		rule, want, refused string
	}{
		{"{match: {source: {set: nets}}, action: drop}", "ip saddr @nets-4 counter drop|ip6 saddr @nets-6 counter drop", ""},
		{"{match: {not: {source: {set: nets}}}, action: drop}", "ip saddr != @nets-4 counter drop|ip6 saddr != @nets-6 counter drop", ""},
		{"{match: {mark: {set: marks}}, action: drop}", "meta nfproto ipv4 meta mark @marks-4 counter drop|meta nfproto ipv6 meta mark @marks-6 counter drop", ""},
		{"{match: {source: {set: mark}}, action: drop}", "ip saddr @set-mark counter drop", ""},
		{"{match: {source: {set: nobody}}, action: drop}", "", ""},
		{"{match: {not: {source: {set: nobody}}}, action: drop}", "counter drop", ""},
		{"{match: {source: {set: others}}, action: drop}", "", "the set others is not declared"},
		{`"-m set --match-set others src -j DROP"`, "", "the set others is not declared"},
		{`"-m set --match-set nets-4 src -j DROP"`, "", "the set nets-4 holds addresses of ipv4, and the rule is for ipv6"},
	} {
		p, list := compile(t, nativeSets+"            - "+tt.rule+"\n", compiler.CompileOptions{Backend: string(ir.NFT)})
		if err := list.Err(); err != nil {
			t.Fatalf("%s: %v", tt.rule, err)
		}
		tables, list := compiler.NFTables([]*compiler.Program{p})
		said := ""
		for _, d := range list.All() {
			said += d.Message
		}
		if tt.refused != "" {
			if !list.HasErrors() || !strings.Contains(said, tt.refused) {
				t.Errorf("%s: refused with %q, want %q", tt.rule, said, tt.refused)
			}
			continue
		}
		var rules []string
		for _, r := range tables[0].Chain("filter-SITE-IN").Rules {
			rules = append(rules, r.Text)
		}
		if got := strings.Join(rules, "|"); got != tt.want || list.HasErrors() {
			t.Errorf("%s: %q %s, want %q", tt.rule, got, said, tt.want)
		}
		var names []string
		for _, s := range tables[0].Sets {
			names = append(names, s.Name)
		}
		if diff := cmp.Diff([]string{"nets-4", "nets-6", "marks-4", "marks-6", "set-mark", "nobody-4", "nobody-6"}, names); diff != "" {
			t.Errorf("sets (-want +got):\n%s", diff)
		}
	}
	// Types that no ipset has are refused where an ipset is needed.
	_, list := compile(t, nativeSets+"            []\n", compiler.CompileOptions{Backend: string(ir.IptablesNFT)})
	if !list.Has(diag.UnsupportedBackend) {
		t.Error("marks alone are no ipset, and nobody says so")
	}
}

// A plan says of a set how many elements come and go, the first of them, and how.
func TestOwnSetChanges(t *testing.T) {
	one := func(n uint64) ir.Element {
		return ir.Element{Interval: ir.Interval{Low: ir.Value{Low: n}, High: ir.Value{Low: n}}}
	}
	set := func(name string, timeout uint32, list ...ir.Element) *ir.OwnSet {
		return &ir.OwnSet{Name: name, Type: ir.SetType{ir.AddressField}, Family: ir.IPv4, Timeouts: timeout > 0, Timeout: timeout, Elements: list, Counted: -1}
	}
	table := func(sets ...*ir.OwnSet) *ir.OwnTable {
		return &ir.OwnTable{Kind: ir.Inet, Name: "hookline-x", Sets: sets}
	}
	unread := set("unread", 0)
	unread.Counted = 9
	live := table(set("same", 0, one(1)), set("some", 0, one(1), one(2)), set("one", 0), set("shape", 60, one(1)), set("gone", 0, one(7)), unread)
	want := table(set("same", 0, one(1)), set("some", 0, one(2), one(3), one(4)), set("one", 0, one(5)), set("shape", 0, one(1)), set("new", 0, one(6)), set("unread", 0, one(1)))
	var got []string
	for _, c := range compiler.OwnSetChanges(live, want) {
		got = append(got, c.Kind.Mark()+" "+c.Name+": "+strings.Join(c.FirstAdd, ",")+" - "+strings.Join(c.FirstRemove, ",")+": "+c.How)
	}
	if diff := cmp.Diff([]string{
		"~ some: 0.0.0.3,0.0.0.4 - 0.0.0.1: by element, in one transaction",
		"~ one: 0.0.0.5 - : one element, in place",
		"~ shape: 0.0.0.1 - 0.0.0.1: made anew, with the rules that ask it: it is a ipv4_addr, timeout 60s",
		"+ new: 0.0.0.6 - : made and filled ahead of the rules",
		"~ unread: 0.0.0.1 - : made anew, with the rules that ask it: its elements are not known",
		"- gone:  - 0.0.0.7: deleted behind the rules",
	}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if list := compiler.OwnSetChanges(live, nil); len(list) != len(live.Sets) || list[0].How != "goes with its table" {
		t.Errorf("a table that goes: %+v", list)
	}
	digest := func(s *ir.OwnSet) string {
		d := sha256.New()
		compiler.DigestOwnSet(d, s)
		return string(d.Sum(nil))
	}
	if a := want.Sets[1]; digest(a) != digest(set("some", 0, a.Elements...)) || digest(a) == digest(live.Sets[1]) || digest(a) == digest(set("some", 60, a.Elements...)) {
		t.Error("a digest does not tell sets apart")
	}
}
