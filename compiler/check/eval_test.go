package check

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEval(t *testing.T) {
	facts, err := NewFacts(map[string]any{
		"hostname": "node-1", "kernel": "6.1.0",
		"tools": map[string]string{"iptables": "1.8.9"},
		"interfaces": []any{
			map[string]any{"name": "lo", "addresses": []any{"127.0.0.1/8", "::1/128"}, "up": true},
			map[string]any{"name": "mgmt-br", "addresses": []string{"10.1.0.5/24"}, "mac": "02:00:00:00:00:01", "mtu": 1450.0},
		},
		"rack": "b7", "site": map[string]any{"id": 7.0, "tags": []any{"x"}, "ratio": 1.5, "big": uint64(1 << 63)},
	})
	if err != nil {
		t.Fatal(err)
	}
	elem := ListOf(Type{Kind: Port})
	env := testEnv(t, EnvOptions{Facts: true, Vars: []Param{
		{"net", Type{Kind: CIDR}}, {"group", Type{Kind: Entry, Elem: &elem}}, {"any", Type{Kind: Dynamic}},
	}})
	act := testActivation(testState())
	act.Facts = facts
	act.Vars = map[string]EachItem{
		"net":   {"0", "10.0.0.0/8"},
		"group": {"web", []any{"80", "443"}},
		"any":   {"0", map[string]any{"x": int64(1)}},
	}
	for _, tt := range []struct {
		in   string
		want any
		err  string
	}{
		{in: `params.role`, want: "worker"},
		{in: `params.n * 21`, want: int64(42)},
		{in: `params.on`, want: true},
		{in: `params.keep + ["c"]`, want: []any{"a", "b", "c"}},
		{in: `params.ports[params.role]`, want: []any{"22"}},
		{in: `params.ports`, want: map[string]any{"worker": []any{"22"}, "witness": []any{"80:90"}}},
		{in: `params.ports.witness`, want: []any{"80:90"}},
		{in: `"witness" in params.ports`, want: true},
		{in: `has(params.ports.boss)`, want: false},
		{in: `has(params.role)`, want: true},
		{in: `"é𐍈".size()`, want: int64(2)},
		{in: `duration("90s")`, want: "1m30s"},
		{in: `7u`, want: int64(7)},
		{in: `18446744073709551615u`, err: "the result is a uint, not a value that a ruleset can hold"},
		{in: `1.5`, err: "the result is a double, not a value that a ruleset can hold"},
		{in: `{1: 2}`, err: "the result is a map with a key that is no string, not a value that a ruleset can hold"},
		{in: `b"x"`, err: "the result is a bytes, not a value that a ruleset can hold"},
		{in: `dyn(null)`, err: "the result is a null, not a value that a ruleset can hold"},
		{in: `[params]`, err: "the result is a params, not a value that a ruleset can hold"},

		{in: `facts.hostname`, want: "node-1"},
		{in: `facts.tools.iptables`, want: "1.8.9"},
		{in: `facts.interfaces["mgmt-br"].addresses[0]`, want: "10.1.0.5/24"},
		{in: `facts.interfaces["mgmt-br"].mtu + facts.interfaces.lo.mtu`, want: int64(1450)},
		{in: `facts.interfaces["mgmt-br"].mac`, want: "02:00:00:00:00:01"},
		{in: `facts.interfaces.lo.up && !facts.interfaces["mgmt-br"].up`, want: true},
		{in: `facts.interfaces.map(i, facts.interfaces[i].name)`, want: []any{"lo", "mgmt-br"}},
		{in: `facts.rack + "-x"`, want: "b7-x"},
		{in: `facts.site.id + 1`, want: int64(8)},
		{in: `facts.site.tags`, want: []any{"x"}},
		{in: `facts.site.ratio > 1.0`, want: true},
		{in: `facts.site.big > 1.0`, want: true},
		{in: `has(facts.rack) && !has(facts.row) && !has(facts.site.nosuch)`, want: true},
		{in: `facts.row`, err: `the facts hold no "row"`},
		{in: `facts.site.nosuch`, err: `the map has no key nosuch`},

		{in: `net`, want: "10.0.0.0/8"},
		{in: `group.key`, want: "web"},
		{in: `group.value.map(p, "tcp/" + p)`, want: []any{"tcp/80", "tcp/443"}},
		{in: `any.x`, want: int64(1)},
		{in: `"abc".matches("^a.c$")`, want: true},
		{in: `params.keep.all(k, "ab".matches("[" + k + "]"))`, want: true},
		{in: `{"b": 1, "a": 2} == {"a": 2, "b": 1}`, want: true},
		{in: `[1, 2] == [1, 2] && [1] != [2] && 1 in [1] && !(3 in [1])`, want: true},
		{in: `params.keep == ["a"] + ["b"]`, want: true},
	} {
		x, list := env.Compile(in(tt.in), WantAny)
		if x == nil {
			t.Errorf("Compile(%q): %q", tt.in, lines(list))
			continue
		}
		r, bad := x.Eval(context.Background(), act)
		got := ""
		if bad != nil {
			got = bad.Message
		}
		if got != tt.err {
			t.Errorf("Eval(%q) error = %q, want %q", tt.in, got, tt.err)
			continue
		}
		if diff := cmp.Diff(tt.want, r.Value); bad == nil && diff != "" {
			t.Errorf("Eval(%q) mismatch (-want +got):\n%s", tt.in, diff)
		}
	}
}

