package backendtest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"hookline/backend"
	"hookline/compiler/ir"
)

// isRefusal tells that a script was refused at a line of its own.
func isRefusal(err error) bool {
	var e *backend.ScriptError
	return errors.As(err, &e) && e.Line() != nil && e.Message != ""
}

// nftChainThatStands: a chain that somebody made since the read is not ours to fill.
func nftChainThatStands(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	b.refused(2, true, addTable(), addChain("filter-SITE", nil))
	b.refused(2, true, addTable(), addChain("filter-INPUT", input(-5)))
}

func nftChainInUse(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	b.refused(2, true, flushChain("filter-SITE"), deleteChain("filter-SITE"))
	b.refused(1, true, deleteChain("filter-SITE"))
	b.apply(flushChain("filter-INPUT"), flushChain("filter-SITE"), deleteChain("filter-SITE"))
}

func nftMissingChain(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	b.refused(2, true, addTable(), addRule("filter-NONE", dropped))
	b.refused(1, true, flushChain("filter-NONE"))
	b.refused(1, true, deleteChain("filter-NONE"))
	b.refused(1, true, in(ir.IP, "hookline-other", addChain("a", nil)))
	b.refused(1, true, in(ir.Inet, "hookline-other", siteOp(ir.NFTDeleteTable)))
}

// nftOneTransaction: tables of all kinds at once, which is one commit; and if the last
// line is refused, nothing of it.
func nftOneTransaction(t *testing.T, h NFTHost) {
	b := startNFT(t, h, others()...)
	var ops []ir.NFTOp
	for _, hook := range []string{"prerouting", "input", "forward", "output", "postrouting"} {
		for _, kind := range []ir.TableKind{ir.Inet, ir.IP, ir.IP6} {
			base := &ir.BaseChain{Type: "filter", Hook: hook, Priority: -250}
			ops = append(ops, in(kind, "hookline-site", addTable()), in(kind, "hookline-site", addChain("raw-"+hook, base)), in(kind, "hookline-site", addRule("raw-"+hook, "tcp dport 1 counter drop")))
		}
	}
	nat := &ir.BaseChain{Type: "nat", Hook: "postrouting", Priority: 120}
	route := &ir.BaseChain{Type: "route", Hook: "output", Priority: -150}
	ops = append(ops,
		in(ir.Inet, "hookline-other", addTable()),
		in(ir.Inet, "hookline-other", addChain("nat-POSTROUTING", nat)),
		in(ir.Inet, "hookline-other", addRule("nat-POSTROUTING", "ip saddr 10.0.0.0/8 counter masquerade")),
		in(ir.IP6, "hookline-other", addTable()),
		in(ir.IP6, "hookline-other", addChain("mangle-OUTPUT", route)),
		in(ir.IP6, "hookline-other", addRule("mangle-OUTPUT", "counter meta mark set 0x00000001")))
	bad := append(slices.Clone(ops), in(ir.IP, "hookline-site", addRule("raw-input", "jump nowhere")))
	b.refused(len(bad), true, bad...)
	b.apply(ops...)
}

// nftAnotherKind: a table of the same name and another kind goes in the same
// transaction in which ours comes.
func nftAnotherKind(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	b.apply(
		siteOp(ir.NFTDeleteTable),
		in(ir.IP, "hookline-site", addTable()),
		in(ir.IP, "hookline-site", addChain("filter-SITE", nil)),
		in(ir.IP, "hookline-site", addRule("filter-SITE", ssh)))
}

// nftPriorityReplaced: a base chain gets another priority by being made anew; jumps
// to others stay what they were.
func nftPriorityReplaced(t *testing.T, h NFTHost) {
	b := startNFT(t, h, append(others(), site())...)
	for _, priority := range []int{5, -201, 49} {
		s := b.apply(flushChain("filter-INPUT"), deleteChain("filter-INPUT"), addChain("filter-INPUT", input(priority)),
			addRule("filter-INPUT", `iifname "eth0" counter jump filter-SITE`))
		if got := s.OwnTable(ir.Inet, "hookline-site").Chain("filter-INPUT").Base.Priority; got != priority {
			t.Errorf("the priority is %d, want %d", got, priority)
		}
	}
}

