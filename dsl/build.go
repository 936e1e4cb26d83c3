package dsl

import "hookline/dsl/diag"

// get is the value of a key; nil if it is not there. The nil val has no keys.
func (v *val) get(key string) *val {
	if v == nil {
		return nil
	}
	for _, e := range v.entries {
		if e.key.Value == key {
			return e.value
		}
	}
	return nil
}

func (v *val) textOf(key string) *Text {
	if x := v.get(key); x != nil {
		return x.text
	}
	return nil
}

func (v *val) exprOf(key string) *Expr {
	if x := v.get(key); x != nil {
		return x.expr
	}
	return nil
}

func (v *val) textsOf(key string) []*Text {
	x := v.get(key)
	if x == nil {
		return nil
	}
	out := []*Text{}
	for _, i := range x.items {
		if i.text != nil {
			out = append(out, i.text)
		}
	}
	return out
}

// someOf is a text, or a list of texts, as a list.
func (v *val) someOf(key string) []*Text {
	if t := v.textOf(key); t != nil {
		return []*Text{t}
	}
	return v.textsOf(key)
}

// each calls f for the items of a list.
func (v *val) each(key string, f func(*val)) {
	if x := v.get(key); x != nil {
		for _, i := range x.items {
			f(i)
		}
	}
}

// entriesOf are the entries of a mapping under a key.
func (v *val) entriesOf(key string) []valEntry {
	if x := v.get(key); x != nil {
		return x.entries
	}
	return nil
}

// value is the val as a Value.
func (v *val) value() *Value {
	if v == nil {
		return nil
	}
	out := &Value{Kind: v.kind, Span: v.span, Text: v.text}
	for _, i := range v.items {
		out.Items = append(out.Items, i.value())
	}
	out.Entries = values(v.entries)
	return out
}

func values(entries []valEntry) []*Entry {
	var out []*Entry
	for _, e := range entries {
		out = append(out, &Entry{e.key, e.value.value()})
	}
	return out
}

// document builds the AST of a checked document.
func document(file *diag.File, v *val) *Document {
	meta, spec := v.get("metadata"), v.get("spec")
	d := &Document{
		File: file, Span: v.span,
		Name: meta.textOf("name"), Version: meta.textOf("version"), Description: meta.textOf("description"),
		Families: spec.textsOf("families"), Backend: spec.textOf("backend"), Counters: spec.textOf("counters"),
		Intrusions: spec.textOf("intrusions"),
	}
	for _, e := range spec.entriesOf("params") {
		d.Params = append(d.Params, param(e))
	}
	if o := spec.get("owns"); o != nil {
		d.Owns = &Owns{
			Span: o.span, Chains: o.textsOf("chains"), Sets: o.textsOf("sets"), Replaces: o.textsOf("replaces"),
			HasChains: o.get("chains") != nil, HasSets: o.get("sets") != nil,
		}
	}
	for _, e := range spec.entriesOf("participants") {
		d.Participants = append(d.Participants, participant(e))
	}
	for _, e := range spec.entriesOf("sets") {
		d.Sets = append(d.Sets, set(e))
	}
	for _, e := range spec.entriesOf("tables") {
		d.Tables = append(d.Tables, table(e))
	}
	spec.each("constraints", func(c *val) {
		d.Constraints = append(d.Constraints, &Constraint{
			Span: c.span, Name: c.textOf("name"), That: c.exprOf("that"), Message: c.textOf("message"),
			Severity: c.textOf("severity"), When: c.exprOf("when"), Families: c.textsOf("families"),
		})
	})
	return d
}

func param(e valEntry) *Param {
	p := &Param{
		Name: e.key, Span: e.value.span, Type: e.value.textOf("type"), Default: e.value.get("default").value(),
		Description: e.value.textOf("description"),
	}
	e.value.each("enum", func(v *val) { p.Enum = append(p.Enum, v.value()) })
	return p
}

func participant(e valEntry) *Participant {
	v := e.value
	p := &Participant{
		Name: e.key, Span: v.span, Chains: v.textsOf("chains"), Comments: v.textsOf("comments"), Sets: v.textsOf("sets"),
		NFTTables: v.textsOf("nftTables"),
	}
	v.each("rules", func(g *val) { p.Rules = append(p.Rules, ruleGlob(g)) })
	return p
}

func ruleGlob(v *val) *RuleGlob {
	return &RuleGlob{
		Span: v.span, Comment: v.textOf("comment"), Text: v.textOf("text"), Target: v.textOf("target"),
		In: v.textOf("in"), Out: v.textOf("out"), Set: v.textOf("set"),
	}
}

