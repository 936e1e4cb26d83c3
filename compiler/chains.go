package compiler

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/lower"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// chain compiles one owned chain for one family.
func (c *compilation) chain(f ir.Family, table string, d *dsl.Chain) {
	if !slices.Contains(c.narrow(c.prog.Families, d.Families), f) || !c.eval.when(d.When) {
		return
	}
	key := ir.ChainKey{Family: f, Table: table, Chain: literal(d.Name)}
	if other := c.prog.Chain(key); other != nil {
		c.diags.Errorf(diag.DuplicateName, d.Name.Span, "chain %s is declared twice", key).Note(other.Span, "the other one is here")
		return
	}
	ch := &Chain{Key: key, Span: d.Name.Span}
	c.prog.addChain(ch)
	for i, r := range d.Rules {
		label := fmt.Sprintf("#%d", i+1)
		if r.Name != nil {
			label = literal(r.Name)
		}
		families := c.narrow([]ir.Family{f}, r.Families)
		if len(families) == 0 {
			continue
		}
		c.eachRule(ch, r, label)
	}
}

// eachRule compiles a rule once, or once for each item of its forEach.
func (c *compilation) eachRule(ch *Chain, r *dsl.Rule, label string) {
	if r.ForEach == nil {
		if c.eval.when(r.When) {
			c.rule(ch, r, label)
		}
		return
	}
	items, ok := c.eval.forEach(r.ForEach)
	if !ok {
		return
	}
	outer := c.eval
	for _, it := range items {
		c.eval = outer.with(r.ForEach, it)
		if c.eval.when(r.When) {
			c.rule(ch, r, fmt.Sprintf("%s[%s]", label, it.key))
		}
	}
	c.eval = outer
}

// rule compiles one rule for the chain's family.
func (c *compilation) rule(ch *Chain, r *dsl.Rule, label string) {
	nft := c.prog.Backend == string(ir.NFT)
	switch {
	case r.String != nil:
		c.text(ch, r.String, r.String.Span, label)
	case nft && r.NFT != nil:
		c.rawNFT(ch, r, label)
	case nft && r.Iptables != nil && r.Match == nil && r.Action == nil:
		before := len(ch.Rules)
		c.text(ch, r.Iptables, r.Iptables.Span, label)
		for i := before; i < len(ch.Rules); i++ {
			ch.Rules[i].FromText = true
		}
	case nft && r.Iptables != nil:
		c.structured(ch, r, label)
	case r.Iptables != nil:
		c.text(ch, r.Iptables, r.Iptables.Span, label)
	case r.NFT != nil && r.Match == nil && r.Action == nil:
		c.diags.Errorf(diag.RuleDialect, r.NFT.Span, "this rule says nothing for iptables").
			WithHelp("give its text under iptables: too, or write match and action")
	default:
		c.structured(ch, r, label)
	}
}

// text compiles a rule string. A text that only the other family can hold is left
// out here; that no family holds it is an error of the first one.
func (c *compilation) text(ch *Chain, t *dsl.Text, span diag.Span, label string) {
	c.eval.skip = nil
	specs, parts, ok := c.parseText(ch.Key, t, "rule "+label)
	if !ok {
		return
	}
	for _, s := range specs {
		failed := false
		for _, e := range xtables.Check(s, ch.Key.Table, ch.Key.Chain, ch.Key.Family) {
			c.textError(t, parts, e)
			failed = true
		}
		if !failed {
			c.add(ch, s, span, label)
		}
	}
}

// parseText reads iptables text; what names whose it is. A text that only the
// other family can hold is left out, with a note.
func (c *compilation) parseText(k ir.ChainKey, t *dsl.Text, what string) ([]*ir.Spec, []xtables.TemplatePart, bool) {
	parts, ok := c.eval.template(t)
	if !ok {
		return nil, nil, false
	}
	specs, err := parseTemplate(parts, k)
	var e *xtables.Error
	switch {
	case err == nil:
		return specs, parts, true
	case !errors.As(err, &e):
		c.diags.Errorf(diag.RuleText, t.Span, "%v", err)
	case e.Code == diag.FamilyMismatch && c.otherFamilyHolds(k, parts):
		c.note(diag.FamilyMismatch, t.Span, "%s of %s is for %s only", what, k.Chain, other(k.Family))
	default:
		c.textError(t, parts, *e)
	}
	return nil, nil, false
}

func other(f ir.Family) ir.Family {
	if f == ir.IPv4 {
		return ir.IPv6
	}
	return ir.IPv4
}

