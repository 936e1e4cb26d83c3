package compiler

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/check"
	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/place"
	"hookline/dsl/diag"
)

// MissingRule is a rule of another program that the rulesets name in a shared
// chain and that does not stand there, although it should, or may be expected to.
type MissingRule struct {
	Key ir.ChainKey
	// Name as the rulesets call it: a chain that is to be jumped to, a participant,
	// NAME/tail, or a mapping of globs.
	Name string
	// Participant is whose rule it is, or "" if that is not known; Chain is Name if
	// that is a chain's.
	Participant, Chain string
	// Lost tells that it did stand, or that its program is at work on the host. Else
	// no known program is.
	Lost bool
	// Because says how it is known that it was lost, as a clause behind "although".
	Because string
	// Returns say who puts it back, when, and where to.
	Returns []string
}

// where names the shared chain, without its family, and the rule.
func (m MissingRule) where() string {
	if m.Chain != "" {
		return m.Key.Table + " " + m.Key.Chain + ": the jump to " + m.Chain
	}
	return m.Key.Table + " " + m.Key.Chain + ": the rule of " + m.Name
}

// Lost tells that rules of other programs are missing which nothing of ours puts
// back: the host is not as declared, and no apply will make it so.
func (p *Plan) Lost() bool {
	return slices.ContainsFunc(p.Missing, func(m MissingRule) bool { return m.Lost })
}

// naming is one name that the rulesets give to other programs' rules in a shared
// chain, in after, before, adopt or a constraint.
type naming struct {
	key  ir.ChainKey
	name string
	// Of a name that is no glob: the participant, and the chain if it is one's name.
	participant, chain string
	tail               bool
	span               diag.Span
	// anchor is the first jump that is placed by it, "" if only constraints name it;
	// adopt tells that it is the adopted jump itself.
	anchor string
	adopt  bool
	stands bool
	// quiet: the ruleset says that it may be missing. waits: the ruleset says what is
	// to be done until it is there, which is reported where that is done.
	quiet, waits bool
}

// id is how a record of the host remembers the name.
func (n *naming) id() string { return n.key.String() + " " + n.name }

// what are the rules that the name means.
func (n *naming) what() string {
	if n.chain != "" {
		return "jump to " + n.chain
	}
	return "rule of " + n.name
}

// name adds a name, or what another place says of one that is known.
func (pl *planner) name(n naming) {
	for _, old := range pl.namings {
		if old.key == n.key && old.name == n.name {
			old.stands, old.quiet, old.waits = old.stands || n.stands, old.quiet || n.quiet, old.waits || n.waits
			return
		}
	}
	pl.namings = append(pl.namings, &n)
}

// nameReferences collects what the anchors of a shared chain name.
func (pl *planner) nameReferences(h *hookPlan) {
	for j, a := range h.sources {
		in := &h.input.Anchors[j]
		if a.Adopt {
			pl.name(naming{
				key: h.key, name: a.Target, participant: in.Participant, chain: a.Target, span: a.Span, anchor: a.Name, adopt: true,
				stands: len(in.Standing) > 0, quiet: a.Tolerated || a.IfMissing == place.Hold, waits: a.IfMissing == place.Fail,
			})
		}
		for i, list := range [][]Ref{a.After, a.Before} {
			for k, r := range list {
				p := [][]place.Ref{in.After, in.Before}[i][k]
				if r.Chain != "" && pl.owned(r.Chain) {
					continue
				}
				n := naming{
					key: h.key, name: r.Label, participant: p.Participant, chain: r.Chain, tail: r.Tail, span: r.Span, anchor: a.Name,
					quiet: r.Tolerated, waits: r.IfMissing != place.Ignore,
				}
				for x := range h.input.Rules {
					n.stands = n.stands || p.Match(x) && !h.input.Rules[x].Remove
				}
				pl.name(n)
			}
		}
	}
}

// nameConstraint collects what a constraint names with ordered, and with has if
// that is why it is false.
func (pl *planner) nameConstraint(c *Constraint, out check.Outcome) {
	for _, x := range out.Named {
		if x.Must && !out.False() || pl.owned(x.Name) || !pl.shared(x.Key) {
			continue
		}
		n := naming{key: x.Key, name: x.Name, span: c.Span, stands: x.Stands}
		if name, tail := strings.CutSuffix(x.Name, "/tail"); pl.cat.Entry(name) != nil {
			n.participant, n.tail = name, tail
		} else {
			n.participant, n.chain = pl.cat.ChainOwner(x.Name), x.Name
		}
		pl.name(n)
	}
}

