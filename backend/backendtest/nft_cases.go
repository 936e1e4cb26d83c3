package backendtest

import (
	"testing"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

func nftEmptyHost(t *testing.T, h NFTHost) {
	b := startNFT(t, h)
	s := b.read()
	if len(s.Own) > 0 || len(s.NFTTables) > 0 {
		t.Errorf("an empty host has the tables %v, %v", s.Own, s.NFTTables)
	}
	for _, f := range ir.Families {
		c, err := s.Lookup(ir.ChainKey{Family: f, Table: "filter", Chain: "INPUT"})
		if err != nil || c == nil || len(c.Rules) > 0 {
			t.Errorf("%s filter INPUT on an empty host: %+v, %v", f, c, err)
		}
		if c, err := s.Lookup(ir.ChainKey{Family: f, Table: "filter", Chain: "NONE"}); c != nil || err != nil {
			t.Errorf("a chain that nobody made: %+v, %v", c, err)
		}
	}
	b.apply(addTable())
	b.apply(addTable(), addChain("filter-SITE", nil), addRule("filter-SITE", dropped), addChain("filter-INPUT", input(3)), addRule("filter-INPUT", "jump filter-SITE"))
}

func nftCreateAndRefill(t *testing.T, h NFTHost) {
	b := startNFT(t, h, others()...)
	commented := addRule("filter-SITE", ssh)
	commented.Rule.Comment = "hookline:site, it's; #1 \\"
	b.apply(addTable(), addChain("filter-SITE", nil), addChain("filter-INPUT", input(-5)),
		addRule("filter-SITE", established), commented, addRule("filter-SITE", web), addRule("filter-SITE", logged), addRule("filter-SITE", dropped),
		addRule("filter-INPUT", `iifname "eth0" counter jump filter-SITE`))
	b.apply(flushChain("filter-SITE"), addRule("filter-SITE", dropped))
	b.apply(flushChain("filter-SITE"))
	b.apply(siteOp(ir.NFTDeleteTable))
	if s := b.read(); len(s.Own) > 0 {
		t.Errorf("the table stands: %+v", s.Own[0])
	}
}

// nftRuleAtAPlace: new rules go between those that stay, which keep their handles
// and counts.
func nftRuleAtAPlace(t *testing.T, h NFTHost) {
	b := startNFT(t, h, append(others(), site())...)
	s := b.read()
	s = b.apply(insertBefore("filter-SITE", b.handle(s, "filter-SITE", dropped), web))
	s = b.apply(insertBefore("filter-SITE", b.handle(s, "filter-SITE", established), "udp dport 53 counter accept"))
	s = b.apply(
		insertBefore("filter-SITE", b.handle(s, "filter-SITE", ssh), "tcp dport 1 counter accept"),
		insertBefore("filter-SITE", b.handle(s, "filter-SITE", ssh), "tcp dport 2 counter accept"),
		addRule("filter-SITE", logged))
	var got []string
	for _, r := range s.OwnTable(ir.Inet, "hookline-site").Chain("filter-SITE").Rules {
		got = append(got, r.Text)
	}
	want := []string{"udp dport 53 counter accept", established, "tcp dport 1 counter accept", "tcp dport 2 counter accept", ssh, web, dropped, logged}
	if !equal(got, want) {
		t.Errorf("the rules stand as %q, want %q", got, want)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// nftDeleteByHandle: of rules that read the same the one goes that is meant.
func nftDeleteByHandle(t *testing.T, h NFTHost) {
	table := site()
	table.Chains[0].Rules = nftRules(ssh, dropped, ssh, ssh)
	b := startNFT(t, h, table)
	rules := b.read().OwnTable(ir.Inet, "hookline-site").Chain("filter-SITE").Rules
	s := b.apply(deleteHandle("filter-SITE", rules[2].Handle))
	left := s.OwnTable(ir.Inet, "hookline-site").Chain("filter-SITE").Rules
	if len(left) != 3 || left[0].Packets != 1 || left[1].Packets != 2 || left[2].Packets != 4 {
		t.Errorf("another rule went: %+v", left)
	}
	b.apply(deleteHandle("filter-SITE", rules[0].Handle), insertBefore("filter-SITE", rules[3].Handle, web), deleteHandle("filter-SITE", rules[3].Handle))
}

// nftStaleHandle: between the read and the write the rule went, that a step names.
func nftStaleHandle(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	stale := b.handle(b.read(), "filter-SITE", ssh)
	b.apply(deleteHandle("filter-SITE", stale))
	yaml := diag.NewFile("site.yaml", "rules:\n  - web\n")
	insert := insertBefore("filter-SITE", stale, web)
	insert.Origin = yaml.Span(11, 14)
	e := b.refusal(2, true, addRule("filter-SITE", logged), insert)
	if l := e.Line(); l == nil || l.Span != insert.Origin || l.Table != "inet hookline-site" || l.Block != 0 {
		t.Errorf("the refused line does not lead to the YAML: %+v", l)
	}
	if e.Script.Family != 0 || e.Guard() {
		t.Errorf("a script of both families, and no guard: %+v", e)
	}
	b.refused(1, true, deleteHandle("filter-SITE", stale))
	b.refused(3, true, addRule("filter-SITE", logged), addRule("filter-INPUT", web), deleteHandle("filter-SITE", 4096))
}

// nftHandleOfAnotherChain: a handle counts in its own chain alone.
func nftHandleOfAnotherChain(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	there := b.handle(b.read(), "filter-SITE", ssh)
	b.refused(1, true, deleteHandle("filter-INPUT", there))
	b.refused(1, true, insertBefore("filter-INPUT", there, web))
}

// nftRefusedRule: what only nft can refuse leads to its line and its YAML, and nothing
// of what stands ahead of it is done.
func nftRefusedRule(t *testing.T, h NFTHost) {
	b := startNFT(t, h, append(others(), site())...)
	yaml := diag.NewFile("site.yaml", "rules:\n  - bad\n")
	bad := addRule("filter-SITE", "nosuchthing 5 accept")
	bad.Origin = yaml.Span(11, 14)
	e := b.refusal(4, false, addTable(), flushChain("filter-SITE"), addRule("filter-SITE", web), bad, addRule("filter-SITE", dropped))
	if l := e.Line(); l == nil || l.Span != bad.Origin {
		t.Errorf("the refused line does not lead to the YAML: %+v", l)
	}
}

func nftMissingTarget(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	b.refused(2, true, addRule("filter-SITE", web), addRule("filter-SITE", "counter jump filter-NOWHERE"))
	// Behind the rule is soon enough.
	b.refused(1, true, addRule("filter-SITE", "counter goto filter-NOWHERE"), addTable())
}

func nftMissingSet(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	b.refused(2, false, addRule("filter-SITE", web), addRule("filter-SITE", "ip saddr @nosuch counter accept"))
}

// nftLoop: the kernel walks from the base chains when it commits.
func nftLoop(t *testing.T, h NFTHost) {
	b := startNFT(t, h, site())
	ops := []ir.NFTOp{addChain("filter-A", nil), addRule("filter-A", "udp dport 1 jump filter-SITE"), addRule("filter-SITE", "udp dport 2 jump filter-A")}
	tx := ir.Transaction{NFT: ops}
	before, dump := b.read(), b.Dump(t)
	err := b.send(tx)
	if !isRefusal(err) {
		t.Errorf("jumps in a circle: %v", err)
	}
	b.compare(before)
	b.sameTables("after a refusal", dump, b.Dump(t))
}