// otherFamilyHolds tells whether the ruleset is for the other family too, and the
// text is sayable there.
func (c *compilation) otherFamilyHolds(k ir.ChainKey, parts []xtables.TemplatePart) bool {
	k.Family = other(k.Family)
	if !slices.Contains(c.prog.Families, k.Family) {
		return false
	}
	_, err := parseTemplate(parts, k)
	return err == nil
}

func parseTemplate(parts []xtables.TemplatePart, k ir.ChainKey) ([]*ir.Spec, error) {
	opt := xtables.Options{Family: k.Family, Table: k.Table, Chain: k.Chain}
	if len(parts) == 1 && !parts[0].IsValue {
		return xtables.Parse(parts[0].Text, opt)
	}
	words, err := xtables.SplitTemplate(parts)
	if err != nil {
		return nil, err
	}
	return xtables.ParseWords(words, opt)
}

// textError reports a mistake in a rule string at its own bytes, where the source
// is the text as it is, else at the whole scalar.
func (c *compilation) textError(t *dsl.Text, parts []xtables.TemplatePart, e xtables.Error) {
	at := t.Span
	width := 0
	for _, p := range parts {
		if p.Width == 0 {
			width += len(p.Text)
		} else {
			width += p.Width
		}
	}
	raw := t.Span.Text()
	switch {
	case e.Start == e.End: // about the rule, not about a word
	case len(raw) == width:
		at.Start, at.End = t.Span.Start+e.Start, t.Span.Start+e.End
	case len(raw) == width+2 && t.Quoted:
		at.Start, at.End = t.Span.Start+1+e.Start, t.Span.Start+1+e.End
	}
	d := c.diags.Errorf(e.Code, at, "%s", e.Message)
	d.Help = e.Help
}

// add appends a rule to a chain.
func (c *compilation) add(ch *Chain, s *ir.Spec, span diag.Span, label string) {
	ch.Rules = append(ch.Rules, ChainRule{
		Rule:          &ir.Rule{Text: xtables.Print(s, ch.Key.Family), Spec: s, Origin: span},
		Label:         label,
		SkipIfMissing: c.eval.skippable(),
	})
}

func (c *compilation) note(code diag.Code, at diag.Span, format string, args ...any) {
	l := diag.List{}
	l.Infof(code, at, format, args...)
	c.prog.Notes = append(c.prog.Notes, l.All()...)
}

// structured compiles a rule with match and action.
func (c *compilation) structured(ch *Chain, r *dsl.Rule, label string) {
	c.eval.skip = nil
	in := lower.Rule{Span: r.Span, Label: label, Families: []ir.Family{ch.Key.Family}}
	ok := c.matches(&in, r.Match)
	if len(r.Comments) > 0 {
		list := &dsl.Value{Kind: dsl.Sequence, Span: r.Comments[0].Span}
		for _, t := range r.Comments {
			list.Items = append(list.Items, &dsl.Value{Kind: dsl.Scalar, Span: t.Span, Text: t})
		}
		v, fine := c.eval.value(list)
		in.Comment, ok = v, ok && fine
	}
	if r.Action != nil {
		in.Action = &lower.Action{Kind: literal(r.Action.Kind), Span: r.Action.Kind.Span}
		if r.Action.Args != nil {
			v, fine := c.eval.value(r.Action.Args)
			in.Action.Args, ok = v, ok && fine
		}
	}
	if !ok {
		return
	}
	res, list := lower.Lower(in, c.context(ch.Key, label))
	c.lowered(res, list, ch.Key, label)
	if list.HasErrors() {
		return
	}
	f := ch.Key.Family
	for _, s := range res.Rules[f] {
		c.add(ch, s, r.Span, label)
	}
	c.helperChains(ch.Key, res.Chains[f], r.Span, label)
}

// matches evaluates the keys of a match into a rule for lowering.
func (c *compilation) matches(in *lower.Rule, m *dsl.Match) bool {
	if m == nil {
		return true
	}
	ok := true
	keys := func(from []*dsl.Entry) []lower.Key {
		var out []lower.Key
		for _, e := range from {
			v, fine := c.eval.value(e.Value)
			ok = ok && fine
			out = append(out, lower.Key{Name: e.Key.Value, Span: e.Key.Span, Value: v})
		}
		return out
	}
	in.Match, in.Not = keys(m.Keys), keys(m.Not)
	return ok
}

