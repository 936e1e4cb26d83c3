package compiler

import (
	"fmt"
	"io"
	"strings"

	"hookline/dsl/diag"
)

// commentLimit is what a pull request comment holds, in characters.
const commentLimit = 65536

// WriteMarkdown prints plans as one pull request comment of at most limit
// characters; 0 means what GitHub takes. What does not fit is left out from the
// end of the longest part first, and the text says what.
func WriteMarkdown(w io.Writer, plans []*Plan, limit int) error {
	if limit <= 0 {
		limit = commentLimit
	}
	for detail := 2; ; detail-- {
		var b strings.Builder
		for _, p := range plans {
			p.markdown(&b, detail)
		}
		s := b.String()
		if len([]rune(s)) <= limit {
			_, err := io.WriteString(w, s)
			return err
		}
		if detail == 0 {
			note := "\n\n_The rest does not fit into a comment and is left out; `hookline plan` prints all of it._\n"
			runes := []rune(s)
			cut := string(runes[:limit-len([]rune(note))-4])
			if i := strings.LastIndexByte(cut, '\n'); i > 0 {
				cut = cut[:i]
			}
			if strings.Count(cut, "\n```")%2 == 1 {
				cut += "\n```"
			}
			_, err := io.WriteString(w, cut+note)
			return err
		}
	}
}

// markdown writes one plan. Detail 2 shows everything, 1 leaves out owned chains'
// rules, 0 the shared chains too.
func (p *Plan) markdown(b *strings.Builder, detail int) {
	var names []string
	for _, r := range p.Rulesets {
		names = append(names, fmt.Sprintf("`%s` %s", r.Name, r.Version))
	}
	fmt.Fprintf(b, "### hookline plan: %s on %s", strings.Join(names, ", "), p.Variant)
	if p.Source != "" {
		fmt.Fprintf(b, ", recorded in `%s`", inline(p.Source))
	}
	b.WriteString("\n\n")
	switch {
	case p.Diags.HasErrors():
		b.WriteString("**Nothing would be applied: the plan has errors.**\n")
	case p.Empty() && p.Lost():
		b.WriteString("Nothing to do: what is missing is not ours to put back.\n")
	case p.Empty():
		b.WriteString("Nothing to do: the host is as declared.\n")
	}
	for _, n := range p.Notes {
		fmt.Fprintf(b, "\n> %s\n", inline(n))
	}
	p.markdownCounts(b)
	p.markdownDiags(b)
	p.markdownConstraints(b)
	if detail == 0 {
		b.WriteString("\n_The chains do not fit into a comment and are left out; `hookline plan` prints them._\n")
		return
	}
	for _, v := range p.Views {
		if !v.Changed {
			continue
		}
		state := "as it will stand"
		if v.Dropped {
			state = "goes"
		}
		fmt.Fprintf(b, "\n<details open><summary><code>%s</code> %s</summary>\n\n", html(v.Key.String()), state)
		var body strings.Builder
		width := 18
		for _, l := range v.Lines {
			width = max(width, len(l.who()))
		}
		for i, l := range v.Lines {
			pos := "   "
			if l.Position > 0 {
				pos = fmt.Sprintf("%3d", l.Position)
			}
			fmt.Fprintf(&body, "%s %s  %-*s %s\n", l.Kind.Mark(), pos, width, l.who(), diag.Visible(l.Text))
			if why := v.reasonBehind(i); why != "" {
				fmt.Fprintf(&body, "        %s\n", why)
			}
		}
		if len(v.Lines) == 0 {
			body.WriteString("    (no rules)\n")
		}
		fence(b, body.String())
		b.WriteString("\n</details>\n")
	}
	if detail == 1 {
		b.WriteString("\n_The rules of owned chains do not fit into a comment and are left out; `hookline plan` prints them._\n")
		return
	}
	var body strings.Builder
	last := ""
	for _, c := range p.Changes {
		if p.shown(c.Key) {
			continue
		}
		if k := c.Key.String(); k != last {
			fmt.Fprintf(&body, "@@ %s @@\n", k)
			last = k
		}
		switch c.Kind {
		case Changed:
			fmt.Fprintf(&body, "- %s\n+ %s\n", diag.Visible(c.Before), diag.Visible(c.After))
		default:
			fmt.Fprintf(&body, "%s\n", c.line())
		}
	}
	if body.Len() > 0 {
		b.WriteString("\n<details><summary>owned chains</summary>\n\n")
		fence(b, body.String())
		b.WriteString("\n</details>\n")
	}
}

func (p *Plan) markdownCounts(b *strings.Builder) {
	counts := p.Counts()
	if len(counts) == 0 {
		return
	}
	b.WriteString("\n| table | add | change | move | remove |\n| --- | ---: | ---: | ---: | ---: |\n")
	for _, c := range counts {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d |\n", c.Key, c.Added, c.Changed, c.Moved, c.Removed)
	}
	fmt.Fprintf(b, "\n%s, each atomic for its table.\n", count(len(p.Commits()), "commit"))
}

func (p *Plan) markdownDiags(b *strings.Builder) {
	for _, d := range p.Diags.All() {
		if d.Severity == diag.Info {
			continue
		}
		fmt.Fprintf(b, "\n- **%s** `%s` %s (`%s`)\n", d.Severity, inline(d.Span.String()), escape(d.Message), d.Code)
		for _, n := range d.Notes {
			if !n.Span.IsZero() {
				fmt.Fprintf(b, "  - `%s` %s\n", inline(n.Span.String()), escape(n.Message))
			} else {
				fmt.Fprintf(b, "  - %s\n", escape(n.Message))
			}
		}
		if d.Help != "" {
			fmt.Fprintf(b, "  - help: %s\n", escape(d.Help))
		}
	}
}

func (p *Plan) markdownConstraints(b *strings.Builder) {
	if len(p.Constraints) == 0 {
		return
	}
	b.WriteString("\n| constraint | on what is predicted |\n| --- | --- |\n")
	for _, c := range p.Constraints {
		word := "holds"
		switch {
		case c.Skipped:
			word = "does not apply"
		case c.Error != "":
			word = "cannot be told: " + c.Error
		case !c.Holds && c.Warning:
			word = "does not hold (warning): " + c.Message
		case !c.Holds:
			word = "**does not hold**: " + c.Message
		}
		if !c.Holds && !c.Skipped {
			for _, s := range c.Shown {
				word += fmt.Sprintf("<br>`%s` = `%s`", inline(showExpr(s)), inline(s.Value))
			}
		}
		fmt.Fprintf(b, "| %s | %s |\n", escape(c.Name), strings.ReplaceAll(word, "|", "\\|"))
	}
}

// fence writes a code block that its content cannot end.
func fence(b *strings.Builder, body string) {
	mark := "```"
	for strings.Contains(body, mark) {
		mark += "`"
	}
	fmt.Fprintf(b, "%sdiff\n%s%s\n", mark, body, mark)
}

// inline makes text safe between single backquotes.
func inline(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(diag.Visible(s), "`", "'"), "\n", " ")
}

var markdownEscapes = strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "<", "&lt;", ">", "&gt;", "[", "\\[", "]", "\\]", "|", "\\|", "@", "&#64;", "\n", " ")

// escape makes text plain in Markdown: no markup, no mentions.
func escape(s string) string { return markdownEscapes.Replace(diag.Visible(s)) }

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func html(s string) string { return htmlEscapes.Replace(diag.Visible(s)) }
