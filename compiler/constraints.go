package compiler

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/check"
	"hookline/compiler/ir"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// ConstraintResult is a constraint on what is predicted.
type ConstraintResult struct {
	Ruleset, Name string
	Span          diag.Span
	// Family is set if the constraint is evaluated for each family.
	Family         ir.Family
	Holds, Skipped bool
	Warning        bool
	Message, Error string
	Shown          []check.Shown
}

// attribution answers what expressions ask about whose rules are.
type attribution struct {
	table   *recognize.Table
	state   *ir.State
	owned   func(chain string) bool
	ourJump func(ir.Family, *ir.Rule) bool
	// native are the participants that have tables of nftables.
	native []string
}

func (a attribution) Participant(k ir.ChainKey, i int) string { return a.table.Rule(k, i).Participant }

func (a attribution) Tail(k ir.ChainKey, i int) bool { return a.table.Rule(k, i).Tail }

// Owned tells whether a rule stands in an owned chain or is a jump of ours.
func (a attribution) Owned(k ir.ChainKey, i int) bool {
	if !ir.IsBuiltin(k.Table, k.Chain) && a.owned(k.Chain) {
		return true
	}
	c, err := a.state.Lookup(k)
	if err != nil || c == nil || i < 0 || i >= len(c.Rules) {
		return false
	}
	return a.ourJump(k.Family, c.Rules[i])
}

// Participants are those who have something in the tables of iptables, and those
// who have tables of nftables.
func (a attribution) Participants() []string {
	out := slices.Concat(a.table.Present(), a.native)
	slices.Sort(out)
	return slices.Compact(out)
}

// native are the participants to whom tables of nftables belong.
func (pl *planner) native() []string {
	var out []string
	for _, t := range pl.snap.NFTTables() {
		if h, ok := pl.cat.NFTTable(t); ok {
			out = append(out, h.Entry.Name)
		}
	}
	return out
}

// host wraps a state for expressions. On the nft backend our chains do not stand
// among those of iptables, about which constraints ask.
func (pl *planner) host(s *ir.State, t *recognize.Table) *check.Host {
	h := check.NewHost(s, string(pl.snap.Variant), attribution{t, s, pl.owned, pl.ourJump, pl.native()}, ruleFields)
	if pl.snap.Variant != ir.NFT {
		return h
	}
	ours := map[ir.ChainKey]bool{}
	for _, p := range pl.programs {
		for _, c := range p.Chains {
			ours[c.Key] = true
		}
	}
	return h.Hide(ours)
}

// ruleFields are the parts of a rule that expressions can ask about, each in the
// spelling that iptables-save prints.
func ruleFields(f ir.Family, r *ir.Rule) check.Fields {
	if r.Native != nil {
		return check.Fields{Comment: r.Native.Comment}
	}
	s := xtables.DecodeRule(r, f)
	name, _ := r.TargetName()
	out := check.Fields{Target: name, Comments: s.Comments()}
	if len(out.Comments) > 0 {
		out.Comment = out.Comments[0]
	}
	not := func(is bool, text string) string {
		if is {
			return "! " + text
		}
		return text
	}
	if p := s.Protocol; p != nil {
		out.Protocol = not(p.Not, xtables.ProtocolName(p.Number))
	}
	if s.Source != nil {
		out.Source = not(s.Source.Not, addressText(s.Source))
	}
	if s.Destination != nil {
		out.Destination = not(s.Destination.Not, addressText(s.Destination))
	}
	if s.In != nil {
		out.Iface = not(s.In.Not, s.In.Name)
	}
	if s.Out != nil {
		out.Oface = not(s.Out.Not, s.Out.Name)
	}
	for _, m := range s.Matches {
		switch m := m.(type) {
		case *ir.L4:
			if m.Source != nil {
				out.Sport = not(m.Source.Not, portText(m.Source.PortRange))
			}
			if m.Dest != nil {
				out.Dport = not(m.Dest.Not, portText(m.Dest.PortRange))
			}
		case *ir.Multiport:
			text := not(m.Not, portsText(m.Ports))
			if m.Kind != "dports" {
				out.Sport = text
			}
			if m.Kind != "sports" {
				out.Dport = text
			}
		case *ir.Mark:
			out.Mark = not(m.Not, fmt.Sprintf("0x%x/0x%x", m.Value, m.Mask))
			if m.Mask == 0xffffffff {
				out.Mark = not(m.Not, fmt.Sprintf("0x%x", m.Value))
			}
		default:
		}
	}
	return out
}

