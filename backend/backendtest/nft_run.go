package backendtest

import (
	"testing"

	"hookline/compiler/ir"
)

// RunNFT runs the suite for tables of ours in nftables: the promises of the contract
// for the nft backend, a case each. host makes a new host for each subtest, without
// tables.
func RunNFT(t *testing.T, host func(t *testing.T) NFTHost) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h NFTHost)
	}{
		{"EmptyHost", nftEmptyHost},
		{"CreateAndRefill", nftCreateAndRefill},
		{"RuleAtAPlace", nftRuleAtAPlace},
		{"DeleteByHandle", nftDeleteByHandle},
		{"StaleHandle", nftStaleHandle},
		{"HandleOfAnotherChain", nftHandleOfAnotherChain},
		{"RefusedRuleNamesItsLine", nftRefusedRule},
		{"MissingTargetNamesItsLine", nftMissingTarget},
		{"MissingSetNamesItsLine", nftMissingSet},
		{"Loop", nftLoop},
		{"ChainThatStands", nftChainThatStands},
		{"ChainInUse", nftChainInUse},
		{"MissingChainAndTable", nftMissingChain},
		{"OneTransactionForEverything", nftOneTransaction},
		{"AnotherKind", nftAnotherKind},
		{"PriorityReplaced", nftPriorityReplaced},
		{"ForeignTablesKeepBytesAndCounters", nftForeignTables},
		{"ForeignRulesInOurTable", nftForeignRules},
		{"OddNames", nftOddNames},
		{"UnreadIsNotAbsent", nftUnread},
		{"OtherTablesAreNotRead", nftOthersNotRead},
		{"Everything", nftEverything},
		{"EmptyTransaction", nftEmptyTransaction},
		{"CheckChangesNothing", nftCheck},
		{"BrokenPromises", nftBrokenPromises},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, host(t)) })
	}
}

// Steps on the table of the ruleset "site".

func siteOp(do ir.NFTOpKind) ir.NFTOp {
	return ir.NFTOp{Kind: ir.Inet, Table: "hookline-site", Do: do}
}

func addTable() ir.NFTOp { return siteOp(ir.NFTAddTable) }

func addChain(name string, base *ir.BaseChain) ir.NFTOp {
	o := siteOp(ir.NFTAddChain)
	o.Chain, o.Base = name, base
	return o
}

func flushChain(name string) ir.NFTOp {
	o := siteOp(ir.NFTFlushChain)
	o.Chain = name
	return o
}

func deleteChain(name string) ir.NFTOp {
	o := siteOp(ir.NFTDeleteChain)
	o.Chain = name
	return o
}

func addRule(chain, text string) ir.NFTOp {
	o := siteOp(ir.NFTAddRule)
	o.Chain, o.Rule = chain, &ir.OwnRule{Text: text}
	return o
}

func insertBefore(chain string, handle uint64, text string) ir.NFTOp {
	o := siteOp(ir.NFTInsertRule)
	o.Chain, o.Handle, o.Rule = chain, handle, &ir.OwnRule{Text: text}
	return o
}

func deleteHandle(chain string, handle uint64) ir.NFTOp {
	o := siteOp(ir.NFTDeleteRule)
	o.Chain, o.Handle = chain, handle
	return o
}

// in moves a step to another table.
func in(kind ir.TableKind, table string, o ir.NFTOp) ir.NFTOp {
	o.Kind, o.Table = kind, table
	return o
}

func input(priority int) *ir.BaseChain {
	return &ir.BaseChain{Type: "filter", Hook: "input", Priority: priority}
}

func nftRules(texts ...string) []ir.OwnRule {
	var out []ir.OwnRule
	for i, text := range texts {
		out = append(out, ir.OwnRule{Text: text, Packets: uint64(i + 1), Bytes: uint64(60 * (i + 1))})
	}
	return out
}

// Rules of the site's table; all of them count.
const (
	established = "ct state established,related counter accept"
	ssh         = "tcp dport 22 counter accept"
	web         = `iifname "eth0" tcp dport { 80, 443 } counter accept`
	logged      = `limit rate 5/minute counter log prefix "site: "`
	dropped     = "counter drop"
)

// site is the table as it stands.
func site() *ir.OwnTable {
	return &ir.OwnTable{Kind: ir.Inet, Name: "hookline-site", Chains: []*ir.OwnChain{
		{Name: "filter-SITE", Rules: nftRules(established, ssh, dropped)},
		{Name: "filter-INPUT", Base: input(-5), Rules: nftRules(`iifname "eth0" counter jump filter-SITE`)},
	}}
}

// others are tables of other programs.
func others() []*ir.OwnTable {
	return []*ir.OwnTable{
		{Kind: ir.IP, Name: "filter", Chains: []*ir.OwnChain{
			{Name: "INPUT", Base: input(0), Rules: nftRules("counter jump KUBE-FIREWALL", "tcp dport 22 counter accept")},
			{Name: "KUBE-FIREWALL", Rules: nftRules("ip saddr 10.0.0.0/8 counter drop")},
		}},
		{Kind: ir.Inet, Name: "agent", Chains: []*ir.OwnChain{
			{Name: "in", Base: &ir.BaseChain{Type: "filter", Hook: "input", Priority: 7, Policy: "drop"}, Rules: []ir.OwnRule{{Text: "udp dport 53 counter accept", Comment: "agent: it's; \\ #1", Packets: 9, Bytes: 900}}},
		}},
		{Kind: ir.IP6, Name: "hookline-neighbour", Chains: []*ir.OwnChain{{Name: "x", Rules: nftRules("ip6 saddr fd00::/8 counter accept")}}},
	}
}
