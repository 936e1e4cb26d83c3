package diag

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// File is one text that a span can point into: a ruleset, a values file, a
// recorded snapshot, or a `--set` argument. A File never changes after NewFile.
type File struct {
	name  string
	text  string
	lines []int // offset of each line's first byte
}

// NewFile takes the text of a file. The name is printed as it is given; it is
// normally the path as the user wrote it.
func NewFile(name, text string) *File {
	f := &File{name: name, text: text, lines: make([]int, 1, 1+len(text)/32)}
	for i := 0; ; {
		n := strings.IndexByte(text[i:], '\n')
		if n < 0 {
			return f
		}
		i += n + 1
		f.lines = append(f.lines, i)
	}
}

// Name is the name given to NewFile.
func (f *File) Name() string { return f.name }

// Text is the whole text.
func (f *File) Text() string { return f.text }

// Span is the span of the bytes [start, end) of f.
func (f *File) Span(start, end int) Span { return Span{File: f, Start: start, End: end} }

// Position is a place for people: line and column count from 1, the column in
// characters (not bytes).
type Position struct{ Line, Column int }

// Position translates a byte offset; offsets past the end mean the end.
func (f *File) Position(offset int) Position {
	offset = max(0, min(offset, len(f.text)))
	line := sort.SearchInts(f.lines, offset+1) - 1
	return Position{line + 1, utf8.RuneCountInString(f.text[f.lines[line]:offset]) + 1}
}

// Line is the text of a line (counted from 1) without its line end.
func (f *File) Line(n int) string {
	if n < 1 || n > len(f.lines) {
		return ""
	}
	end := len(f.text)
	if n < len(f.lines) {
		end = f.lines[n] - 1
	}
	return strings.TrimSuffix(f.text[f.lines[n-1]:end], "\r")
}

// LineStart is the byte offset of a line's first byte; lines count from 1.
func (f *File) LineStart(n int) int {
	if n < 1 {
		return 0
	}
	if n > len(f.lines) {
		return len(f.text)
	}
	return f.lines[n-1]
}

// Span is a piece of a file, as byte offsets [Start, End). The zero Span is
// "no place". Lines and columns exist only in print.
type Span struct {
	File       *File
	Start, End int
}

// IsZero tells that the span names no place.
func (s Span) IsZero() bool { return s.File == nil }

// Text is the spanned text.
func (s Span) Text() string {
	if s.File == nil {
		return ""
	}
	n := len(s.File.text)
	start := max(0, min(s.Start, n))
	return s.File.text[start:max(start, min(s.End, n))]
}

// String is file:line:col of the span's start, or "-" for no place.
func (s Span) String() string {
	if s.File == nil {
		return "-"
	}
	p := s.File.Position(s.Start)
	return fmt.Sprintf("%s:%d:%d", s.File.name, p.Line, p.Column)
}

// Position is the place of the span's first byte.
func (s Span) Position() Position {
	if s.File == nil {
		return Position{}
	}
	return s.File.Position(s.Start)
}

// Severity says what a diagnostic does to the run.
type Severity uint8

// An Error stops the run before anything is written; a Warning is reported; an
// Info is reported where details are asked for or belong to a result.
const (
	Error Severity = iota
	Warning
	Info
)

func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Info:
		return "info"
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// Code is the stable name of a kind of diagnostic; all of them are in codes.go.
type Code string

// Note is a further place or sentence that belongs to a diagnostic. A note
// without a span is printed without a position.
type Note struct {
	Span    Span
	Message string
}

// Diagnostic is one finding. Message is lower case, without a full stop.
// Notes show every other place that takes part; Help is at most one sentence
// that says what to do.
type Diagnostic struct {
	Severity Severity
	Code     Code
	Span     Span
	Message  string
	Notes    []Note
	Help     string
}

// Note adds a place to the diagnostic and returns it, for chaining.
func (d *Diagnostic) Note(at Span, format string, args ...any) *Diagnostic {
	d.Notes = append(d.Notes, Note{at, fmt.Sprintf(format, args...)})
	return d
}

// WithHelp sets the help and returns the diagnostic, for chaining.
func (d *Diagnostic) WithHelp(format string, args ...any) *Diagnostic {
	d.Help = fmt.Sprintf(format, args...)
	return d
}

