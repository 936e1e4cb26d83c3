package fake_test

import (
	"context"
	"errors"
	"testing"

	"hookline/backend"
	"hookline/backend/backendtest"
	"hookline/backend/fake"
	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// parse reads save texts of both families into the state of a whole host.
func parse(t *testing.T, texts ...string) *ir.State {
	t.Helper()
	out := &ir.State{Families: ir.Families, SetsRead: true}
	for i, f := range ir.Families {
		s, _, found := iptables.ParseSave(diag.NewFile(f.String(), texts[i]), f, iptables.ParseOptions{Counters: true})
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		out.Tables = append(out.Tables, s.Tables...)
	}
	return out
}

func TestConformance(t *testing.T) {
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		t.Run(string(v), func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T) backendtest.Host {
				b := fake.New(v, parse(t, "", ""))
				return backendtest.Host{
					Backend: b,
					Load:    func(t *testing.T, v4, v6 string) { b.Replace(parse(t, v4, v6)) },
					Dump: func(t *testing.T, f ir.Family) string {
						return iptables.WriteSave(b.State(), f, iptables.WriteOptions{Counters: true})
					},
					LosesPolicyCounters: v == ir.IptablesLegacy,
				}
			})
		})
	}
}

// TestNFTConformance runs the suite for tables of ours in nftables.
func TestNFTConformance(t *testing.T) {
	backendtest.RunNFT(t, func(t *testing.T) backendtest.NFTHost {
		b := fake.New(ir.NFT, &ir.State{Families: ir.Families, SetsRead: true})
		return backendtest.NFTHost{
			Backend: b,
			Load: func(t *testing.T, tables []*ir.OwnTable) {
				b.Replace(&ir.State{Families: ir.Families, SetsRead: true, Own: tables, Tables: iptablesOf(tables)})
			},
			Dump: func(t *testing.T) []*ir.OwnTable { return b.State().Own },
		}
	})
}

// TestNFTSets: steps on sets are done as they are planned, whichever way they go.
func TestNFTSets(t *testing.T) {
	set := &ir.OwnSet{Name: "ports", Type: ir.SetType{ir.PortField}, Counted: -1}
	step := func(do ir.NFTOpKind, elements ...ir.Element) ir.NFTOp {
		return ir.NFTOp{Kind: ir.Inet, Table: "hookline-t", Do: do, Set: set, Elements: elements}
	}
	port := func(n uint64) ir.Element {
		v := ir.Value{Low: n}
		return ir.Element{Interval: ir.Interval{Low: v, High: v}}
	}
	b := fake.New(ir.NFT, &ir.State{Families: ir.Families})
	s, err := b.Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	send := func(ops ...ir.NFTOp) error {
		scripts, err := b.Render(ir.Transaction{NFT: ops})
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range scripts {
			if err := s.Apply(context.Background(), script); err != nil {
				return err
			}
		}
		return nil
	}
	rule := ir.NFTOp{Kind: ir.Inet, Table: "hookline-t", Do: ir.NFTAddRule, Chain: "a", Rule: &ir.OwnRule{Text: "tcp dport @ports counter drop"}}
	err = send(ir.NFTOp{Kind: ir.Inet, Table: "hookline-t", Do: ir.NFTAddTable}, step(ir.NFTAddSet), step(ir.NFTAddElements, port(22), port(80)),
		ir.NFTOp{Kind: ir.Inet, Table: "hookline-t", Do: ir.NFTAddChain, Chain: "a"}, rule)
	if err != nil {
		t.Fatal(err)
	}
	if err := send(step(ir.NFTDeleteElements, port(22))); err != nil {
		t.Fatal(err)
	}
	if got := b.State().OwnTable(ir.Inet, "hookline-t").Set("ports").Size(); got != 1 {
		t.Errorf("the set has %d elements, want 1", got)
	}
	var refused *backend.ScriptError
	if err := send(rule, step(ir.NFTDeleteElements, port(22))); !errors.As(err, &refused) || refused.Number != 2 {
		t.Errorf("an element that is not there: %v, want a refusal of line 2", err)
	}
	ahead := step(ir.NFTAddElements, port(90))
	ahead.Netlink = true
	if err := send(ahead); err != nil || b.State().OwnTable(ir.Inet, "hookline-t").Set("ports").Size() != 2 {
		t.Errorf("a step that goes ahead: %v", err)
	}
}

