package check

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
)

func constraint(t *testing.T, that, when string) *Constraint {
	t.Helper()
	e := testEnv(t, EnvOptions{Live: true, Facts: true})
	x, list := e.Compile(in(that), WantBool)
	if x == nil {
		t.Fatalf("Compile(%q): %q", that, lines(list))
	}
	c := &Constraint{Name: "c", That: x}
	if when != "" {
		if c.When, list = e.Compile(in(when), WantBool); c.When == nil {
			t.Fatalf("Compile(%q): %q", when, lines(list))
		}
	}
	return c
}

func testActivation(s *ir.State) Activation {
	return Activation{
		Live: testHost(s), Planned: testHost(s),
		Params: NewParams(map[string]Value{
			"role":  {Type{Kind: String}, "worker"},
			"mgmt":  {Type{Kind: Interface}, "eth0"},
			"on":    {Type{Kind: Bool}, true},
			"n":     {Type{Kind: Int}, int64(2)},
			"keep":  {ListOf(Type{Kind: String}), []any{"a", "b"}},
			"ports": {MapOf(ListOf(Type{Kind: Port})), map[string]any{"worker": []any{"22"}, "witness": []any{"80:90"}}},
		}),
	}
}

// why prints what is shown of a false constraint.
func why(o Outcome) []string {
	var out []string
	for _, s := range o.Values {
		line := s.Expr + " = " + s.Value
		if s.Family != 0 {
			line = s.Family.String() + ": " + line
		}
		out = append(out, line)
	}
	return out
}

func TestConstraintValues(t *testing.T) {
	const pre = `planned.chain("ipv4", "nat", "PREROUTING")`
	for _, tt := range []struct {
		that string
		want []string
	}{
		{pre + `.ordered(["OWN-PRE", "calico"])`, []string{
			pre + `.jumps = ["cali-PREROUTING", "OWN-PRE", "KUBE-SERVICES", "cali-fip", "cali-tail"]`,
			pre + `.position("OWN-PRE") = 1`,
			pre + `.position("calico") = 0, 3`,
		}},
		{pre + `.has(["OWN-PRE", "KUBE-MARK"])`, []string{
			pre + `.jumps = ["cali-PREROUTING", "OWN-PRE", "KUBE-SERVICES", "cali-fip", "cali-tail"]`,
			pre + `.position("OWN-PRE") = 1`,
			pre + `.position("KUBE-MARK") = -1`,
		}},
		{pre + `.count("OWN-PRE") == params.n`, []string{
			pre + `.jumps = ["cali-PREROUTING", "OWN-PRE", "KUBE-SERVICES", "cali-fip", "cali-tail"]`,
			pre + `.position("OWN-PRE") = 1`,
			pre + `.count("OWN-PRE") = 1`,
			`params.n = 2`,
		}},
		{`planned.chain("ipv4", "nat", "GONE").exists && params.on`, []string{
			`planned.chain("ipv4", "nat", "GONE").exists = false`,
		}},
		{`planned.chain("ipv4", "nat", "GONE").has(["x"])`, []string{
			`planned.chain("ipv4", "nat", "GONE").exists = false`,
		}},
		{`params.on && (params.role == "witness" || params.n > 7)`, []string{
			`params.role = "worker"`, `params.n = 2`,
		}},
		{`!(params.on && params.n == 2)`, []string{`params.on = true`, `params.n = 2`}},
		{`!(params.on || params.n == 7)`, []string{`params.on = true`}},
		{`params.on ? params.n == 7 : true`, []string{`params.on = true`, `params.n = 2`}},
		{`params.role in params.keep`, []string{`params.role = "worker"`, `params.keep = ["a", "b"]`}},
		{`params.role.startsWith("x")`, []string{`params.role = "worker"`, `params.role.startsWith("x") = false`}},
		{`size(params.ports) > 5`, []string{`size(params.ports) = 2`, `params.ports = {"witness": ["80:90"], "worker": ["22"]}`}},
		{`params.ports[params.role].size() == 7`, []string{
			`params.ports[params.role].size() = 1`, `params.ports[params.role] = ["22"]`,
		}},
		{`params.keep.all(k, k == "a")`, []string{`k = "b"`}},
		{`params.keep.exists(k, k == "z")`, []string{
			`params.keep = ["a", "b"]`, `params.keep.exists(k, k == "z") = false`,
		}},
		{`planned.chain("ipv4", "nat", "PREROUTING").rules.all(r, r.target != "KUBE-SERVICES")`, []string{
			`r.target = "KUBE-SERVICES"`, `r = "-j KUBE-SERVICES"`,
		}},
		{`planned.chain("ipv4", "filter", "INPUT").policy == "ACCEPT"`, []string{
			`planned.chain("ipv4", "filter", "INPUT").policy = "DROP"`,
		}},
		{`params.keep.filter(k, k != "a").size() == 0`, []string{
			`params.keep.filter(k, k != "a").size() = 1`, `params.keep.filter(k, k != "a") = ["b"]`, `params.keep = ["a", "b"]`,
		}},
		{`false`, nil},
	} {
		c := constraint(t, tt.that, "")
		o := EvalConstraint(context.Background(), c, testActivation(testState()), ir.Families)
		if !o.False() {
			t.Errorf("EvalConstraint(%q) = %+v, want false", tt.that, o)
			continue
		}
		if diff := cmp.Diff(tt.want, why(o)); diff != "" {
			t.Errorf("EvalConstraint(%q) values (-want +got):\n%s", tt.that, diff)
		}
	}
}

