package check

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
)

// questions are expressions about a host that a part of the state may answer.
var questions = []string{
	`live.chain("ipv4", "nat", "PREROUTING").ordered(["cali-PREROUTING", "OWN-PRE", "KUBE-SERVICES"])`,
	`live.chain("ipv4", "nat", "PREROUTING").jumps`,
	`live.chain("ipv4", "nat", "EMPTY").exists && live.chain("ipv4", "filter", "INPUT").exists`,
	`live.chain("ipv4", "nat", "EMPTY").rules.size() > 0 || live.chain("ipv4", "filter", "INPUT").count("OWN-IN") == 2`,
	`live.chain("ipv4", "nat", "OWN-PRE").exists ? live.chain("ipv4", "filter", "INPUT").policy : "none"`,
	`live.chain("ipv4", "nat", "PREROUTING").jumps.map(j, live.chain("ipv4", "nat", j).exists)`,
	`live.chain("ipv4", "nat", "PREROUTING").jumps.all(j, !live.chain("ipv4", "nat", j).exists)`,
	`live.chain("ipv4", "nat", "PREROUTING").rules.exists(r, live.chain("ipv4", "nat", r.target).exists && r.dport == "80")`,
	`live.chain("ipv4", "filter", "INPUT").rules.filter(r, r.owned).map(r, r.index)`,
	`live.hasNativeRules("ipv4", "filter") && live.hasNativeRules("ipv4", "nat")`,
	`live.hasNativeRules("ipv4", "filter") || live.hasNativeRules("ipv4", "nat")`,
	`live.participants`,
	`live.chain("ipv4", "filter", "INPUT") == live.chain("ipv4", "nat", "EMPTY")`,
	`[live.chain("ipv4", "filter", "FORWARD").exists, live.chain("ipv4", "filter", "GONE").exists]`,
}

// readable is testState without what cannot be read, and with everything read.
func readable() *ir.State {
	s := testState()
	s.Tables = s.Tables[:2]
	s.Tables[0].Chains[3] = chain("LATER", "", "-j ACCEPT")
	return s
}

// forget takes the rules of some chains out of a state, as a scoped read does.
func forget(s *ir.State, drop func(ir.ChainKey) bool) *ir.State {
	n := s.Clone()
	for _, t := range n.Tables {
		for i, c := range t.Chains {
			if drop(ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}) {
				t.Chains[i] = unread(c.Name)
				t.Partial = true
			}
		}
	}
	return n
}

// What a part of the state tells, the whole tells too; and reading what was asked
// for leads to an answer.
func TestUnknownIsHonest(t *testing.T) {
	e := testEnv(t, EnvOptions{Live: true})
	rng := rand.New(rand.NewPCG(1, 2))
	whole := readable()
	known, unknown := 0, 0
	for _, text := range questions {
		x, list := e.Compile(in(text), WantAny)
		if x == nil {
			t.Fatalf("Compile(%q): %q", text, lines(list))
		}
		want, bad := x.Eval(context.Background(), Activation{Live: testHost(whole)})
		if bad != nil || !want.Known() {
			t.Fatalf("Eval(%q) on the whole state: %v %v", text, want, bad)
		}
		for range 40 {
			missing := map[ir.ChainKey]bool{}
			part := forget(whole, func(k ir.ChainKey) bool {
				missing[k] = rng.IntN(2) == 0
				return missing[k]
			})
			for round := 0; ; round++ {
				got, bad := x.Eval(context.Background(), Activation{Live: testHost(part)})
				if bad != nil {
					t.Fatalf("Eval(%q) without %v: %s", text, missing, bad.Message)
				}
				if got.Known() {
					known++
					if diff := cmp.Diff(want.Value, got.Value); diff != "" {
						t.Fatalf("Eval(%q) without %v differs from the whole (-want +got):\n%s", text, missing, diff)
					}
					break
				}
				unknown++
				if round > 4 || len(got.Asked) == 0 {
					t.Fatalf("Eval(%q): no answer after %d rounds, asked for %v", text, round, got.Asked)
				}
				for _, k := range got.Unknown {
					if !slices.Contains(got.Asked, k) {
						t.Fatalf("Eval(%q) depends on %v, which was not asked for", text, k)
					}
				}
				part = forget(whole, func(k ir.ChainKey) bool {
					if slices.Contains(got.Asked, k) || slices.Contains(got.Asked, ir.ChainKey{Family: k.Family, Table: k.Table}) {
						missing[k] = false
					}
					return missing[k]
				})
			}
		}
	}
	if known == 0 || unknown == 0 {
		t.Errorf("%d known and %d unknown results: the test tests nothing", known, unknown)
	}
}

