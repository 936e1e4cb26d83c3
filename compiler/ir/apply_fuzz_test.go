package ir_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
)

// choices makes a state and a transaction of bytes: each byte is one choice.
type choices struct {
	bytes []byte
	rules int
}

func (c *choices) pick(n int) int {
	if len(c.bytes) == 0 {
		return 0
	}
	b := int(c.bytes[0])
	c.bytes = c.bytes[1:]
	return b % n
}

var someChains = []string{"INPUT", "FORWARD", "OUTPUT", "A", "B", "C", "D"}

func (c *choices) chain() string { return someChains[c.pick(len(someChains))] }

// foreignRule makes a rule that no other rule equals.
func (c *choices) foreignRule() *ir.Rule {
	c.rules++
	return &ir.Rule{Text: fmt.Sprintf("-s 10.0.%d.%d/32%s", c.rules/256, c.rules%256, c.target()), Packets: uint64(c.rules)}
}

// ourRule makes a rule of a few that are possible, none of them foreign.
func (c *choices) ourRule() *ir.Rule {
	return &ir.Rule{Text: fmt.Sprintf("-m mark --mark 0x%d%s", c.pick(3), c.target())}
}

func (c *choices) target() string {
	switch name := c.chain(); {
	case ir.IsBuiltin("filter", name):
		return " -j DROP"
	case c.pick(2) == 0:
		return " -j " + name
	default:
		return " -g " + name
	}
}

func (c *choices) state() *ir.State {
	table := &ir.Table{Family: ir.IPv4, Name: "filter"}
	for i, name := range someChains {
		if c.pick(4) == 0 {
			continue
		}
		ch := &ir.Chain{Name: name, Read: c.pick(8) > 0, Refs: -1}
		if i < 3 {
			ch.Policy = "ACCEPT"
		}
		for range c.pick(5) {
			if ch.Read {
				ch.Rules = append(ch.Rules, c.foreignRule())
			}
		}
		table.Chains = append(table.Chains, ch)
	}
	return &ir.State{Families: []ir.Family{ir.IPv4}, Tables: []*ir.Table{table}}
}

func (c *choices) transaction() ir.Transaction {
	var tx ir.Transaction
	for range c.pick(3) + 1 {
		b := ir.Block{Family: ir.IPv4, Table: "filter", NoFlush: c.pick(8) > 0, Counters: c.pick(4) == 0}
		for range c.pick(10) {
			b.Ops = append(b.Ops, ir.Op{
				Kind: ir.OpKind(c.pick(int(ir.OpRename) + 2)), Chain: c.chain(), Rule: c.ourRule(), Index: c.pick(6),
				Policy: []string{"", "ACCEPT", "DROP", "RETURN"}[c.pick(4)], NewName: c.chain(),
			})
		}
		tx.Blocks = append(tx.Blocks, b)
	}
	return tx
}

// FuzzApply: whatever is applied to whatever state, the state that was given
// stays, and foreign rules keep their order unless an op takes them away.
func FuzzApply(f *testing.F) {
	for _, seed := range []string{"", "0", "the quick brown fox jumps over the lazy dog, and back again, many times over"} {
		f.Add([]byte(seed))
	}
	for i := range 40 {
		seed := make([]byte, 120)
		for j := range seed {
			seed[j] = byte((i + 3) * (j + 7) * 131 >> 3)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &choices{bytes: data}
		before, tx := c.state(), c.transaction()
		kept := freeze(before)
		for _, q := range []ir.Quirks{{}, nft, legacy} {
			after, err := before.ApplyWith(tx, q)
			if after == nil {
				t.Fatalf("no state, and the error %v", err)
			}
			if d := cmp.Diff(kept, before); d != "" {
				t.Fatalf("the state that was given changed (-before +after):\n%s", d)
			}
			for _, table := range after.Tables {
				checkTable(t, table)
				for _, ch := range table.Chains {
					checkOrder(t, before.Table(table.Family, table.Name).Chain(ch.Name), ch, renames(tx))
				}
			}
			if d := ir.Compare(after, after, ir.CompareOptions{Counters: true}); len(d) > 0 {
				t.Fatalf("a state differs from itself: %v", d)
			}
		}
	})
}

func renames(tx ir.Transaction) bool {
	return slices.ContainsFunc(tx.Blocks, func(b ir.Block) bool {
		return slices.ContainsFunc(b.Ops, func(o ir.Op) bool { return o.Kind == ir.OpRename })
	})
}

// checkTable: chains have different names and stand in the tools' order.
func checkTable(t *testing.T, table *ir.Table) {
	t.Helper()
	names := map[string]bool{}
	for _, c := range table.Chains {
		if names[c.Name] {
			t.Fatalf("chain %s stands twice", c.Name)
		}
		names[c.Name] = true
	}
	sorted := slices.Clone(table.Chains)
	ir.SortChains(table.Name, sorted)
	if !slices.Equal(sorted, table.Chains) {
		t.Fatalf("the chains are out of order")
	}
}

// checkOrder: of the foreign rules that the chain had before, those that are left
// stand in their order.
func checkOrder(t *testing.T, before, after *ir.Chain, renamed bool) {
	t.Helper()
	if before == nil || renamed { // a chain may have become another, and jumps be spelled anew
		return
	}
	place := map[string]int{}
	for i, r := range before.Rules {
		place[r.Text] = i
	}
	last := -1
	for _, r := range after.Rules {
		if at, foreign := place[r.Text]; foreign {
			if at <= last {
				t.Fatalf("chain %s: rule %q has moved", after.Name, r.Text)
			}
			last = at
		}
	}
}
