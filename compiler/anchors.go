package compiler

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/lower"
	"hookline/compiler/participant"
	"hookline/compiler/place"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// anchor compiles one entry of anchors or adopt for one family. An anchor whose
// match one rule cannot say becomes several jumps with the same bounds.
func (c *compilation) anchor(f ir.Family, table string, d *dsl.Anchor, adopt bool) {
	if d.Hook == nil || d.Jump == nil {
		return // reported when the file was read
	}
	if !slices.Contains(c.narrow(c.prog.Families, d.Families), f) || !c.eval.when(d.When) {
		return
	}
	key := ir.ChainKey{Family: f, Table: table, Chain: literal(d.Hook)}
	target := literal(d.Jump)
	hook, jump := c.hookAllowed(key, d.Hook), c.targetAllowed(key, d, target, adopt)
	a := Anchor{
		Key: key, Name: target, Ruleset: c.prog.Name, Span: d.Jump.Span, Target: target, Adopt: adopt,
		AnyMatch: adopt && d.Match == nil && d.Iptables == nil, Collapse: collapses(d, adopt),
		Force: literal(d.Force) == "true", FromText: d.Iptables != nil,
	}
	if d.Name != nil {
		a.Name = literal(d.Name)
	}
	switch literal(d.At) {
	case "first":
		a.At = place.AtFirst
	case "last":
		a.At = place.AtLast
	}
	if adopt {
		a.IfMissing, a.Tolerated = missing(d.IfMissing), literal(d.IfMissing) == "ignore"
	}
	a.After = c.refs(d, d.After)
	a.Before = c.refs(d, d.Before)
	c.ifMissingNames(d)
	if !hook || !jump {
		return
	}
	jumps := c.jumps(key, d, a.Name)
	a.SkipIfMissing = c.eval.skippable()
	for _, s := range jumps {
		b := a
		b.Rule = &ir.Rule{Text: xtables.Print(s, f), Spec: s, Origin: d.Span}
		if c.twice(&b) {
			continue
		}
		if adopt {
			c.prog.Adopts = append(c.prog.Adopts, &b)
		} else {
			c.prog.Anchors = append(c.prog.Anchors, &b)
		}
	}
}

// collapses tells whether of several copies of a jump one stays. By default that
// is so for our own, and not for somebody else's.
func collapses(d *dsl.Anchor, adopt bool) bool {
	if d.Duplicates == nil {
		return !adopt
	}
	return literal(d.Duplicates) == "collapse"
}

// twice tells whether the same jump is asked for already: one of the two would be
// removed as a copy of the other at every apply.
func (c *compilation) twice(a *Anchor) bool {
	for _, o := range c.prog.placed() {
		if a.sameJump(o) {
			c.diags.Errorf(diag.DuplicateName, a.Span, "the same jump to %s in %s %s is asked for twice", a.Target, a.Key.Table, a.Key.Chain).
				Note(o.Span, "the other one is here")
			return true
		}
	}
	return false
}

// hookAllowed: an anchor stands in a base chain of its table, or in a chain that
// a program gives to its users.
func (c *compilation) hookAllowed(k ir.ChainKey, hook *dsl.Text) bool {
	if ir.IsBuiltin(k.Table, k.Chain) || given(c.prog.Catalogue, k.Chain) {
		return true
	}
	d := c.diags.Errorf(diag.InvalidValue, hook.Span, "%s is no base chain of table %s, and no program gives it to its users", k.Chain, k.Table)
	if s := diag.DidYouMean(k.Chain, ir.BuiltinChains(k.Table)); s != "" {
		d.WithHelp("did you mean %s?", s)
	} else {
		d.WithHelp("the base chains of %s are %s", k.Table, strings.Join(ir.BuiltinChains(k.Table), ", "))
	}
	return false
}

// targetAllowed: an anchor jumps to a declared chain, an adopted jump to somebody
// else's.
func (c *compilation) targetAllowed(k ir.ChainKey, d *dsl.Anchor, target string, adopt bool) bool {
	t := k
	t.Chain = target
	declared := c.prog.Chain(t) != nil
	switch {
	case adopt && c.prog.OwnsChain(target):
		c.diags.Errorf(diag.AdoptOwned, d.Jump.Span, "%s is a chain of this ruleset: its jumps are anchors", target).
			WithHelp("put it under anchors")
		return false
	case adopt || declared:
		return true
	case c.declaredElsewhere(d.Jump):
		c.note(diag.FamilyMismatch, d.Jump.Span, "the jump to %s is left out for %s: the chain is not declared there", target, k.Family)
		return false
	}
	e := c.diags.Errorf(diag.UnknownChain, d.Jump.Span, "chain %s is not declared in table %s", target, k.Table)
	if s := diag.DidYouMean(target, c.chainNames(k.TableKey())); s != "" {
		e.WithHelp("did you mean %s?", s)
	} else {
		e.WithHelp("declare it under chains, or put the jump under adopt if somebody else fills the chain")
	}
	return false
}

