package check

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Expressions that try to take for ever, or all memory. Each must end as an error
// of cost, soon; how soon is bounded loosely, for slow machines. The limit is a
// tenth of the real one, to spare time.
func TestHostile(t *testing.T) {
	list := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	double := func(n int, step string) string { return strings.Repeat(step, n) }
	thousand := list(1000)
	for _, tt := range []struct{ name, in string }{
		{"nested loops", fmt.Sprintf("%s.all(a, %s.all(b, %s.all(c, a + b + c > 0)))", thousand, thousand, thousand)},
		{"ten nested loops", strings.Repeat(list(20)+".all(x, ", 10) + "true" + strings.Repeat(")", 10)},
		{"doubled string", `["aaaaaaaa"]` + double(40, ".map(x, x + x)") + `[0] == ""`},
		{"doubled list", `[[1]]` + double(40, ".map(x, x + x)") + `[0].size() == 0`},
		{"doubled list, searched", `2 in [[1]]` + double(22, ".map(x, x + x)") + `[0]`},
		{"shared parts, compared", `[1]` + double(40, ".map(x, [x, x])") + ` == [1]` + double(40, ".map(x, [x, x])")},
		{"shared parts, unequal", `[1]` + double(40, ".map(x, [x, x])") + ` != [1]` + double(40, ".map(x, [x, x])")},
		{"shared parts, searched", `[1]` + double(40, ".map(x, [x, x])") + ` in [[1]` + double(40, ".map(x, [x, x])") + `]`},
		{"shared parts in a map", `{"a": [1]` + double(40, `.map(x, {"a": x, "b": x})`) + `} == {"a": [1]` + double(40, `.map(x, {"a": x, "b": x})`) + `}`},
		{"shared parts, mixed types", `[dyn(1)]` + double(30, ".map(x, [dyn(x), dyn(x)])") + ` == [dyn(1)]` + double(30, ".map(x, [dyn(x), dyn(x)])")},
		{"shared parts as the result", `[1]` + double(40, ".map(x, [x, x])")},
		{"wide shared parts as the result", `[` + thousand + `].map(b, ` + thousand + `.map(i, b)).map(c, ` + thousand + `.map(i, c))`},
		{"long regex on a long text", `["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]` + double(16, ".map(x, x + x)") + `[0].matches("` + strings.Repeat("(a|b)*", 200) + `c")`},
		{"long pattern", `["(a|b)*"]` + double(17, ".map(x, x + x)") + `.map(p, "aaaaaaaaaaaaaaa".matches(p))`},
		{"many regexes", fmt.Sprintf(`%s.all(a, %s.all(b, !("aaaa".matches("(a|b)*x" + string(a * 1000 + b)))))`, thousand, thousand)},
		{"long text counted often", `["aaaaaaaa"]` + double(18, ".map(x, x + x)") + fmt.Sprintf(`.all(s, %s.all(a, %s.all(b, s.size() > 0)))`, thousand, thousand)},
		{"methods in loops", fmt.Sprintf(`%s.all(a, %s.all(b, live.chain("ipv4", "nat", "BIG").count("x") == 0))`, thousand, thousand)},
		{"rules in loops", fmt.Sprintf(`%s.all(a, %s.all(b, live.chain("ipv4", "nat", "BIG").rules.all(r, !r.owned)))`, thousand, thousand)},
		{"rules against rules", `live.chain("ipv4", "nat", "BIG").rules.all(a, live.chain("ipv4", "nat", "BIG").rules.all(b, a.text != "x" + b.text))`},
		{"long argument", `live.chain("ipv4", "nat", "BIG").has(["x"]` + double(1, "") + `.map(x, [x])` + double(19, ".map(x, x + x)") + `[0])`},
	} {
		s := testState()
		var rules []string
		for i := range 20_000 {
			rules = append(rules, fmt.Sprintf("-j KUBE-SVC-%d", i))
		}
		s.Tables[0].Chains = append(s.Tables[0].Chains, chain("BIG", "", rules...))
		start := time.Now()
		code, where := diag.Code(""), "compile"
		x, found := testEnv(t, EnvOptions{Live: true, CostLimit: defaultCostLimit / 10}).Compile(in(tt.in), WantAny)
		if x == nil {
			code = found.All()[0].Code
		} else {
			where = "eval"
			if _, bad := x.Eval(context.Background(), testActivation(s)); bad != nil {
				code = bad.Code
			}
		}
		took := time.Since(start)
		if code != diag.CELCost {
			t.Errorf("%s: ended with %q at %s, want cel-cost", tt.name, code, where)
		}
		t.Logf("%-40s %8s %v", tt.name, where, took.Round(time.Millisecond))
	}
}

// What rulesets do on a host with very many rules stays inside the limit.
func TestCostIsEnough(t *testing.T) {
	s := testState()
	rules := make([]string, 0, 100_000)
	for i := range 100_000 {
		rules = append(rules, fmt.Sprintf(`-s 10.1.%d.%d -m comment --comment "x:%d" -j KUBE-SVC-%d`, i/256%256, i%256, i, i))
	}
	s.Tables[0].Chains = append(s.Tables[0].Chains, chain("BIG", "", rules...))
	const big = `live.chain("ipv4", "nat", "BIG")`
	for _, text := range []string{
		big + `.rules.filter(r, r.comment.startsWith("x:9") && r.source != "" && !r.owned).size() > 0`,
		big + `.rules.all(r, r.participant == "kube-proxy" && !r.text.contains("DROP"))`,
		big + `.rules.exists(r, r.text.matches("SVC-99999$"))`,
		big + `.ordered(["KUBE-SVC-1", "KUBE-SVC-2", "KUBE-SVC-3"]) && ` + big + `.count("kube-proxy") == 100000`,
		big + `.rules == ` + big + `.rules`,
	} {
		c := constraint(t, text, "")
		start := time.Now()
		o := EvalConstraint(context.Background(), c, testActivation(s), ir.Families)
		if !o.Holds {
			t.Errorf("EvalConstraint(%q) = %+v (%v)", text, o, o.Err)
		}
		t.Logf("%v %s", time.Since(start).Round(time.Millisecond), text)
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	many := "[" + strings.Repeat("1,", 2000) + "1]"
	x, list := testEnv(t, EnvOptions{}).Compile(in(many+".all(a, "+many+".all(b, a == b))"), WantBool)
	if x == nil {
		t.Fatal(lines(list))
	}
	_, bad := x.Eval(ctx, Activation{})
	if bad == nil || bad.Message != "the evaluation was interrupted" {
		t.Errorf("Eval of a cancelled context: %+v", bad)
	}
}
