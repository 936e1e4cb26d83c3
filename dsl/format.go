package dsl

import (
	"slices"
	"strings"
)

// FormatOptions are what Format writes besides a document.
type FormatOptions struct {
	// Schema names the JSON Schema in the first line, for editors; empty: no line.
	Schema string
	// Head are comment lines ahead of the document.
	Head []string
	// Remarks are comment lines above a value of the document, by its pointer: a
	// *Document (above spec), *Owns, *Table, *Chain, *Rule, *Anchor or *Constraint.
	Remarks map[any][]string
}

// Format writes a document as YAML that Parse reads back to the same values. A
// text is quoted wherever it could be taken for anything but itself, so that
// nothing can break out of its scalar. What no ruleset can hold (TextProblem) is
// written with U+FFFD in its place.
func Format(d *Document, opt FormatOptions) string {
	p := &printer{}
	if opt.Schema != "" {
		p.remark(0, "yaml-language-server: $schema="+opt.Schema)
	}
	for _, l := range opt.Head {
		p.remark(0, l)
	}
	f := formatter{remarks: opt.Remarks}
	p.mapping(f.document(d), 0)
	return p.out.String()
}

// branch is a value to be written.
type branch struct {
	kind   ValueKind
	text   string
	quoted bool // a scalar that is not to be plain
	items  []*branch
	keys   []leaf
	// remarks stand above the value; block asks for one line for each part.
	remarks []string
	block   bool
}

type leaf struct {
	key   *branch
	value *branch
}

// formatter makes branches of a document. Absent values give nil.
type formatter struct{ remarks map[any][]string }

// put adds a key, unless the value is absent.
func (b *branch) put(key string, value *branch) *branch {
	if value != nil {
		b.keys = append(b.keys, leaf{&branch{text: key}, value})
	}
	return b
}

func (f formatter) at(x any, b *branch) *branch {
	b.remarks = f.remarks[x]
	return b
}

func blockMap() *branch { return &branch{kind: Mapping, block: true} }
func flowMap() *branch  { return &branch{kind: Mapping} }

func word(t *Text) *branch {
	if t == nil {
		return nil
	}
	return &branch{text: t.Value, quoted: t.Quoted}
}

func expression(e *Expr) *branch {
	if e == nil {
		return nil
	}
	return &branch{text: e.Source}
}

// words is a list of texts; nil if there is none.
func words(list []*Text) *branch {
	if len(list) == 0 {
		return nil
	}
	return someWords(list)
}

func someWords(list []*Text) *branch {
	out := &branch{kind: Sequence}
	for _, t := range list {
		out.items = append(out.items, word(t))
	}
	return out
}

// oneOrMore is a text if there is one, else a list.
func oneOrMore(list []*Text) *branch {
	if len(list) == 1 {
		return word(list[0])
	}
	return words(list)
}

// several is a list with one line for each item; nil if there is none.
func several[T any](list []T, f func(T) *branch) *branch {
	if len(list) == 0 {
		return nil
	}
	out := &branch{kind: Sequence, block: true}
	for _, x := range list {
		out.items = append(out.items, f(x))
	}
	return out
}

// named is a mapping by name; nil if there is none.
func named[T any](list []T, name func(T) *Text, f func(T) *branch) *branch {
	if len(list) == 0 {
		return nil
	}
	out := blockMap()
	for _, x := range list {
		out.keys = append(out.keys, leaf{word(name(x)), f(x)})
	}
	return out
}

func formatValue(v *Value) *branch {
	switch {
	case v == nil:
		return nil
	case v.Kind == Sequence:
		out := &branch{kind: Sequence}
		for _, i := range v.Items {
			out.items = append(out.items, formatValue(i))
		}
		return out
	case v.Kind == Mapping:
		return formatEntries(v.Entries)
	}
	return word(v.Text)
}

func formatEntries(list []*Entry) *branch {
	out := flowMap()
	for _, e := range list {
		out.keys = append(out.keys, leaf{word(e.Key), formatValue(e.Value)})
	}
	return out
}