// List holds every finding of a run, in the order in which they were found.
// The zero List is ready to use.
type List struct{ all []*Diagnostic }

// Errorf reports an error at a place. The returned diagnostic is the one in the
// list, so that notes and help can be added to it.
func (l *List) Errorf(code Code, at Span, format string, args ...any) *Diagnostic {
	return l.add(Error, code, at, format, args)
}

// Warnf is Errorf for a warning.
func (l *List) Warnf(code Code, at Span, format string, args ...any) *Diagnostic {
	return l.add(Warning, code, at, format, args)
}

// Infof is Errorf for an information.
func (l *List) Infof(code Code, at Span, format string, args ...any) *Diagnostic {
	return l.add(Info, code, at, format, args)
}

func (l *List) add(sev Severity, code Code, at Span, format string, args []any) *Diagnostic {
	d := &Diagnostic{Severity: sev, Code: code, Span: at, Message: fmt.Sprintf(format, args...)}
	l.all = append(l.all, d)
	return d
}

// Append adds what another list holds.
func (l *List) Append(other *List) {
	if other != nil {
		l.all = append(l.all, other.all...)
	}
}

// Add puts finished diagnostics into the list.
func (l *List) Add(d ...*Diagnostic) { l.all = append(l.all, d...) }

// All returns the findings; the slice is the list's own.
func (l *List) All() []*Diagnostic { return l.all }

// Len is the number of findings of any severity.
func (l *List) Len() int { return len(l.all) }

// HasErrors tells whether any finding is an error.
func (l *List) HasErrors() bool {
	for _, d := range l.all {
		if d.Severity == Error {
			return true
		}
	}
	return false
}

// Has tells whether a finding with this code is in the list.
func (l *List) Has(code Code) bool {
	for _, d := range l.all {
		if d.Code == code {
			return true
		}
	}
	return false
}

// Sort orders the findings by file, place and code and drops exact repetitions,
// so that the same input prints the same bytes. Findings without a place come
// last, in the order in which they were found.
func (l *List) Sort() {
	sort.SliceStable(l.all, func(i, j int) bool {
		a, b := l.all[i], l.all[j]
		switch {
		case a.Span.IsZero() || b.Span.IsZero():
			return !a.Span.IsZero() && b.Span.IsZero()
		case a.Span.File.name != b.Span.File.name:
			return a.Span.File.name < b.Span.File.name
		case a.Span.Start != b.Span.Start:
			return a.Span.Start < b.Span.Start
		}
		return a.Code < b.Code
	})
	kept := l.all[:0]
	for i, d := range l.all {
		if i > 0 {
			p := kept[len(kept)-1]
			if p.Span == d.Span && p.Code == d.Code && p.Message == d.Message {
				continue
			}
		}
		kept = append(kept, d)
	}
	l.all = kept
}

// OncePerPlace sorts the findings and keeps one error of a code at a place: what
// is wrong with a text is wrong for both families, and found by each stage that
// reads it.
func (l *List) OncePerPlace() {
	type place struct {
		span Span
		code Code
		text string
	}
	l.Sort()
	seen := map[place]bool{}
	kept := l.all[:0]
	for _, d := range l.all {
		p := place{d.Span, d.Code, ""}
		if d.Severity != Error || d.Span.IsZero() {
			p.text = d.Message
		}
		if !seen[p] {
			seen[p] = true
			kept = append(kept, d)
		}
	}
	l.all = kept
}

// Err is nil if the list has no errors, else an error that prints the first of
// them and how many there are. Use errors.As with *ListError to get the list.
func (l *List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return &ListError{List: l}
}

// ListError carries a list through an error return.
type ListError struct{ List *List }

func (e *ListError) Error() string {
	var first *Diagnostic
	n := 0
	for _, d := range e.List.all {
		if d.Severity == Error {
			if first == nil {
				first = d
			}
			n++
		}
	}
	if first == nil {
		return "no errors"
	}
	s := fmt.Sprintf("%s: %s", first.Span, first.Message)
	if n > 1 {
		s += fmt.Sprintf(" (and %d more)", n-1)
	}
	return s
}