// missing reports the names that stand for nothing (docs/decisions/0015).
func (pl *planner) missing() {
	if pl.opt.Remove || pl.opt.emptyHost {
		return
	}
	var unsettled []*naming
	bare := pl.bare()
	for _, n := range pl.namings {
		if n.stands {
			pl.plan.Seen = append(pl.plan.Seen, n.id())
			continue
		}
		if n.waits {
			continue
		}
		because := ""
		if !n.quiet {
			because = pl.lost(n)
		}
		switch {
		case because != "":
			pl.reportLost(n, because)
		case bare && !n.quiet && n.participant != "":
			unsettled = append(unsettled, n)
		default:
			pl.reportAbsent(n)
		}
	}
	if len(unsettled) > 0 {
		pl.reportBare(unsettled)
	}
	slices.Sort(pl.plan.Seen)
}

// bare tells that nothing of any known program stands on the host, in any family,
// and that nothing is known of what stood: it has just started, or somebody
// emptied everything. A program that empties other programs' tables may stand: it
// may have been that one.
func (pl *planner) bare() bool {
	if slices.ContainsFunc(pl.opt.Recorded, func(r Recorded) bool { return len(r.Seen) > 0 }) {
		return false
	}
	if slices.ContainsFunc(pl.namings, func(n *naming) bool { return n.stands }) {
		return false
	}
	for _, t := range pl.snap.State.Tables {
		for _, c := range t.Chains {
			e := pl.cat.Entry(pl.cat.ChainOwner(c.Name))
			if e == nil || pl.owned(c.Name) {
				continue
			}
			if !slices.ContainsFunc(e.Behaviours, func(b participant.Behaviour) bool { return b.Kind == participant.Flushes }) {
				return false
			}
		}
	}
	return true
}

// lost says from what it is known that a rule was lost, or "" if it is not known:
// the program may not be here, or not write there.
func (pl *planner) lost(n *naming) string {
	for _, r := range pl.opt.Recorded {
		if slices.Contains(r.Seen, n.id()) {
			return "one stood there at an earlier apply since the host was started"
		}
	}
	if n.chain != "" && pl.snap.State.Table(n.key.Family, n.key.Table).Chain(n.chain) != nil {
		return "the chain itself stands"
	}
	repairs, always := pl.repairs(n)
	if len(repairs) == 0 || pl.elsewhereInstead(n) {
		return ""
	}
	here := pl.chainOf(n.participant, n.key.Family, n.key.Table)
	switch {
	case here != "" && n.chain != "":
		return "" // the program is at work in this table, and does without that chain
	case here != "":
		return fmt.Sprintf("chain %s of %s stands in %s", here, n.participant, n.key.TableKey())
	case !always:
		return "" // written at some events only, and there may have been none
	}
	for _, t := range ir.TableNames {
		if c := pl.chainOf(n.participant, n.key.Family, t); c != "" {
			return fmt.Sprintf("chain %s of %s stands in %s", c, n.participant, ir.TableKey{Family: n.key.Family, Name: t})
		}
	}
	// Sets outlive what empties the tables.
	for _, s := range pl.snap.State.Sets {
		if h, ok := pl.cat.Set(s.Name); ok && h.Entry.Name == n.participant && (s.Family == 0 || s.Family == n.key.Family) {
			return fmt.Sprintf("set %s of %s stands", s.Name, n.participant)
		}
	}
	return ""
}

// elsewhereInstead tells that the program has its chains in the other variant's
// tables: it writes its rules there, and lost none here.
func (pl *planner) elsewhereInstead(n *naming) bool {
	if pl.snap.Others == nil {
		return false
	}
	for _, t := range pl.snap.Others.Tables {
		for _, c := range t.Chains {
			if t.Family == n.key.Family && pl.cat.ChainOwner(c.Name) == n.participant {
				return true
			}
		}
	}
	return false
}

// repairs are what the name's program does by default about its rules in that
// chain; always tells that it does so by itself, not only at events of its own.
func (pl *planner) repairs(n *naming) (list []participant.Behaviour, always bool) {
	e := pl.cat.Entry(n.participant)
	if e == nil || !ir.IsBuiltin(n.key.Table, n.key.Chain) {
		return nil, false
	}
	for _, b := range e.BehavioursIn(n.key.Table, n.key.Chain, n.tail) {
		if b.Kind.Repairs() {
			list = append(list, b)
			always = always || b.Kind != participant.Event
		}
	}
	return list, always
}