// addressText is a prefix with its length, also of single addresses, as
// iptables-save prints it.
func addressText(a *ir.Address) string {
	if a.Mask.IsValid() {
		return a.Prefix.Addr().String() + "/" + a.Mask.String()
	}
	return a.Prefix.String()
}

func portText(r ir.PortRange) string {
	if r.Low == r.High {
		return strconv.Itoa(int(r.Low))
	}
	return fmt.Sprintf("%d:%d", r.Low, r.High)
}

func portsText(list []ir.PortRange) string {
	var out []string
	for _, r := range list {
		out = append(out, portText(r))
	}
	return strings.Join(out, ",")
}

// constraints evaluates every constraint on the prediction. If the plan has errors
// there is none: then those count that ask for nothing but the host as it is. They
// often say why the plan is not possible, in the words of who wrote the ruleset.
func (pl *planner) constraints() {
	if pl.opt.Remove || pl.opt.emptyHost {
		return
	}
	pl.plan.liveOnly = pl.diags().HasErrors()
	if pl.plan.liveOnly && len(pl.families) == 0 {
		return // nothing of the host is known
	}
	live := pl.host(pl.snap.State, pl.plan.attributionLive)
	planned := live
	if !pl.plan.liveOnly && pl.plan.Planned != pl.snap.State {
		planned = pl.host(pl.plan.Planned, pl.plan.attributionPlanned)
	}
	for _, p := range pl.programs {
		for _, c := range p.Constraints {
			if pl.plan.liveOnly && (c.Check.That.Uses("planned") || c.Check.When != nil && c.Check.When.Uses("planned")) {
				continue
			}
			act := p.act
			act.Live, act.Planned = live, planned
			pl.constraint(p, c, check.EvalConstraint(context.Background(), &c.Check, act, pl.families))
		}
	}
}

// judged is what the constraints were evaluated on, for people.
func (p *Plan) judged() string {
	if p.liveOnly {
		return "the host as it is"
	}
	return "what is predicted"
}

func (pl *planner) constraint(p *Program, c *Constraint, out check.Outcome) {
	r := ConstraintResult{
		Ruleset: p.Name, Name: c.Check.Name, Span: c.Span, Holds: out.Holds, Skipped: out.Skipped,
		Warning: c.Check.Severity == diag.Warning, Message: c.Check.Message, Shown: out.Values,
	}
	if pl.plan.liveOnly && !out.Known() {
		return // not worth reading more for: nothing will be written
	}
	for _, k := range out.Asked {
		if pl.snap.Variant == ir.NFT && pl.owned(k.Chain) {
			pl.diags().Errorf(diag.Unknowable, c.Span, "%s: on the nft backend constraints know the chains of iptables, and %s is one of ours", r.Name, k).
				WithHelp(`write planned.backend == "nft" || ... where a constraint is about iptables`)
			out.AskedSets, out.Err = nil, nil
			r.Error = "it asks for a chain of ours"
			pl.plan.Constraints = append(pl.plan.Constraints, r)
			return
		}
		if !slices.Contains(pl.plan.Asked, k) {
			pl.plan.Asked = append(pl.plan.Asked, k)
		}
	}
	for _, s := range out.AskedSets {
		if !slices.Contains(pl.plan.AskedSets, s) {
			pl.plan.AskedSets = append(pl.plan.AskedSets, s)
		}
	}
	pl.nameConstraint(c, out)
	switch {
	case !out.Known():
		r.Error = "a chain or set that it asks for was not read"
	case out.Err != nil:
		r.Error = out.Err.Message
		pl.diags().Add(out.Err)
	case out.False():
		pl.falseConstraint(c, r)
	}
	pl.plan.Constraints = append(pl.plan.Constraints, r)
}

// falseConstraint reports a constraint that does not hold with the values that
// made it false.
func (pl *planner) falseConstraint(c *Constraint, r ConstraintResult) {
	message := c.Check.Message
	if message == "" {
		message = "the constraint is false"
	}
	var d *diag.Diagnostic
	if r.Warning {
		d = pl.diags().Warnf(diag.ConstraintNot, c.Span, "%s: %s", r.Name, message)
	} else {
		d = pl.diags().Errorf(diag.ConstraintNot, c.Span, "%s: %s", r.Name, message)
	}
	for _, s := range r.Shown {
		d.Note(diag.Span{}, "%s = %s", showExpr(s), s.Value)
	}
}

// showExpr is a part of an expression, with the family that it was evaluated for.
func showExpr(s check.Shown) string {
	if s.Family != 0 {
		return s.Family.String() + ": " + s.Expr
	}
	return s.Expr
}
