package survey

import (
	"fmt"
	"io"
	"strings"
)

// commentLimit is what a pull request comment holds, in characters.
const commentLimit = 65536

// WriteMarkdown prints reports as one comment of at most limit characters; 0 means
// what GitHub takes. What does not fit is left out from the end, and the text says
// so.
func WriteMarkdown(w io.Writer, reports []*Report, limit int) error {
	if limit <= 0 {
		limit = commentLimit
	}
	for detail := 2; ; detail-- {
		var b strings.Builder
		for _, r := range reports {
			r.markdown(&b, detail)
		}
		s := b.String()
		if len([]rune(s)) <= limit {
			_, err := io.WriteString(w, s)
			return err
		}
		if detail == 0 {
			note := "\n\n_The rest does not fit into a comment and is left out; `hookline doctor` prints all of it._\n"
			cut := string([]rune(s)[:max(0, limit-len([]rune(note)))])
			if i := strings.LastIndexByte(cut, '\n'); i > 0 {
				cut = cut[:i]
			}
			_, err := io.WriteString(w, cut+note)
			return err
		}
	}
}

// markdown writes one report. Detail 2 shows everything, 1 leaves out the order in
// shared chains and what follows, 0 all but the findings.
func (r *Report) markdown(b *strings.Builder, detail int) {
	fmt.Fprintf(b, "### hookline doctor: %s\n\n%s.\n", span(r.name()), sentence(r.summary()))
	for _, f := range r.Findings {
		fmt.Fprintf(b, "\n**%s** `%s`: %s\n", f.Severity, f.Code, prose(f.Message))
		if len(f.Details) > 0 {
			b.WriteString("\n")
			fence(b, f.Details)
		}
		if len(f.Effects) > 0 {
			b.WriteString("\n")
		}
		for _, e := range f.Effects {
			fmt.Fprintf(b, "- %s\n", prose(e))
		}
		if f.Help != "" {
			fmt.Fprintf(b, "\nTo do: %s\n", prose(f.Help))
		}
	}
	if detail == 0 {
		b.WriteString("\n_The rest does not fit into a comment and is left out; `hookline doctor` prints it._\n")
		return
	}
	for i, s := range r.sections(false) {
		if detail == 1 && i > 1 {
			b.WriteString("\n_The order in shared chains and what follows do not fit into a comment and are left out; `hookline doctor` prints them._\n")
			return
		}
		fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n", s.title)
		for _, block := range s.blocks {
			block.markdown(b)
		}
		b.WriteString("\n</details>\n")
	}
}

func (k block) markdown(b *strings.Builder) {
	if k.heading != "" {
		fmt.Fprintf(b, "\n%s\n\n", prose(k.heading))
	}
	if k.head == nil && len(k.rows)+len(k.lines) > 0 {
		var body strings.Builder
		t := &textWriter{}
		t.table(0, k.rows)
		body.WriteString(t.b.String())
		for _, l := range k.lines {
			body.WriteString(visible(l) + "\n")
		}
		fence(b, strings.Split(strings.TrimRight(body.String(), "\n"), "\n"))
	}
	if k.head == nil {
		return
	}
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(k.head, " | "), strings.Repeat(" --- |", len(k.head)))
	for _, row := range k.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = prose(cell)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
}

// fence writes lines as they are, in a fence that none of them ends.
func fence(b *strings.Builder, list []string) {
	mark := "```"
	for strings.Contains(strings.Join(list, "\n"), mark) {
		mark += "`"
	}
	fmt.Fprintf(b, "%s\n", mark)
	for _, l := range list {
		b.WriteString(visible(l) + "\n")
	}
	fmt.Fprintf(b, "%s\n", mark)
}

// escapes are what Markdown and HTML would read as more than text. Code in
// backquotes stays code.
var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`, "|", `\|`, "[", `\[`, "]", `\]`, "@", "&#64;")

// prose is a text of ours with names of the host in it.
func prose(s string) string {
	parts := strings.Split(visible(s), "`")
	if len(parts)%2 == 0 {
		return escapes.Replace(strings.ReplaceAll(visible(s), "`", "'"))
	}
	for i := 0; i < len(parts); i += 2 {
		parts[i] = escapes.Replace(parts[i])
	}
	for i := 1; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], "|", `\|`)
	}
	return strings.Join(parts, "`")
}

// span is a text as code.
func span(s string) string { return "`" + strings.ReplaceAll(visible(s), "`", "'") + "`" }

// sentence begins with a capital letter.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
