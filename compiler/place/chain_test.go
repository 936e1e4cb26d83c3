package place_test

import (
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/place"
	"hookline/dsl/diag"
)

// A chain is written as words: `cali` a foreign rule, `@A` a copy of anchor A's
// jump, `@A~2` a copy with another text, `-x` a rule that goes away. In results
// `+A` is put in and `>A` moved.

// want is an anchor in short: references are words of the chain or `@B`, with !
// for ifMissing: fail and ? for hold.
type jump struct {
	name          string
	after, before string
	at            place.End
	adopt, all    bool // all: an adopted jump keeps every copy
}

var hook = ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}

// input makes a solver's input of words.
func input(chain string, jumps ...jump) place.Input {
	in := place.Input{Key: hook}
	words := strings.Fields(chain)
	file := diag.NewFile("save", strings.Join(words, "\n"))
	at := 0
	for _, w := range words {
		in.Rules = append(in.Rules, place.Live{
			Rule:   &ir.Rule{Text: w, Origin: file.Span(at, at+len(w))},
			Remove: strings.HasPrefix(w, "-"),
		})
		at += len(w) + 1
	}
	for _, j := range jumps {
		a := place.Anchor{Name: j.name, Text: "@" + j.name, At: j.at, Adopt: j.adopt, Collapse: !j.all}
		for i, w := range words {
			if isCopy(w, j.name) {
				a.Standing = append(a.Standing, i)
			}
		}
		a.Span = diag.NewFile("yaml", j.name).Span(0, len(j.name))
		a.After = refs(words, jumps, j.after)
		a.Before = refs(words, jumps, j.before)
		in.Anchors = append(in.Anchors, a)
	}
	return in
}

func isCopy(word, name string) bool { return word == "@"+name || strings.HasPrefix(word, "@"+name+"~") }

func refs(chain []string, jumps []jump, text string) []place.Ref {
	var out []place.Ref
	file := diag.NewFile("yaml", text)
	for _, w := range strings.Fields(text) {
		label := strings.TrimRight(w, "!?")
		r := place.Ref{Label: label, Match: func(i int) bool { return strings.TrimPrefix(chain[i], "-") == label }}
		at := strings.Index(text, w)
		r.Span = file.Span(at, at+len(w))
		switch {
		case strings.HasSuffix(w, "!"):
			r.IfMissing = place.Fail
		case strings.HasSuffix(w, "?"):
			r.IfMissing = place.Hold
		}
		if own, ok := strings.CutPrefix(label, "@"); ok {
			r.Match = func(i int) bool { return isCopy(chain[i], own) }
			for k, j := range jumps {
				if j.name == own {
					r.Own = append(r.Own, k)
				}
			}
		}
		out = append(out, r)
	}
	return out
}

// result writes an output as words.
func result(in place.Input, out place.Output) string {
	var words []string
	for _, p := range out.Order {
		switch p.Kind {
		case place.Add:
			words = append(words, "+"+in.Anchors[p.Anchor].Name)
		case place.Move:
			words = append(words, ">"+in.Anchors[p.Anchor].Name)
		case place.Keep, place.Remove:
			words = append(words, in.Rules[p.Live].Rule.Text)
		}
	}
	return strings.Join(words, " ")
}

// again is the chain that a result leaves behind, in words.
func again(in place.Input, out place.Output) string {
	var words []string
	for _, p := range out.Order {
		switch {
		case p.Kind == place.Keep, p.Kind == place.Move && in.Anchors[p.Anchor].Adopt:
			words = append(words, in.Rules[p.Live].Rule.Text)
		default:
			words = append(words, "@"+in.Anchors[p.Anchor].Name)
		}
	}
	return strings.Join(words, " ")
}

// codes lists the codes of the errors and warnings.
func codes(l *diag.List) []string {
	var out []string
	for _, d := range l.All() {
		if d.Severity != diag.Info {
			out = append(out, d.Severity.String()+" "+string(d.Code))
		}
	}
	return out
}
