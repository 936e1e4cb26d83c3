package diag

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tabStop is the distance of tab stops in excerpts.
const tabStop = 4

// Visible makes text fit for a terminal: control characters, line ends,
// bidirectional overrides and bytes that are no UTF-8 become escapes such as
// \x1b or \u202e, so that a hostile file cannot speak to the terminal. Tabs stay.
func Visible(s string) string {
	plain := true
	for _, r := range s {
		if r == utf8.RuneError || (hidden(r) && r != '\t') {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		b.WriteString(show(r, s[i:i+n]))
		i += n
	}
	return b.String()
}

// show is the printed form of one decoded rune.
func show(r rune, raw string) string {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t' || !hidden(r):
		return raw
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// hidden tells whether a character steers a terminal or the order of text, or
// cannot be seen at all.
func hidden(r rune) bool {
	switch {
	case unicode.IsControl(r):
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff, r == 0xad:
		return true
	case r >= 0xe0000 && r <= 0xe0fff, r >= 0xfff9 && r <= 0xfffb:
		return true
	}
	return false
}

// width is the number of terminal columns of a visible character.
func width(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r < 0x1100:
		return 1
	case r <= 0x115f, r >= 0x2e80 && r <= 0x303e, r >= 0x3041 && r <= 0x33ff, r >= 0x3400 && r <= 0x4dbf,
		r >= 0x4e00 && r <= 0x9fff, r >= 0xa000 && r <= 0xa4cf, r >= 0xa960 && r <= 0xa97f,
		r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1f64f,
		r >= 0x1f680 && r <= 0x1f6ff, r >= 0x1f900 && r <= 0x1f9ff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// columns is the width of printed text that holds no tabs.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += width(r)
	}
	return n
}

// screenLine prints a line of a file with tabs expanded and hidden characters
// made visible, and returns with it the printed columns of two byte offsets.
func screenLine(line string, start, end int) (text string, from, to int) {
	var b strings.Builder
	col := 0
	from, to = -1, -1
	for i := 0; i < len(line); {
		if from < 0 && i >= start {
			from = col
		}
		if to < 0 && i >= end {
			to = col
		}
		r, n := utf8.DecodeRuneInString(line[i:])
		s := show(r, line[i:i+n])
		if r == '\t' {
			s = strings.Repeat(" ", tabStop-col%tabStop)
		}
		b.WriteString(s)
		col += columns(s)
		i += n
	}
	if from < 0 {
		from = col
	}
	if to < 0 {
		to = col
	}
	return b.String(), from, to
}
