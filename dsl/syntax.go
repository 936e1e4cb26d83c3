package dsl

import (
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"hookline/dsl/diag"
)

// oneByte hands out a text byte by byte and so tells how far a reader got.
type oneByte struct {
	text string
	read int
}

func (o *oneByte) Read(p []byte) (int, error) {
	if o.read >= len(o.text) {
		return 0, io.EOF
	}
	p[0] = o.text[o.read]
	o.read++
	return 1, nil
}

// yamlLine takes the line number out of yaml.v3's message; it is that of the
// construct in which the mistake is, and off by one in some messages.
var yamlLine = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxError reports text that is not YAML. yaml.v3 does not say where the
// mistake is, only in which construct. So the text is read a second time byte by
// byte: how far the reader got is where the mistake was noticed.
func (l *loader) syntaxError(err error) {
	message := yamlLine.ReplaceAllString(err.Error(), "")
	in := &oneByte{text: l.text[l.base:]}
	for dec := yaml.NewDecoder(in); ; {
		if _, err := decode(dec); err != nil {
			break
		}
	}
	seen := l.base + in.read
	end := len(strings.TrimRight(l.text[:seen], " \t\r\n"))
	start := end
	if start > 0 {
		_, n := utf8.DecodeLastRuneInString(l.text[:start])
		start -= n
	}
	if tag := l.wordBefore(seen, '!'); tag >= 0 && isTagMessage(message) {
		l.tag(tag, l.wordEnd(tag))
		return
	}
	at := l.file.Span(start, end)
	d := (*diag.Diagnostic)(nil)
	report := func(at diag.Span, text string) *diag.Diagnostic {
		d = l.list.Errorf(diag.YAMLSyntax, at, "%s", text)
		return d
	}
	switch {
	case strings.HasPrefix(message, "unknown anchor") || strings.Contains(message, "alphabetic or numeric"):
		if p := l.wordBefore(seen, '*', '&'); p >= 0 {
			at = l.file.Span(p, l.wordEnd(p))
		}
		report(at, "YAML reads this as an alias or an anchor, and there is none of this name").
			WithHelp("quote a text that begins with * or &")
	case strings.Contains(message, "cannot start any token"):
		if strings.IndexByte("\t", l.text[min(seen, len(l.text))-1]) >= 0 || strings.Contains(l.lineOf(start), "\t") {
			report(l.firstTab(start, at), "a tab cannot indent YAML").WithHelp("indent with blanks")
			return
		}
		report(at, "a text cannot begin with this character").WithHelp("quote the text")
	case strings.Contains(message, "tab character"):
		report(l.firstTab(start, at), "a tab cannot indent YAML").WithHelp("indent with blanks")
	case strings.Contains(message, "mapping values are not allowed"):
		report(at, "a key cannot stand here").WithHelp("quote the text if the colon belongs to it, else look at the indentation")
	case seen >= len(l.text) && strings.Contains(message, "unexpected end of stream"):
		report(l.openConstruct(at), "the quote is never closed")
	case seen >= len(l.text) && (strings.Contains(message, "',' or ']'") || strings.Contains(message, "',' or '}'")):
		report(l.openConstruct(at), "the bracket is never closed")
	default:
		report(at, "not YAML: "+message)
	}
}

func isTagMessage(message string) bool {
	for _, s := range []string{"undefined tag handle", "whitespace or line break", "expected '!'", "URI", "tag"} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return false
}

// wordBefore finds the last word on the line before p that begins with one of
// the given characters; negative if there is none.
func (l *loader) wordBefore(p int, first ...byte) int {
	p = min(p, len(l.text)) - 1
	for ; p >= l.base; p-- {
		c := l.text[p]
		if c == '\n' {
			// What was noticed at the start of a line belongs to the line before.
			if strings.TrimSpace(l.text[p:min(len(l.text), p+2)]) == "" || p == len(l.text)-1 {
				continue
			}
		}
		for _, f := range first {
			if c == f && (p == l.base || blank(l.text[p-1]) || l.text[p-1] == '\n' || isFlow(l.text[p-1])) {
				return p
			}
		}
	}
	return -1
}

func (l *loader) wordEnd(p int) int {
	for p < len(l.text) && !blank(l.text[p]) && lineBreak(l.text, p) == 0 && !isFlow(l.text[p]) {
		p++
	}
	return p
}

func (l *loader) lineOf(p int) string { return l.file.Line(l.file.Position(p).Line) }

// firstTab is the first tab of the line at p, or other if it has none.
func (l *loader) firstTab(p int, other diag.Span) diag.Span {
	start := l.file.LineStart(l.file.Position(p).Line)
	if i := strings.IndexByte(l.text[start:lineEnd(l.text, start)], '\t'); i >= 0 {
		return l.file.Span(start+i, start+i+1)
	}
	return other
}

// openConstruct is where a quote or bracket that is never closed was opened: the
// first line without which the rest above it is YAML.
func (l *loader) openConstruct(other diag.Span) diag.Span {
	lo, hi := 1, l.file.Position(len(l.text)).Line // the text before line lo can be read
	good := func(line int) bool {
		dec := yaml.NewDecoder(strings.NewReader(l.text[l.base:max(l.base, l.file.LineStart(line))]))
		for {
			if _, err := decode(dec); err == io.EOF {
				return true
			} else if err != nil {
				return false
			}
		}
	}
	for lo < hi {
		if mid := (lo + hi + 1) / 2; good(mid) {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	start := l.file.LineStart(lo)
	if i := strings.IndexAny(l.text[start:lineEnd(l.text, start)], `"'[{`); i >= 0 {
		return l.file.Span(start+i, start+i+1)
	}
	return other
}