// declaredElsewhere tells whether the document declares the chain at all, for
// another family or under a `when` that is false.
func (c *compilation) declaredElsewhere(name *dsl.Text) bool {
	for _, t := range c.doc.Tables {
		if t.Span.Start > name.Span.Start || name.Span.End > t.Span.End {
			continue
		}
		for _, ch := range t.Chains {
			if literal(ch.Name) == name.Literal() {
				return true
			}
		}
	}
	return false
}

// jumps are the rules of an anchor: normally one.
func (c *compilation) jumps(k ir.ChainKey, d *dsl.Anchor, name string) []*ir.Spec {
	c.eval.skip = nil
	comments := []ir.Match{&ir.Comment{Text: AnchorComment + c.prog.Name}}
	for _, t := range d.Comments {
		text, ok := c.eval.string(t)
		if !ok {
			return nil
		}
		if sub, why, found := c.prog.Catalogue.ReservedSubstring(text); found {
			c.diags.Errorf(diag.ReservedSubstring, t.Span, "a comment with %q is not safe: %s", sub, why)
			return nil
		}
		comments = append(comments, &ir.Comment{Text: text})
	}
	var out []*ir.Spec
	if d.Iptables != nil {
		out = c.textJumps(k, d, name)
	} else {
		out = c.structuredJumps(k, d, name)
	}
	for _, s := range out {
		for _, e := range xtables.Check(s, k.Table, k.Chain, k.Family) {
			c.diags.Errorf(e.Code, d.Span, "%s", e.Message)
		}
		s.Matches = append(slices.Clone(comments), s.Matches...)
	}
	return out
}

// structuredJumps are the jumps of an anchor with a match, or with none.
func (c *compilation) structuredJumps(k ir.ChainKey, d *dsl.Anchor, name string) []*ir.Spec {
	in := lower.Rule{Span: d.Span, Label: "anchor " + name, Families: []ir.Family{k.Family}}
	if !c.matches(&in, d.Match) {
		return nil
	}
	kind := "jump"
	if d.Goto {
		kind = "goto"
	}
	in.Action = &lower.Action{Kind: kind, Span: d.Jump.Span, Args: &lower.Value{Kind: lower.Scalar, Span: d.Jump.Span, Text: literal(d.Jump)}}
	target := ir.ChainKey{Family: k.Family, Table: k.Table, Chain: literal(d.Jump)}
	res, list := lower.Lower(in, c.context(target, in.Label))
	c.lowered(res, list, k, in.Label)
	if list.HasErrors() {
		return nil
	}
	c.helperChains(target, res.Chains[k.Family], d.Span, in.Label)
	return res.Rules[k.Family]
}

// textJumps are the jumps of an anchor whose condition is iptables text.
func (c *compilation) textJumps(k ir.ChainKey, d *dsl.Anchor, name string) []*ir.Spec {
	specs, parts, ok := c.parseText(k, d.Iptables, "anchor "+name)
	if !ok {
		return nil
	}
	for _, s := range specs {
		switch {
		case s.Target != nil:
			c.diags.Errorf(diag.BadTarget, d.Iptables.Span, "the text of an anchor is a condition, and has no target").
				WithHelp("leave -j out: the anchor jumps to %s", literal(d.Jump))
			return nil
		case len(s.Comments()) > 0:
			c.textError(d.Iptables, parts, xtables.Error{Code: diag.RuleText, Message: "the text of an anchor is a condition, and holds no comment", Help: "write comment: beside it"})
			return nil
		}
		s.Target = &ir.Jump{Goto: d.Goto, Chain: literal(d.Jump)}
	}
	return specs
}

