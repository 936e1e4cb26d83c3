package diag

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// TextOptions say how WriteText prints.
type TextOptions struct {
	// Color uses ANSI colours; for terminals only.
	Color bool
	// Excerpts shows the line of each place with carets under the span.
	Excerpts bool
}

// excerptColumns is the most columns of a line that an excerpt shows.
const excerptColumns = 160

// WriteText prints a list for people: a line for each finding, an excerpt, notes
// with their own places, one help. It prints in the order of List.Sort and
// leaves the list as it is. The same list prints the same bytes.
func WriteText(w io.Writer, l *List, opt TextOptions) error {
	p := printer{opt: opt}
	for _, d := range l.sorted() {
		p.diagnostic(d)
	}
	_, err := w.Write(p.out.Bytes())
	return err
}

// sorted is a copy of the findings in the order of Sort.
func (l *List) sorted() []*Diagnostic {
	if l == nil {
		return nil
	}
	c := List{all: slices.Clone(l.all)}
	c.Sort()
	return c.all
}

type printer struct {
	out bytes.Buffer
	opt TextOptions
}

// The colours of the parts of a finding.
const (
	bold, red, yellow, blue, green, dim = "1", "1;31", "1;33", "1;34", "1;32", "2"
)

func (p *printer) paint(color, s string) string {
	if !p.opt.Color {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

func (p *printer) diagnostic(d *Diagnostic) {
	color := map[Severity]string{Error: red, Warning: yellow, Info: blue}[d.Severity]
	p.place(d.Span)
	fmt.Fprintf(&p.out, "%s %s", p.paint(color, d.Severity.String()+":"), p.paint(bold, Visible(d.Message)))
	if d.Code != "" {
		fmt.Fprintf(&p.out, " [%s]", d.Code)
	}
	p.out.WriteByte('\n')
	p.excerpt(d.Span, color)
	for _, n := range d.Notes {
		p.place(n.Span)
		fmt.Fprintf(&p.out, "%s %s\n", p.paint(blue, "note:"), Visible(n.Message))
		p.excerpt(n.Span, blue)
	}
	if d.Help != "" {
		fmt.Fprintf(&p.out, "%s %s\n", p.paint(green, "help:"), Visible(d.Help))
	}
}

func (p *printer) place(s Span) {
	if !s.IsZero() {
		p.out.WriteString(p.paint(bold, Visible(s.String())+":") + " ")
	}
}

// excerpt prints the first line of a span with carets under what is wrong.
func (p *printer) excerpt(s Span, color string) {
	if !p.opt.Excerpts || s.IsZero() {
		return
	}
	n := s.Position().Line
	line, base := s.File.Line(n), s.File.LineStart(n)
	text, from, to := screenLine(line, s.Start-base, min(s.End-base, len(line)))
	text, from, to = window(text, from, to)
	gutter := strconv.Itoa(n)
	blank := strings.Repeat(" ", max(4, len(gutter)))
	fmt.Fprintf(&p.out, "%s %s", p.paint(dim, fmt.Sprintf("%*s |", len(blank), gutter)), text)
	p.trim()
	fmt.Fprintf(&p.out, "%s %s%s\n", p.paint(dim, blank+" |"), strings.Repeat(" ", from),
		p.paint(color, strings.Repeat("^", max(1, to-from))))
}

// trim ends a line and takes the blanks before the line end away.
func (p *printer) trim() {
	for b := p.out.Bytes(); len(b) > 0 && b[len(b)-1] == ' '; b = p.out.Bytes() {
		p.out.Truncate(len(b) - 1)
	}
	p.out.WriteByte('\n')
}

// window cuts a printed line that is too wide down to the part around the
// columns [from, to), with dots where something was left out.
func window(text string, from, to int) (string, int, int) {
	if columns(text) <= excerptColumns {
		return text, from, to
	}
	const dots = "..."
	left := max(0, from-excerptColumns/4)
	var b strings.Builder
	shift := 0
	if left > 0 {
		b.WriteString(dots)
		shift = len(dots)
	}
	col, first, used := 0, -1, 0
	for _, r := range text {
		if col >= left {
			if first < 0 {
				first = col
			}
			if used+width(r) > excerptColumns {
				b.WriteString(dots)
				break
			}
			b.WriteRune(r)
			used += width(r)
		}
		col += width(r)
	}
	first = max(first, 0)
	from, to = from-first+shift, to-first+shift
	return b.String(), from, min(to, used+shift)
}
