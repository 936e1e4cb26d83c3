package dsl

import (
	"fmt"
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// val is a node that was checked against a shape: what the grammar does not know
// is gone, and every scalar is a Text or an Expr.
type val struct {
	kind    ValueKind
	span    diag.Span
	text    *Text
	expr    *Expr
	items   []*val
	entries []valEntry
}

type valEntry struct {
	key   *Text
	value *val
}

// reader checks nodes against shapes.
type reader struct {
	file *diag.File
	list *diag.List
	text string
	// strictComments reports a comment behind any plain scalar, not only behind rule
	// text and expressions.
	strictComments bool
}

// check reads a node as a shape says. at is the place to blame if nothing is
// written. It returns nil if the node cannot be used.
func (r *reader) check(n *node, s *Shape, at diag.Span) *val {
	switch {
	case n.lost && n.kind == Scalar:
		return nil
	case n.empty() && (s.Text == nil || !r.strictComments):
		r.list.Errorf(diag.WrongType, at, "there is no value here, but %s is needed", s.expects()).
			WithHelp("%s, or leave it out", emptyHelp(s))
		return nil
	case n.kind == Scalar && s.Text != nil:
		if f := s.Field(n.value); f != nil && s.Text.Enum != nil && !slices.Contains(s.Text.Enum, n.value) {
			r.list.Errorf(diag.MissingKey, n.span, "%s needs an argument", n.value).
				WithHelp("write {%s: ...}", n.value)
			return nil
		}
		return r.scalar(n, s.Text)
	case n.kind == Sequence && s.Item != nil:
		v := &val{kind: Sequence, span: n.span}
		if s.NonEmpty && len(n.items) == 0 {
			r.list.Errorf(diag.InvalidValue, n.span, "%s must not be empty", s.What).WithHelp("leave the key out")
		}
		for _, c := range n.items {
			if x := r.check(c, s.Item, listBlame(c, n)); x != nil {
				v.items = append(v.items, x)
			}
		}
		return v
	case n.kind == Mapping && s.Fields != nil:
		return r.fields(n, s)
	case n.kind == Mapping && s.Entry != nil:
		return r.entries(n, s)
	}
	d := r.list.Errorf(diag.WrongType, firstLine(n), "expected %s, found %s", s.expects(), n.kind)
	if n.kind == Mapping && s.Text != nil && s.Text.Kind != LineText {
		d.WithHelp("quote the text: a colon with a blank behind it makes it a mapping")
	}
	return nil
}

func emptyHelp(s *Shape) string {
	switch {
	case s.Item != nil:
		return "write [] for an empty list"
	case s.Mapping() && s.Text == nil:
		return "write {} for an empty mapping"
	}
	return "write the value"
}

// listBlame is the place of a list's item, or of the list if nothing is written.
func listBlame(item, list *node) diag.Span {
	if item.span.Start < item.span.End {
		return item.span
	}
	return list.span.File.Span(max(list.span.Start, item.span.Start-1), item.span.End)
}

// firstLine is a node's place, for collections in block style only its first line.
func firstLine(n *node) diag.Span {
	s := n.span
	if n.kind != Scalar {
		s.End = min(s.End, lineEnd(s.File.Text(), s.Start))
	}
	return s
}

func (k ValueKind) String() string {
	switch k {
	case Scalar:
		return "a text"
	case Sequence:
		return "a list"
	case Mapping:
		return "a mapping"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// expects says what a shape accepts.
func (s *Shape) expects() string {
	var out []string
	if s.Text != nil {
		out = append(out, s.Text.What)
	}
	if s.Item != nil {
		out = append(out, "a list")
	}
	if s.Mapping() {
		out = append(out, "a mapping")
	}
	return strings.Join(out, " or ")
}

func (r *reader) entries(n *node, s *Shape) *val {
	v := &val{kind: Mapping, span: n.span}
	if s.Single && len(n.entries) != 1 {
		r.list.Errorf(diag.InvalidValue, firstLine(n), "%s takes exactly one entry", s.What)
	}
	for _, e := range n.entries {
		key := r.scalar(e.key, s.Key)
		value := r.check(e.value, s.Entry, e.key.span)
		if key != nil && key.text != nil && value != nil {
			v.entries = append(v.entries, valEntry{key.text, value})
		}
	}
	return v
}

func (r *reader) fields(n *node, s *Shape) *val {
	v := &val{kind: Mapping, span: n.span}
	var known, meant []string
	for _, f := range s.Fields {
		known = append(known, f.Name)
	}
	for _, e := range n.entries {
		f := s.Field(e.key.value)
		if f == nil {
			if near := r.unknownKey(e, s, known); near != "" {
				meant = append(meant, near)
			}
			continue
		}
		key := &Text{Value: e.key.value, Span: e.key.span, Quoted: !e.key.plain(), Parts: []Part{{Literal: e.key.value}}}
		if value := r.check(e.value, f.Shape, e.key.span); value != nil {
			v.entries = append(v.entries, valEntry{key, value})
		}
	}
	for _, f := range s.Fields {
		if f.Required && !n.has(f.Name) && !n.lost && !slices.Contains(meant, f.Name) {
			r.list.Errorf(diag.MissingKey, firstLine(n), "%s needs the key %q", s.mapping(), f.Name)
		}
	}
	if s.OneOf != nil {
		r.oneOf(n, s)
	}
	return v
}

func (r *reader) unknownKey(e nodeEntry, s *Shape, known []string) (near string) {
	d := r.list.Errorf(diag.UnknownKey, e.key.span, "unknown key %q in %s", clip(e.key.value), s.mapping())
	candidates := known
	if s.Text != nil {
		if slices.Contains(s.Text.Enum, e.key.value) { // {accept: {}}
			d.WithHelp("%s takes no argument: write the word alone", e.key.value)
			return ""
		}
		candidates = slices.Concat(known, s.Text.Enum)
	}
	near = diag.DidYouMean(e.key.value, candidates)
	switch {
	case strings.ContainsAny(e.key.value, " ,") || strings.HasPrefix(e.key.value, "-") || e.value.empty():
		d.WithHelp("quote the whole text if YAML took a colon or a comma in it for its own")
	case near != "":
		d.WithHelp("did you mean %q?", near)
	default:
		d.WithHelp("the keys here are %s", strings.Join(known, ", "))
	}
	return near
}

// clip shortens text for a message.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func (n *node) has(key string) bool {
	return slices.ContainsFunc(n.entries, func(e nodeEntry) bool { return e.key.value == key })
}

// oneOf makes sure that the keys are of exactly one of the sets in OneOf.
func (r *reader) oneOf(n *node, s *Shape) {
	var first *node
	set := -1
	for _, e := range n.entries {
		i := slices.IndexFunc(s.OneOf, func(keys []string) bool { return slices.Contains(keys, e.key.value) })
		switch {
		case i < 0 || i == set:
		case first == nil:
			first, set = e.key, i
		default:
			r.list.Errorf(diag.InvalidValue, e.key.span, "%s cannot have %q beside %q", s.mapping(), e.key.value, first.value).
				Note(first.span, "%q is here", first.value)
			return
		}
	}
	if first == nil && !n.lost && !n.hasUnknown(s) { // an unknown key may have been meant
		r.list.Errorf(diag.MissingKey, firstLine(n), "%s needs one of the keys %s", s.mapping(), strings.Join(slices.Concat(s.OneOf...), ", "))
	}
}

func (n *node) hasUnknown(s *Shape) bool {
	return slices.ContainsFunc(n.entries, func(e nodeEntry) bool { return s.Field(e.key.value) == nil })
}

// mapping names the shape's mapping form.
func (s *Shape) mapping() string {
	if s.MappingWhat != "" {
		return s.MappingWhat
	}
	return s.What
}

// scalar reads a scalar.
func (r *reader) scalar(n *node, t *TextShape) *val {
	v := &val{kind: Scalar, span: n.span}
	if n.comment.File != nil && (t.Kind == RuleText || t.Kind == CELText || r.strictComments || strings.Contains(n.value, "${")) {
		r.list.Errorf(diag.CommentInText, n.comment, "YAML ends the %s here and drops the rest as a comment", bare(t.What)).
			WithHelp("quote the whole text if it belongs to it, else move the comment to a line of its own")
	}
	if !r.visible(n, t) {
		return nil
	}
	if t.Kind == CELText {
		return r.celScalar(n, t, v)
	}
	before := r.list.Len()
	v.text = &Text{Value: n.value, Span: n.span, Quoted: !n.plain(), Parts: r.parts(n, t.Template, t.What)}
	if v.text.HasExpr() || r.list.Len() > before {
		return v // what an expression yields is checked later
	}
	r.word(n, t, v.text.Literal())
	return v
}

// celScalar reads bare CEL.
func (r *reader) celScalar(n *node, t *TextShape, v *val) *val {
	from := len(n.value) - len(strings.TrimLeft(n.value, " \t\n"))
	to := len(strings.TrimRight(n.value, " \t\n"))
	if from >= to {
		r.list.Errorf(diag.CELSyntax, n.span, "the expression is empty")
		return nil
	}
	if strings.HasPrefix(n.value[from:], "${") {
		if end := closingBrace(n.value, from+2); end == to-1 {
			if t.Template {
				from, to = from+2, end
			} else {
				r.list.Errorf(diag.TemplateHere, n.at(from, from+2), "this is an expression already").
					WithHelp("leave ${ and } out")
				return nil
			}
		}
	}
	v.expr = r.expr(n, from, to)
	v.text = &Text{Value: n.value, Span: n.span, Quoted: !n.plain(), Parts: []Part{{Expr: v.expr}}}
	return v
}

// visible refuses control characters in a scalar. Texts that are only shown and
// expressions may have several lines.
func (r *reader) visible(n *node, t *TextShape) bool {
	lines := t.Kind == ProseText || t.Kind == CELText
	ok := true
	for i, c := range n.value {
		if !invisible(c) || lines && (c == '\n' || c == '\t') {
			continue
		}
		ok = false
		at := n.at(i, i+len(string(c)))
		if at.Start == at.End {
			at = n.span
		}
		d := r.list.Errorf(diag.ControlCharacter, at, "%s holds %s", t.What, characterName(c))
		if c == '\n' && i == len(n.value)-1 && !n.plain() {
			d.WithHelp("write |- or >- so that the last line end is left out")
		}
		break // one is enough for a scalar
	}
	return ok
}

func characterName(c rune) string {
	switch c {
	case '\n':
		return "a line end"
	case '\t':
		return "a tab"
	case 0:
		return "a NUL"
	}
	return fmt.Sprintf("the control character U+%04X", c)
}

// word checks a scalar's value against what is allowed.
func (r *reader) word(n *node, t *TextShape, value string) {
	fail := func(format string, args ...any) *diag.Diagnostic {
		return r.list.Errorf(t.Code, n.span, format, args...)
	}
	if t.Enum != nil {
		if slices.Contains(t.Enum, value) {
			return
		}
		d := fail("%q is not %s", clip(value), t.What)
		if near := diag.DidYouMean(value, t.Enum); near != "" {
			d.WithHelp("did you mean %q?", near)
		} else {
			d.WithHelp("write %s", orList(t.Enum))
		}
		return
	}
	problem := ""
	switch {
	case value == "" && !t.Empty:
		problem = "is empty"
	case t.MaxBytes > 0 && len(value) > t.MaxBytes:
		problem = fmt.Sprintf("is %d bytes long; at most %d are possible", len(value), t.MaxBytes)
	case t.Problem != nil:
		problem = t.Problem(value)
	}
	switch {
	case problem != "":
		fail("the %s %q %s", bare(t.What), clip(value), problem)
	case t.compiled != nil && !t.compiled.MatchString(value):
		if d := fail("%q is not %s", clip(value), t.What); t.Hint != "" {
			d.WithHelp("%s", t.Hint)
		}
	}
}

// bare is a thing without its article.
func bare(what string) string {
	return strings.TrimPrefix(strings.TrimPrefix(what, "a "), "an ")
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