func TestConstraintShowsLittle(t *testing.T) {
	s := testState()
	var rules []string
	for i := range 5000 {
		rules = append(rules, fmt.Sprintf("-j KUBE-SVC-%d", i))
	}
	s.Tables[0].Chains[0] = chain("PREROUTING", "ACCEPT", rules...)
	c := constraint(t, `planned.chain("ipv4", "nat", "PREROUTING").has(["x"])`, "")
	o := EvalConstraint(context.Background(), c, testActivation(s), ir.Families)
	if len(o.Values) != 2 || len(o.Values[0].Value) > maxShownValue+20 {
		t.Fatalf("values: %q", why(o))
	}
	if !strings.HasPrefix(o.Values[0].Value, `["KUBE-SVC-0", "KUBE-SVC-1"`) || !strings.HasSuffix(o.Values[0].Value, " more]") {
		t.Errorf("long list is shown as %q", o.Values[0].Value)
	}
}

func TestConstraintOutcome(t *testing.T) {
	later := []ir.ChainKey{key(ir.IPv4, "nat", "LATER")}
	for _, tt := range []struct {
		name       string
		that, when string
		families   []ir.Family
		planned    []ir.Family
		want       Outcome
	}{
		{name: "holds", that: `params.on`, want: Outcome{Holds: true}},
		{name: "when false", that: `false`, when: `params.role == "witness"`, want: Outcome{Skipped: true}},
		{name: "when true", that: `true`, when: `params.role == "worker"`, want: Outcome{Holds: true}},
		{name: "family not planned", that: `false`, families: []ir.Family{ir.IPv6}, planned: []ir.Family{ir.IPv4}, want: Outcome{Skipped: true}},
		{name: "family planned", that: `true`, families: []ir.Family{ir.IPv6}, want: Outcome{Holds: true}},
		{name: "unknown", that: `live.chain("ipv4", "nat", "LATER").exists`, want: Outcome{Unknown: later, Asked: later}},
		{name: "when unknown", that: `true`, when: `live.chain("ipv4", "nat", "LATER").exists`, want: Outcome{Unknown: later, Asked: later}},
		{name: "asked in vain", that: `live.chain("ipv4", "nat", "LATER").exists || true`, want: Outcome{Holds: true, Asked: later}},
		{name: "each family holds", that: `live.chain(family, "nat", "OUTPUT").exists`, want: Outcome{Holds: true}},
		{
			name: "one family fails", that: `live.chain(family, "nat", "OWN-PRE").exists`,
			want: Outcome{Values: []Shown{
				{ir.IPv6, `live.chain(family, "nat", "OWN-PRE").exists`, "false"},
			}},
		},
		{name: "that family is not the constraint's", that: `live.chain(family, "nat", "OWN-PRE").exists`, families: []ir.Family{ir.IPv4}, want: Outcome{Holds: true}},
		{name: "when by family", that: `live.chain(family, "nat", "OWN-PRE").exists`, when: `family == "ipv4"`, want: Outcome{Holds: true}},
		{name: "skipped for every family", that: `false`, when: `family == "x"`, want: Outcome{Skipped: true}},
		{
			name: "false for one, unknown for the other",
			that: `family == "ipv4" ? live.chain("ipv4", "nat", "LATER").exists : params.n == 7`,
			want: Outcome{Asked: later, Values: []Shown{
				{ir.IPv6, `family`, `"ipv6"`}, {ir.IPv6, `params.n`, "2"},
			}},
		},
		{
			name: "true for one, unknown for the other",
			that: `family == "ipv4" ? live.chain("ipv4", "nat", "LATER").exists : true`, want: Outcome{Unknown: later, Asked: later},
		},
	} {
		c := constraint(t, tt.that, tt.when)
		c.Families = tt.families
		planned := tt.planned
		if planned == nil {
			planned = ir.Families
		}
		got := EvalConstraint(context.Background(), c, testActivation(testState()), planned)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: EvalConstraint(%q) mismatch (-want +got):\n%s", tt.name, tt.that, diff)
		}
	}
}

