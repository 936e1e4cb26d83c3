package xtables

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"hookline/dsl/diag"
)

// Word is one argument of a rule and the bytes of the text that it was written
// as.
type Word struct {
	Text       string
	Start, End int
	// Quoted tells that a part of the word stood in double quotes.
	Quoted bool
	// Literal tells that the word, or a part of it, is a value of an expression: it
	// is one argument, whatever it looks like, and never an option.
	Literal bool

	valueAt int // where in Text the first value begins, if Literal is set
}

// Words splits rule text as iptables-restore does: blanks and tabs separate;
// double quotes keep them, and inside of quotes a backslash takes the next
// character as it is. A closing quote ends the word, as it does for the tool.
func Words(text string) ([]Word, error) {
	words, err := split(make([]Word, 0, 16), text, 0)
	if err != nil {
		return nil, err
	}
	return words, nil
}

// TemplatePart is a piece of rule text: literal text, or the value of an
// expression in it.
type TemplatePart struct {
	Text    string
	IsValue bool
	// Width is the number of bytes that the part takes in the source: for a value
	// the length of its ${...}, for literal text normally len(Text). Zero for literal
	// text means len(Text).
	Width int
}

// SplitTemplate splits literal parts as Words does. A value is appended to the
// word at hand as it is: it is never split, and quotes in it mean nothing. An
// empty value still makes a word. Offsets count each part by its Width.
func SplitTemplate(parts []TemplatePart) ([]Word, error) {
	sp := splitter{words: make([]Word, 0, 16)}
	for _, p := range parts {
		if p.IsValue {
			sp.value(p.Text, p.Width)
			continue
		}
		if err := sp.literal(p.Text); err != nil {
			return nil, err
		}
		if p.Width > len(p.Text) {
			sp.offset += p.Width - len(p.Text)
		}
	}
	if err := sp.finish(); err != nil {
		return nil, err
	}
	return sp.words, nil
}

// splitter is the state between two parts of a template.
type splitter struct {
	words  []Word
	offset int // of the next part's first byte
	open   bool
	quote  bool // inside of double quotes
	escape bool
	at     int // where the quote was opened
	cur    Word
	buf    []byte
}

func (sp *splitter) begin(at int) {
	if !sp.open {
		sp.open = true
		sp.cur = Word{Start: at}
		sp.buf = sp.buf[:0]
	}
}

func (sp *splitter) end(at int) {
	if sp.open {
		sp.cur.Text, sp.cur.End = string(sp.buf), at
		sp.words = append(sp.words, sp.cur)
		sp.open = false
	}
}

func (sp *splitter) value(text string, width int) {
	sp.begin(sp.offset)
	if !sp.cur.Literal {
		sp.cur.Literal, sp.cur.valueAt = true, len(sp.buf)
	}
	sp.buf = append(sp.buf, text...)
	sp.offset += width
}

func (sp *splitter) literal(text string) error {
	for i := 0; i < len(text); i++ {
		c, at := text[i], sp.offset+i
		switch {
		case sp.escape:
			sp.buf = append(sp.buf, c)
			sp.escape = false
		case sp.quote && c == '\\':
			sp.escape = true
		case sp.quote && c == '"':
			sp.quote = false
			sp.end(at + 1)
		case sp.quote:
			sp.buf = append(sp.buf, c)
		case c == '"':
			sp.begin(at)
			sp.cur.Quoted = true
			sp.quote, sp.at = true, at
		case c == ' ' || c == '\t' || c == '\n':
			sp.end(at)
		default:
			sp.begin(at)
			sp.buf = append(sp.buf, c)
		}
	}
	sp.offset += len(text)
	return nil
}

func (sp *splitter) finish() error {
	if sp.quote {
		return &Error{
			Start: sp.at, End: sp.offset, Code: diag.RuleText,
			Message: "this double quote is never closed",
			Help:    `write \" for a quote inside of a quoted word`,
		}
	}
	sp.end(sp.offset)
	return nil
}

// split appends the words of text. Words without escapes share the text's
// memory.
func split(words []Word, text string, offset int) ([]Word, error) {
	for i := 0; i < len(text); {
		c := text[i]
		if c == ' ' || c == '\t' || c == '\n' {
			i++
			continue
		}
		start := i
		for i < len(text) && text[i] != ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '"' {
			i++
		}
		if i == len(text) || text[i] != '"' {
			words = append(words, Word{Text: text[start:i], Start: offset + start, End: offset + i})
			continue
		}
		head, quote := text[start:i], i
		i++
		body := i
		for i < len(text) && text[i] != '"' && text[i] != '\\' {
			i++
		}
		if i < len(text) && text[i] == '"' && head == "" {
			i++
			words = append(words, Word{Text: text[body : i-1], Start: offset + start, End: offset + i, Quoted: true})
			continue
		}
		var b strings.Builder
		b.WriteString(head)
		b.WriteString(text[body:i])
		for ; i < len(text) && text[i] != '"'; i++ {
			if text[i] == '\\' {
				if i++; i == len(text) {
					break
				}
			}
			b.WriteByte(text[i])
		}
		if i >= len(text) {
			return nil, &Error{
				Start: offset + quote, End: offset + len(text), Code: diag.RuleText,
				Message: "this double quote is never closed",
				Help:    `write \" for a quote inside of a quoted word`,
			}
		}
		i++
		words = append(words, Word{Text: b.String(), Start: offset + start, End: offset + i, Quoted: true})
	}
	return words, nil
}

// Quote writes one argument as iptables-save does: letters, digits, _ and - stay
// as they are, everything else goes into double quotes.
func Quote(s string) string {
	if plain(s) {
		return s
	}
	return string(appendQuoted(nil, s))
}

// plain tells that iptables-save prints s without quotes (xtables_save_string).
func plain(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// appendQuoted writes s in double quotes.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' || s[i] == '\'' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// bare tells that s splits into exactly itself when it is written without quotes.
func bare(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == '"' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// controlCharacter finds the first character that may not stand in rule text: a
// control character (a tab only between words) or a byte that is no UTF-8.
func controlCharacter(s string, tabs bool) (at, size int, bad bool) {
	for i, r := range s {
		if r >= ' ' && r < 0x7f {
			continue
		}
		if r == '\t' && tabs {
			continue
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i, 1, true
			}
		}
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return i, utf8.RuneLen(r), true
		}
	}
	return 0, 0, false
}
