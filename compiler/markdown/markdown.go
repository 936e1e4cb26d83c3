package markdown

import (
	"strings"

	"hookline/dsl/diag"
)

// escapes are what Markdown, HTML or GitHub would read as more than text. A
// mention is looked for when the entity is an @ already, so that something
// invisible has to part it from the name.
var escapes = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "~", `\~`, "[", `\[`, "]", `\]`, "|", `\|`,
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "&#64;&#8203;", "://", `:\//`, "www.", `www\.`, "\t", " ",
)

// Escape makes text plain: no markup, no links, no mentions. It may stand in a
// table's cell.
func Escape(s string) string { return escapes.Replace(diag.Visible(s)) }

var html = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// HTML makes text plain between tags that Markdown leaves alone.
func HTML(s string) string { return html.Replace(diag.Visible(s)) }

// Code is text as code inside a line, with its backquotes; those of the text
// become other quotes.
func Code(s string) string {
	s = strings.NewReplacer("`", "'", "\t", " ").Replace(diag.Visible(s))
	if strings.Trim(s, " ") == "" {
		s = " " // two backquotes alone would look for two more
	}
	return "`" + s + "`"
}

// CodeCell is Code for a table, where a stroke ends the cell even between
// backquotes.
func CodeCell(s string) string { return strings.ReplaceAll(Code(s), "|", `\|`) }

// fenceMark is the shortest that begins a code block.
const fenceMark = "```"

// Fence writes lines as they are, in a code block that none of them ends. The
// language may be empty.
func Fence(b *strings.Builder, language string, lines []string) {
	mark := fenceMark
	visible := make([]string, len(lines))
	for i, l := range lines {
		visible[i] = diag.Visible(l)
		for strings.Contains(visible[i], mark) {
			mark += "`"
		}
	}
	b.WriteString(mark + language + "\n")
	for _, l := range visible {
		b.WriteString(l + "\n")
	}
	b.WriteString(mark + "\n")
}
