package dsl

import (
	"strings"

	"gopkg.in/yaml.v3"

	"hookline/dsl/diag"
)

// span is a range of bytes of a scalar's value.
type span struct{ start, end int }

// templatePart is a literal, or the CEL between `${` and `}`.
type templatePart struct {
	literal string
	expr    bool
	at      span // of the CEL source, for an expression
	whole   span // with ${ and }
}

// splitTemplate cuts a scalar's value into literals and expressions. open is the
// offset of a `${` that has no closing brace, or -1.
func splitTemplate(v string) (parts []templatePart, open int) {
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, templatePart{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(v); {
		n := strings.IndexByte(v[i:], '$')
		if n < 0 {
			literal.WriteString(v[i:])
			break
		}
		literal.WriteString(v[i : i+n])
		i += n
		switch {
		case strings.HasPrefix(v[i:], "$${"):
			literal.WriteString("${")
			i += 3
		case strings.HasPrefix(v[i:], "${"):
			end := closingBrace(v, i+2)
			if end < 0 {
				return parts, i
			}
			flush()
			parts = append(parts, templatePart{expr: true, at: span{i + 2, end}, whole: span{i, end + 1}})
			i = end + 1
		default:
			literal.WriteByte('$')
			i++
		}
	}
	flush()
	return parts, -1
}

// closingBrace is the offset of the } that ends CEL source beginning at i; braces
// in strings and comments do not count. It is negative if there is none.
func closingBrace(v string, i int) int {
	for depth := 0; i < len(v); i++ {
		switch v[i] {
		case '"', '\'':
			i = celStringEnd(v, i) - 1
		case '/':
			if strings.HasPrefix(v[i:], "//") {
				i = lineEnd(v, i)
			}
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

// celStringEnd is the offset behind the CEL string that begins with the quote at
// i. A string that is not closed ends with its line, or with the text.
func celStringEnd(v string, i int) int {
	j := i
	for j > 0 && i-j < 2 && strings.IndexByte("rRbB", v[j-1]) >= 0 {
		j--
	}
	raw := strings.ContainsAny(v[j:i], "rR") && (j == 0 || !wordByte(v[j-1]))
	quote := v[i : i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(v[i:], triple) {
		quote = triple
	}
	for p := i + len(quote); p < len(v); p++ {
		switch {
		case v[p] == '\\' && !raw:
			p++
		case strings.HasPrefix(v[p:], quote):
			return p + len(quote)
		case v[p] == '\n' && len(quote) == 1:
			return p
		}
	}
	return len(v)
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// celBreaks tells what a line break in CEL source would change, were it a blank
// as in a folded scalar: it can stand in a string, or end a comment.
func celBreaks(src string) (inString bool, comment span) {
	for i := 0; i < len(src); i++ {
		switch {
		case src[i] == '"' || src[i] == '\'':
			end := celStringEnd(src, i)
			inString = inString || strings.Contains(src[i:end], "\n") || end < len(src) && src[end] == '\n'
			i = max(i, end-1)
		case strings.HasPrefix(src[i:], "//"):
			end := lineEnd(src, i)
			if comment.end == 0 && end < len(src) {
				comment = span{i, end}
			}
			i = end
		}
	}
	return inString, comment
}

// expr makes an expression of the value's bytes [from, to).
func (r *reader) expr(n *node, from, to int) *Expr {
	whole := &Expr{Source: n.value[from:to], Span: n.span}
	if !n.align.ok {
		return whole
	}
	start, end, worst := n.align.source(from, to)
	raw := r.text[start:end]
	switch worst {
	case pieceSame:
		return r.exact(raw, start, end)
	case pieceFold:
		inString, comment := celBreaks(raw)
		if comment.end > 0 && n.style&yaml.LiteralStyle == 0 {
			r.list.Errorf(diag.CommentInText, r.file.Span(start+comment.start, start+comment.end),
				"YAML joins these lines, so that the comment would reach to the end of the expression").
				WithHelp("use a literal scalar (|-), or leave the comment out")
		}
		if inString {
			return whole
		}
		return r.exact(raw, start, end)
	}
	return whole
}

// parts cuts a scalar into Parts where expressions are allowed; elsewhere it
// reports those that it finds.
func (r *reader) parts(n *node, allowed bool, what string) []Part {
	found, open := splitTemplate(n.value)
	if open >= 0 {
		d := r.list.Errorf(diag.CELSyntax, n.at(open, open+2), "the expression has no closing }")
		if strings.Contains(n.value[open:], "#") || n.comment.File != nil {
			d.WithHelp("quote the whole text")
		} else {
			d.WithHelp("write $${ for the two characters ${")
		}
	}
	var out []Part
	for _, p := range found {
		switch {
		case !p.expr:
			out = append(out, Part{Literal: p.literal})
		case !allowed:
			r.list.Errorf(diag.TemplateHere, n.at(p.whole.start, p.whole.end), "an expression is not allowed in %s", what)
			out = append(out, Part{Literal: n.value[p.whole.start:p.whole.end]})
		case strings.TrimSpace(n.value[p.at.start:p.at.end]) == "":
			r.list.Errorf(diag.CELSyntax, n.at(p.whole.start, p.whole.end), "the expression is empty")
		default:
			out = append(out, Part{Expr: r.expr(n, p.at.start, p.at.end)})
		}
	}
	return out
}

// exact is an expression that is a piece of the file. Bytes that are no text were
// reported and stand for others here; then the piece is not exact.
func (r *reader) exact(raw string, start, end int) *Expr {
	at := r.file.Span(start, end)
	return &Expr{Source: raw, Span: at, Exact: raw == at.Text()}
}
