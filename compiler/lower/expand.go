package lower

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// How many rules several lists may make in place before a helper chain, which
// grows with their sum, takes over. A `return` or `goto` has no helper chain.
const (
	maxProduct       = 32
	maxEscapeProduct = 4096
)

// flow is where a packet goes once an action has run.
type flow uint8

const (
	goesOn  flow = iota // to the next rule, or back to it
	ends                // nowhere: the table is done with the packet
	escapes             // back to the caller of the rule's chain
)

// target is an action for one family.
type target struct {
	spec *ir.Spec // Target, if any
	flow flow
	// changes is what the action changes of what a rule can look at.
	changes effect
	// protocols: the rule that has the action has to have -p itself, one of these.
	protocols []uint8
	// syn: it has to look at SYN itself, too (TCPMSS).
	syn bool
}

// expansion makes the rules and helper chains for one family.
//
// The forms, the first that fits:
//  1. one rule;
//  2. a rule for each combination of alternatives, with the action: if the action
//     ends the packet's way, or no packet can be taken by two of the rules;
//  3. the same rules jumping to a helper chain that asks the limits and has the
//     action, if no packet can be taken by two of them;
//  4. a chain that returns for what not says, and one chain for each list, each
//     going to the next: a goto does not come back, so that the action is reached
//     once.
//
// A `return` or `goto` leaves the chain that it stands in, which in a helper chain
// would be the wrong one: forms 1 and 2 only.
type expansion struct {
	*lowering
	family     ir.Family
	conditions conditions
	target     target

	rules  []*ir.Spec
	chains []*HelperChain
}

// expand fills rules and chains.
func (e *expansion) expand() {
	c := &e.conditions
	product, safe, lists := 1, true, len(c.any)
	for _, x := range c.any {
		product = min(product*len(x.alts), 1<<20)
		safe = safe && x.safe(e.target.changes)
	}
	most := maxProduct
	if e.target.flow == escapes {
		most = maxEscapeProduct
	}
	small := lists < 2 || product <= most
	limited := len(c.limits) > 0 || c.notLimit != nil
	switch {
	case lists == 0 && len(c.none) == 0 && c.notLimit == nil:
		e.rule(c.fixed, &ir.Spec{Matches: c.limits}, e.target.spec)
	case len(c.none) == 0 && !limited && small && (safe || e.target.flow != goesOn):
		for _, part := range combinations(c.any) {
			e.rule(part, c.fixed, e.target.spec)
		}
	case e.target.flow == escapes:
		e.refuse(limited, small)
	case len(c.none) == 0 && small && safe:
		act := e.open("act")
		for _, part := range combinations(c.any) {
			e.rule(part, c.fixed, jump(act.Name, false))
		}
		e.finish(act)
	default:
		e.stages(limited)
	}
}

// stages is form 4.
func (e *expansion) stages(limited bool) {
	c := &e.conditions
	at := e.open("any")
	e.rule(c.fixed, jump(at.Name, false))
	for _, x := range c.none {
		for _, a := range x.alts {
			at.Specs = append(at.Specs, joined(a.holds, verdict("RETURN")))
		}
	}
	lists, last := slices.Clone(c.any), choice{}
	if i := e.lastList(); i >= 0 && !limited {
		last = lists[i]
		lists = slices.Delete(lists, i, i+1)
	}
	for i, x := range lists {
		final := i == len(lists)-1 && last.alts == nil
		next, name := (*HelperChain)(nil), ""
		switch j := e.plainJump(); {
		case final && !limited && j != "":
			name = j
		case final:
			next = e.open("act")
		default:
			next = e.open("any")
		}
		if next != nil {
			name = next.Name
		}
		for _, a := range x.alts {
			at.Specs = append(at.Specs, joined(a.holds, jump(name, true)))
		}
		if at = next; at == nil {
			return
		}
	}
	if last.alts == nil {
		e.finish(at)
		return
	}
	for _, a := range last.alts {
		at.Specs = append(at.Specs, e.actions(a.holds)...)
	}
}

