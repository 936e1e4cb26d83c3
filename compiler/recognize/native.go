package recognize

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// FromNative is the fields of a native rule: those that the same rule would have
// if iptables had written it. Text is the rule as nft lists it.
func FromNative(n *ir.Native) Fields {
	f := Fields{Text: n.Text}
	if n.Comment != "" {
		f.Comments = []string{n.Comment}
	}
	words := nftWords(n.Text)
	for i := 0; i < len(words); i++ {
		if words[i] == "{" { // elements of a set or map say nothing of the rule as a whole
			for i < len(words) && words[i] != "}" {
				i++
			}
			continue
		}
		rest := words[i+1:]
		switch w := words[i]; {
		case w == "iifname" || w == "iif":
			f.In = nftInterface(rest)
		case w == "oifname" || w == "oif":
			f.Out = nftInterface(rest)
		case (w == "jump" || w == "goto") && len(rest) > 0:
			f.Target, f.Goto = rest[0], w == "goto"
			return f
		case len(w) > 1 && w[0] == '@' && !strings.Contains(w, ","): // @th,0,16 is a place in a packet
			f.Sets = append(f.Sets, w[1:])
		case targets[w] != "" && (i == 0 || words[i-1] != "with"):
			f.Target = targets[w]
		}
	}
	return f
}

// targets are the statements of nft that end a rule, with iptables' word for each.
var targets = map[string]string{
	"accept": "ACCEPT", "drop": "DROP", "return": "RETURN", "reject": "REJECT", "masquerade": "MASQUERADE", "snat": "SNAT",
	"dnat": "DNAT", "redirect": "REDIRECT", "log": "LOG", "notrack": "CT",
}

// nftInterface is the interface that a comparison names, as iptables writes it: "wt*" is wt+ there.
func nftInterface(words []string) string {
	not := ""
	if len(words) > 0 && words[0] == "!=" {
		not, words = "! ", words[1:]
	}
	if len(words) == 0 || !strings.HasPrefix(words[0], `"`) {
		return "" // a set of interfaces, or one by number
	}
	name := strings.Trim(words[0], `"`)
	if rest, all := strings.CutSuffix(name, "*"); all {
		name = rest + "+"
	}
	return not + name
}

// nftWords cuts a rule at its spaces, but for those between quotes.
func nftWords(text string) []string {
	var out []string
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		end := strings.IndexByte(text, ' ')
		if text[0] == '"' {
			if n := strings.IndexByte(text[1:], '"'); n >= 0 {
				end = n + 2
			}
		}
		if end < 0 {
			end = len(text)
		}
		out = append(out, text[:end])
		text = text[end:]
	}
	return out
}

// NativeRule is a native rule in one of iptables' tables, and who probably wrote
// it.
type NativeRule struct {
	Key ir.ChainKey
	ir.NativeAt
	// Author is the participant that the rule is attributed to, or "".
	Author Attribution
}

// Natives lists every native rule that is known to stand in the state, chain by
// chain, also of chains that could not be read because of them.
func (t *Table) Natives() []NativeRule {
	var out []NativeRule
	for _, table := range t.state.Tables {
		for _, c := range table.Chains {
			out = append(out, t.NativesIn(ir.ChainKey{Family: table.Family, Table: table.Name, Chain: c.Name})...)
		}
	}
	return out
}

// NativesIn lists the native rules that are known to stand in one chain.
func (t *Table) NativesIn(k ir.ChainKey) []NativeRule {
	var out []NativeRule
	for _, n := range t.state.Table(k.Family, k.Table).Chain(k.Chain).NativeRules() {
		out = append(out, NativeRule{k, n, t.native(k, n.Native)})
	}
	return out
}

// native attributes a native rule. The jumps beside it cannot always be read, so
// that it has to do that the table has such a chain.
func (t *Table) native(k ir.ChainKey, n *ir.Native) Attribution {
	in := neighbourhood{chain: t.rec.cat.Chain, beside: func(glob string) bool {
		return slices.ContainsFunc(t.state.Table(k.Family, k.Table).Chains, func(c *ir.Chain) bool { return ir.MatchGlob(glob, c.Name) })
	}}
	in.owner, in.given = t.rec.chain(k.Chain)
	return t.rec.attribute(k, FromNative(n), in)
}
