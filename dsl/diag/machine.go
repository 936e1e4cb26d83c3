package diag

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
)

// Place is a span for machines. Lines and columns count from 1, columns in
// characters; the end is the place behind the last character.
type Place struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"endLine"`
	EndColumn int    `json:"endColumn"`
}

// Record is a diagnostic for machines.
type Record struct {
	Severity string       `json:"severity"`
	Code     Code         `json:"code"`
	Message  string       `json:"message"`
	Place    *Place       `json:"place,omitempty"`
	Notes    []NoteRecord `json:"notes,omitempty"`
	Help     string       `json:"help,omitempty"`
}

// NoteRecord is a note for machines.
type NoteRecord struct {
	Message string `json:"message"`
	Place   *Place `json:"place,omitempty"`
}

// Place is the span for machines; nil for no place.
func (s Span) Place() *Place {
	if s.IsZero() {
		return nil
	}
	from, to := s.File.Position(s.Start), s.File.Position(max(s.Start, s.End))
	return &Place{s.File.name, from.Line, from.Column, to.Line, to.Column}
}

// Records are the findings for machines, in the order of Sort; never nil.
func (l *List) Records() []Record {
	out := []Record{}
	for _, d := range l.sorted() {
		r := Record{Severity: d.Severity.String(), Code: d.Code, Message: d.Message, Place: d.Span.Place(), Help: d.Help}
		for _, n := range d.Notes {
			r.Notes = append(r.Notes, NoteRecord{n.Message, n.Span.Place()})
		}
		out = append(out, r)
	}
	return out
}

// WriteJSON prints a list as one JSON object with the key `diagnostics`.
func WriteJSON(w io.Writer, l *List) error {
	return writeJSON(w, struct {
		Diagnostics []Record `json:"diagnostics"`
	}{l.Records()})
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// WriteGitHub prints a list as workflow commands, which GitHub shows as
// annotations in the changed files.
func WriteGitHub(w io.Writer, l *List) error {
	var b strings.Builder
	for _, r := range l.Records() {
		command := r.Severity
		if command == Info.String() {
			command = "notice"
		}
		b.WriteString("::" + command + " ")
		if p := r.Place; p != nil {
			// Annotations are put beside a file by its name from the root of the repository, as git writes it.
			fmt.Fprintf(&b, "file=%s,line=%d,col=%d,endLine=%d,", githubProperty(path.Clean(p.File)), p.Line, p.Column, p.EndLine)
		}
		text := r.Message
		for _, n := range r.Notes {
			text += "\n"
			if n.Place != nil {
				text += fmt.Sprintf("%s:%d:%d: ", n.Place.File, n.Place.Line, n.Place.Column)
			}
			text += "note: " + n.Message
		}
		if r.Help != "" {
			text += "\nhelp: " + r.Help
		}
		fmt.Fprintf(&b, "title=%s::%s\n", githubProperty(string(r.Code)), githubData(text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// githubData escapes the message of a workflow command. Line ends in it are
// wanted; everything else that steers a terminal is made visible first.
func githubData(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Visible(lines[i])
	}
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(strings.Join(lines, "\n"))
}

func githubProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(Visible(s))
}

// uri is a file name as a URI reference: relative names stay relative.
func uri(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	u := url.URL{Path: name}
	switch {
	case path.IsAbs(name):
		u.Scheme = "file"
	case name == "" || strings.Contains(strings.SplitN(name, "/", 2)[0], ":"):
		u.Path = "./" + name // else the part before the colon would be a scheme
	}
	return u.String()
}