// Results whose type is known only with values are checked then.
func TestEvalWant(t *testing.T) {
	e := testEnv(t, EnvOptions{})
	for _, tt := range []struct {
		in   string
		want Want
		err  string
	}{
		{`dyn(params.keep)`, WantBool, "the expression gives a list, a bool is needed"},
		{`dyn(params.n)`, WantEach, "the expression gives an int, a list or map is needed"},
		{`dyn(params.keep)`, WantText, "a list cannot stand inside a text"},
		{`dyn(params.ports)`, WantText, "a map cannot stand inside a text"},
		{`dyn(params.on)`, WantBool, ""},
		{`dyn(params.ports)`, WantEach, ""},
		{`dyn(params.n)`, WantText, ""},
	} {
		x, list := e.Compile(in(tt.in), tt.want)
		if x == nil {
			t.Fatalf("Compile(%q): %q", tt.in, lines(list))
		}
		_, bad := x.Eval(context.Background(), testActivation(testState()))
		got := ""
		if bad != nil {
			got = bad.Message
		}
		if got != tt.err {
			t.Errorf("Eval(%q) error = %q, want %q", tt.in, got, tt.err)
		}
	}
}

func TestNewFactsErrors(t *testing.T) {
	for _, tt := range []struct {
		facts map[string]any
		want  string
	}{
		{map[string]any{"hostname": 7}, "the fact hostname is not a text"},
		{map[string]any{"tools": []any{}}, "the fact tools is not a mapping of names to versions"},
		{map[string]any{"tools": map[string]any{"nft": 1}}, "the fact tools: the version of nft is not a text"},
		{map[string]any{"interfaces": "lo"}, "the fact interfaces is neither a list nor a mapping"},
		{map[string]any{"interfaces": []any{"lo"}}, "the fact interfaces: an entry is not a mapping"},
		{map[string]any{"interfaces": []any{map[string]any{}}}, "the fact interfaces: an entry has no name"},
		{map[string]any{"interfaces": map[string]any{"lo": map[string]any{"addresses": "x"}}}, "the fact interfaces: the addresses of lo are not a list"},
		{map[string]any{"interfaces": map[string]any{"lo": map[string]any{"up": "x"}}}, "the fact interfaces: up of lo is neither true nor false"},
		{map[string]any{"interfaces": map[string]any{"lo": map[string]any{"mac": 1}}}, "the fact interfaces: the mac of lo is not a text"},
		{map[string]any{"interfaces": map[string]any{"lo": map[string]any{"mtu": "x"}}}, "the fact interfaces: the mtu of lo is not a whole number"},
		{map[string]any{"x": struct{}{}}, "the fact x holds a value that is no text, number, truth, list or mapping (struct {})"},
	} {
		if _, err := NewFacts(tt.facts); errText(err) != tt.want {
			t.Errorf("NewFacts(%v) = %q, want %q", tt.facts, errText(err), tt.want)
		}
	}
}

func TestEach(t *testing.T) {
	for _, tt := range []struct {
		in   any
		want []EachItem
		ok   bool
	}{
		{[]any{"a", int64(2), true}, []EachItem{{"a", "a"}, {"2", int64(2)}, {"true", true}}, true},
		{[]any{[]any{"x"}, map[string]any{}}, []EachItem{{"0", []any{"x"}}, {"1", map[string]any{}}}, true},
		{map[string]any{"z": int64(1), "a": "x"}, []EachItem{{"a", "x"}, {"z", int64(1)}}, true},
		{[]any{}, nil, true},
		{"text", nil, false},
		{nil, nil, false},
	} {
		got, ok := Each(tt.in)
		if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
			t.Errorf("Each(%v) = %v mismatch (-want +got):\n%s", tt.in, ok, diff)
		}
	}
}

func TestTypeEach(t *testing.T) {
	str := Type{Kind: String}
	for _, tt := range []struct {
		in, want Type
		ok       bool
	}{
		{ListOf(str), str, true},
		{MapOf(str), Type{Kind: Entry, Elem: &str}, true},
		{Type{Kind: Dynamic}, Type{Kind: Dynamic}, true},
		{str, Type{}, false},
	} {
		got, ok := tt.in.Each()
		if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
			t.Errorf("(%v).Each() = %v mismatch (-want +got):\n%s", tt.in, ok, diff)
		}
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		in        any
		want, err string
	}{
		{"a b", "a b", ""},
		{int64(-7), "-7", ""},
		{false, "false", ""},
		{[]any{"x"}, "", "a list cannot stand inside a text"},
		{map[string]any{}, "", "a map cannot stand inside a text"},
		{nil, "", "a value of type <nil> cannot stand inside a text"},
	} {
		got, err := Text(tt.in)
		if got != tt.want || errText(err) != tt.err {
			t.Errorf("Text(%v) = %q, %q, want %q, %q", tt.in, got, errText(err), tt.want, tt.err)
		}
	}
}

func TestIsReserved(t *testing.T) {
	for name, want := range map[string]bool{"in": true, "loop": true, "namespace": true, "while": true, "as": true, "role": false, "": false, "in while": false} {
		if got := IsReserved(name); got != want {
			t.Errorf("IsReserved(%q) = %v, want %v", name, got, want)
		}
	}
}
