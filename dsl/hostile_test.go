package dsl_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/dsl/dsltest"
)

// hostile are texts that try to break out of what they are written into.
var hostile = []struct {
	text string
	// control: holds a character that no line of text may hold.
	// name: cannot be in any name.
	control, name bool
}{
	{text: "a\nb", control: true, name: true},
	{text: "a\n-A INPUT -j ACCEPT\nCOMMIT\n", control: true, name: true},
	{text: "a\x00b", control: true, name: true},
	{text: "a\rb", control: true, name: true},
	{text: "\x1b[31m", control: true, name: true},
	{text: "a\u2028b", control: true, name: true},
	{text: "a\u202eb", control: true, name: true},
	{text: `a"b`, name: true},
	{text: "a'b", name: true},
	{text: `a\b`, name: true},
	{text: "`reboot`", name: true},
	{text: "-j DROP", name: true},
	{text: "--exec", name: true},
	{text: "! -i lo", name: true},
	{text: "*filter", name: true},
	{text: "}; flush ruleset; {", name: true},
	{text: "${params.x", name: true},
	{text: "", name: true},
	{text: strings.Repeat("x", 5000), name: true},
	{text: "COMMIT"},
	{text: "-"},
}

// TestHostile puts hostile text into every place of the grammar: it is refused
// with a finding, or carried as it is.
func TestHostile(t *testing.T) {
	places := dsltest.Places(dsl.Grammar())
	texts := 0
	for _, p := range places {
		if p.Shape.Text == nil {
			continue
		}
		texts++
		t.Run(p.Path, func(t *testing.T) {
			good := p.Document(p.Example())
			if _, l := dsl.Parse(diag.NewFile("good.yaml", good)); l.Len() > 0 {
				t.Fatalf("the example is refused, so that nothing is tested: %s\n%s", l.Err(), good)
			}
			for _, h := range hostile {
				checkHostile(t, p, h.text, h.control, h.name)
			}
		})
	}
	if texts < 150 {
		t.Errorf("only %d places hold text; the walk misses some", texts)
	}
}

func checkHostile(t *testing.T, p dsltest.Place, text string, control, name bool) {
	t.Helper()
	in := p.Document(text)
	docs, l := dsl.Parse(diag.NewFile("hostile.yaml", in))
	for _, d := range l.All() {
		if d.Span.IsZero() || d.Span.End > len(in) {
			t.Errorf("%q: the finding %q has no place in the file", text, d.Message)
		}
	}
	if out := printed(t, l); strings.ContainsAny(strings.ReplaceAll(out, "\n", ""), "\x00\x1b\r\u2028\u202e") {
		t.Errorf("%q: control characters are printed: %q", text, out)
	}
	shape := p.Shape.Text
	lines := shape.Kind == dsl.ProseText || shape.Kind == dsl.CELText
	switch {
	case l.HasErrors():
		return
	case control && !(lines && !strings.ContainsAny(strings.ReplaceAll(text, "\n", ""), "\x00\r\x1b\u2028\u202e")):
		t.Errorf("%q is accepted", text)
	case name && shape.Code == diag.InvalidName && !shapeAllows(shape, text):
		t.Errorf("%q is accepted as %s", text, shape.What)
	}
	if !holds(reflect.ValueOf(docs), text) {
		t.Errorf("%q is accepted and lost", text)
	}
}

// shapeAllows: keys of free mappings may be any words, and globs begin with a star.
func shapeAllows(s *dsl.TextShape, text string) bool {
	return s.Pattern == "" && text != "" || strings.Contains(s.What, "glob") && text == "*filter"
}

// holds tells whether a text or expression of a value is exactly so.
func holds(v reflect.Value, text string) bool {
	if !v.IsValid() {
		return false
	}
	switch x := v.Interface().(type) {
	case *diag.File:
		return false
	case *dsl.Text:
		return x != nil && x.Value == text
	case *dsl.Expr:
		return x != nil && x.Source == strings.TrimSpace(text)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && holds(v.Elem(), text)
	case reflect.Slice:
		for i := range v.Len() {
			if holds(v.Index(i), text) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if holds(v.Field(i), text) {
				return true
			}
		}
	default:
		return false
	}
	return false
}

// TestUnknownKeys adds a key to every mapping whose keys are known.
func TestUnknownKeys(t *testing.T) {
	mappings := 0
	for _, p := range dsltest.Places(dsl.Grammar()) {
		if p.Shape.Fields == nil {
			continue
		}
		mappings++
		in := p.Document(map[string]any{"zzz": "x"})
		_, l := dsl.Parse(diag.NewFile("a.yaml", in))
		found := false
		for _, d := range l.All() {
			found = found || d.Code == diag.UnknownKey && d.Span.Text() == `"zzz"`
		}
		if !found {
			t.Errorf("%s: the key zzz is accepted: %v", p.Path, l.Err())
		}
	}
	if mappings < 40 {
		t.Errorf("only %d mappings; the walk misses some", mappings)
	}
}

// TestNothing writes nothing where a value should be.
func TestNothing(t *testing.T) {
	for _, p := range dsltest.Places(dsl.Grammar()) {
		if p.Key || p.Path == "" {
			continue
		}
		const hole = "HOLE"
		in := strings.ReplaceAll(p.Document(hole), fmt.Sprintf("%q", hole), "")
		_, l := dsl.Parse(diag.NewFile("a.yaml", in))
		if !l.HasErrors() && !strings.HasSuffix(p.Path, "[]") { // [] is a list
			t.Errorf("%s: nothing is accepted: %s", p.Path, in)
		}
	}
}
