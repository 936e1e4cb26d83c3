package nftables

import (
	"fmt"
	"strings"

	"hookline/compiler/ir"
)

// TablePrefix stands in front of a ruleset's name in the name of its table.
const TablePrefix = "hookline-"

// TableName is the name of a ruleset's table.
func TableName(ruleset string) string { return TablePrefix + ruleset }

// RulesetOf is the ruleset whose table has a name, if it is one of ours.
func RulesetOf(table string) (string, bool) { return strings.CutPrefix(table, TablePrefix) }

// ChainName is the name in our table of a chain of one of iptables' tables, or of
// the base chain that stands for a built-in one. The table is in the name always,
// so that a chain does not change its name when another table gets one that is
// called the same; and so that no name is a word of nft's language (fwd, log, ip).
//
// nft takes letters, digits and - _ . / in names and knows no quotes for them: any
// other byte, and the slash itself, is written as a slash and two hexadecimal
// digits. Two chains never get the same name.
func ChainName(table, chain string) string { return table + "-" + written(chain) }

// written is a text in the letters that nft takes in names.
func written(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "/%02x", c)
		}
	}
	return b.String()
}

// Makes tells whether a chain that stands in a table of ours has the name of one that
// a ruleset makes there, and hooks in where such a one does: a base chain stands for
// a built-in chain of iptables, any other one for a chain that a ruleset declares.
func Makes(name string, base *ir.BaseChain) bool {
	for _, table := range ir.TableNames {
		if base == nil && strings.HasPrefix(name, table+"-") {
			return true
		}
		for _, chain := range ir.BuiltinChains(table) {
			if b := BaseOf(table, chain); base != nil && name == ChainName(table, chain) {
				return base.Type == b.Type && base.Hook == b.Hook
			}
		}
	}
	return false
}

// priorities are those of iptables' tables: where our chains stand on a host on
// which nobody else has a place.
var priorities = map[string]int{"raw": -300, "mangle": -150, "filter": 0, "security": 50}

// hooks are the built-in chains of iptables as hooks.
var hooks = map[string]string{
	"PREROUTING": "prerouting", "INPUT": "input", "FORWARD": "forward", "OUTPUT": "output", "POSTROUTING": "postrouting",
}

// BaseOf is how a built-in chain of a table of iptables hooks in; nil if there is
// no such chain.
func BaseOf(table, chain string) *Base {
	hook, known := hooks[chain]
	if !known {
		return nil
	}
	switch {
	case table == "nat" && (chain == "PREROUTING" || chain == "OUTPUT"):
		return &Base{Type: "nat", Hook: hook, Priority: -100}
	case table == "nat" && (chain == "POSTROUTING" || chain == "INPUT"):
		return &Base{Type: "nat", Hook: hook, Priority: 100}
	case table == "mangle" && chain == "OUTPUT":
		// A packet whose mark or address was changed here is routed again.
		return &Base{Type: "route", Hook: hook, Priority: -150}
	}
	priority, known := priorities[table]
	if !known {
		return nil
	}
	return &Base{Type: "filter", Hook: hook, Priority: priority}
}
