package check

import (
	"context"
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Constraint is one constraint of a ruleset, its expressions compiled with
// EnvOptions.Live and WantBool.
//
// Families narrow it: a constraint of which no family is planned is skipped. An
// expression that mentions the variable `family` ("ipv4" or "ipv6") is evaluated
// once for each of the families that are planned, and must hold for all of them;
// any other is evaluated once, and names its families itself.
type Constraint struct {
	Name string
	That *Expr
	// When is nil for a constraint that always counts.
	When *Expr
	// Message of the ruleset, for people.
	Message  string
	Severity diag.Severity
	// Families that the ruleset names; empty means all.
	Families []ir.Family
}

// Outcome is what a constraint came to. Exactly one of Holds, Skipped, unknown
// and Err is the case, or none: then the constraint is false, and Values show why.
type Outcome struct {
	Holds   bool
	Skipped bool
	// Unknown lists what must be read to know; a key without a chain is a table.
	Unknown     []ir.ChainKey
	UnknownSets []string
	// Asked lists all that was asked for and not read.
	Asked     []ir.ChainKey
	AskedSets []string
	// Named lists whose rules `that` asked for with ordered and has.
	Named []Named
	// Err says that an expression failed.
	Err *diag.Diagnostic
	// Values are the parts of a false expression that made it false.
	Values []Shown
}

// Known tells that the outcome does not wait for more of the host to be read.
func (o Outcome) Known() bool { return len(o.Unknown) == 0 && len(o.UnknownSets) == 0 }

// False tells that the constraint was evaluated and does not hold.
func (o Outcome) False() bool { return o.Known() && !o.Holds && !o.Skipped && o.Err == nil }

// Shown is one part of an expression and its value.
type Shown struct {
	// Family is 0 unless the constraint was evaluated for each family.
	Family ir.Family
	// Expr is the part as CEL would write it, Value its value, both of limited length.
	Expr, Value string
}

// EvalConstraint evaluates a constraint for the families that are planned.
func EvalConstraint(ctx context.Context, c *Constraint, act Activation, planned []ir.Family) Outcome {
	var families []ir.Family
	for _, f := range planned {
		if len(c.Families) == 0 || slices.Contains(c.Families, f) {
			families = append(families, f)
		}
	}
	if len(families) == 0 {
		return Outcome{Skipped: true}
	}
	if !c.That.Uses("family") && (c.When == nil || !c.When.Uses("family")) {
		act.Family = 0
		return evalOnce(ctx, c, act)
	}
	all := Outcome{Holds: true, Skipped: true}
	failed := false
	for _, f := range families {
		act.Family = f
		o := evalOnce(ctx, c, act)
		failed = failed || o.False()
		all.add(o, f)
	}
	// What is false for one family is false, whatever the other would say; what is
	// unknown for one is not yet true.
	if all.Err != nil || failed || !all.Known() {
		all.Holds, all.Skipped = false, false
	}
	if all.Err != nil || failed {
		all.Unknown, all.UnknownSets = nil, nil
	}
	if all.Skipped {
		all.Holds = false
	}
	return all
}

// add collects the outcome for one family.
func (o *Outcome) add(one Outcome, f ir.Family) {
	o.Skipped = o.Skipped && one.Skipped
	o.Unknown = appendNew(o.Unknown, one.Unknown)
	o.UnknownSets = appendNew(o.UnknownSets, one.UnknownSets)
	o.Asked = appendNew(o.Asked, one.Asked)
	o.AskedSets = appendNew(o.AskedSets, one.AskedSets)
	o.Named = appendNew(o.Named, one.Named)
	if o.Err == nil {
		o.Err = one.Err
	}
	for _, s := range one.Values {
		s.Family = f
		o.Values = append(o.Values, s)
	}
}

func (o *Outcome) ask(r Result) {
	o.Asked = appendNew(o.Asked, r.Asked)
	o.AskedSets = appendNew(o.AskedSets, r.AskedSets)
}

func appendNew[T comparable](to, from []T) []T {
	for _, x := range from {
		if !slices.Contains(to, x) {
			to = append(to, x)
		}
	}
	return to
}

func evalOnce(ctx context.Context, c *Constraint, act Activation) Outcome {
	var o Outcome
	if c.When != nil {
		r, bad := c.When.Eval(ctx, act)
		o.ask(r)
		switch {
		case bad != nil:
			o.Err = bad
			return o
		case !r.Known():
			o.Unknown, o.UnknownSets = r.Unknown, r.UnknownSets
			return o
		case r.Value == false:
			o.Skipped = true
			return o
		}
	}
	r, bad := c.That.Eval(ctx, act)
	o.ask(r)
	o.Named = r.Named
	switch {
	case bad != nil:
		o.Err = bad
	case !r.Known():
		o.Unknown, o.UnknownSets = r.Unknown, r.UnknownSets
	case r.Value == true:
		o.Holds = true
	default:
		o.Values = c.That.explain(ctx, act)
	}
	return o
}
