package dsl

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"hookline/dsl/diag"
)

// node is a YAML value with its place. Aliases are resolved: the same node may
// stand in several places, and its span is where it was written.
type node struct {
	kind  ValueKind
	span  diag.Span
	value string // of a scalar
	style yaml.Style
	align alignment // of a scalar
	// comment is what YAML read as a comment behind a plain scalar.
	comment diag.Span
	items   []*node
	entries []nodeEntry
	// expanded is the number of nodes that aliases add below this one, size that of
	// all nodes below and including it.
	expanded, size int
	end            int // of the last part of a collection, as written
	// lost tells that the value, or a part of it, could not be read; that was reported.
	lost bool
}

type nodeEntry struct{ key, value *node }

// empty tells that nothing is written where the value should be.
func (n *node) empty() bool { return n.kind == Scalar && n.plain() && n.value == "" }

// plain tells that the node is a scalar without quotes and block indicator.
func (n *node) plain() bool { return n.kind == Scalar && n.style&^yaml.TaggedStyle == 0 }

// at is the place of the value's bytes [from, to).
func (n *node) at(from, to int) diag.Span {
	if !n.align.ok {
		return n.span
	}
	start, end, _ := n.align.source(from, to)
	return n.span.File.Span(start, end)
}

// Limits of what is read, far above any ruleset and far below what hurts.
const (
	maxDepth    = 64
	maxExpanded = 200_000
)

// loader turns yaml.Node trees into nodes: it finds the places and reports
// everything in YAML that would not mean what it looks like.
type loader struct {
	file *diag.File
	list *diag.List
	text string // the file's text, sanitized; offsets are the same
	base int    // where YAML began to read
	done map[*yaml.Node]*node
	tags map[int]bool // offsets of tags already reported
	// The place that was last translated: columns count characters, and walking
	// each line from its start again would be quadratic.
	line, column, offset int
	tooDeep, tooMany     bool
}

func newLoader(file *diag.File, list *diag.List, text string, base int) *loader {
	return &loader{
		file: file, list: list, text: text, base: base,
		done: map[*yaml.Node]*node{}, tags: map[int]bool{},
	}
}

// offsetOf translates yaml.v3's line and column (characters, from 1).
func (l *loader) offsetOf(line, column int) int {
	if line != l.line || column < l.column {
		l.line, l.column, l.offset = line, 1, max(l.file.LineStart(line), l.base)
	}
	for l.column < column && l.offset < len(l.text) {
		_, n := utf8.DecodeRuneInString(l.text[l.offset:])
		l.offset += n
		l.column++
	}
	return l.offset
}

// convert makes a node of a yaml.Node and everything below it.
func (l *loader) convert(y *yaml.Node, depth int) *node {
	if y.Kind == yaml.AliasNode {
		return l.alias(y)
	}
	start, propEnd, tagged := l.properties(l.offsetOf(y.Line, y.Column))
	n := &node{kind: Scalar, style: y.Style, size: 1, lost: tagged && y.Kind == yaml.ScalarNode && y.Value == ""}
	defer func() { l.done[y] = n }()
	if depth > maxDepth {
		n.span = l.file.Span(start, min(len(l.text), start+1))
		n.lost = true
		if !l.tooDeep {
			l.list.Errorf(diag.YAMLSyntax, n.span, "values are nested more than %d deep", maxDepth)
		}
		l.tooDeep = true
		return n
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.kind = Mapping
		l.mapping(n, y, depth)
		l.closed(n, start, '{', '}')
	case yaml.SequenceNode:
		n.kind = Sequence
		for _, c := range y.Content {
			n.items = append(n.items, l.child(n, c, depth))
		}
		l.closed(n, start, '[', ']')
	default:
		l.scalar(n, y, start, propEnd)
	}
	return n
}

func (l *loader) scalar(n *node, y *yaml.Node, start, propEnd int) {
	n.value = y.Value
	if n.empty() {
		n.align = alignment{start: propEnd, end: propEnd, ok: true}
		n.span = l.file.Span(propEnd, propEnd)
		return
	}
	n.align = align(l.text, start, y.Style, y.Value)
	n.span = l.file.Span(n.align.start, n.align.end)
	if !n.plain() {
		return
	}
	if p := skipBlanks(l.text, n.align.end); p > n.align.end && p < len(l.text) && l.text[p] == '#' {
		n.comment = l.file.Span(p, lineEnd(l.text, p))
	}
	if why := ambiguousNumber(n.value); why != "" {
		l.list.Errorf(diag.AmbiguousNumber, n.span, "the number %s has %s, which YAML programs read differently", n.value, why).
			WithHelp("quote it if it is text: %q, else write it without %s", n.value, why)
	}
}

func (l *loader) mapping(n *node, y *yaml.Node, depth int) {
	first := map[string]diag.Span{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := l.child(n, y.Content[i], depth)
		value := l.child(n, y.Content[i+1], depth)
		switch {
		case key.lost:
			n.lost = true
			continue
		case key.kind != Scalar:
			n.lost = true
			l.list.Errorf(diag.WrongType, key.span, "a key must be a word, not a list or a mapping")
			continue
		case key.plain() && key.value == "<<":
			l.list.Errorf(diag.MergeKey, key.span, "merge keys are not read").
				WithHelp("write the keys out, or use an alias for the whole value")
			n.lost = true
			continue
		}
		if at, twice := first[key.value]; twice {
			l.list.Errorf(diag.DuplicateKey, key.span, "the key %q stands twice in this mapping", key.value).
				Note(at, "it stands here first")
			continue
		}
		first[key.value] = key.span
		n.entries = append(n.entries, nodeEntry{key, value})
	}
}

