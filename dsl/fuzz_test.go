package dsl

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"hookline/dsl/diag"
)

// FuzzParse: no text makes the reader panic or take long; every span lies inside the file; an
// exact expression is the text of its span; reading twice gives the same.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(names, "testdata/complete.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		docs, l := Parse(diag.NewFile("fuzz.yaml", text))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("reading %d bytes takes %v", len(text), took)
		}
		again, l2 := Parse(diag.NewFile("fuzz.yaml", text))
		if len(docs) != len(again) || !reflect.DeepEqual(l.Records(), l2.Records()) {
			t.Errorf("reading twice differs: %v, %v", l.Records(), l2.Records())
		}
		for _, d := range l.All() {
			checkInside(t, d.Span, text)
			for _, n := range d.Notes {
				checkInside(t, n.Span, text)
			}
		}
		spans(reflect.ValueOf(docs), func(s diag.Span) { checkInside(t, s, text) }, func(e *Expr) {
			if e.Exact && e.Span.Text() != e.Source {
				t.Errorf("the expression %q is not its span %q", e.Source, e.Span.Text())
			}
		})
		list := &diag.List{}
		nodes, _, ok := load(diag.NewFile("fuzz.yaml", text), 0, list)
		if ok && !list.HasErrors() {
			for _, n := range nodes {
				checkAligned(t, n)
			}
		}
	})
}

func checkInside(t *testing.T, s diag.Span, text string) {
	t.Helper()
	if s.File != nil && (s.Start < 0 || s.End < s.Start || s.End > len(text)) {
		t.Errorf("span %d-%d lies outside of %d bytes", s.Start, s.End, len(text))
	}
}

// checkAligned: every scalar of a text without mistakes has its place.
func checkAligned(t *testing.T, n *node) {
	t.Helper()
	for _, c := range n.items {
		checkAligned(t, c)
	}
	for _, e := range n.entries {
		checkAligned(t, e.key)
		checkAligned(t, e.value)
	}
	blanks := n.style != 0 && len(n.value) > 0 && len(trimBlanks(n.value)) == 0
	if n.kind == Scalar && !n.align.ok && !blanks {
		t.Errorf("the scalar %q has no alignment with %q", n.value, n.span.Text())
	}
}

func trimBlanks(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\n' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// spans walks everything that a value holds.
func spans(v reflect.Value, span func(diag.Span), expr func(*Expr)) {
	if !v.IsValid() {
		return
	}
	switch x := v.Interface().(type) {
	case diag.Span:
		span(x)
		return
	case *diag.File:
		return
	case *Expr:
		if x != nil {
			expr(x)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spans(v.Elem(), span, expr)
		}
	case reflect.Slice:
		for i := range v.Len() {
			spans(v.Index(i), span, expr)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			spans(v.Field(i), span, expr)
		}
	default: // numbers and strings hold no spans
	}
}
