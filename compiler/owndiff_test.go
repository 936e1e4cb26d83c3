package compiler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
)

// hostTable is a table as a kernel has it: each rule with a handle of its own.
func hostTable(t *ir.OwnTable) *ir.OwnTable {
	out := *t
	out.Chains = nil
	n := uint64(100)
	for _, c := range t.Chains {
		x := *c
		x.Rules = slices.Clone(c.Rules)
		for i := range x.Rules {
			n++
			x.Rules[i].Handle = n
		}
		out.Chains = append(out.Chains, &x)
	}
	return &out
}

// applied does the steps of a difference on a state.
func appliedDiff(t *testing.T, live, want *ir.OwnTable, stays func(*ir.OwnRule) bool) (*ir.OwnTable, []ir.NFTOp) {
	t.Helper()
	d := &ownDiff{live: live, want: want, key: ownKey{ir.Inet, "hookline-t"}, stays: stays}
	d.run()
	ops := d.ops(&nftables.SetDiff{})
	s := &ir.State{Families: ir.Families}
	if live != nil {
		s.Own = append(s.Own, live)
	} else {
		ops = slices.Insert(ops, 0, ir.NFTOp{Kind: ir.Inet, Table: "hookline-t", Do: ir.NFTAddTable})
	}
	after, err := s.Apply(ir.Transaction{NFT: ops})
	if err != nil {
		t.Fatalf("%v\nin %+v", err, ops)
	}
	return after.OwnTable(ir.Inet, "hookline-t"), ops
}

// randomTable has chains that jump to later ones, and rules out of a few, so that
// many are alike.
func randomTable(r *rand.Rand) *ir.OwnTable {
	t := &ir.OwnTable{Kind: ir.Inet, Name: "hookline-t"}
	names := []string{"filter-A", "filter-B", "filter-C", "filter-D"}
	names = slices.DeleteFunc(names, func(string) bool { return r.IntN(4) == 0 })
	base := &ir.OwnChain{Name: "filter-INPUT", Base: &ir.BaseChain{Type: "filter", Hook: "input", Priority: r.IntN(2)}}
	for i, name := range names {
		c := &ir.OwnChain{Name: name}
		for range r.IntN(8) {
			c.Rules = append(c.Rules, ir.OwnRule{Text: fmt.Sprintf("tcp dport %d counter accept", r.IntN(6)), Comment: []string{"", "a", "b"}[r.IntN(3)]})
		}
		if i+1 < len(names) && r.IntN(2) == 0 {
			c.Rules = append(c.Rules, ir.OwnRule{Text: "counter jump " + names[i+1]})
		}
		t.Chains = append(t.Chains, c)
		base.Rules = append(base.Rules, ir.OwnRule{Text: "counter jump " + name})
	}
	t.Chains = append(t.Chains, base)
	return t
}

// From any table to any other one: what the kernel then holds is what is wanted,
// the second difference is empty, rules that stay keep their handles, and those of
// others stay where they are among them.
func TestOwnDiff(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 7))
		want := randomTable(r)
		var live *ir.OwnTable
		if r.IntN(10) > 0 {
			live = hostTable(randomTable(r))
		}
		foreign := func(x *ir.OwnRule) bool { return x.Tag != "" }
		intruders := 0
		if live != nil {
			for _, c := range live.Chains {
				if want.Chain(c.Name) != nil && r.IntN(2) == 0 && sameHook(c.Base, want.Chain(c.Name).Base) {
					intruders++
					c.Rules = slices.Insert(c.Rules, r.IntN(len(c.Rules)+1), ir.OwnRule{Text: "counter accept", Tag: "inputaccept", Handle: uint64(intruders)})
				}
			}
		}
		got, _ := appliedDiff(t, live, want, foreign)
		left := 0
		for _, c := range got.Chains {
			var texts, wanted []string
			for _, x := range c.Rules {
				if foreign(&x) {
					left++
					continue
				}
				texts = append(texts, x.String())
			}
			for _, x := range want.Chain(c.Name).Rules {
				wanted = append(wanted, x.String())
			}
			if d := cmp.Diff(wanted, texts); d != "" {
				t.Fatalf("seed %d, %s (-want +got):\n%s", seed, c.Name, d)
			}
		}
		if len(got.Chains) != len(want.Chains) || left != intruders {
			t.Fatalf("seed %d: %d chains, want %d; %d rules of others, want %d", seed, len(got.Chains), len(want.Chains), left, intruders)
		}
		if _, ops := appliedDiff(t, hostTable(got), want, foreign); len(ops) > 0 {
			t.Fatalf("seed %d: the second time there is something to do: %+v", seed, ops)
		}
	}
}