func TestConstraintErrors(t *testing.T) {
	for that, want := range map[string]string{
		`live.chain("ipv6", "mangle", "INPUT").exists`: "6 \"chain\": chain ipv6 mangle INPUT cannot be read: " +
			"Table `mangle' is incompatible, use 'nft' tool. [unknown-state]",
		`params.keep[7] == "x"`:                          `12 "[": the list has no item at 7 [cel-eval]`,
		`params.ports["nosuch"].size() == 1`:             `13 "[": the map has no key nosuch [cel-eval]`,
		`facts.kernel == "6.1"`:                          `7 "kernel": the expression uses facts, and there are none [facts-needed]`,
		`1 / (params.n - 2) == 1`:                        `3 "/": division by zero [cel-eval]`,
		`params.n + 9223372036854775807 > 0`:             `10 "+": a number does not fit into 64 bits [cel-eval]`,
		`int(params.role) == 1`:                          `1 "int": a string cannot become an int [cel-eval]`,
		`params.role.matches(params.role + "(")`:         `13 "matches": the pattern is no regular expression [cel-eval]`,
		`duration(params.role) == duration("1s")`:        `1 "duration": a string cannot become a duration [cel-eval]`,
		`dyn(params.n) + dyn(params.role) == 1`:          `15 "+": an operation does not work on the types that its values have [cel-eval]`,
		`dyn(params.role)`:                               `1 "dyn(params.role)": the expression gives a string, a bool is needed [cel-eval]`,
		`[1].map(x, dyn("a").size() + dyn("b"))[0] == 1`: `28 "+": an operation does not work on the types that its values have [cel-eval]`,
	} {
		o := EvalConstraint(context.Background(), constraint(t, that, ""), testActivation(testState()), ir.Families)
		if o.Err == nil {
			t.Errorf("EvalConstraint(%q) = %+v, want an error", that, o)
			continue
		}
		got := fmt.Sprintf("%d %q: %s [%s]", o.Err.Span.Position().Column, o.Err.Span.Text(), o.Err.Message, o.Err.Code)
		if got != want {
			t.Errorf("EvalConstraint(%q) error\n got %s\nwant %s", that, got, want)
		}
		if o.False() || o.Holds || o.Skipped {
			t.Errorf("EvalConstraint(%q) with an error is also %+v", that, o)
		}
	}
}