// nftForeignTables looks at every byte of other programs' tables, their counts and
// handles, over all that is done.
func nftForeignTables(t *testing.T, h NFTHost) {
	b := startNFT(t, h, others()...)
	foreign := func() []*ir.OwnTable {
		return slices.DeleteFunc(slices.Clone(b.Dump(t)), func(x *ir.OwnTable) bool { return slices.Contains(ourScope.Own, x.Name) })
	}
	before := foreign()
	if len(before) != len(others()) {
		t.Fatalf("%d foreign tables of %d stand", len(before), len(others()))
	}
	b.apply(addTable(), addChain("filter-SITE", nil), addRule("filter-SITE", ssh), addChain("filter-INPUT", input(-5)), addRule("filter-INPUT", "counter jump filter-SITE"))
	b.sameTables("foreign tables", before, foreign())
	b.apply(flushChain("filter-INPUT"), deleteChain("filter-INPUT"), addChain("filter-INPUT", input(9)))
	b.refused(1, false, addRule("filter-SITE", "nosuchthing accept"))
	b.apply(siteOp(ir.NFTDeleteTable))
	b.sameTables("foreign tables", before, foreign())
}

// nftForeignRules: what another program put into our table stands until a step takes
// it away.
func nftForeignRules(t *testing.T, h NFTHost) {
	table := site()
	table.Chains[0].Rules = append(table.Chains[0].Rules, ir.OwnRule{Text: "udp dport 51820 counter accept", Comment: "agent", Packets: 8, Bytes: 800})
	table.Chains = append(table.Chains, &ir.OwnChain{Name: "agent", Rules: nftRules(dropped)})
	b := startNFT(t, h, table)
	s := b.apply(insertBefore("filter-SITE", b.handle(b.read(), "filter-SITE", dropped), web))
	b.apply(deleteHandle("filter-SITE", b.handle(s, "filter-SITE", "udp dport 51820 counter accept")), flushChain("agent"), deleteChain("agent"))
}

// nftOddNames has names of all bytes that nft can write.
func nftOddNames(t *testing.T, h NFTHost) {
	odd := "filter-a.b_c-D/2f.0/20é"[:len("filter-a.b_c-D/2f.0/20")]
	b := startNFT(t, h)
	b.apply(addTable(), addChain(odd, nil), addChain("_", nil), addChain(".x", nil),
		addRule(odd, `iifname "eth0.1@x;#" oifname "weird*" counter accept`),
		addRule("_", "counter jump "+odd), addRule(".x", `counter log prefix "it's; { # 5% \ " goto _`))
	s := b.read()
	b.apply(insertBefore(odd, b.handle(s, odd, `iifname "eth0.1@x;#" oifname "weird*" counter accept`), "counter jump .x"),
		deleteHandle(".x", b.handle(s, ".x", `counter log prefix "it's; { # 5% \ " goto _`)))
}

// nftUnread: of chains of iptables that were not asked for the names are known.
func nftUnread(t *testing.T, h NFTHost) {
	b := startNFT(t, h, append(others(), site())...)
	s := b.read()
	var unread *ir.NotReadError
	for _, chain := range []string{"INPUT", "KUBE-FIREWALL"} {
		if c, err := s.Lookup(key("filter", chain)); !errors.As(err, &unread) {
			t.Errorf("%s, which was not asked for: %+v, %v", chain, c, err)
		}
	}
	if c, err := s.Lookup(key("filter", "KUBE-NONE")); c != nil || err != nil {
		t.Errorf("a chain that is not there: %+v, %v", c, err)
	}
	scope := ourScope
	scope.Want(key("filter", "INPUT"))
	asked := b.snapshot(scope).State
	if c, err := asked.Lookup(key("filter", "INPUT")); err != nil || c == nil || len(c.Rules) != 2 {
		t.Errorf("INPUT, which was asked for: %+v, %v", c, err)
	}
	if c, err := asked.Lookup(key("filter", "KUBE-FIREWALL")); !errors.As(err, &unread) {
		t.Errorf("KUBE-FIREWALL, which was not asked for: %+v, %v", c, err)
	}
	b.sameTables("beside chains of iptables", s.Own, asked.Own)
}

// nftOthersNotRead: only the tables that are asked for are read, whatever their kind;
// of all others the base chains.
func nftOthersNotRead(t *testing.T, h NFTHost) {
	twin := &ir.OwnTable{Kind: ir.IP, Name: "hookline-site", Chains: []*ir.OwnChain{{Name: "x", Rules: nftRules(ssh)}}}
	b := startNFT(t, h, append(others(), site(), twin)...)
	snap := b.snapshot(ourScope)
	b.sameTables("ours", []*ir.OwnTable{site(), twin}, withoutHandles(snap.State.Own))
	var bases []string
	for _, x := range snap.State.NFTTables {
		for _, c := range x.Chains {
			bases = append(bases, x.Key()+" "+c.Name+" "+c.Policy)
		}
	}
	want := []string{"ip filter INPUT accept", "inet agent in drop", "inet hookline-site filter-INPUT accept"}
	if !equal(bases, want) {
		t.Errorf("base chains %q, want %q", bases, want)
	}
	names := []string{"inet agent", "inet hookline-site", "ip filter", "ip hookline-site", "ip6 hookline-neighbour"}
	if !equal(snap.NFTTables(), names) {
		t.Errorf("tables %q, want %q", snap.NFTTables(), names)
	}
}

