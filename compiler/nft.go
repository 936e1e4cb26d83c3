package compiler

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// NFTables are the tables of nftables that programs make on a host that has none
// of them, one for each program, and what of the programs nft cannot say.
func NFTables(programs []*Program) ([]*nftables.Table, *diag.List) {
	return nftTables(programs, nil)
}

// nftTables are the tables with the base chains at their places; those that have
// none are where iptables has them.
func nftTables(programs []*Program, places map[baseKey]basePlace) ([]*nftables.Table, *diag.List) {
	list := &diag.List{}
	var out []*nftables.Table
	for _, p := range programs {
		w := nftWriter{
			prog: p, diags: list, chains: map[string]*nftables.Chain{}, places: places,
			table: &nftables.Table{Kind: nftables.KindOf(p.Families), Name: nftables.TableName(p.Name)},
		}
		w.refusals()
		w.sets()
		w.anchors()
		w.regular()
		out = append(out, w.table)
	}
	list.OncePerPlace()
	return out, list
}

// nftWriter makes the table of one program.
type nftWriter struct {
	prog   *Program
	diags  *diag.List
	table  *nftables.Table
	chains map[string]*nftables.Chain
	places map[baseKey]basePlace
}

// iptablesOnly is the way out where nft has no equal.
const iptablesOnly = "use iptables-nft or iptables-legacy for this ruleset"

// refusals reports what has no place in a table of our own.
func (w *nftWriter) refusals() {
	for _, a := range w.prog.Adopts {
		w.diags.Errorf(diag.UnsupportedBackend, a.Span, "adopt places a jump in a chain of iptables, and nft has no such chain").WithHelp(iptablesOnly)
	}
	for _, x := range w.prog.Collects {
		w.diags.Errorf(diag.UnsupportedBackend, x.Span, "collect removes rules from chains of iptables, which nft leaves alone").WithHelp(iptablesOnly)
	}
	for _, c := range w.prog.Chains {
		if given(w.prog.Catalogue, c.Key.Chain) {
			w.diags.Errorf(diag.UnsupportedBackend, c.Span, "%s is a chain in another program's table of iptables", c.Key.Chain).WithHelp(iptablesOnly)
		}
	}
	for _, a := range w.prog.Anchors {
		if nftables.BaseOf(a.Key.Table, a.Key.Chain) == nil {
			w.diags.Errorf(diag.UnsupportedBackend, a.Span, "an anchor of the nft backend stands at a hook, and %s is a chain of iptables", a.Key.Chain).WithHelp(iptablesOnly)
		}
		if a.FromText {
			w.diags.Errorf(diag.RuleDialect, a.Span, "the condition of this anchor is written for iptables").WithHelp("write it as match")
		}
		for _, r := range slices.Concat(a.After, a.Before) {
			if r.Glob != nil {
				w.diags.Errorf(diag.UnsupportedBackend, r.Span, "%s chooses single rules of iptables, among which nft has no place", r.Label).
					WithHelp("name a participant, or " + iptablesOnly)
			}
		}
	}
}

// chain finds or makes a chain of the table.
func (w *nftWriter) chain(table, name string, base *nftables.Base) *nftables.Chain {
	key := nftables.ChainName(table, name)
	if w.chains[key] == nil {
		w.chains[key] = &nftables.Chain{Name: key, Base: base}
		w.table.Chains = append(w.table.Chains, w.chains[key])
	}
	return w.chains[key]
}

// anchors makes a base chain for each hook in use, with our jumps in the order of
// the ruleset.
func (w *nftWriter) anchors() {
	for _, table := range ir.TableNames {
		for _, hook := range ir.BuiltinChains(table) {
			items := map[ir.Family][]nftables.Item{}
			place, placed := w.places[baseKey{w.prog.Name, table, hook}]
			for _, a := range w.prog.Anchors {
				if a.Key.Table != table || a.Key.Chain != hook || place.Held[a] {
					continue
				}
				group := fmt.Sprintf("%s@%d", a.Name, a.Span.Start)
				comment := w.comment(a.Rule.Spec.Comments(), a.Span)
				items[a.Key.Family] = append(items[a.Key.Family], w.items(a.Key, a.Rule, comment, a.Name, group)...)
			}
			if len(items) == 0 {
				continue
			}
			base := nftables.BaseOf(table, hook)
			if placed {
				base.Priority = place.Priority
			}
			c := w.chain(table, hook, base)
			c.Rules = nftables.Merge(w.table.Kind, items[ir.IPv4], items[ir.IPv6])
		}
	}
}

