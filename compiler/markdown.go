package compiler

import (
	"fmt"
	"io"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/markdown"
	"hookline/dsl/diag"
)

// rest is the command that prints what a comment leaves out.
const rest = "hookline plan"

// WriteMarkdown prints plans as one pull request comment of at most limit
// characters; 0 means markdown.Limit. Several plans begin with a table of how each
// ends. What does not fit is left out from the longest plan first, and the text
// says what.
func WriteMarkdown(w io.Writer, plans []*Plan, limit int) error {
	parts := make([]markdown.Part, len(plans))
	for i, p := range plans {
		parts[i] = p.markdown
	}
	_, err := io.WriteString(w, markdown.Fit(overview(plans), parts, fullDetail, limit, rest))
	return err
}

// overview is a table of how each of several plans ends; empty for one.
func overview(plans []*Plan) string {
	if len(plans) < 2 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| recorded in | plan | add | change | move | remove |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	for _, p := range plans {
		var n TableCount
		for _, c := range p.Counts() {
			n.Added, n.Changed, n.Moved, n.Removed = n.Added+c.Added, n.Changed+c.Changed, n.Moved+c.Moved, n.Removed+c.Removed
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d |\n", markdown.CodeCell(p.Source), p.verdict(), n.Added, n.Changed, n.Moved, n.Removed)
	}
	b.WriteString("\n")
	return b.String()
}

// verdict is a plan's result in a few words.
func (p *Plan) verdict() string {
	switch {
	case p.Diags.HasErrors() && ExitCode(p.Diags) == 3:
		return "**a placement or a constraint does not hold**"
	case p.Diags.HasErrors():
		return "**errors**"
	case p.Empty():
		return "nothing to do"
	}
	return "changes"
}

// Unplanned stands for the plan that could not be made against a recorded
// snapshot, because of what the list says. It can be printed as Markdown, and
// nothing else can be done with it.
func Unplanned(source string, list *diag.List) *Plan {
	return &Plan{Source: source, Diags: list}
}

// WriteMarkdownFindings prints findings that are not about a host, under a title,
// as a pull request comment.
func WriteMarkdownFindings(w io.Writer, title string, list *diag.List) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### hookline: %s\n", title)
	markdownDiags(&b, list)
	_, err := io.WriteString(w, markdown.Cut(b.String(), 0, rest))
	return err
}

// fullDetail shows everything.
const fullDetail = 2

// markdown is one plan. Detail 2 shows everything, 1 leaves out owned chains'
// rules, 0 the shared chains too.
func (p *Plan) markdown(detail int) string {
	b := &strings.Builder{}
	if p.Variant == "" {
		fmt.Fprintf(b, "### hookline: no plan for %s\n", markdown.Code(p.Source))
		markdownDiags(b, p.Diags)
		return b.String()
	}
	var names []string
	for _, r := range p.Rulesets {
		names = append(names, markdown.Code(r.Name)+" "+markdown.Escape(r.Version))
	}
	fmt.Fprintf(b, "### hookline plan: %s on %s", strings.Join(names, ", "), p.Variant)
	if p.Source != "" {
		fmt.Fprintf(b, ", recorded in %s", markdown.Code(p.Source))
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
		fmt.Fprintf(b, "\n> %s\n", markdown.Escape(n))
	}
	p.markdownCounts(b)
	p.markdownSets(b)
	p.markdownIntrusions(b)
	markdownDiags(b, p.Diags)
	for i, s := range p.leftOut() {
		if i == 0 {
			b.WriteString("\nLeft out, because they match nothing:\n\n")
		}
		fmt.Fprintf(b, "- %s\n", markdown.Escape(s))
	}
	p.markdownConstraints(b)
	p.markdownHooks(b, detail)
	if detail == 0 {
		b.WriteString("\n_The chains do not fit into a comment and are left out; `hookline plan` prints them._\n")
		return b.String()
	}
	for _, v := range p.Views {
		if !v.Changed {
			continue
		}
		state := "as it will stand"
		if v.Dropped {
			state = "goes"
		}
		fmt.Fprintf(b, "\n<details open><summary><code>%s</code> %s</summary>\n\n", markdown.HTML(v.Key.String()), state)
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
		markdown.Fence(b, "diff", strings.Split(strings.TrimSuffix(body.String(), "\n"), "\n"))
		b.WriteString("\n</details>\n")
	}
	if detail == 1 {
		b.WriteString("\n_The rules of owned chains do not fit into a comment and are left out; `hookline plan` prints them._\n")
		return b.String()
	}
	p.markdownOwned(b)
	return b.String()
}