// lastList is the list whose alternatives may have the action themselves, or -1.
// The list of protocols is the best, because it brings the -p that some actions
// need.
func (e *expansion) lastList() int {
	best := -1
	for i, x := range e.conditions.any {
		if e.target.flow != ends && !x.safe(e.target.changes) {
			continue
		}
		if best = i; x.alts[0].holds.Protocol != nil {
			break
		}
	}
	return best
}

// plainJump is the chain that the action jumps to, if that is all it does: a
// helper chain can go there itself.
func (e *expansion) plainJump() string {
	if e.target.spec == nil {
		return ""
	}
	return e.target.spec.JumpTarget()
}

// finish writes the limits and the action to a chain that is reached once all
// other conditions hold. Every packet there asks each limit once.
func (e *expansion) finish(at *HelperChain) {
	c, acts := &e.conditions, e.actions(nil)
	if c.notLimit == nil && len(acts) == 1 {
		at.Specs = append(at.Specs, joined(withoutTarget(acts[0]), &ir.Spec{Matches: c.limits}, e.target.spec))
		return
	}
	if len(c.limits) > 0 {
		next := e.open("act")
		at.Specs = append(at.Specs, joined(&ir.Spec{Matches: c.limits}, jump(next.Name, true)))
		at = next
	}
	if c.notLimit != nil {
		at.Specs = append(at.Specs, joined(matching(c.notLimit), verdict("RETURN")))
	}
	at.Specs = append(at.Specs, acts...)
}

// actions are the rules that have the action, if part holds: one, or one for each
// protocol where the action's own rule has to have -p.
func (e *expansion) actions(part *ir.Spec) []*ir.Spec {
	if len(e.target.protocols) == 0 || part != nil && part.Protocol != nil {
		return []*ir.Spec{joined(e.said(), part, e.target.spec)}
	}
	var out []*ir.Spec
	for _, p := range e.target.protocols {
		need := protocolSpec(p, false)
		if e.target.syn {
			syn := tcpFlagBits["SYN"]
			need.Matches = []ir.Match{&ir.L4{Module: "tcp", Flags: &ir.TCPFlags{Mask: syn, Comp: syn}}}
		}
		out = append(out, joined(e.said(), need, part, e.target.spec))
	}
	return out
}

// refuse reports a return or goto that would need a helper chain.
func (e *expansion) refuse(limited, small bool) {
	why := "values under not"
	switch {
	case !small:
		why = "lists this long"
	case limited && len(e.conditions.any) > 0:
		why = "a list and a limit"
	case e.conditions.notLimit != nil:
		why = "a limit under not"
	}
	kind := e.lowering.rule.Action.Kind
	e.diags.Errorf(diag.ExpandsTwice, e.place(), "%s together with %s needs a helper chain, which %s would leave instead of %s", kind, why, kind, e.ctx.Chain).
		WithHelp("split the rule, or jump to a chain of your own that does the rest")
}

// rule adds a rule to the rule's own chain.
func (e *expansion) rule(parts ...*ir.Spec) {
	e.rules = append(e.rules, joined(append([]*ir.Spec{e.said()}, parts...)...))
}

// open starts a helper chain.
func (e *expansion) open(purpose string) *HelperChain {
	c := &HelperChain{Name: e.ctx.Helper(purpose, len(e.chains))}
	e.chains = append(e.chains, c)
	return c
}

// said is the part that holds the rule's comments.
func (e *expansion) said() *ir.Spec {
	if len(e.comments) == 0 {
		return nil
	}
	return &ir.Spec{Matches: e.comments}
}

// combinations are the joined alternatives of several choices, one of each.
func combinations(list []choice) []*ir.Spec {
	out := []*ir.Spec{{}}
	for _, x := range list {
		var next []*ir.Spec
		for _, part := range out {
			for _, a := range x.alts {
				next = append(next, joined(part, a.holds))
			}
		}
		out = next
	}
	return out
}

func withoutTarget(s *ir.Spec) *ir.Spec {
	c := *s
	c.Target = nil
	return &c
}

func verdict(name string) *ir.Spec { return &ir.Spec{Target: &ir.Verdict{Name: name}} }

func jump(chain string, isGoto bool) *ir.Spec {
	return &ir.Spec{Target: &ir.Jump{Goto: isGoto, Chain: chain}}
}
