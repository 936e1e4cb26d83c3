package dsl_test

import (
	"fmt"
	"strings"
	"testing"

	"hookline/dsl"
	"hookline/dsl/diag"
)

// show writes a value with the text of each scalar's span.
func show(v *dsl.Value) string {
	if v == nil {
		return "nil"
	}
	var parts []string
	switch v.Kind {
	case dsl.Scalar:
		return fmt.Sprintf("%q@%s", v.Text.Value, v.Text.Span.Text())
	case dsl.Sequence:
		for _, i := range v.Items {
			parts = append(parts, show(i))
		}
		return "[" + strings.Join(parts, " ") + "]"
	default:
		for _, e := range v.Entries {
			parts = append(parts, e.Key.Value+":"+show(e.Value))
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
}

func TestParseSet(t *testing.T) {
	tests := []struct{ name, in, key, want, finding string }{
		{"word", "role=worker", "role", `"worker"@worker`, ""},
		{"number as written", "v=1.10", "v", `"1.10"@1.10`, ""},
		{"yes stays yes", "v=yes", "v", `"yes"@yes`, ""},
		{"list", `p=[22, "80:90"]`, "p", `["22"@22 "80:90"@"80:90"]`, ""},
		{"mapping", "p={a: [1], ü: ä}", "p", `{a:["1"@1] ü:"ä"@ä}`, ""},
		{"equals sign", "p=a=b", "p", `"a=b"@a=b`, ""},
		{"nothing", "p=", "p", `""@`, ""},
		{"empty text", `p=""`, "p", `""@""`, ""},
		{"no value", "p", "p", "nil", "--set p:1:1: error: there is no value [param-value]"},
		{"not a name", "a-b=c", "a-b", `"c"@c`, `--set a-b:1:1: error: "a-b" is not a name in expressions [invalid-name]`},
		{"no name", "=c", "", `"c"@c`, `--set :1:1: error: the name in expressions "" is empty [invalid-name]`},
		{"comment", "p=a #1", "p", `"a"@a`, "--set p:1:5: error: YAML ends the value here and drops the rest as a comment [comment-in-text]"},
		{"only a comment", "p= #1", "p", `""@`, "--set p:1:3: error: YAML reads this as a comment [comment-in-text]"},
		{"tag", "p=!a b", "p", `"b"@b`, `--set p:1:3: error: YAML reads "!a" as a tag and drops it from the text [yaml-tag]`},
		{"number that is none", "p=0080", "p", `"0080"@0080`, "--set p:1:3: error: the number 0080 has a leading zero, which YAML programs read differently [ambiguous-number]"},
		{"line end", "p=\"a\\nb\"", "p", "nil", "--set p:1:5: error: a value holds a line end [control-character]"},
		{"template", "p=${x}", "p", `"${x}"@${x}`, "--set p:1:3: error: an expression is not allowed in a value [template-not-allowed]"},
		{"not YAML", "p=[a", "p", "nil", "--set p:1:3: error: the bracket is never closed [yaml-syntax]"},
		{"two documents", "p=a\n--- b", "p", `nil`, "--set p:2:5: error: the value is more than one document [wrong-type]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, v, l := dsl.ParseSet(tt.in)
			first, _, _ := strings.Cut(printed(t, l), "\n")
			if key != tt.key || show(v) != tt.want || first != tt.finding {
				t.Errorf("ParseSet(%q) = %q %s %q, want %q %s %q", tt.in, key, show(v), first, tt.key, tt.want, tt.finding)
			}
		})
	}
}

func TestParseValues(t *testing.T) {
	tests := []struct{ name, in, want, finding string }{
		{"empty", "", "", ""},
		{"marker", "---\n", "", ""},
		{"values in order", "b: 1\na: [x, {y: z}]\n", `b="1"@1 a=["x"@x {y:"z"@z}]`, ""},
		{"list", "- a\n", "", "v.yaml:1:1: error: expected a mapping, found a list [wrong-type]"},
		{"two documents", "a: b\n---\nc: d\n", `a="b"@b`, "v.yaml:3:1: error: the file holds more than one document [wrong-type]"},
		{"duplicate", "a: b\na: c\n", `a="b"@b`, `v.yaml:2:1: error: the key "a" stands twice in this mapping [duplicate-key]`},
		{"nothing", "a:\n", "", "v.yaml:1:1: error: there is no value here, but a value or a list or a mapping is needed [wrong-type]"},
		{"not a name", "a.b: c\n", "", `v.yaml:1:1: error: "a.b" is not a name in expressions [invalid-name]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			entries, l := dsl.ParseValues(diag.NewFile("v.yaml", tt.in))
			var got []string
			for _, e := range entries {
				got = append(got, e.Key.Value+"="+show(e.Value))
			}
			first, _, _ := strings.Cut(printed(t, l), "\n")
			if s := strings.Join(got, " "); s != tt.want && tt.name != "not a name" || first != tt.finding {
				t.Errorf("ParseValues(%q) = %s %q, want %s %q", tt.in, s, first, tt.want, tt.finding)
			}
		})
	}
}

func TestParseFacts(t *testing.T) {
	in := "hostname: a\ninterfaces: [{name: eth0, addresses: [10.0.0.1/24]}]\ntools: {iptables-nft: 1.8.9}\n"
	entries, l := dsl.ParseFacts(diag.NewFile("facts.yaml", in))
	if l.Len() > 0 || len(entries) != 3 || entries[2].Key.Value != "tools" {
		t.Errorf("ParseFacts(%q) = %d entries, %v", in, len(entries), l.Err())
	}
	if got := show(entries[1].Value.Items[0].Entry("addresses")); got != `["10.0.0.1/24"@10.0.0.1/24]` {
		t.Errorf("ParseFacts reads %s", got)
	}
}