func (f formatter) document(d *Document) *branch {
	meta := blockMap().put("name", word(d.Name)).put("version", word(d.Version)).put("description", word(d.Description))
	spec := blockMap().
		put("families", words(d.Families)).
		put("backend", word(d.Backend)).
		put("counters", word(d.Counters)).
		put("intrusions", word(d.Intrusions)).
		put("params", named(d.Params, func(p *Param) *Text { return p.Name }, f.param))
	if d.Owns != nil {
		spec.put("owns", f.owns(d.Owns))
	}
	spec.put("participants", named(d.Participants, func(p *Participant) *Text { return p.Name }, f.participant)).
		put("sets", named(d.Sets, func(s *Set) *Text { return s.Name }, f.set)).
		put("tables", named(d.Tables, func(t *Table) *Text { return t.Name }, f.table)).
		put("constraints", several(d.Constraints, f.constraint))
	if len(spec.keys) == 0 {
		spec.block = false
	}
	spec.remarks = f.remarks[d]
	return blockMap().put("apiVersion", &branch{text: APIVersion}).put("kind", &branch{text: Kind}).
		put("metadata", meta).put("spec", spec)
}

func (f formatter) param(p *Param) *branch {
	out := flowMap().put("type", word(p.Type)).put("default", formatValue(p.Default))
	if len(p.Enum) > 0 {
		list := &branch{kind: Sequence}
		for _, v := range p.Enum {
			list.items = append(list.items, formatValue(v))
		}
		out.put("enum", list)
	}
	return out.put("description", word(p.Description))
}

func (f formatter) owns(o *Owns) *branch {
	out := blockMap()
	if o.HasChains {
		out.put("chains", someWords(o.Chains))
	}
	if o.HasSets {
		out.put("sets", someWords(o.Sets))
	}
	out.put("replaces", words(o.Replaces))
	out.block = len(out.keys) > 0
	return f.at(o, out)
}

func (f formatter) participant(p *Participant) *branch {
	var rules *branch
	if len(p.Rules) > 0 {
		rules = &branch{kind: Sequence}
		for _, g := range p.Rules {
			rules.items = append(rules.items, formatGlob(flowMap(), g))
		}
	}
	return flowMap().put("chains", words(p.Chains)).put("comments", words(p.Comments)).put("sets", words(p.Sets)).
		put("rules", rules).put("nftTables", words(p.NFTTables))
}

func formatGlob(b *branch, g *RuleGlob) *branch {
	return b.put("comment", word(g.Comment)).put("text", word(g.Text)).put("target", word(g.Target)).
		put("in", word(g.In)).put("out", word(g.Out)).put("set", word(g.Set))
}

func (f formatter) set(s *Set) *branch {
	var elements *branch
	switch {
	case len(s.Elements) == 1 && s.Elements[0].Text != nil && s.Elements[0].Text.IsExpr():
		elements = formatValue(s.Elements[0])
	case len(s.Elements) > 0:
		elements = formatValue(&Value{Kind: Sequence, Items: s.Elements})
	}
	return flowMap().put("type", word(s.Type)).put("families", words(s.Families)).put("elements", elements).
		put("file", word(s.File)).put("timeout", word(s.Timeout))
}

func (f formatter) table(t *Table) *branch {
	out := blockMap().
		put("chains", named(t.Chains, func(c *Chain) *Text { return c.Name }, f.chain)).
		put("anchors", several(t.Anchors, f.anchor)).
		put("adopt", several(t.Adopts, f.anchor)).
		put("collect", several(t.Collect, f.collect))
	out.block = len(out.keys) > 0
	return f.at(t, out)
}

func (f formatter) chain(c *Chain) *branch {
	rules := several(c.Rules, f.rule)
	if rules == nil {
		rules = &branch{kind: Sequence}
	}
	out := blockMap().put("families", words(c.Families)).put("when", expression(c.When)).put("rules", rules)
	out.block = len(c.Rules) > 0
	return f.at(c, out)
}

