package dsl

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"hookline/dsl/diag"
)

// ReadLimit is the size in bytes of the largest file that is read. Whoever opens
// files need not read more than ReadLimit+1 bytes: a text longer than the limit
// is refused before anything looks at it.
const ReadLimit = 4 << 20

// byteOrderMark may stand at the very start of a file and means nothing.
const byteOrderMark = "\ufeff"

// tooManyBadBytes bounds the findings about characters that no text may hold.
const tooManyBadBytes = 20

// sanitize checks the characters of a text and returns it with those that YAML
// cannot hold replaced by as many letters x, so that offsets stay. Lines end
// in \n or \r\n; YAML's other line ends (a lone \r, U+0085, U+2028, U+2029) are
// refused, for an editor does not show them as such.
func sanitize(file *diag.File, list *diag.List) string {
	text := file.Text()
	var out []byte
	found := 0
	bad := func(start, end int, format string, args ...any) {
		if found++; found <= tooManyBadBytes {
			list.Errorf(diag.ControlCharacter, file.Span(start, end), format, args...)
		}
		if out == nil {
			out = []byte(text)
		}
		for i := start; i < end; i++ {
			out[i] = 'x'
		}
	}
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			bad(i, i+1, "byte 0x%02x is not UTF-8", c)
		case c == '\r' && strings.HasPrefix(text[i:], "\r\n"):
		case string(r) == byteOrderMark && i == 0:
		case invisible(r):
			bad(i, i+n, "character U+%04X is not allowed in a file", r)
		}
		i += n
	}
	if out == nil {
		return text
	}
	return string(out)
}

// invisible tells whether a character is a control character, a line end of
// Unicode, or one that reorders text on a screen. Tabs and line feeds are among
// them; callers let them pass where they mean something.
func invisible(r rune) bool {
	return unicode.IsControl(r) || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff ||
		(r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) || (r >= 0x200e && r <= 0x200f)
}
