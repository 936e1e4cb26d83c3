package survey

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"hookline/dsl/diag"
)

// TextOptions say how a report is printed.
type TextOptions struct {
	Color bool
	// All shows hooks too at which only the chains of iptables stand.
	All bool
}

const (
	bold  = "\x1b[1m"
	reset = "\x1b[0m"
)

// colors of the severities, as ANSI sequences.
var colors = map[Severity]string{Hurts: "\x1b[31m", Warning: "\x1b[33m", Note: "\x1b[36m"}

// WriteText prints the report for a terminal.
func (r *Report) WriteText(w io.Writer, opt TextOptions) error {
	t := &textWriter{opt: opt}
	t.line(0, "%s", t.paint(bold, visible(r.name()+": "+r.summary())))
	for _, f := range r.Findings {
		t.finding(f)
	}
	for _, s := range r.sections(opt.All) {
		t.section(s)
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

type textWriter struct {
	b   strings.Builder
	opt TextOptions
}

func (t *textWriter) paint(code, s string) string {
	if !t.opt.Color || code == "" {
		return s
	}
	return code + s + reset
}

func (t *textWriter) line(indent int, format string, args ...any) {
	t.b.WriteString(strings.Repeat("  ", indent))
	t.b.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	t.b.WriteByte('\n')
}

// visible makes what came from the host fit for a terminal.
func visible(s string) string { return strings.ReplaceAll(diag.Visible(s), "\t", " ") }

func (t *textWriter) finding(f Finding) {
	t.b.WriteByte('\n')
	t.line(0, "%s %s [%s]", t.paint(colors[f.Severity], string(f.Severity)+":"), visible(f.Message), f.Code)
	for _, d := range f.Details {
		t.line(2, "%s", visible(d))
	}
	for _, e := range f.Effects {
		t.line(1, "- %s", visible(e))
	}
	if f.Help != "" {
		t.line(1, "help: %s", visible(f.Help))
	}
}

func (t *textWriter) section(s section) {
	t.b.WriteByte('\n')
	t.line(0, "%s", t.paint(bold, s.title))
	for _, b := range s.blocks {
		indent := 1
		if b.heading != "" {
			t.line(1, "%s", visible(b.heading))
			indent = 2
		}
		rows := b.rows
		if b.head != nil {
			rows = append([][]string{b.head}, rows...)
		}
		t.table(indent, rows)
		for _, l := range b.lines {
			t.line(indent, "%s", visible(l))
		}
	}
}

// table prints rows in columns.
func (t *textWriter) table(indent int, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(visible(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			text := visible(cell)
			b.WriteString(text)
			if i+1 < len(row) && widths[i] > 0 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
			}
		}
		t.line(indent, "%s", b.String())
	}
}