// child converts a part of a collection and counts it.
func (l *loader) child(parent *node, y *yaml.Node, depth int) *node {
	n := l.convert(y, depth+1)
	parent.end = max(parent.end, l.sourceOf(y, n).End)
	parent.size += n.size
	parent.expanded += n.expanded
	if y.Kind == yaml.AliasNode {
		parent.expanded += n.size
	}
	if parent.expanded <= min(len(l.text), maxExpanded) {
		return n
	}
	if !l.tooMany {
		l.tooMany = true
		l.list.Errorf(diag.AliasExpansion, l.sourceOf(y, n), "aliases make this document larger than the file that holds it").
			WithHelp("write the values out")
	}
	parent.size, parent.expanded = 1, 0
	return &node{span: n.span, size: 1, lost: true}
}

// sourceOf is the place of a child as written: of an alias, not of its target.
func (l *loader) sourceOf(y *yaml.Node, n *node) diag.Span {
	if y.Kind != yaml.AliasNode {
		return n.span
	}
	start := l.offsetOf(y.Line, y.Column)
	return l.file.Span(start, start+1+len(y.Value))
}

func (l *loader) alias(y *yaml.Node) *node {
	if n := l.done[y.Alias]; n != nil {
		return n
	}
	at := l.sourceOf(y, nil)
	l.list.Errorf(diag.AliasExpansion, at, "the alias %q stands inside the value that it refers to", y.Value)
	return &node{span: at, size: 1, lost: true}
}

// properties skips the anchor and the tag in front of a value and reports the
// tag. propEnd is the end of the last of them, or p.
func (l *loader) properties(p int) (start, propEnd int, tagged bool) {
	propEnd = p
	for p < len(l.text) && (l.text[p] == '&' || l.text[p] == '!') {
		q := l.wordEnd(p)
		if l.text[p] == '&' {
			// yaml.v3 ends an anchor at the first other character, and takes a colon there.
			q = p + 1
			for q < len(l.text) && anchorByte(l.text[q]) {
				q++
			}
		}
		if i := strings.IndexByte(l.text[p:lineEnd(l.text, p)], '>'); i > 0 && strings.HasPrefix(l.text[p:], "!<") {
			q = p + i + 1
		}
		if l.text[p] == '!' {
			l.tag(p, q)
			tagged = true
		}
		propEnd = q
		p = l.skipSpace(q)
	}
	return p, propEnd, tagged
}

// anchorByte tells what yaml.v3 takes as part of an anchor's name.
func anchorByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-'
}

func isFlow(c byte) bool { return c == ',' || c == '[' || c == ']' || c == '{' || c == '}' }

// tag reports text that YAML takes for a tag.
func (l *loader) tag(start, end int) {
	if l.tags[start] {
		return
	}
	l.tags[start] = true
	l.list.Errorf(diag.YAMLTag, l.file.Span(start, end), "YAML reads %q as a tag and drops it from the text", l.text[start:end]).
		WithHelp("quote the whole text")
}

// skipSpace skips blanks, line breaks and comments.
func (l *loader) skipSpace(p int) int {
	for p < len(l.text) {
		switch c := l.text[p]; {
		case blank(c) || c == '\n' || c == '\r':
			p++
		case c == '#' && p > 0 && (blank(l.text[p-1]) || l.text[p-1] == '\n'):
			p = lineEnd(l.text, p)
		default:
			return p
		}
	}
	return p
}

// closed sets the span of a collection: from its first byte to the closing
// bracket, or to the end of its last part if it has no brackets.
func (l *loader) closed(n *node, start int, open, shut byte) {
	end := max(start, n.end)
	if n.style&yaml.FlowStyle != 0 && start < len(l.text) && l.text[start] == open {
		p := l.skipSpace(max(end, start+1))
		for p < len(l.text) && (l.text[p] == ',' || l.text[p] == ':') {
			p = l.skipSpace(p + 1)
		}
		if p < len(l.text) && l.text[p] == shut {
			end = p + 1
		}
	}
	n.span = l.file.Span(start, end)
}

// numberLike is a scalar that some YAML program takes for a number.
var numberLike = regexp.MustCompile(
	`^[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?))$`)

// ambiguousNumber says what makes a plain scalar a number that YAML 1.1, YAML 1.2
// and JSON programs read differently, or "".
func ambiguousNumber(s string) string {
	if s == "" || s[0] != '-' && s[0] != '+' && s[0] != '.' && (s[0] < '0' || s[0] > '9') || !numberLike.MatchString(s) {
		return ""
	}
	digits := strings.TrimLeft(s, "+-")
	hex := len(digits) > 1 && (digits[1] == 'x' || digits[1] == 'X')
	switch {
	case strings.Contains(digits, "_"):
		return "an underscore"
	case hex:
		return ""
	case strings.ContainsAny(digits, "eE"):
		return "an exponent"
	case len(digits) > 1 && digits[0] == '0' && digits[1] != '.':
		return "a leading zero"
	}
	return ""
}
