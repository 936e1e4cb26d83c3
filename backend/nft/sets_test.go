package nft_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/backend/nft"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl/diag"
	"hookline/internal/netns"
)

const setsTable = "hookline-sets"

// setHost is a host with a table of ours.
type setHost struct {
	t       *testing.T
	ns      *netns.NS
	b       *nft.Backend
	session backend.Session
}

func newSetHost(t *testing.T) *setHost {
	t.Helper()
	h := &setHost{t: t, ns: netns.ForTest(t)}
	var err error
	if h.b, err = nft.New(nft.Options{Runner: h.ns.Runner(), NetNS: h.ns.Do}); err != nil {
		t.Fatal(err)
	}
	if h.session, err = h.b.Session(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.session.Close() })
	return h
}

func (h *setHost) read(want *ir.OwnTable) *ir.OwnTable {
	h.t.Helper()
	scope := ir.Scope{Own: []string{setsTable}}
	if want != nil {
		scope.OwnSets = map[string][]*ir.OwnSet{setsTable: want.Sets}
	}
	snap, err := h.session.Snapshot(context.Background(), scope)
	if err != nil {
		h.t.Fatal(err)
	}
	return snap.State.OwnTable(ir.Inet, setsTable)
}

// scripts are those from what stands to what is wanted; rules are written if there is
// no table.
func (h *setHost) scripts(live, want *ir.OwnTable) []backend.Script {
	h.t.Helper()
	d := nftables.DiffSets(live, want)
	var ops []ir.NFTOp
	if live == nil {
		ops = append(ops, ir.NFTOp{Kind: ir.Inet, Table: setsTable, Do: ir.NFTAddTable})
	}
	ops = append(ops, d.Before...)
	for _, c := range want.Chains {
		if live.Chain(c.Name) == nil {
			ops = append(ops, ir.NFTOp{Kind: ir.Inet, Table: setsTable, Do: ir.NFTAddChain, Chain: c.Name, Base: c.Base})
			for i := range c.Rules {
				ops = append(ops, ir.NFTOp{Kind: ir.Inet, Table: setsTable, Do: ir.NFTAddRule, Chain: c.Name, Rule: &c.Rules[i]})
			}
		}
	}
	scripts, err := h.b.Render(ir.Transaction{NFT: append(ops, d.After...)})
	if err != nil {
		h.t.Fatal(err)
	}
	return scripts
}

func (h *setHost) apply(s backend.Script) {
	h.t.Helper()
	if err := h.session.Apply(context.Background(), s); err != nil {
		h.t.Fatal(err)
	}
}

func (h *setHost) nft(argv ...string) string {
	h.t.Helper()
	res, err := h.ns.Runner().Run(context.Background(), backend.Cmd{Argv: append([]string{"nft"}, argv...)})
	if err != nil || res.Exit != 0 {
		h.t.Fatalf("nft %v: %v %s", argv, err, res.Stderr)
	}
	return res.Stdout
}

func setTable(n int) *ir.OwnTable {
	s := &ir.OwnSet{Name: "blocked", Type: ir.SetType{ir.CIDRField}, Family: ir.IPv4, Interval: true, Counted: -1, Origin: diag.Span{Start: 7, End: 9}}
	for i := range uint64(n) {
		v := ir.Value{Low: 10<<24 + 2*i}
		s.Elements = append(s.Elements, ir.Element{Interval: ir.Interval{Low: v, High: v}})
	}
	return &ir.OwnTable{Kind: ir.Inet, Name: setsTable, Sets: []*ir.OwnSet{s}, Chains: []*ir.OwnChain{{
		Name: "filter-INPUT", Base: &ir.BaseChain{Type: "filter", Hook: "input"},
		Rules: []ir.OwnRule{{Text: "ip saddr @blocked counter drop"}, {Text: "counter accept"}},
	}}}
}

// A large set is filled ahead of the rules that ask it, in a commit of its own. Who is
// stopped between the two leaves a set that nothing asks, and the next run goes on
// from there.
func TestStoppedBetweenTheCommits(t *testing.T) {
	t.Parallel()
	h, want := newSetHost(t), setTable(nftables.Large)
	scripts := h.scripts(nil, want)
	if len(scripts) != 2 || len(scripts[0].Steps) != 3 || scripts[0].Text != "" || strings.Contains(scripts[1].Text, "element") {
		t.Fatalf("%d scripts", len(scripts))
	}
	h.apply(scripts[0])
	live := h.read(want)
	if d := nftables.DiffSets(live, want); len(d.Differences) > 0 || len(live.Chains) > 0 {
		t.Fatalf("behind the first commit: %d sets differ, %d chains", len(d.Differences), len(live.Chains))
	}
	rest := h.scripts(live, want)
	if len(rest) != 1 || len(rest[0].Steps) > 0 {
		t.Fatalf("%d scripts are left", len(rest))
	}
	h.apply(rest[0])
	if live = h.read(want); len(live.Chains) != 1 || len(h.scripts(live, want)) != 0 {
		t.Error("it is not as wanted")
	}
}

// Somebody puts an element in and takes one out: both are put right, by themselves,
// and rules keep what they have counted.
func TestDriftOfElements(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"small": 10, "large": nftables.Large} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, want := newSetHost(t), setTable(n)
			for _, s := range h.scripts(nil, want) {
				h.apply(s)
			}
			h.nft("insert", "rule", "inet", setsTable, "filter-INPUT", "counter packets 7 bytes 70")
			h.nft("add", "element", "inet", setsTable, "blocked", "{ 192.0.2.0/24 }")
			h.nft("delete", "element", "inet", setsTable, "blocked", "{ 10.0.0.4 }")
			live := h.read(want)
			d := nftables.DiffSets(live, want).Differences
			if len(d) != 1 || len(d[0].Add) != 1 || len(d[0].Remove) != 1 {
				t.Fatalf("differences: %+v", d)
			}
			scripts := h.scripts(live, want)
			if len(scripts) != 1 {
				t.Fatalf("%d scripts", len(scripts))
			}
			h.apply(scripts[0])
			if left := nftables.DiffSets(h.read(want), want).Differences; len(left) > 0 {
				t.Errorf("%d sets differ", len(left))
			}
			if list := h.nft("list", "chain", "inet", setsTable, "filter-INPUT"); !strings.Contains(list, "packets 7 bytes 70") {
				t.Errorf("a counter is gone:\n%s", list)
			}
		})
	}
}

// What the kernel refuses names the step and its place in the ruleset.
func TestRefusedElements(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"small": 10, "large": nftables.Large} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, want := newSetHost(t), setTable(n)
			for _, s := range h.scripts(nil, want) {
				h.apply(s)
			}
			more := *want.Sets[0]
			more.Elements = append(more.Elements[:n:n], ir.Element{Interval: ir.Interval{Low: ir.Value{Low: 192 << 24}, High: ir.Value{Low: 192<<24 + 9}}})
			next := *want
			next.Sets = []*ir.OwnSet{&more}
			scripts := h.scripts(h.read(want), &next)
			h.nft("add", "element", "inet", setsTable, "blocked", "{ 192.0.0.5-192.0.0.20 }")
			err := h.session.Apply(context.Background(), scripts[0])
			var refused *backend.ScriptError
			if !errors.As(err, &refused) || refused.Line() == nil || refused.Line().Span != want.Sets[0].Origin {
				t.Fatalf("refused: %v", err)
			}
			if name == "large" && !strings.Contains(err.Error(), "set blocked of table inet hookline-sets: file exists (one of 1 elements from 192.0.0.0-192.0.0.9)") {
				t.Errorf("refused: %v", err)
			}
		})
	}
}