// A Host answers about chains as the state itself does.
func TestHostAnswersAsState(t *testing.T) {
	s := testState()
	s.Families = []ir.Family{ir.IPv4}
	s.Tables = append(s.Tables[:2:2], &ir.Table{Family: ir.IPv4, Name: "mangle", Partial: true, Chains: []*ir.Chain{unread("FORWARD")}})
	h := testHost(s)
	for _, f := range ir.Families {
		for _, table := range ir.TableNames {
			for _, name := range []string{"PREROUTING", "INPUT", "FORWARD", "EMPTY", "LATER", "GONE", "OWN-PRE", ""} {
				k := key(f, table, name)
				want, err := s.Lookup(k)
				got := h.chain(k)
				switch {
				case (got == nil) != (err != nil):
					t.Errorf("chain(%v) = %v, Lookup says %v", k, got, err)
				case got != nil && (got.chain == nil) != (want == nil):
					t.Errorf("chain(%v) exists = %v, Lookup says %v", k, got.chain != nil, want != nil)
				case got != nil && want != nil && got.chain.Policy != want.Policy:
					t.Errorf("chain(%v) has policy %q, Lookup says %q", k, got.chain.Policy, want.Policy)
				}
			}
		}
	}
}

// The same expression gives the same result, run after run: Go's order of maps
// does not show.
func TestDeterministic(t *testing.T) {
	ports := map[string]any{}
	for i := range 30 {
		ports[fmt.Sprintf("p%02d", i)] = []any{fmt.Sprint(i)}
	}
	literal := `{"z": 1, "b": 2, "y": 3, "a": 4, "q": 5}`
	for _, text := range []string{
		`params.ports.map(k, k)`,
		`params.ports.map(k, params.ports[k][0])`,
		`params.ports.filter(k, k != "p03")`,
		literal + `.map(k, k)`,
		literal + `.map(k, ` + literal + `.map(l, k + l))`,
		`{1: "x", 3: "y", 2: "z"}.map(k, k)`,
		`dyn(` + literal + `).map(k, k)`,
		`facts.tools.map(k, k)`,
		`facts.interfaces.map(k, facts.interfaces[k].addresses)`,
		`facts.site.map(k, k)`,
	} {
		e := testEnv(t, EnvOptions{Facts: true})
		x, list := e.Compile(in(text), WantAny)
		if x == nil {
			t.Fatalf("Compile(%q): %q", text, lines(list))
		}
		var first any
		for i := range 20 {
			facts, err := NewFacts(map[string]any{
				"tools":      map[string]any{"nft": "1", "ip": "2", "a": "3", "iptables": "4"},
				"interfaces": map[string]any{"lo": map[string]any{}, "eth0": map[string]any{}, "a": map[string]any{"addresses": []any{"x"}}},
				"site":       map[string]any{"x": 1, "y": 2, "a": 3},
			})
			if err != nil {
				t.Fatal(err)
			}
			params := NewParams(map[string]Value{"ports": {MapOf(ListOf(Type{Kind: Port})), ports}})
			r, bad := x.Eval(context.Background(), Activation{Params: params, Facts: facts})
			if bad != nil {
				t.Fatalf("Eval(%q): %s", text, bad.Message)
			}
			if i == 0 {
				first = r.Value
				continue
			}
			if diff := cmp.Diff(first, r.Value); diff != "" {
				t.Fatalf("Eval(%q) differs from run to run:\n%s", text, diff)
			}
		}
	}
}

// Expressions and environments are shared between goroutines, hosts are not.
func TestConcurrent(t *testing.T) {
	e := testEnv(t, EnvOptions{Live: true})
	x, list := e.Compile(in(questions[0]), WantBool)
	if x == nil {
		t.Fatal(lines(list))
	}
	done := make(chan any)
	for range 8 {
		go func() {
			y, _ := e.Compile(in(questions[1]), WantAny)
			y.Eval(context.Background(), testActivation(testState()))
			r, _ := x.Eval(context.Background(), testActivation(testState()))
			done <- r.Value
		}()
	}
	for range 8 {
		if got := <-done; got != true {
			t.Errorf("Eval = %v, want true", got)
		}
	}
}
