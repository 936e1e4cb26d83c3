package dsl_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/dsl"
	"hookline/dsl/diag"
)

const ruleHead = "apiVersion: hookline/v1\nkind: Ruleset\nmetadata: {name: a, version: 1.0.0}\nspec:\n  tables:\n    filter:\n      chains:\n        A:\n          rules:\n            - "

// describe writes the parts of a text: literals quoted, expressions with their
// place where it is exact.
func describe(parts []dsl.Part) string {
	var out []string
	for _, p := range parts {
		if p.Expr == nil {
			out = append(out, fmt.Sprintf("%q", p.Literal))
			continue
		}
		out = append(out, describeExpr(p.Expr))
	}
	return strings.Join(out, " ")
}

func describeExpr(e *dsl.Expr) string {
	if !e.Exact {
		return "<" + e.Source + ">"
	}
	if e.Span.Text() != e.Source {
		return "WRONG PLACE " + e.Span.Text()
	}
	return "[" + e.Source + "]"
}

// TestTemplates: [x] is an expression x that is the text of its span, <x> one
// that is not.
func TestTemplates(t *testing.T) {
	tests := []struct{ name, in, want, why string }{
		{"plain", `-i ${params.x} -j ACCEPT`, `"-i " [params.x] " -j ACCEPT"`, ""},
		{"alone", `"${params.x}"`, `[params.x]`, ""},
		{"two", `'${a}${b}-'`, `[a] [b] "-"`, ""},
		{"literal", `"-i $${x} $$ $x"`, `"-i ${x} $$ $x"`, ""},
		{"dollar before a literal", `"-i $$${x}"`, `"-i $${x}"`, "the longest run before ${ that escapes is one $"},
		{"brace in a string", `"-i ${m['}']}"`, `"-i " [m['}']]`, ""},
		{"map", `"-i ${{'a': {'b': 1}}.a.b}"`, `"-i " [{'a': {'b': 1}}.a.b]`, ""},
		{"raw string", `'-i ${r"\"}'`, `"-i " [r"\"]`, "a backslash escapes nothing in a raw string"},
		{"escaped quote", `'-i ${"\"}"}'`, `"-i " ["\"}"]`, ""},
		{"triple quotes", `'-i ${"""a"}""" + x}'`, `"-i " ["""a"}""" + x]`, ""},
		{"name that ends in r", `'-i ${addr"\"}"}'`, `"-i " [addr"\"}"]`, "addr is no raw prefix"},
		{"escape of YAML inside", `"-i ${m[\"a\"]} -j DROP"`, `"-i " <m["a"]> " -j DROP"`, ""},
		{"escape of YAML outside", `"\u0061 ${params.x} \\"`, `"a " [params.x] " \\"`, ""},
		{"quote of YAML inside", `'-i ${m[''a'']}'`, `"-i " <m['a']>`, ""},
		{"folded", "\"-i ${params.x ||\n               params.y} -j\n               DROP\"", `"-i " [params.x ||` + "\n               " + `params.y] " -j DROP"`, "CEL ignores blanks"},
		{"folded in a string", "\"-i ${'a\n               b'} -j DROP\"", `"-i " <'a b'> " -j DROP"`, "a line end cannot stand in a CEL string"},
		{"block", ">-\n               -i ${a\n               + b}\n               -j DROP", `"-i " [a` + "\n               " + `+ b] " -j DROP"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, l := dsl.Parse(diag.NewFile("a.yaml", ruleHead+tt.in+"\n"))
			if l.Len() > 0 {
				t.Fatalf("Parse(%s) finds:\n%s", tt.in, printed(t, l))
			}
			if diff := cmp.Diff(tt.want, describe(docs[0].Tables[0].Chains[0].Rules[0].String.Parts)); diff != "" {
				t.Errorf("Parse(%s) mismatch (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

// TestExpressions reads bare CEL in every style of scalar.
func TestExpressions(t *testing.T) {
	tests := []struct{ name, in, want, why string }{
		{"plain", `a == 'b'`, `[a == 'b']`, ""},
		{"plain on two lines", "a &&\n                  b", "[a &&\n                  b]", ""},
		{"single quotes", `'a == "b"'`, `[a == "b"]`, ""},
		{"single quotes doubled", `'a == ''b'''`, `<a == 'b'>`, ""},
		{"double quotes", `"a == 'b'"`, `[a == 'b']`, ""},
		{"double quotes escaped", `"a == \"b\""`, `<a == "b">`, ""},
		{"literal", "|\n                  a &&\n                    b // why\n                  && c\n", "[a &&\n                    b // why\n                  && c]", ""},
		{"folded", ">\n                  a &&\n                  b\n", "[a &&\n                  b]", ""},
		{"folded in a string", ">-\n                  a == 'x\n                  y'\n", "<a == 'x y'>", ""},
		{"literal with an indent", "|2-\n                  a\n", "[a]", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, l := dsl.Parse(diag.NewFile("a.yaml", ruleHead+"action: drop\n              when: "+tt.in+"\n"))
			if l.Len() > 0 {
				t.Fatalf("Parse(%s) finds:\n%s", tt.in, printed(t, l))
			}
			if diff := cmp.Diff(tt.want, describeExpr(docs[0].Tables[0].Chains[0].Rules[0].When)); diff != "" {
				t.Errorf("Parse(%s) mismatch (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

// TestForEach: what a rule runs over may be CEL, an expression, a list or a mapping.
func TestForEach(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"bare", "{p: params.ports}", "[params.ports] 0 0"},
		{"template", `{p: "${params.ports}"}`, "[params.ports] 0 0"},
		{"list", "{p: [22, 80]}", "none 2 0"},
		{"mapping", "{p: {a: 22, b: [80]}}", "none 0 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, l := dsl.Parse(diag.NewFile("a.yaml", ruleHead+"{action: drop, forEach: "+tt.in+"}\n"))
			if l.Len() > 0 {
				t.Fatalf("Parse(%s) finds:\n%s", tt.in, printed(t, l))
			}
			f := docs[0].Tables[0].Chains[0].Rules[0].ForEach
			e := "none"
			if f.InExpr != nil {
				e = describeExpr(f.InExpr)
			}
			if got := fmt.Sprintf("%s %d %d", e, len(f.In.Items), len(f.In.Entries)); got != tt.want {
				t.Errorf("Parse(%s) reads %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}