// refs resolves after or before as far as that needs no host.
func (c *compilation) refs(d *dsl.Anchor, list []*dsl.Ref) []Ref {
	var out []Ref
	for _, r := range list {
		ref, ok := c.ref(r)
		if !ok {
			continue
		}
		said := d.IfMissing
		for _, e := range d.IfMissingByName {
			if e.Key.Value == ref.Label {
				said = e.Value.Text
			}
		}
		if r.IfMissing != nil {
			said = r.IfMissing
		}
		ref.IfMissing, ref.Tolerated = missing(said), literal(said) == "ignore"
		out = append(out, ref)
	}
	return out
}

func missing(t *dsl.Text) place.Missing {
	switch literal(t) {
	case "fail":
		return place.Fail
	case "hold":
		return place.Hold
	}
	return place.Ignore
}

// ref resolves one reference: a bare name is a participant if there is one, else
// a chain that the ruleset declares or the catalogue knows.
func (c *compilation) ref(r *dsl.Ref) (Ref, bool) {
	cat := c.prog.Catalogue
	out := Ref{Span: r.Span}
	switch {
	case r.Glob != nil:
		return c.refGlob(r, out)
	case r.Chain != nil:
		out.Label, out.Chain = literal(r.Chain), literal(r.Chain)
		return out, true
	}
	t := r.Name
	if r.Participant != nil {
		t = r.Participant
	}
	if t == nil {
		return out, false // reported when the file was read
	}
	out.Label = literal(t)
	name, tail := strings.CutSuffix(out.Label, "/tail")
	if e := cat.Entry(name); e != nil {
		if tail && len(e.Tail) == 0 {
			c.diags.Errorf(diag.UnknownReference, t.Span, "%s has no rules at the end of shared chains", name)
			return out, false
		}
		out.Participant, out.Tail = name, tail
		return out, true
	}
	if r.Participant == nil && !tail && (c.declaredName(name) || cat.KnowsChain(name)) {
		out.Chain = name
		return out, true
	}
	e := c.diags.Errorf(diag.UnknownReference, t.Span, "%q is no participant, no chain of this ruleset and no chain that the catalogue knows", out.Label)
	if s := cat.Suggest(name, c.declaredNames()...); len(s) > 0 {
		e.WithHelp("did you mean %s?", s[0])
	} else {
		e.WithHelp("say {chain: %s} if it is a chain", name)
	}
	return out, false
}

func (c *compilation) declaredNames() []string {
	var out []string
	for _, t := range c.doc.Tables {
		for _, ch := range t.Chains {
			out = append(out, literal(ch.Name))
		}
	}
	return out
}

func (c *compilation) declaredName(name string) bool { return slices.Contains(c.declaredNames(), name) }

// refGlob resolves a reference by conditions. Values of expressions are globs like
// any others; none of them may come out empty, which would ask for nothing.
func (c *compilation) refGlob(r *dsl.Ref, out Ref) (Ref, bool) {
	out.Glob = &participant.RuleGlob{}
	g := r.Glob
	var parts []string
	for _, p := range []struct {
		key string
		t   *dsl.Text
		to  *string
	}{
		{"comment", g.Comment, &out.Glob.Comment},
		{"text", g.Text, &out.Glob.Text},
		{"target", g.Target, &out.Glob.Target},
		{"in", g.In, &out.Glob.In},
		{"out", g.Out, &out.Glob.Out},
		{"set", g.Set, &out.Glob.Set},
	} {
		if p.t == nil {
			continue
		}
		value, ok := c.eval.string(p.t)
		if !ok {
			return out, false
		}
		if value == "" {
			c.diags.Errorf(diag.WrongType, p.t.Span, "%s is empty here, and would mean any rule", p.key)
			return out, false
		}
		*p.to = value
		parts = append(parts, p.key+": "+value)
	}
	out.Label = "{" + strings.Join(parts, ", ") + "}"
	return out, true
}

// ifMissingNames makes sure that each name in an ifMissing map is one of the
// anchor's references.
func (c *compilation) ifMissingNames(d *dsl.Anchor) {
	for _, e := range d.IfMissingByName {
		var labels []string
		for _, r := range slices.Concat(d.After, d.Before) {
			for _, t := range []*dsl.Text{r.Name, r.Chain, r.Participant} {
				if t != nil {
					labels = append(labels, literal(t))
				}
			}
		}
		if !slices.Contains(labels, e.Key.Value) {
			x := c.diags.Errorf(diag.UnknownReference, e.Key.Span, "%q is not one of this anchor's references", e.Key.Value)
			if s := diag.DidYouMean(e.Key.Value, labels); s != "" {
				x.WithHelp("did you mean %s?", s)
			}
		}
	}
}