func TestOwnDiffIsSmall(t *testing.T) {
	rules := func(texts ...string) []ir.OwnRule {
		var out []ir.OwnRule
		for _, x := range texts {
			out = append(out, ir.OwnRule{Text: x})
		}
		return out
	}
	table := func(priority int, texts ...string) *ir.OwnTable {
		return &ir.OwnTable{Kind: ir.Inet, Name: "hookline-t", Chains: []*ir.OwnChain{
			{Name: "filter-A", Rules: rules(texts...)},
			{Name: "filter-INPUT", Base: &ir.BaseChain{Type: "filter", Hook: "input", Priority: priority}, Rules: rules("counter jump filter-A")},
		}}
	}
	live := hostTable(table(0, "a", "b", "c"))
	kinds := func(ops []ir.NFTOp) (out []ir.NFTOpKind) {
		for _, o := range ops {
			out = append(out, o.Do)
		}
		return out
	}
	for _, x := range []struct {
		name string
		want *ir.OwnTable
		ops  []ir.NFTOpKind
	}{
		{"nothing", table(0, "a", "b", "c"), nil},
		{"a rule in between", table(0, "a", "x", "b", "c"), []ir.NFTOpKind{ir.NFTInsertRule}},
		{"a rule at the end", table(0, "a", "b", "c", "x"), []ir.NFTOpKind{ir.NFTAddRule}},
		{"a rule goes", table(0, "a", "c"), []ir.NFTOpKind{ir.NFTDeleteRule}},
		{"a rule changes", table(0, "a", "x", "c"), []ir.NFTOpKind{ir.NFTDeleteRule, ir.NFTInsertRule}},
		{"another priority", table(1, "a", "b", "c"), []ir.NFTOpKind{ir.NFTFlushChain, ir.NFTDeleteChain, ir.NFTAddChain, ir.NFTAddRule}},
	} {
		if _, ops := appliedDiff(t, live, x.want, nil); !slices.Equal(kinds(ops), x.ops) {
			t.Errorf("%s: %v, want %v", x.name, kinds(ops), x.ops)
		}
	}
	same := table(0, "a", "b", "c")
	same.Chains[0].Rules[1].Text, same.Chains[0].Rules[1].Printed = "sent", "b"
	if _, ops := appliedDiff(t, live, same, nil); len(ops) > 0 {
		t.Errorf("a rule that is known to be printed otherwise: %+v", ops)
	}
}

// In long lists, too, what stays stays.
func TestOwnDiffOfLongChains(t *testing.T) {
	table := func(first, last string) *ir.OwnTable {
		c := &ir.OwnChain{Name: "filter-A", Rules: []ir.OwnRule{{Text: first}}}
		for i := range 5000 {
			c.Rules = append(c.Rules, ir.OwnRule{Text: fmt.Sprint("rule ", i)})
		}
		c.Rules = append(c.Rules, ir.OwnRule{Text: last})
		return &ir.OwnTable{Kind: ir.Inet, Name: "hookline-t", Chains: []*ir.OwnChain{c}}
	}
	if _, ops := appliedDiff(t, hostTable(table("a", "b")), table("c", "d"), nil); len(ops) != 4 {
		t.Errorf("%d steps", len(ops))
	}
}

// A base chain whose name is jumped to by what stands goes behind those jumps.
func TestOwnDiffOfChainsThatChangeTheirKind(t *testing.T) {
	live := hostTable(&ir.OwnTable{Kind: ir.Inet, Name: "hookline-t", Chains: []*ir.OwnChain{
		{Name: "filter-INPUT", Rules: []ir.OwnRule{{Text: "accept"}}},
		{Name: "filter-A", Rules: []ir.OwnRule{{Text: "jump filter-INPUT"}}},
	}})
	want := &ir.OwnTable{Kind: ir.Inet, Name: "hookline-t", Chains: []*ir.OwnChain{
		{Name: "filter-INPUT", Base: &ir.BaseChain{Type: "filter", Hook: "input"}, Rules: []ir.OwnRule{{Text: "jump filter-A"}}},
		{Name: "filter-A", Rules: []ir.OwnRule{{Text: "accept"}}},
	}}
	appliedDiff(t, live, want, nil)
}
