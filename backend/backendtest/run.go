package backendtest

import (
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// Run runs the suite. host makes a new host for each subtest, with empty tables.
func Run(t *testing.T, host func(t *testing.T) Host) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h Host)
	}{
		{"EmptyHost", emptyHost},
		{"CreateAndRefill", createAndRefill},
		{"AnchorAtIndex", anchorAtIndex},
		{"DeleteFirstCopy", deleteFirstCopy},
		{"GuardHolds", guardHolds},
		{"GuardFails", guardFails},
		{"GuardFailsInSecondTable", guardFailsInSecondTable},
		{"RemoveStaleChain", removeStaleChain},
		{"RemoveStaleChainInTwoBlocks", removeStaleChainInTwoBlocks},
		{"DropChainInUse", dropChainInUse},
		{"RefusedRuleNamesItsLine", refusedRule},
		{"MissingTargetNamesItsLine", missingTarget},
		{"Loop", loop},
		{"MissingSet", missingSet},
		{"ForeignRulesKeepBytesAndCounters", foreignRules},
		{"BothFamilies", bothFamilies},
		{"EveryTable", everyTable},
		{"OddNames", oddNames},
		{"UnreadIsNotAbsent", unreadIsNotAbsent},
		{"ReferencesAreFound", referencesAreFound},
		{"EmptyTransaction", emptyTransaction},
		{"BrokenPromises", brokenPromises},
		{"SetsOfRules", setsOfRules},
		{"RefusedSetsNameTheirLine", refusedSets},
		{"BrokenSets", brokenSets},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, host(t)) })
	}
}

func splitLines(text string) []string {
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func key(table, chain string) ir.ChainKey {
	return ir.ChainKey{Family: ir.IPv4, Table: table, Chain: chain}
}

func tx(blocks ...ir.Block) ir.Transaction { return ir.Transaction{Blocks: blocks} }

func block(table string, ops ...ir.Op) ir.Block {
	return ir.Block{Family: ir.IPv4, Table: table, NoFlush: true, Ops: ops}
}

func ensure(chain string) ir.Op { return ir.Op{Kind: ir.OpEnsure, Chain: chain} }
func flush(chain string) ir.Op  { return ir.Op{Kind: ir.OpFlush, Chain: chain} }
func drop(chain string) ir.Op   { return ir.Op{Kind: ir.OpDrop, Chain: chain} }

func appendRule(chain, text string) ir.Op {
	return ir.Op{Kind: ir.OpAppend, Chain: chain, Rule: &ir.Rule{Text: text}}
}

func insertRule(chain string, at int, text string) ir.Op {
	return ir.Op{Kind: ir.OpInsert, Chain: chain, Index: at, Rule: &ir.Rule{Text: text}}
}

func deleteRule(chain, text string) ir.Op {
	return ir.Op{Kind: ir.OpDelete, Chain: chain, Rule: &ir.Rule{Text: text}}
}

func require(chain, text string) ir.Op {
	return ir.Op{Kind: ir.OpRequire, Chain: chain, Rule: &ir.Rule{Text: text}}
}
