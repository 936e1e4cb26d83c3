package diag

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
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
	from, to := min(s.Start-base, len(line)), min(s.End-base, len(line))
	left := ""
	if cut := runeStart(line, from-excerptColumns/4); len(line) > excerptColumns && from > excerptColumns/2 {
		left, line, from, to = dots, line[cut:], from-cut, to-cut
	}
	if most := 8 * excerptColumns; len(line) > most {
		line = line[:runeStart(line, most)]
		to = min(to, len(line))
	}
	text, from, to := screenLine(line, from, to)
	text, to = cutRight(text, excerptColumns, to)
	from, to = from+len(left), to+len(left)
	gutter := strconv.Itoa(n)
	blank := strings.Repeat(" ", max(4, len(gutter)))
	fmt.Fprintf(&p.out, "%s %s%s", p.paint(dim, fmt.Sprintf("%*s |", len(blank), gutter)), left, text)
	p.trim()
	fmt.Fprintf(&p.out, "%s %s%s\n", p.paint(dim, blank+" |"), strings.Repeat(" ", from),
		p.paint(color, strings.Repeat("^", max(1, to-from))))
}

// dots stand for the part of a line that was left out.
const dots = "..."

// runeStart is the offset at or before i at which a character begins.
func runeStart(s string, i int) int {
	i = max(0, min(i, len(s)))
	for i > 0 && i < len(s) && !utf8.RuneStart(s[i]) {
		i--
	}
	return i
}

// trim ends a line and takes the blanks before the line end away.
func (p *printer) trim() {
	for b := p.out.Bytes(); len(b) > 0 && b[len(b)-1] == ' '; b = p.out.Bytes() {
		p.out.Truncate(len(b) - 1)
	}
	p.out.WriteByte('\n')
}

// cutRight shortens a printed line to so many columns; to is a column in it.
func cutRight(text string, most, to int) (string, int) {
	col := 0
	for i, r := range text {
		if col += width(r); col > most {
			return text[:i] + dots, min(to, col-width(r))
		}
	}
	return text, to
}