// iptablesOf are the tables that iptables would show, too.
func iptablesOf(tables []*ir.OwnTable) []*ir.Table {
	var out []*ir.Table
	for _, t := range tables {
		if t.Kind != ir.IP || ir.BuiltinChains(t.Name) == nil {
			continue
		}
		x := &ir.Table{Family: ir.IPv4, Name: t.Name}
		for _, c := range t.Chains {
			n := &ir.Chain{Name: c.Name, Read: true}
			for range c.Rules {
				n.Rules = append(n.Rules, &ir.Rule{Text: "-j ACCEPT"})
			}
			x.Chains = append(x.Chains, n)
		}
		out = append(out, x)
	}
	return out
}

// script is a restore text without origins.
func script(text string) backend.Script { return backend.Script{Family: ir.IPv4, Text: text} }

const jump = `*nat
:PREROUTING ACCEPT [0:0]
:SITE - [0:0]
[1:60] -A PREROUTING -j SITE
COMMIT
`

// TestBeforeApply: what another program does between read and write is what the
// script meets.
func TestBeforeApply(t *testing.T) {
	b := fake.New(ir.IptablesNFT, parse(t, jump, ""))
	s, err := b.Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.Snapshot(context.Background(), ir.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	b.BeforeApply = func(host *ir.State) *ir.State {
		if calls++; calls > 1 {
			return nil
		}
		return parse(t, "", "")
	}
	guarded := script("*nat\n-C PREROUTING -j SITE\n:SITE - [0:0]\nCOMMIT\n")
	err = s.Apply(context.Background(), guarded)
	var refused *backend.ScriptError
	if !errors.As(err, &refused) || refused.Number != 2 || refused.Exit != 1 {
		t.Errorf("applying what rests on a lost jump: %v", err)
	}
	if err := s.Apply(context.Background(), script("*nat\n:SITE - [0:0]\n-A PREROUTING -j SITE\nCOMMIT\n*raw\n-F\nCOMMIT\n")); err != nil {
		t.Error(err)
	}
	if err := s.Apply(context.Background(), guarded); err != nil {
		t.Error(err)
	}
	after, err := s.Snapshot(context.Background(), ir.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	// One for the other program, and one for each of our COMMITs.
	if got := after.Generation - before.Generation; got != 4 {
		t.Errorf("the generation has moved by %d, want 4", got)
	}
	if before.State.Table(ir.IPv4, "nat").Chain("PREROUTING").Rules[0].Packets != 1 {
		t.Error("the first snapshot has changed")
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, text  string
		nft, legacy int // the refused line, 0 for none
	}{
		{"fine", "*nat\n:X - [0:0]\nCOMMIT\n", 0, 0},
		{"bad module", "*nat\n:X - [0:0]\n-A X -m nosuchmatch\nCOMMIT\n", 3, 3},
		{"failing guard", "*nat\n-C PREROUTING -j RETURN\nCOMMIT\n", 0, 2},
		{"loop", "*nat\n:X - [0:0]\n-A X -j X\n-A PREROUTING -j X\nCOMMIT\n", 0, 0},
		{"no COMMIT", "*nat\n:X - [0:0]\n", 1, 1},
	} {
		for v, want := range map[ir.Variant]int{ir.IptablesNFT: c.nft, ir.IptablesLegacy: c.legacy} {
			b := fake.New(v, parse(t, jump, ""))
			s, err := b.Session(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			var refused *backend.ScriptError
			if err := s.Check(context.Background(), script(c.text)); errors.As(err, &refused) {
				got = refused.Number
			} else if err != nil {
				t.Error(err)
			}
			if got != want {
				t.Errorf("%s on %s: line %d is refused, want %d", c.name, v, got, want)
			}
			if d := ir.Compare(parse(t, jump, ""), b.State(), ir.CompareOptions{Counters: true}); len(d) > 0 {
				t.Errorf("%s: a check has changed the host: %v", c.name, d)
			}
		}
	}
}

// TestCanceled: a call whose context has ended does nothing.
func TestCanceled(t *testing.T) {
	b := fake.New(ir.IptablesNFT, parse(t, jump, ""))
	ctx, cancel := context.WithCancel(context.Background())
	s, err := b.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Apply(ctx, script("*nat\n-F\nCOMMIT\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply: %v", err)
	}
	if _, err := s.Snapshot(ctx, ir.Scope{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Snapshot: %v", err)
	}
	if _, err := b.Session(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Session: %v", err)
	}
	if len(b.State().Table(ir.IPv4, "nat").Chain("PREROUTING").Rules) != 1 {
		t.Error("the host has changed")
	}
}
