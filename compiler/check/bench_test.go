package check

import (
	"context"
	"fmt"
	"testing"

	"hookline/compiler/ir"
)

// BenchmarkFirstEval is what a process pays for its first expression: the base
// environment, one for the ruleset, and one expression.
func BenchmarkFirstEval(b *testing.B) {
	act := testActivation(testState())
	for b.Loop() {
		base, err := newBase()
		if err != nil {
			b.Fatal(err)
		}
		e, err := extend(base, testParams, EnvOptions{Facts: true})
		if err != nil {
			b.Fatal(err)
		}
		evalBench(b, e, act)
	}
}

// BenchmarkNewEnv is a further environment in the same process: one for each
// forEach and for constraints.
func BenchmarkNewEnv(b *testing.B) {
	act := testActivation(testState())
	for b.Loop() {
		e, err := NewEnv(testParams, EnvOptions{Facts: true})
		if err != nil {
			b.Fatal(err)
		}
		evalBench(b, e, act)
	}
}

// BenchmarkExpr is a further expression in the same environment.
func BenchmarkExpr(b *testing.B) {
	e := testEnv(b, EnvOptions{Facts: true})
	act := testActivation(testState())
	for b.Loop() {
		evalBench(b, e, act)
	}
}

func evalBench(b *testing.B, e *Env, act Activation) {
	x, list := e.Compile(in(`params.ports[params.role]`), WantAny)
	if x == nil {
		b.Fatal(lines(list))
	}
	if _, bad := x.Eval(context.Background(), act); bad != nil {
		b.Fatal(bad.Message)
	}
}

// BenchmarkRules is one pass over a chain with very many rules.
func BenchmarkRules(b *testing.B) {
	s := testState()
	rules := make([]string, 0, 100_000)
	for i := range 100_000 {
		rules = append(rules, fmt.Sprintf(`-s 10.1.%d.%d -j KUBE-SVC-%d`, i/256%256, i%256, i))
	}
	s.Tables[0].Chains = append(s.Tables[0].Chains, chain("BIG", "", rules...))
	act := testActivation(s)
	e := testEnv(b, EnvOptions{Live: true})
	x, list := e.Compile(in(`live.chain("ipv4", "nat", "BIG").rules.all(r, r.text != "" && r.source != "x")`), WantBool)
	if x == nil {
		b.Fatal(lines(list))
	}
	c := &Constraint{That: x}
	for b.Loop() {
		if o := EvalConstraint(context.Background(), c, act, ir.Families); !o.Holds {
			b.Fatal(o)
		}
	}
}
