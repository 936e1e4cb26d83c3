package compiler

import (
	"context"
	"slices"
	"strings"

	"hookline/compiler/check"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// Collect chooses rules of others in one chain for removal.
type Collect struct {
	// Key is the chain that it looks in: any but those that the ruleset owns.
	Key ir.ChainKey
	// Span is the chain's name in the ruleset.
	Span diag.Span
	// Where is asked about each rule of the chain. It cannot ask for the rule's
	// index, so rules of equal text are chosen alike.
	Where *check.Expr
	// Reason is why the rules are stale, for the plan.
	Reason string
	// DropEmpty: once nothing is left in the chain, it goes, and the jumps to it.
	DropEmpty bool

	act check.Activation
}

// collect compiles one entry of collect for one family. Its expression is checked
// even where the entry is left out.
func (c *compilation) collect(f ir.Family, table string, d *dsl.Collect) {
	if d.Chain == nil || d.Where == nil {
		return // reported when the file was read
	}
	where := c.where(d.Where)
	out := &Collect{
		Key: ir.ChainKey{Family: f, Table: table, Chain: literal(d.Chain)}, Span: d.Chain.Span, Where: where,
		Reason: strings.Join(strings.Fields(literal(d.Reason)), " "), DropEmpty: literal(d.DropEmpty) == "true", act: c.prog.act,
	}
	allowed := c.collectAllowed(out.Key, d)
	if !slices.Contains(c.narrow(c.prog.Families, d.Families), f) || !c.eval.when(d.When) || where == nil || !allowed {
		return
	}
	if c.prog.act.Facts == nil && where.Uses("facts") {
		if !c.opt.WithoutFacts {
			c.diags.Errorf(diag.FactsNeeded, d.Where.Span, "the expression asks for facts of a host, and there are none").
				WithHelp("give them with --facts FILE")
		}
		return
	}
	c.prog.Collects = append(c.prog.Collects, out)
}

// where checks the expression that chooses rules; nil if it has mistakes.
func (c *compilation) where(e *dsl.Expr) *check.Expr {
	if c.ruleEnv == nil {
		env, err := check.NewEnv(c.decls, check.EnvOptions{Facts: true, Rule: true})
		if err != nil {
			c.diags.Errorf(diag.InvalidValue, e.Span, "%v", err)
			return nil
		}
		c.ruleEnv = env
	}
	x, list := c.ruleEnv.Compile(checkSource(e), check.WantBool)
	c.diags.Append(list)
	return x
}

// collectAllowed: nothing is collected in a chain of ours, whose rules are
// declared, and what goes with dropEmpty is a chain that its program made for
// itself.
func (c *compilation) collectAllowed(k ir.ChainKey, d *dsl.Collect) bool {
	switch {
	case c.prog.OwnsChain(k.Chain):
		c.diags.Errorf(diag.AdoptOwned, d.Chain.Span, "%s is a chain of this ruleset: it holds the rules that are declared, and nothing is collected in it", k.Chain).
			WithHelp("leave the rule out of the chain's rules")
		return false
	case !ir.IsBuiltin(k.Table, k.Chain) && anyBuiltin(k.Chain):
		c.diags.Errorf(diag.InvalidValue, d.Chain.Span, "%s is no base chain of table %s", k.Chain, k.Table).
			WithHelp("the base chains of %s are %s", k.Table, strings.Join(ir.BuiltinChains(k.Table), ", "))
		return false
	case literal(d.DropEmpty) != "true":
		return true
	case ir.IsBuiltin(k.Table, k.Chain):
		c.diags.Errorf(diag.InvalidValue, d.DropEmpty.Span, "%s is a base chain, which cannot go", k.Chain)
		return false
	case given(c.prog.Catalogue, k.Chain):
		c.diags.Errorf(diag.InvalidValue, d.DropEmpty.Span, "%s is a chain that a program gives to its users: it stays, also when it is empty", k.Chain)
		return false
	}
	return true
}

func anyBuiltin(chain string) bool {
	return slices.ContainsFunc(ir.TableNames, func(t string) bool { return ir.IsBuiltin(t, chain) })
}

// reason is what a plan says of a rule that is collected.
func (c *Collect) reason() string {
	if c.Reason == "" {
		return "chosen by collect"
	}
	return c.Reason
}

// choose asks about each rule of a chain, as a host shows it. It gives the indexes
// of the chosen ones, or says on which rule the expression failed.
func (c *Collect) choose(host *check.Host, chain *ir.Chain) ([]int, *diag.Diagnostic) {
	var out []int
	var budget check.Budget
	for i, r := range chain.Rules {
		act := c.act
		act.Rule = host.Rule(c.Key, i)
		res, failed := c.Where.EvalWithin(context.Background(), act, &budget)
		if failed != nil {
			failed.Note(r.Origin, "rule %d of %s: %s", i+1, c.Key, shownRule(r))
			return nil, failed
		}
		if is, _ := res.Value.(bool); is {
			out = append(out, i)
		}
	}
	return out, nil
}

// shownRule is a rule as a finding shows it.
func shownRule(r *ir.Rule) string {
	if r.Native != nil {
		return "native nft rule: " + r.Native.Expr
	}
	return r.Text
}
