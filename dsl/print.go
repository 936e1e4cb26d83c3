package dsl

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"hookline/dsl/diag"
)

// lineWidth is the length in bytes up to which a value stands on one line.
const lineWidth = 120

// printer writes branches as YAML.
type printer struct{ out strings.Builder }

func (p *printer) indent(n int) {
	for range n {
		p.out.WriteByte(' ')
	}
}

// remark writes comment lines. What could end one is shown as an escape.
func (p *printer) remark(indent int, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		p.indent(indent)
		p.out.WriteString(strings.TrimRight("# "+strings.ReplaceAll(diag.Visible(line), "\t", " "), " "))
		p.out.WriteByte('\n')
	}
}

// mapping writes the keys of a mapping, each on a line that is not begun yet.
func (p *printer) mapping(b *branch, indent int) {
	for _, k := range b.keys {
		for _, r := range k.value.remarks {
			p.remark(indent, r)
		}
		p.indent(indent)
		p.out.WriteString(scalarText(k.key.text, k.key.quoted))
		p.out.WriteByte(':')
		p.value(k.value, indent, indent+len(k.key.text)+2)
	}
}

// value writes what stands behind a key, on its line or on those below.
func (p *printer) value(b *branch, indent, column int) {
	if p.line(b, column) {
		return
	}
	p.out.WriteByte('\n')
	if b.kind == Mapping {
		p.mapping(b, indent+2)
		return
	}
	p.sequence(b, indent+2)
}

// line writes a value that stands on one line, a scalar always.
func (p *printer) line(b *branch, column int) bool {
	if b.block {
		return false
	}
	text, ok := flow(b)
	if !ok || b.kind != Scalar && column+len(text) > lineWidth {
		return false
	}
	p.out.WriteByte(' ')
	p.out.WriteString(text)
	p.out.WriteByte('\n')
	return true
}

// sequence writes the items of a list.
func (p *printer) sequence(b *branch, indent int) {
	for _, x := range b.items {
		for _, r := range x.remarks {
			p.remark(indent, r)
		}
		p.indent(indent)
		p.out.WriteByte('-')
		if p.line(x, indent+2) {
			continue
		}
		if x.kind == Sequence {
			p.out.WriteByte('\n')
			p.sequence(x, indent+2)
			continue
		}
		// The first key stands on the dash's line.
		rest := printer{}
		rest.mapping(x, indent+2)
		p.out.WriteByte(' ')
		p.out.WriteString(rest.out.String()[indent+2:])
	}
}

// flow is a value on one line. It is not to be had if a part wants lines of its
// own.
func flow(b *branch) (string, bool) {
	switch b.kind {
	case Sequence:
		var parts []string
		for _, x := range b.items {
			s, ok := flow(x)
			if !ok || x.block || len(x.remarks) > 0 {
				return "", false
			}
			parts = append(parts, s)
		}
		return "[" + strings.Join(parts, ", ") + "]", true
	case Mapping:
		var parts []string
		for _, k := range b.keys {
			s, ok := flow(k.value)
			if !ok || k.value.block || len(k.value.remarks) > 0 {
				return "", false
			}
			parts = append(parts, scalarText(k.key.text, k.key.quoted)+": "+s)
		}
		return "{" + strings.Join(parts, ", ") + "}", true
	case Scalar:
	}
	return scalarText(b.text, b.quoted), true
}

// scalarText writes a scalar: plain if nothing in it could mean anything to YAML,
// else in quotes.
func scalarText(s string, quoted bool) string {
	switch {
	case !quoted && plainText(s):
		return s
	case strings.ContainsAny(s, `"\`) && !strings.Contains(s, "'") && !strings.ContainsFunc(s, invisible) && utf8.ValidString(s):
		return "'" + s + "'"
	}
	return doubleQuoted(s)
}

// plainText tells that a scalar means itself without quotes, wherever it stands.
// It is stricter than YAML: rather quotes too many.
func plainText(s string) bool {
	if s == "" || ambiguousNumber(s) != "" || s != "true" && s != "false" && typed(s) && !numberLike.MatchString(s) && !strings.ContainsAny(s, "./-") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '/':
		case i == 0:
			return false
		case c == '.', c == '-', c == '+', c == '@', c == '(', c == ')':
		case c == ' ' && s[i-1] != ' ' && i+1 < len(s):
		default:
			return false
		}
	}
	return true
}

// doubleQuoted writes a scalar with escapes for what cannot be seen.
func doubleQuoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case invisible(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case invisible(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// TextProblem says why a text cannot stand in a ruleset, as a clause such as "holds
// a line end", or "".
func TextProblem(s string) string {
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd") {
			return fmt.Sprintf("holds the byte 0x%02x, which is not UTF-8", s[i])
		}
		if invisible(r) {
			return "holds " + characterName(r)
		}
	}
	return ""
}

// NameProblem says why a chain cannot be declared by this name, or "".
func NameProblem(chain string) string { return problemOf(chainName, chain) }

// RulesetNameProblem says why a ruleset cannot be called so, or "".
func RulesetNameProblem(name string) string { return problemOf(metadataName, name) }

// LocalNameProblem says why a rule or a constraint cannot be called so, or "".
func LocalNameProblem(name string) string { return problemOf(localName, name) }

// problemOf is what the reader would say of a word.
func problemOf(t *TextShape, s string) string {
	switch {
	case TextProblem(s) != "":
		return TextProblem(s)
	case s == "":
		return "is empty"
	case t.MaxBytes > 0 && len(s) > t.MaxBytes:
		return fmt.Sprintf("is %d bytes long; at most %d are possible", len(s), t.MaxBytes)
	case t.Problem != nil && t.Problem(s) != "":
		return t.Problem(s)
	case t.compiled != nil && !t.compiled.MatchString(s):
		if t.Hint != "" {
			return "is not " + t.What + ": " + t.Hint
		}
		return "is not " + t.What
	}
	return ""
}