// withoutHandles are tables as somebody writes them.
func withoutHandles(tables []*ir.OwnTable) []*ir.OwnTable {
	var out []*ir.OwnTable
	for _, t := range tables {
		n := *t
		n.Chains = nil
		for _, c := range t.Chains {
			x := *c
			x.Rules = slices.Clone(c.Rules)
			for i := range x.Rules {
				x.Rules[i].Handle = 0
			}
			n.Chains = append(n.Chains, &x)
		}
		out = append(out, &n)
	}
	return out
}

// nftEverything: a scope that names nothing asks for all that hookline made, and for
// the tables of iptables.
func nftEverything(t *testing.T, h NFTHost) {
	b := startNFT(t, h, append(others(), site())...)
	for _, scope := range []ir.Scope{{}, {All: true}, {All: true, Whole: true}} {
		s := b.snapshot(scope).State
		var names []string
		for _, x := range s.Own {
			names = append(names, x.Key())
		}
		slices.Sort(names)
		if !equal(names, []string{"inet hookline-site", "ip6 hookline-neighbour"}) {
			t.Errorf("%+v reads %q", scope, names)
		}
		if c, err := s.Lookup(key("filter", "KUBE-FIREWALL")); err != nil || c == nil || len(c.Rules) != 1 {
			t.Errorf("%+v: KUBE-FIREWALL: %+v, %v", scope, c, err)
		}
	}
}

func nftEmptyTransaction(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	before := b.snapshot(ourScope)
	if scripts, err := b.Backend.Render(ir.Transaction{}); err != nil || len(scripts) > 0 {
		t.Errorf("rendering nothing gives %v, %v", scripts, err)
	}
	if after := b.snapshot(ourScope); after.Generation != before.Generation {
		t.Errorf("reading is a commit: generation %d, then %d", before.Generation, after.Generation)
	}
	b.compare(before.State)
}

// nftCheck: what the tool finds wrong it says without changing anything.
func nftCheck(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	before, dump := b.snapshot(ourScope), b.Dump(t)
	for name, c := range map[string]struct {
		ops  []ir.NFTOp
		fine bool
	}{
		"fine":           {[]ir.NFTOp{addRule("filter-SITE", web)}, true},
		"a word unknown": {[]ir.NFTOp{addRule("filter-SITE", "nosuchthing accept")}, false},
		"no target":      {[]ir.NFTOp{addRule("filter-SITE", "jump nowhere")}, false},
	} {
		scripts, err := b.Backend.Render(ir.Transaction{NFT: c.ops})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.session.Check(context.Background(), scripts[0]); (err == nil) != c.fine || err != nil && !isRefusal(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := b.snapshot(ourScope); after.Generation != before.Generation {
		t.Errorf("a check is a commit: generation %d, then %d", before.Generation, after.Generation)
	}
	b.compare(before.State)
	b.sameTables("after a check", dump, b.Dump(t))
}

func nftBrokenPromises(t *testing.T, h NFTHost) {
	rule := func(text, comment string) ir.Transaction {
		o := addRule("filter-SITE", text)
		o.Rule.Comment = comment
		return ir.Transaction{NFT: []ir.NFTOp{o}}
	}
	one := func(o ir.NFTOp) ir.Transaction { return ir.Transaction{NFT: []ir.NFTOp{o}} }
	for name, x := range map[string]ir.Transaction{
		"somebody's table":        one(in(ir.IP, "filter", siteOp(ir.NFTDeleteTable))),
		"somebody's chain":        one(in(ir.IP, "filter", flushChain("INPUT"))),
		"a kind that is none":     one(in("netdev", "hookline-site", addTable())),
		"a line end in a name":    one(flushChain("x\nflush ruleset")),
		"a space in a name":       one(flushChain("x; flush ruleset")),
		"a line end in a rule":    rule("accept\nflush ruleset", ""),
		"a second command":        rule("accept; flush ruleset", ""),
		"a quote in a comment":    rule("accept", `x" ; flush ruleset; add rule inet t c comment "`),
		"a line end in a comment": rule("accept", "x\nflush ruleset"),
		"a rule without handle":   one(deleteHandle("filter-SITE", 0)),
		"steps of iptables":       tx(block("nat", ensure("SITE-PRE"))),
		"steps of both":           {NFT: []ir.NFTOp{addTable()}, Blocks: []ir.Block{block("nat", ensure("SITE-PRE"))}},
		"steps of ipset":          {SetsAfter: []ir.SetOp{{Kind: ir.SetDestroy, Name: "x"}}},
	} {
		if scripts, err := h.Backend.Render(x); err == nil {
			t.Errorf("%s: rendered as %v", name, scripts)
		}
	}
}
