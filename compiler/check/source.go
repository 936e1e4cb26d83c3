package check

import (
	"strings"
	"unicode/utf8"

	"hookline/dsl/diag"
)

// Source is the text of an expression and where it stands. If Exact, Text is byte
// for byte the text of Span, so that findings point into the expression; else
// they have the whole span.
type Source struct {
	Text  string
	Span  diag.Span
	Exact bool
}

// at is the span of the bytes [start, end) of the text.
func (s Source) at(start, end int) diag.Span {
	if !s.Exact || s.Span.IsZero() {
		return s.Span
	}
	n := min(len(s.Text), s.Span.End-s.Span.Start)
	start = max(0, min(start, n))
	end = max(start, min(end, n))
	return diag.Span{File: s.Span.File, Start: s.Span.Start + start, End: s.Span.Start + end}
}

// offset translates a place as CEL gives it, a line from 1 and a column from 0 in
// characters, to a byte offset in the text.
func (s Source) offset(line, column int) int {
	at := 0
	for ; line > 1; line-- {
		n := strings.IndexByte(s.Text[at:], '\n')
		if n < 0 {
			return len(s.Text)
		}
		at += n + 1
	}
	return s.skip(at, column)
}

// skip is the byte offset n characters behind a byte offset.
func (s Source) skip(at, n int) int {
	for ; n > 0 && at < len(s.Text); n-- {
		_, size := utf8.DecodeRuneInString(s.Text[at:])
		at += size
	}
	return at
}

// runeOffset is the byte offset of the character with a number from 0.
func (s Source) runeOffset(n int) int { return s.skip(0, n) }

// token is the span of what stands at a byte offset; see tokenAt.
func (s Source) token(at int) diag.Span { return s.at(s.tokenAt(at)) }

// tokenAt finds the word, literal or operator at a byte offset. What CEL names by
// its place is not always what is wrong: for x.y it is the dot, for f(x) the
// parenthesis. tokenAt gives y and f. It is empty at the end of the text.
func (s Source) tokenAt(at int) (start, end int) {
	text := s.Text
	if last := len(strings.TrimRight(text, " \t\r\n")); at >= last {
		return last, last
	}
	at = skipBlanks(text, max(at, 0))
	switch c := text[at]; {
	case c == '.':
		if word := skipBlanks(text, at+1); wordEnd(text, word) > word {
			return word, wordEnd(text, word)
		}
	case c == '(':
		last := len(strings.TrimRight(text[:at], " \t\r\n"))
		if first := wordStart(text, last); first < last {
			return first, last
		}
	case c == '"' || c == '\'':
		return at, quoteEnd(text, at)
	}
	if end := wordEnd(text, at); end > at {
		return at, end
	}
	for _, op := range []string{"==", "!=", "<=", ">=", "&&", "||"} {
		if strings.HasPrefix(text[at:], op) {
			return at, at + len(op)
		}
	}
	_, size := utf8.DecodeRuneInString(text[at:])
	return at, at + size
}

func skipBlanks(s string, at int) int {
	for at < len(s) && strings.IndexByte(" \t\r\n", s[at]) >= 0 {
		at++
	}
	return at
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func wordEnd(s string, at int) int {
	for at < len(s) && isWord(s[at]) {
		at++
	}
	return at
}

func wordStart(s string, end int) int {
	for end > 0 && isWord(s[end-1]) {
		end--
	}
	return end
}

// quoteEnd is the offset behind the string literal that begins at an offset.
func quoteEnd(s string, at int) int {
	quote := s[at]
	for i := at + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		case '\n':
			return i
		}
	}
	return len(s)
}
