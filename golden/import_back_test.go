package golden_test

import (
	"slices"
	"testing"

	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/raise"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// TestImportBringsBack: the bounds that an import writes are enough. Of a healthy
// node each chain, and then all together, lose their rules and the jumps to them;
// the imported ruleset puts every jump back to the place where it stood.
func TestImportBringsBack(t *testing.T) {
	for _, in := range []string{
		"nodes/harvester-healthy-nft", "nodes/harvester-healthy-legacy", "scenarios/clean-node/in/nft", "scenarios/clean-node/in/legacy",
	} {
		t.Run(in, func(t *testing.T) {
			t.Parallel()
			snap, list, err := recorded.Load(in, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := list.Err(); err != nil {
				t.Fatal(err)
			}
			names := []string{"*"}
			for _, table := range snap.State.Tables {
				for _, c := range table.Chains {
					if !ir.IsBuiltin(table.Name, c.Name) && !slices.Contains(names, c.Name) {
						names = append(names, c.Name)
					}
				}
			}
			hooks := 0
			for _, name := range names {
				hooks += bringsBack(t, snap, name)
			}
			if hooks < 40 {
				t.Errorf("only %d shared chains had a jump to lose", hooks)
			}
		})
	}
}

// bringsBack imports chains, takes them away, plans, and compares the shared chains;
// it returns in how many of those a jump stood.
func bringsBack(t *testing.T, snap *ir.Snapshot, glob string) int {
	t.Helper()
	res, list, err := raise.Import(snap, raise.Options{Chains: []string{glob}})
	if err != nil || res == nil {
		t.Fatalf("importing %s: %v, %v", glob, err, list.Err())
	}
	docs, _ := dsl.Parse(diag.NewFile("import.yaml", res.Text))
	program, _ := compiler.Compile(docs[0], compiler.CompileOptions{})
	lost := *snap
	lost.State = without(snap.State, program)
	plan := compiler.NewPlan([]*compiler.Program{program}, &lost, compiler.PlanOptions{})
	if plan.Diags.HasErrors() {
		t.Errorf("%s: %v", glob, plan.Diags.Err())
		return 0
	}
	hooks := 0
	for _, table := range snap.State.Tables {
		for _, c := range table.Chains {
			if !ir.IsBuiltin(table.Name, c.Name) || !slices.ContainsFunc(c.Rules, func(r *ir.Rule) bool { return ours(program, r) }) {
				continue
			}
			hooks++
			want, got := meanings(table.Family, c), meanings(table.Family, plan.Planned.Table(table.Family, table.Name).Chain(c.Name))
			if !slices.Equal(want, got) {
				t.Errorf("%s: %s %s comes back as\n%q\nand was\n%q", glob, table.Key(), c.Name, got, want)
			}
		}
	}
	return hooks
}

func ours(p *compiler.Program, r *ir.Rule) bool {
	return r.JumpTarget() != "" && p.OwnsChain(r.JumpTarget())
}

// without is a state in which the chains of a program are empty and nobody jumps to
// them from a built-in chain.
func without(s *ir.State, p *compiler.Program) *ir.State {
	s = s.Clone()
	for i, table := range s.Tables {
		table = table.Clone()
		s.Tables[i] = table
		for j, c := range table.Chains {
			n := *c
			if ir.IsBuiltin(table.Name, c.Name) {
				n.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r *ir.Rule) bool { return ours(p, r) })
			} else if p.OwnsChain(c.Name) {
				n.Rules = nil
			}
			table.Chains[j] = &n
		}
	}
	return s
}

// meanings are a chain's rules, comments apart.
func meanings(f ir.Family, c *ir.Chain) []string {
	var out []string
	for _, r := range c.Rules {
		out = append(out, xtables.KeyNoComment(xtables.DecodeRule(r, f), f))
	}
	return out
}