// regular makes our chains, each for both families.
func (w *nftWriter) regular() {
	for _, c := range w.prog.Chains {
		if w.chains[nftables.ChainName(c.Key.Table, c.Key.Chain)] != nil {
			continue
		}
		items := map[ir.Family][]nftables.Item{}
		for _, f := range ir.Families {
			key := c.Key
			key.Family = f
			if own := w.prog.Chain(key); own != nil {
				items[f] = w.rules(own)
			}
		}
		out := w.chain(c.Key.Table, c.Key.Chain, nil)
		out.Rules = nftables.Merge(w.table.Kind, items[ir.IPv4], items[ir.IPv6])
	}
}

func (w *nftWriter) rules(c *Chain) []nftables.Item {
	var out []nftables.Item
	for _, r := range c.Rules {
		group := fmt.Sprintf("%s@%d", r.Label, r.Rule.Origin.Start)
		var words []string
		if !strings.HasPrefix(r.Label, "#") {
			words = append(words, r.Label)
		}
		if r.Raw != nil {
			out = append(out, w.raw(c.Key, r, w.comment(append(words, r.Comments...), r.Rule.Origin), r.Label, group)...)
			continue
		}
		if r.FromText {
			w.diags.Errorf(diag.RuleDialect, r.Rule.Origin, "this rule says nothing for nft").
				WithHelp("give its text under nft: too, write match and action, or write the text alone, without iptables:, to have it translated")
			continue
		}
		comment := w.comment(append(words, r.Rule.Spec.Comments()...), r.Rule.Origin)
		out = append(out, w.items(c.Key, r.Rule, comment, r.Label, group)...)
	}
	return out
}

// comment is what is written beside a rule: its name in the ruleset and its own
// comments.
func (w *nftWriter) comment(words []string, at diag.Span) string {
	text := strings.Join(words, ": ")
	if why := nftables.CommentProblem(text); why != "" {
		w.diags.Errorf(diag.RuleDialect, at, "%s, and this rule's name and comments are %q", why, text)
		return ""
	}
	return text
}

// items translates a rule.
func (w *nftWriter) items(k ir.ChainKey, r *ir.Rule, comment, label, group string) []nftables.Item {
	if j := r.JumpTarget(); j != "" && w.prog.Chain(ir.ChainKey{Family: k.Family, Table: k.Table, Chain: j}) == nil {
		w.diags.Errorf(diag.RuleDialect, r.Origin, "%s is a chain of iptables, to which no rule of nft can jump", j)
		return nil
	}
	bodies, reasons := nftables.Translate(r.Spec, nftables.Env{
		Kind: w.table.Kind, Family: k.Family, Table: k.Table, Chain: k.Chain, Counters: w.prog.Counters, Set: w.tableSet,
	})
	if len(reasons) > 0 {
		w.diags.Errorf(diag.RuleDialect, r.Origin, "nft cannot say this rule: %s", strings.Join(reasons, "; "))
		return nil
	}
	var out []nftables.Item
	for _, b := range bodies {
		out = append(out, nftables.Item{Body: b, Comment: comment, Label: label, Origin: r.Origin, Group: group})
	}
	return out
}

// raw reads a rule that was written for nft.
func (w *nftWriter) raw(k ir.ChainKey, r ChainRule, comment, label, group string) []nftables.Item {
	body, err := nftables.Raw(r.Raw, func(name string) (string, bool) {
		key := k
		key.Chain = name
		return nftables.ChainName(k.Table, name), w.prog.Chain(key) != nil
	}, func(name string) (string, bool) {
		d := w.prog.Set(name, k.Family)
		if d == nil {
			return "", false
		}
		return nftables.SetName(d.Name), true
	})
	if err != nil {
		w.diags.Errorf(diag.RuleText, r.Rule.Origin, "%v", err)
		return nil
	}
	return []nftables.Item{{Body: body, Comment: comment, Label: label, Origin: r.Rule.Origin, Group: group}}
}

// rawNFT takes over the text of a rule that was written for nft.
func (c *compilation) rawNFT(ch *Chain, r *dsl.Rule, label string) {
	c.eval.skip = nil
	parts, ok := c.eval.template(r.NFT)
	var comments []string
	for _, t := range r.Comments {
		text, fine := c.eval.string(t)
		comments, ok = append(comments, text), ok && fine
	}
	if !ok {
		return
	}
	raw := []nftables.RawPart{}
	for _, p := range parts {
		raw = append(raw, nftables.RawPart{Text: p.Text, IsValue: p.IsValue})
	}
	ch.Rules = append(ch.Rules, ChainRule{
		Rule: &ir.Rule{Origin: r.NFT.Span, Spec: &ir.Spec{}}, Label: label, Raw: raw, Comments: comments,
	})
}
