package dsl

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

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
	if l.list.Has(diag.ControlCharacter) {
		return // the cause, most likely
	}
	message := yamlLine.ReplaceAllString(err.Error(), "")
	in := &oneByte{text: l.text[l.base:]}
	for dec := yaml.NewDecoder(in); ; {
		if _, err := decode(dec); err != nil {
			break
		}
	}
	l.explain(message, l.base+in.read)
}

// explain reports a message of yaml.v3 in words that help. The scanner reads up
// to four characters ahead, hence seen may lie that far behind the mistake.
func (l *loader) explain(message string, seen int) {
	report := func(at diag.Span, text string) *diag.Diagnostic {
		return l.list.Errorf(diag.YAMLSyntax, at, "%s", text)
	}
	has := func(s string) bool { return strings.Contains(message, s) }
	line := l.noticedLine(seen)
	atEnd := seen >= len(l.text)
	switch tag, alias := l.wordBefore(seen, '!'), l.wordBefore(seen, '*', '&'); {
	case tag >= 0 && isTagMessage(message):
		l.tag(tag, l.wordEnd(tag))
	case alias >= 0 && (has("unknown anchor") || has("alphabetic or numeric")):
		report(l.file.Span(alias, l.wordEnd(alias)), "YAML reads this as an alias or an anchor, and there is none of this name").
			WithHelp("quote a text that begins with * or &")
	case (has("cannot start any token") || has("tab character")) && strings.Contains(line.Text(), "\t"):
		p := line.Start + strings.IndexByte(line.Text(), '\t')
		report(l.file.Span(p, p+1), "a tab cannot indent YAML").WithHelp("indent with blanks")
	case has("cannot start any token"):
		report(l.lastOf("@`%", line, seen), "a text cannot begin with this character").WithHelp("quote the text")
	case has("mapping values are not allowed"):
		report(l.lastOf(":", line, seen), "a key cannot stand here").
			WithHelp("quote the text if the colon belongs to it, else look at the indentation")
	case has("escape character"):
		report(l.lastOf("\\", line, seen), "YAML does not know this escape").WithHelp("write it in single quotes, or double the backslash")
	case atEnd && has("unexpected end of stream"):
		report(l.openConstruct(line), "the quote is never closed")
	case atEnd && (has("',' or ']'") || has("',' or '}'")):
		report(l.openConstruct(line), "the bracket is never closed")
	case has("exceeded max depth"):
		report(l.file.Span(min(seen, len(l.text))-1, min(seen, len(l.text))), "values are nested too deep")
	case has("did not find expected key"), has("did not find expected '-' indicator"):
		report(line, "this line is not indented like the lines above it that it belongs to")
	default:
		report(line, "not YAML: "+message)
	}
}

// noticedLine is the text of the line at which a mistake was noticed.
func (l *loader) noticedLine(seen int) diag.Span {
	end := len(strings.TrimRight(l.text[:seen], " \t\r\n"))
	start := max(l.base, l.file.LineStart(l.file.Position(end).Line))
	body := l.text[start:lineEnd(l.text, start)]
	indent := len(body) - len(strings.TrimLeft(body, " "))
	return l.file.Span(start+indent, start+len(strings.TrimRight(body, " \r")))
}

// lastOf is the last of some characters in a line before an offset, or the line.
func (l *loader) lastOf(chars string, line diag.Span, before int) diag.Span {
	before = min(before, line.End)
	if before < line.Start {
		return line
	}
	if i := strings.LastIndexAny(l.text[line.Start:before], chars); i >= 0 {
		return l.file.Span(line.Start+i, line.Start+i+1)
	}
	return line
}

func isTagMessage(message string) bool {
	for _, s := range []string{"undefined tag handle", "whitespace or line break", "expected '!'", "URI", "tag"} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return false
}

// wordBefore finds the last word on the line of p, or before p on it, that
// begins with one of the given characters; negative if there is none.
func (l *loader) wordBefore(p int, first ...byte) int {
	start := l.noticedLine(p).Start
	for p = min(p, len(l.text)) - 1; p >= start; p-- {
		if slices.Contains(first, l.text[p]) && (p == start || blank(l.text[p-1]) || isFlow(l.text[p-1])) {
			return p
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

// openConstruct is where a quote or bracket that is never closed was opened: the
// first line without which the rest above it is YAML.
func (l *loader) openConstruct(other diag.Span) diag.Span {
	const most = 256 << 10 // the search reads the text several times
	if len(l.text) > most {
		return other
	}
	lo, hi := 1, l.file.Position(len(l.text)).Line // the text before line lo can be read
	good := func(line int) bool {
		dec := yaml.NewDecoder(strings.NewReader(l.text[l.base:max(l.base, l.file.LineStart(line))]))
		for {
			if _, err := decode(dec); errors.Is(err, io.EOF) {
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
