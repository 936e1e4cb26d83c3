package dsl

import (
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// An alignment says where each byte of a scalar's value stands in the source.
// The value comes from yaml.v3; the alignment is found by walking value and
// source side by side, so that it cannot disagree with the value without being
// noticed: ok is false then, and the scalar has no places inside it.
type alignment struct {
	start, end int // of the scalar in the source, quotes and indicators included
	pieces     []piece
	ok         bool
}

type pieceKind uint8

const (
	pieceSame   pieceKind = iota // the same bytes in value and source
	pieceFold                    // a line break and the blanks around it
	pieceEscape                  // an escape of a quoted scalar
)

// piece is a run of bytes of the value and the source text that it comes from.
type piece struct {
	kind         pieceKind
	value, src   int
	nvalue, nsrc int
}

func (a *alignment) add(kind pieceKind, value, src, nvalue, nsrc int) {
	if n := len(a.pieces); n > 0 && kind == pieceSame {
		if last := &a.pieces[n-1]; last.kind == pieceSame && last.src+last.nsrc == src {
			last.nvalue += nvalue
			last.nsrc += nsrc
			return
		}
	}
	a.pieces = append(a.pieces, piece{kind, value, src, nvalue, nsrc})
}

// source is the source range of the value's bytes [from, to), and the kind of
// the worst piece in it.
func (a *alignment) source(from, to int) (start, end int, worst pieceKind) {
	first := sort.Search(len(a.pieces), func(i int) bool {
		return a.pieces[i].value+a.pieces[i].nvalue > from
	})
	start, end = a.end, a.end
	for i := first; i < len(a.pieces); i++ {
		p := a.pieces[i]
		if p.value >= to && i > first {
			break
		}
		if i == first {
			start, end = p.src, p.src
			if p.kind == pieceSame {
				start = p.src + max(0, from-p.value)
				end = start
			}
		}
		if p.value >= to {
			break
		}
		end = p.src + p.nsrc
		if p.kind == pieceSame {
			end = p.src + min(p.nsrc, to-p.value)
		}
		worst = max(worst, p.kind)
	}
	return start, end, worst
}

// align finds the place of a scalar whose first byte (a quote, a block
// indicator, or the text itself) is at start.
func align(text string, start int, style yaml.Style, value string) alignment {
	a := alignment{start: start, end: start}
	switch {
	case style&yaml.DoubleQuotedStyle != 0:
		a.double(text, value)
	case style&yaml.SingleQuotedStyle != 0:
		a.single(text, value)
	case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		a.block(text, value)
	default:
		a.plain(text, value)
	}
	if !a.ok {
		a.pieces = nil
		a.end = max(a.end, min(len(text), start+1))
	}
	return a
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// skipBlanks returns the offset behind spaces and tabs.
func skipBlanks(text string, p int) int {
	for p < len(text) && blank(text[p]) {
		p++
	}
	return p
}

// lineBreak is the length of the line break at p, or 0.
func lineBreak(text string, p int) int {
	switch {
	case p < len(text) && text[p] == '\n':
		return 1
	case strings.HasPrefix(text[p:], "\r\n"):
		return 2
	}
	return 0
}

// fold skips blanks and line breaks and counts the breaks.
func fold(text string, p int) (end, breaks int) {
	for {
		p = skipBlanks(text, p)
		n := lineBreak(text, p)
		if n == 0 {
			return p, breaks
		}
		breaks++
		p += n
	}
}

// folded is what a number of line breaks becomes in a flow scalar.
func folded(breaks int) string {
	if breaks == 1 {
		return " "
	}
	return strings.Repeat("\n", breaks-1)
}

// plain walks a plain scalar; the value says where it ends.
func (a *alignment) plain(text, value string) {
	p, v := a.start, 0
	for v < len(value) {
		if p >= len(text) {
			return
		}
		if q := skipBlanks(text, p); q > p || lineBreak(text, p) > 0 {
			if lineBreak(text, q) == 0 {
				if !strings.HasPrefix(value[v:], text[p:q]) {
					return
				}
				a.add(pieceSame, v, p, q-p, q-p)
				v += q - p
				p = q
				continue
			}
			end, breaks := fold(text, p)
			if !strings.HasPrefix(value[v:], folded(breaks)) {
				return
			}
			n := len(folded(breaks))
			a.add(pieceFold, v, p, n, end-p)
			v, p = v+n, end
			continue
		}
		if text[p] != value[v] {
			return
		}
		a.add(pieceSame, v, p, 1, 1)
		p, v = p+1, v+1
	}
	a.end, a.ok = p, true
}

// quotedWalk is the part that both kinds of quoted scalars share.
type quotedWalk struct {
	*alignment
	text, value string
	p, v        int
}

// emit checks that the value goes on with s and records where it came from.
func (w *quotedWalk) emit(kind pieceKind, s string, n int) bool {
	if !strings.HasPrefix(w.value[w.v:], s) {
		return false
	}
	w.add(kind, w.v, w.p, len(s), n)
	w.v += len(s)
	w.p += n
	return true
}

// space takes blanks and line breaks.
func (w *quotedWalk) space() bool {
	if q := skipBlanks(w.text, w.p); lineBreak(w.text, q) == 0 {
		return w.emit(pieceSame, w.text[w.p:q], q-w.p)
	}
	end, breaks := fold(w.text, w.p)
	return w.emit(pieceFold, folded(breaks), end-w.p)
}

func (w *quotedWalk) finish() {
	w.end = w.p + 1
	w.ok = w.v == len(w.value)
}

func (a *alignment) single(text, value string) {
	w := quotedWalk{alignment: a, text: text, value: value, p: a.start + 1}
	for w.p < len(text) {
		var good bool
		switch c := text[w.p]; {
		case c == '\'' && !strings.HasPrefix(text[w.p:], "''"):
			w.finish()
			return
		case c == '\'':
			good = w.emit(pieceEscape, "'", 2)
		case blank(c) || lineBreak(text, w.p) > 0:
			good = w.space()
		default:
			good = w.emit(pieceSame, text[w.p:w.p+1], 1)
		}
		if !good {
			break
		}
	}
	// The value disagrees: the end is still known.
	a.ok = false
	a.end = quoteEnd(text, a.start, '\'')
}

// escapes of double-quoted scalars that stand for one character.
var escapes = map[byte]string{
	'0': "\x00", 'a': "\a", 'b': "\b", 't': "\t", '\t': "\t", 'n': "\n", 'v': "\v", 'f': "\f", 'r': "\r",
	'e': "\x1b", ' ': " ", '"': "\"", '\'': "'", '/': "/", '\\': "\\", 'N': "\u0085", '_': "\u00a0", 'L': "\u2028", 'P': "\u2029",
}

func (a *alignment) double(text, value string) {
	w := quotedWalk{alignment: a, text: text, value: value, p: a.start + 1}
	for w.p < len(text) {
		var good bool
		switch c := text[w.p]; {
		case c == '"':
			w.finish()
			return
		case c == '\\':
			s, n, known := escape(text[w.p:])
			good = known && w.emit(pieceEscape, s, n)
		case blank(c) || lineBreak(text, w.p) > 0:
			good = w.space()
		default:
			good = w.emit(pieceSame, text[w.p:w.p+1], 1)
		}
		if !good {
			break
		}
	}
	a.ok = false
	a.end = quoteEnd(text, a.start, '"')
}

// escape decodes one escape of a double-quoted scalar.
func escape(s string) (decoded string, n int, known bool) {
	if len(s) < 2 {
		return "", 0, false
	}
	if b := lineBreak(s, 1); b > 0 { // a line that goes on: the break is no text
		end, breaks := fold(s, 1+b)
		return strings.Repeat("\n", breaks), end, true
	}
	if d, ok := escapes[s[1]]; ok {
		return d, 2, true
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
	if digits == 0 || len(s) < 2+digits {
		return "", 0, false
	}
	var r rune
	for _, c := range []byte(s[2 : 2+digits]) {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if d < 0 {
			return "", 0, false
		}
		r = r<<4 | rune(d)
	}
	return string(utf8.AppendRune(nil, r)), 2 + digits, true
}

// quoteEnd is the offset behind a quoted scalar.
func quoteEnd(text string, start int, quote byte) int {
	for p := start + 1; p < len(text); p++ {
		switch {
		case quote == '"' && text[p] == '\\':
			p++
		case text[p] == quote && quote == '\'' && strings.HasPrefix(text[p:], "''"):
			p++
		case text[p] == quote:
			return p + 1
		}
	}
	return len(text)
}

// block walks a literal or folded scalar, line by line. How far the lines are
// indented follows from the first line with text, in the source and in the
// value; where the scalar ends follows from the value.
func (a *alignment) block(text, value string) {
	p := lineEnd(text, a.start)
	a.end = a.start + len(strings.TrimRight(strings.SplitN(text[a.start:p], " ", 2)[0], "\t\r"))
	p += lineBreak(text, p)
	if strings.Trim(value, " \n") == "" {
		a.ok = value == "" // line ends alone have no place worth naming
		return
	}
	indent := blockIndent(text[p:], strings.TrimLeft(value, "\n"))
	v, last := 0, p
	for strings.TrimLeft(value[v:], "\n") != "" {
		if p >= len(text) || indent < 0 {
			return
		}
		start := p
		for start-p < indent && start < len(text) && text[start] == ' ' {
			start++
		}
		end := lineEnd(text, start)
		p = end + lineBreak(text, end)
		if start == end {
			continue // an empty line is part of the fold
		}
		n := len(value[v:]) - len(strings.TrimLeft(value[v:], "\n"))
		if n == 0 && v > 0 && value[v] == ' ' {
			n = 1
		}
		if n > 0 {
			a.add(pieceFold, v, last, n, start-last)
		}
		v += n
		if !strings.HasPrefix(value[v:], text[start:end]) {
			return
		}
		a.add(pieceSame, v, start, end-start, end-start)
		v, last, a.end = v+end-start, end, end
	}
	if v < len(value) {
		a.add(pieceFold, v, a.end, len(value)-v, lineBreak(text, a.end))
	}
	a.ok = true
}

// blockIndent is the number of columns by which a block scalar's lines are
// indented: those of its first line with text, less the blanks that are in the
// value. It is negative if the two do not belong together.
func blockIndent(text, value string) int {
	for p := 0; p < len(text); {
		end := lineEnd(text, p)
		if line := text[p:end]; strings.Trim(line, " ") != "" {
			spaces := len(line) - len(strings.TrimLeft(line, " "))
			return spaces - (len(value) - len(strings.TrimLeft(value, " ")))
		}
		p = end + lineBreak(text, end)
	}
	return -1
}

// lineEnd is the offset of the line break that ends the line at p.
func lineEnd(text string, p int) int {
	n := strings.IndexByte(text[p:], '\n')
	switch {
	case n < 0:
		return len(text)
	case n > 0 && text[p+n-1] == '\r':
		return p + n - 1
	}
	return p + n
}