func (f formatter) rule(r *Rule) *branch {
	if r.String != nil {
		return f.at(r, &branch{text: r.String.Value, quoted: true})
	}
	out := flowMap().put("name", word(r.Name)).put("when", expression(r.When)).put("forEach", formatLoop(r.ForEach)).
		put("families", words(r.Families)).put("match", formatMatch(r.Match))
	if a := r.Action; a != nil && a.Args == nil {
		out.put("action", word(a.Kind))
	} else if a != nil {
		out.put("action", flowMap().put(a.Kind.Value, formatValue(a.Args)))
	}
	return f.at(r, out.put("comment", oneOrMore(r.Comments)).put("iptables", word(r.Iptables)).put("nft", word(r.NFT)))
}

func formatLoop(l *ForEach) *branch {
	if l == nil {
		return nil
	}
	in := expression(l.InExpr)
	if in == nil {
		in = formatValue(l.In)
	}
	return &branch{kind: Mapping, keys: []leaf{{word(l.Var), in}}}
}

func formatMatch(m *Match) *branch {
	if m == nil {
		return nil
	}
	out := formatEntries(m.Keys)
	if m.Not != nil {
		out.put("not", formatEntries(m.Not))
	}
	return out
}

func (f formatter) anchor(a *Anchor) *branch {
	jump := "jump"
	if a.Goto {
		jump = "goto"
	}
	missing := word(a.IfMissing)
	if len(a.IfMissingByName) > 0 {
		missing = formatEntries(a.IfMissingByName)
	}
	out := blockMap().put("name", word(a.Name)).put("hook", word(a.Hook)).put("families", words(a.Families)).
		put("when", expression(a.When)).put("match", formatMatch(a.Match)).put("iptables", word(a.Iptables)).
		put(jump, word(a.Jump)).put("after", refs(a.After)).put("before", refs(a.Before)).put("at", word(a.At)).
		put("ifMissing", missing).put("force", word(a.Force)).put("duplicates", word(a.Duplicates)).put("comment", oneOrMore(a.Comments))
	return f.at(a, out)
}

func refs(list []*Ref) *branch {
	if len(list) == 0 {
		return nil
	}
	out := &branch{kind: Sequence}
	for _, r := range list {
		if r.Name != nil {
			out.items = append(out.items, word(r.Name))
			continue
		}
		b := flowMap().put("chain", word(r.Chain)).put("participant", word(r.Participant))
		if r.Glob != nil {
			formatGlob(b, r.Glob)
		}
		out.items = append(out.items, b.put("ifMissing", word(r.IfMissing)))
	}
	return out
}

func (f formatter) collect(c *Collect) *branch {
	return blockMap().put("chain", word(c.Chain)).put("where", expression(c.Where)).put("reason", word(c.Reason)).
		put("dropEmpty", word(c.DropEmpty)).put("families", words(c.Families)).put("when", expression(c.When))
}

func (f formatter) constraint(c *Constraint) *branch {
	return f.at(c, blockMap().put("name", word(c.Name)).put("that", expression(c.That)).put("message", word(c.Message)).
		put("severity", word(c.Severity)).put("when", expression(c.When)).put("families", words(c.Families)))
}

// NewText is a literal text: what looks like an expression in it is none. It is
// marked as quoted if YAML programs would read it as a number, a truth value, a
// date or nothing.
func NewText(s string) *Text {
	t := &Text{Value: strings.ReplaceAll(s, "${", "$${"), Quoted: typed(s)}
	if s != "" {
		t.Parts = []Part{{Literal: s}}
	}
	return t
}

// NewWord is a word or a number of the language.
func NewWord(s string) *Text {
	t := NewText(s)
	t.Quoted = false
	return t
}

// typed tells that some YAML program takes a plain scalar for anything but text.
func typed(s string) bool {
	return s == "" || s[0] >= '0' && s[0] <= '9' || slices.Contains(typedWords, strings.ToLower(s)) || numberLike.MatchString(s)
}

var typedWords = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", ".inf", ".nan"}