// lowered takes over what lowering says. A family of its own is compiled at a
// time, so that the same mistake comes twice and is reported once (List.Sort).
func (c *compilation) lowered(res lower.Result, list *diag.List, k ir.ChainKey, label string) {
	c.diags.Append(list)
	for _, d := range res.Dropped {
		c.note(diag.NothingMatches, d.Span, "rule %s of %s says nothing for %s: %s", label, k.Chain, k.Family, d.Reason)
		if !d.Other {
			c.prog.LeftOut = append(c.prog.LeftOut, LeftOut{Key: k, Rule: label, Reason: d.Reason})
		}
	}
}

func (c *compilation) helperChains(k ir.ChainKey, chains []lower.HelperChain, span diag.Span, label string) {
	for _, h := range chains {
		hc := &Chain{Key: ir.ChainKey{Family: k.Family, Table: k.Table, Chain: h.Name}, Span: span}
		for _, s := range h.Specs {
			c.add(hc, s, span, label)
		}
		c.prog.addChain(hc)
	}
}

// context is what lowering asks about the ruleset.
func (c *compilation) context(k ir.ChainKey, label string) lower.Context {
	return lower.Context{
		Table: k.Table, Chain: k.Chain,
		Helper: func(purpose string, seq int) string { return c.helper(k, label, purpose, seq) },
		SetName: func(name string, f ir.Family) (string, int, bool, bool) {
			d := c.setDoc(name)
			if d == nil {
				return name, 0, true, false // foreign: its family and kind are the host's
			}
			if !slices.Contains(c.setFamilies(d), f) {
				return "", 0, false, false
			}
			if s := c.prog.Set(name, f); s != nil {
				return s.Name, len(s.Type), true, len(s.Elements) == 0
			}
			return name, 0, true, false // refused, or of a family that this run leaves alone
		},
		SetType: c.setType,
		Sets:    c.setNames(),
		IsChain: func(string) bool { return true }, // checkJumps knows all chains
	}
}

// setDoc is a set's declaration, nil of a foreign one.
func (c *compilation) setDoc(name string) *dsl.Set {
	i := slices.IndexFunc(c.doc.Sets, func(d *dsl.Set) bool { return literal(d.Name) == name })
	if i < 0 {
		return nil
	}
	return c.doc.Sets[i]
}

// setType is the type of a declared set, nil of a foreign one.
func (c *compilation) setType(name string) ir.SetType {
	d := c.setDoc(name)
	if d == nil || d.Type == nil {
		return nil
	}
	return setTypeOf(d)
}

// helper names a helper chain by its chain and the rule's address, so that the
// name does not change when other rules come or go.
func (c *compilation) helper(k ir.ChainKey, label, purpose string, seq int) string {
	id := fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%d", k.Table, k.Chain, label, purpose, seq)
	for n := 0; ; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", id, n))
		name := c.helperPrefix(k.Chain) + hex.EncodeToString(sum[:4])
		if c.helpers == nil {
			c.helpers = map[string]string{}
		}
		if owner, taken := c.helpers[name]; !taken || owner == id {
			c.helpers[name] = id
			return name
		}
	}
}

// checkJumps makes sure that every jump of an owned chain goes to a chain that
// the ruleset declares in the same table and family, or to one that its program
// gives to users.
func (c *compilation) checkJumps() {
	for _, ch := range c.prog.Chains {
		for _, r := range ch.Rules {
			target := r.Rule.JumpTarget()
			if target == "" {
				continue
			}
			k := ch.Key
			k.Chain = target
			if c.prog.Chain(k) != nil || given(c.prog.Catalogue, target) {
				continue
			}
			if who := c.prog.Catalogue.ChainOwner(target); who != "" {
				c.diags.Errorf(diag.JumpForeign, r.Rule.Origin, "a jump to %s, a chain of %s: when it goes stale, %s cannot write its rules any more", target, who, who).
					WithHelp("place the jump beside %s with after or before instead", target)
				continue
			}
			d := c.diags.Errorf(diag.UnknownChain, r.Rule.Origin, "chain %s is not declared in table %s for %s", target, k.Table, k.Family)
			if s := diag.DidYouMean(target, c.chainNames(k.TableKey())); s != "" {
				d.WithHelp("did you mean %s?", s)
			}
		}
	}
}

func (c *compilation) chainNames(k ir.TableKey) []string {
	var out []string
	for _, ch := range c.prog.Chains {
		if ch.Key.TableKey() == k {
			out = append(out, ch.Key.Chain)
		}
	}
	return out
}