// markdownOwned writes the changes in chains that are not shown whole.
func (p *Plan) markdownOwned(b *strings.Builder) {
	var body strings.Builder
	last := ""
	for _, c := range p.Changes {
		if p.shown(c.Key) {
			continue
		}
		if k := c.Key.String(); k != last {
			what := ""
			if p.strange(c.Key) {
				what = " (" + p.whatIs(c.Key) + ")"
			}
			fmt.Fprintf(&body, "@@ %s%s @@\n", diag.Visible(k), what)
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
		markdown.Fence(b, "diff", strings.Split(strings.TrimSuffix(body.String(), "\n"), "\n"))
		b.WriteString("\n</details>\n")
	}
}

// markdownSets writes what happens to sets: a table, and the first elements.
func (p *Plan) markdownSets(b *strings.Builder) {
	if len(p.SetChanges) == 0 {
		return
	}
	b.WriteString("\n| set | type | add | remove | elements | how |\n| --- | --- | ---: | ---: | ---: | --- |\n")
	var body strings.Builder
	for _, c := range p.SetChanges {
		fmt.Fprintf(b, "| %s | %s | %d | %d | %d | %s |\n", markdown.CodeCell(c.Name), c.Type, c.Add, c.Remove, c.Total, markdown.Escape(c.How))
		if lines := c.lines(); len(lines) > 1 {
			fmt.Fprintf(&body, "@@ %s @@\n", diag.Visible(c.Name))
			for _, line := range lines[1:] {
				fmt.Fprintf(&body, "%s\n", strings.TrimPrefix(line, "    "))
			}
		}
	}
	if how := p.setCommits(); how != "" {
		fmt.Fprintf(b, "\n%s.\n", how)
	}
	if body.Len() > 0 {
		b.WriteString("\n<details><summary>elements</summary>\n\n")
		markdown.Fence(b, "diff", strings.Split(strings.TrimSuffix(body.String(), "\n"), "\n"))
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
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d |\n", markdown.Escape(c.Key.String()), c.Added, c.Changed, c.Moved, c.Removed)
	}
	if n := len(p.Commits()); n > 0 {
		how := "each atomic for its table"
		if p.Variant == ir.NFT {
			how = map[bool]string{true: "atomic", false: "each atomic"}[n == 1]
		}
		fmt.Fprintf(b, "\n%s, %s.\n", count(n, "commit"), how)
	}
}

func markdownDiags(b *strings.Builder, list *diag.List) {
	for _, d := range list.All() {
		if d.Severity == diag.Info {
			continue
		}
		fmt.Fprintf(b, "\n- **%s** %s%s (%s)\n", d.Severity, placeCode(d.Span), markdown.Escape(d.Message), markdown.Code(string(d.Code)))
		for _, n := range d.Notes {
			fmt.Fprintf(b, "  - %s%s\n", placeCode(n.Span), markdown.Escape(n.Message))
		}
		if d.Help != "" {
			fmt.Fprintf(b, "  - help: %s\n", markdown.Escape(d.Help))
		}
	}
}

// placeCode is a place as code, with a space behind it; empty for no place.
func placeCode(s diag.Span) string {
	if s.IsZero() {
		return ""
	}
	return markdown.Code(s.String()) + " "
}

func (p *Plan) markdownConstraints(b *strings.Builder) {
	if len(p.Constraints) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| constraint | on %s |\n| --- | --- |\n", p.judged())
	for _, c := range p.Constraints {
		word := "holds"
		switch {
		case c.Skipped:
			word = "does not apply"
		case c.Error != "":
			word = "cannot be told: " + markdown.Escape(c.Error)
		case !c.Holds && c.Warning:
			word = "does not hold (warning): " + markdown.Escape(c.Message)
		case !c.Holds:
			word = "**does not hold**: " + markdown.Escape(c.Message)
		}
		if !c.Holds && !c.Skipped {
			for _, s := range c.Shown {
				word += "<br>" + markdown.CodeCell(showExpr(s)) + " = " + markdown.CodeCell(s.Value)
			}
		}
		fmt.Fprintf(b, "| %s | %s |\n", markdown.Escape(c.Name), word)
	}
}