func set(e valEntry) *Set {
	s := &Set{
		Name: e.key, Span: e.value.span, Families: e.value.textsOf("families"), Type: e.value.textOf("type"),
		File: e.value.textOf("file"), Timeout: e.value.textOf("timeout"),
	}
	if x := e.value.get("elements"); x != nil && x.kind == Scalar {
		s.Elements = []*Value{x.value()}
	}
	e.value.each("elements", func(v *val) { s.Elements = append(s.Elements, v.value()) })
	return s
}

func table(e valEntry) *Table {
	t := &Table{Name: e.key, Span: e.value.span}
	for _, c := range e.value.entriesOf("chains") {
		t.Chains = append(t.Chains, chain(c))
	}
	e.value.each("anchors", func(v *val) { t.Anchors = append(t.Anchors, anchor(v)) })
	e.value.each("adopt", func(v *val) { t.Adopts = append(t.Adopts, anchor(v)) })
	e.value.each("collect", func(v *val) {
		t.Collect = append(t.Collect, &Collect{
			Span: v.span, Chain: v.textOf("chain"), Families: v.textsOf("families"), When: v.exprOf("when"),
			Where: v.exprOf("where"), Reason: v.textOf("reason"), DropEmpty: v.textOf("dropEmpty"),
		})
	})
	return t
}

func chain(e valEntry) *Chain {
	c := &Chain{Name: e.key, Span: e.value.span, Families: e.value.textsOf("families"), When: e.value.exprOf("when")}
	e.value.each("rules", func(v *val) { c.Rules = append(c.Rules, rule(v)) })
	return c
}

func rule(v *val) *Rule {
	if v.kind == Scalar {
		return &Rule{Span: v.span, String: v.text}
	}
	r := &Rule{
		Span: v.span, Name: v.textOf("name"), When: v.exprOf("when"), Families: v.textsOf("families"),
		Match: match(v.get("match")), Action: action(v.get("action")), Comments: v.someOf("comment"),
		Iptables: v.textOf("iptables"), NFT: v.textOf("nft"),
	}
	if f := v.get("forEach"); f != nil && len(f.entries) > 0 {
		in := f.entries[0].value
		r.ForEach = &ForEach{Span: f.span, Var: f.entries[0].key, In: in.value(), InExpr: in.expr}
	}
	return r
}

func match(v *val) *Match {
	if v == nil {
		return nil
	}
	m := &Match{Span: v.span}
	for _, e := range v.entries {
		if e.key.Value == "not" {
			m.Not = values(e.value.entries)
			continue
		}
		m.Keys = append(m.Keys, &Entry{e.key, e.value.value()})
	}
	return m
}

func action(v *val) *Action {
	switch {
	case v == nil:
		return nil
	case v.kind == Scalar:
		return &Action{Span: v.span, Kind: v.text}
	case len(v.entries) == 0:
		return nil
	}
	return &Action{Span: v.span, Kind: v.entries[0].key, Args: v.entries[0].value.value()}
}

func anchor(v *val) *Anchor {
	a := &Anchor{
		Span: v.span, Name: v.textOf("name"), Hook: v.textOf("hook"), Jump: v.textOf("jump"), Families: v.textsOf("families"),
		When: v.exprOf("when"), Match: match(v.get("match")), At: v.textOf("at"), IfMissing: v.textOf("ifMissing"),
		IfMissingByName: values(v.entriesOf("ifMissing")), Duplicates: v.textOf("duplicates"), Comments: v.someOf("comment"),
		Force: v.textOf("force"), Iptables: v.textOf("iptables"),
	}
	if a.Jump == nil {
		a.Jump = v.textOf("goto")
		a.Goto = a.Jump != nil
	}
	v.each("after", func(r *val) { a.After = append(a.After, ref(r)) })
	v.each("before", func(r *val) { a.Before = append(a.Before, ref(r)) })
	return a
}

func ref(v *val) *Ref {
	r := &Ref{Span: v.span}
	if v.kind == Scalar {
		r.Name = v.text
		return r
	}
	r.Chain, r.Participant, r.IfMissing = v.textOf("chain"), v.textOf("participant"), v.textOf("ifMissing")
	if g := ruleGlob(v); g.Comment != nil || g.Text != nil || g.Target != nil || g.In != nil || g.Out != nil || g.Set != nil {
		r.Glob = g
	}
	return r
}
