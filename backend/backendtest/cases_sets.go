package backendtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
)

const (
	netHeader = "family inet hashsize 1024 maxelem 65536"
	usesNets  = "-m set --match-set site-nets src -j RETURN"
)

func writeSet(name string, swap bool, elements ...string) ir.SetOp {
	return ir.SetOp{Kind: ir.SetWrite, Name: name, Family: ir.IPv4, Type: "hash:net", Header: netHeader, Temp: "site-temporary", Swap: swap, Elements: elements}
}

// sets reads the sets whose names begin with site- with their elements.
func (b *bench) sets() *ir.State {
	b.Helper()
	return b.snapshot(ir.Scope{All: true, SetGlobs: []string{"site-*"}}).State
}

// bring sends a transaction that has to work, and compares the sets with the
// prediction.
func (b *bench) bring(tx ir.Transaction) {
	b.Helper()
	predicted, err := b.sets().Apply(tx)
	if err != nil {
		b.Fatalf("predicting: %v", err)
	}
	if err := b.send(tx); err != nil {
		b.Fatalf("applying: %v", err)
	}
	b.compareSets(predicted)
}

func (b *bench) compareSets(predicted *ir.State) {
	b.Helper()
	list := func(s *ir.State) map[string][]string {
		out := map[string][]string{}
		for _, x := range s.Sets {
			out[x.Name+" "+x.Type] = slices.Sorted(slices.Values(x.Elements))
		}
		return out
	}
	if d := cmp.Diff(list(predicted), list(b.sets())); d != "" {
		b.Errorf("sets (-predicted +read):\n%s", d)
	}
	b.compare(predicted)
}

// setsOfRules: a set is there before the rules that use it, changes under them, and
// goes behind them.
func setsOfRules(t *testing.T, h Host) {
	b := start(t, h, node, "")
	first := tx(block("nat", ensure("SITE-PRE"), appendRule("SITE-PRE", usesNets)))
	first.SetsBefore = []ir.SetOp{writeSet("site-nets", false, "10.0.0.0/8", "192.0.2.1"), writeSet("site-empty", false)}
	b.bring(first)
	for _, op := range []ir.SetOp{
		writeSet("site-nets", true, "10.0.0.0/8", "198.51.100.0/24"),
		{Kind: ir.SetAdd, Name: "site-nets", Family: ir.IPv4, Elements: []string{"203.0.113.0/24"}},
		{Kind: ir.SetDelete, Name: "site-nets", Family: ir.IPv4, Elements: []string{"10.0.0.0/8"}},
	} {
		b.bring(ir.Transaction{SetsBefore: []ir.SetOp{op}})
		if s := b.sets().Set("site-nets"); s.Refs != 1 || s.Header == "" {
			t.Errorf("the set has %d references and the header %q", s.Refs, s.Header)
		}
	}
	last := tx(block("nat", flush("SITE-PRE")), block("nat", drop("SITE-PRE")))
	last.SetsAfter = []ir.SetOp{{Kind: ir.SetDestroy, Name: "site-nets", Family: ir.IPv4}, {Kind: ir.SetDestroy, Name: "site-empty", Family: ir.IPv4}}
	b.bring(last)
	if n := len(b.sets().Sets); n != 0 {
		t.Errorf("%d sets stand", n)
	}
}

// refusedSets: what the kernel refuses leads to its line and its YAML, and changes
// nothing.
func refusedSets(t *testing.T, h Host) {
	b := start(t, h, node, "")
	first := tx(block("nat", ensure("SITE-PRE"), appendRule("SITE-PRE", usesNets)))
	first.SetsBefore = []ir.SetOp{writeSet("site-nets", false, "10.0.0.0/8"), writeSet("site-other", false)}
	b.bring(first)
	for _, c := range []struct {
		name string
		op   ir.SetOp
		line int
	}{
		{"destroyed in use", ir.SetOp{Kind: ir.SetDestroy, Name: "site-nets"}, 1},
		{"destroyed, not there", ir.SetOp{Kind: ir.SetDestroy, Name: "site-nosuch"}, 1},
		{"an element twice", ir.SetOp{Kind: ir.SetAdd, Name: "site-nets", Elements: []string{"10.0.0.0/8"}}, 1},
		{"an element that is not there", ir.SetOp{Kind: ir.SetDelete, Name: "site-nets", Elements: []string{"10.9.0.0/16"}}, 1},
	} {
		before := b.sets()
		op := c.op
		err := b.send(ir.Transaction{SetsBefore: []ir.SetOp{op}})
		var e *backend.ScriptError
		if !errors.As(err, &e) || e.Number != c.line || e.Message == "" || e.Line() == nil {
			t.Errorf("%s: %v, want a refusal of line %d", c.name, err, c.line)
		}
		if _, err := before.Apply(ir.Transaction{SetsBefore: []ir.SetOp{op}}); err == nil {
			t.Errorf("%s: the prediction takes it", c.name)
		}
		b.compareSets(before)
	}
}

// brokenSets are steps that must not be rendered.
func brokenSets(t *testing.T, h Host) {
	for name, op := range map[string]ir.SetOp{
		"a line end in an element": writeSet("site-nets", false, "10.0.0.0/8\ndestroy"),
		"a line end in a name":     {Kind: ir.SetDestroy, Name: "site\nflush"},
		"an option as a name":      {Kind: ir.SetDestroy, Name: "-exist"},
		"a long name":              {Kind: ir.SetDestroy, Name: "site-678901234567890123456789012"},
		"no name to fill":          {Kind: ir.SetWrite, Name: "site", Type: "hash:net"},
		"two elements at once":     {Kind: ir.SetAdd, Name: "site", Elements: []string{"10.0.0.1", "10.0.0.2"}},
	} {
		if scripts, err := h.Backend.Render(ir.Transaction{SetsBefore: []ir.SetOp{op}}); err == nil {
			t.Errorf("%s is rendered: %v", name, scripts)
		}
	}
}