// returns says in sentences when the rule comes back.
func (pl *planner) returns(n *naming) []string {
	var out []string
	list, _ := pl.repairs(n)
	for _, b := range list {
		out = append(out, b.Return(n.participant, func(table, chain string) bool {
			return pl.snap.State.Table(n.key.Family, table).Chain(chain) != nil
		}))
	}
	return out
}

// chainOf is the first chain of a participant in a table of a family, or in any
// of its tables; "" if there is none. Only names are looked at: a host's other
// chains are not read.
func (pl *planner) chainOf(name string, f ir.Family, table string) string {
	memo := name + " " + f.String() + " " + table
	if c, known := pl.chainsOf[memo]; known {
		return c
	}
	if pl.chainsOf == nil {
		pl.chainsOf = map[string]string{}
	}
	e := pl.cat.Entry(name)
	found := ""
	for _, t := range pl.snap.State.Tables {
		if e == nil || found != "" || t.Family != f || table != "" && t.Name != table {
			continue
		}
		for _, c := range t.Chains {
			matches := func(g string) bool { return ir.MatchGlob(g, c.Name) }
			if slices.ContainsFunc(e.Chains, matches) && pl.cat.ChainOwner(c.Name) == name && !pl.owned(c.Name) {
				found = c.Name
				break
			}
		}
	}
	pl.chainsOf[memo] = found
	return found
}

func (pl *planner) reportLost(n *naming, because string) {
	m := MissingRule{Key: n.key, Name: n.name, Participant: n.participant, Chain: n.chain, Lost: true, Because: because, Returns: pl.returns(n)}
	pl.plan.Missing = append(pl.plan.Missing, m)
	d := pl.diags().Warnf(diag.MissingReference, n.span, "no %s stands in %s, although %s", n.what(), n.key, because)
	for _, s := range m.Returns {
		d.Note(diag.Span{}, "%s", s)
	}
	switch {
	case n.adopt:
		d.Note(diag.Span{}, "there is no jump to adopt until then")
	case n.anchor != "":
		d.Note(diag.Span{}, "%s is placed without this bound until then", n.anchor)
	}
	who := "the program that wrote it"
	if n.participant != "" {
		who = n.participant
	}
	d.WithHelp("only %s puts it back: hookline never writes rules of other programs", who)
}

// reportAbsent says, for who asks for informations, that a name stands for nothing
// and that nothing speaks for it being lost.
func (pl *planner) reportAbsent(n *naming) {
	switch {
	case n.anchor == "": // a constraint that does without
	case n.adopt:
		pl.diags().Infof(diag.MissingReference, n.span, "no jump to %s stands in %s: there is nothing to adopt", n.name, n.key)
	default:
		pl.diags().Infof(diag.MissingReference, n.span, "no rule of %s in %s: %s is placed without this bound", n.name, n.key, n.anchor)
	}
}

// reportBare says once for the host that none of the programs is there, with what
// each of them will do.
func (pl *planner) reportBare(list []*naming) {
	var names []string
	for _, n := range list {
		if !slices.Contains(names, n.participant) {
			names = append(names, n.participant)
		}
		pl.plan.Missing = append(pl.plan.Missing, MissingRule{Key: n.key, Name: n.name, Participant: n.participant, Chain: n.chain, Returns: pl.returns(n)})
	}
	slices.Sort(names)
	d := pl.diags().Warnf(diag.MissingReference, list[0].span,
		"nothing of %s stands in this host's tables, nor of any other program: it has just started, or they were emptied", and(names))
	for i, n := range list {
		families := []string{n.key.Family.String()}
		same := func(o *naming) bool {
			return o.key.Table == n.key.Table && o.key.Chain == n.key.Chain && o.name == n.name
		}
		if slices.ContainsFunc(list[:i], same) {
			continue
		}
		for _, o := range list[i+1:] {
			if same(o) {
				families = append(families, o.key.Family.String())
			}
		}
		when := pl.returns(n)
		if len(when) == 0 {
			when = []string{n.participant + ", it is not known when"}
		}
		d.Note(diag.Span{}, "%s %s (%s), %s: %s", n.key.Table, n.key.Chain, strings.Join(families, ", "), n.what(), strings.Join(when, "; "))
	}
	d.WithHelp("what is ours is placed without these bounds; apply again once those that run here have written their rules")
}

// and joins names as a sentence does.
func and(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
