package survey

import (
	"fmt"
	"io"
	"strings"

	"hookline/compiler/markdown"
)

// rest is the command that prints what a comment leaves out.
const rest = "hookline doctor"

// A comment shows so many details of a finding, and so many characters of each.
const mostDetails, detailLength = 40, 300

// How much of a report is shown.
const (
	messages = iota // the findings without their places
	findings
	programs // and the sections ahead of the order in shared chains
	everything
)

// WriteMarkdown prints reports as one comment of at most limit characters; 0 means
// markdown.Limit. Several reports begin with a list of how each ends. What does not
// fit is left out from the longest report first, a finding's message last of all,
// and the text says so.
func WriteMarkdown(w io.Writer, reports []*Report, limit int) error {
	var head strings.Builder
	parts := make([]markdown.Part, len(reports))
	for i, r := range reports {
		parts[i] = r.markdown
		if len(reports) > 1 {
			fmt.Fprintf(&head, "- %s: %s\n", markdown.Code(r.name()), r.summary())
		}
	}
	if head.Len() > 0 {
		head.WriteString("\n")
	}
	_, err := io.WriteString(w, markdown.Fit(head.String(), parts, everything, limit, rest))
	return err
}

// markdown is one report.
func (r *Report) markdown(detail int) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "### hookline doctor: %s\n\n%s.\n", markdown.Code(r.name()), sentence(r.summary()))
	for _, f := range r.Findings {
		f.markdown(b, detail)
	}
	if detail == messages {
		b.WriteString("\n_The places of findings and the rest do not fit into a comment and are left out; `" + rest + "` prints them._\n")
		return b.String()
	}
	if detail == findings {
		b.WriteString("\n_The rest does not fit into a comment and is left out; `" + rest + "` prints it._\n")
		return b.String()
	}
	for i, s := range r.sections(false) {
		if detail == programs && i > 1 {
			b.WriteString("\n_The order in shared chains and what follows do not fit into a comment and are left out; `" + rest + "` prints them._\n")
			break
		}
		fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n", s.title)
		for _, block := range s.blocks {
			block.markdown(b)
		}
		b.WriteString("\n</details>\n")
	}
	return b.String()
}

func (f Finding) markdown(b *strings.Builder, detail int) {
	fmt.Fprintf(b, "\n**%s** %s: %s\n", f.Severity, markdown.Code(string(f.Code)), markdown.Escape(f.Message))
	if len(f.Details) > 0 && detail > messages {
		b.WriteString("\n")
		var list []string
		for i, d := range f.Details {
			if i == mostDetails {
				list = append(list, fmt.Sprintf("and %d more", len(f.Details)-i))
				break
			}
			list = append(list, visible(cut(d, detailLength)))
		}
		markdown.Fence(b, "", list)
	}
	if len(f.Effects) > 0 {
		b.WriteString("\n")
	}
	for _, e := range f.Effects {
		fmt.Fprintf(b, "- %s\n", markdown.Escape(e))
	}
	if f.Help != "" {
		fmt.Fprintf(b, "\nTo do: %s\n", markdown.Escape(f.Help))
	}
}

func (k block) markdown(b *strings.Builder) {
	if k.heading != "" {
		fmt.Fprintf(b, "\n%s\n\n", markdown.Escape(k.heading))
	}
	if k.head == nil && len(k.rows)+len(k.lines) > 0 {
		var body strings.Builder
		t := &textWriter{}
		t.table(0, k.rows)
		body.WriteString(t.b.String())
		for _, l := range k.lines {
			body.WriteString(visible(l) + "\n")
		}
		markdown.Fence(b, "", strings.Split(strings.TrimRight(body.String(), "\n"), "\n"))
	}
	if k.head == nil {
		return
	}
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(k.head, " | "), strings.Repeat(" --- |", len(k.head)))
	for _, row := range k.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = markdown.Escape(cell)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
}

// sentence begins with a capital letter.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
