package raise

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl"
)

// constraints says what is true now and worth watching: how often our jumps stand,
// in which order the programs around them stand, and who else jumps to our chains.
func (im *importer) constraints() {
	for _, h := range im.hooked {
		h.counts()
		h.order()
		if _, given := im.cat.UserChain(h.hook); given {
			h.given()
		}
	}
	im.users()
	im.calls()
}

// constrain adds a constraint for some families.
func (im *importer) constrain(name, that, message string, fams []ir.Family, warning bool) {
	c := &dsl.Constraint{Name: dsl.NewText(im.constraintName(name)), That: &dsl.Expr{Source: that}, Message: dsl.NewText(message)}
	if warning {
		c.Severity = dsl.NewWord("warning")
	}
	if len(fams) < len(im.families) {
		c.Families = families(fams)
	}
	im.doc.Constraints = append(im.doc.Constraints, c)
}

// constraintName is a name that is allowed and used once.
func (im *importer) constraintName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:/@+-", r) {
			return r
		}
		return '-'
	}, s)
	s = s[:min(len(s), 58)]
	name := s
	for n := 2; im.used[name]; n++ {
		name = fmt.Sprintf("%s-%d", s, n)
	}
	im.used[name] = true
	return name
}

// chainExpr is a chain in an expression that is evaluated for each family.
func chainExpr(table, chain string) string {
	return fmt.Sprintf("planned.chain(family, %q, %q)", table, chain)
}

// counts: each of our chains is jumped to as often as now. Where a jump has copies,
// which may be a mistake, nothing is said.
func (h *hookViews) counts() {
	jumps, copied := map[string]map[ir.Family]int{}, map[string]bool{}
	var targets []string
	for _, j := range h.jumps {
		if jumps[j.target] == nil {
			jumps[j.target] = map[ir.Family]int{}
			targets = append(targets, j.target)
		}
		for f, at := range j.at {
			jumps[j.target][f] += len(at)
			copied[j.target] = copied[j.target] || len(at) > 1
		}
	}
	for _, to := range targets {
		if copied[to] {
			continue
		}
		byCount := map[int][]ir.Family{}
		for _, f := range slices.Sorted(maps.Keys(jumps[to])) {
			byCount[jumps[to][f]] = append(byCount[jumps[to][f]], f)
		}
		for _, n := range slices.Sorted(maps.Keys(byCount)) {
			times, name := "once", "once"
			if n > 1 {
				times, name = fmt.Sprintf("%d times", n), fmt.Sprintf("%d-times", n)
			}
			h.im.constrain(
				fmt.Sprintf("%s-%s-in-%s-%s", to, name, h.table, h.hook),
				fmt.Sprintf("%s.count(%q) == %d", chainExpr(h.table, h.hook), to, n),
				fmt.Sprintf("%s %s must jump to %s %s: with fewer jumps some packets are not asked, with more some are asked again", h.table, h.hook, to, times),
				byCount[n], false)
		}
	}
}

// order: those that the anchors refer to, and our chains, stand as now. Our jumps
// have their bounds; of the others this can only be reported, so it is a warning.
func (h *hookViews) order() {
	type order struct {
		names []string
		in    []ir.Family
	}
	var orders []order
	fams := slices.Sorted(maps.Keys(h.views))
	for _, f := range fams {
		if names := h.orderIn(h.views[f]); len(names) > 1 {
			orders = append(orders, order{names, []ir.Family{f}})
		}
	}
	// What one family does not have does not matter there: the longer list may do for
	// both.
	if len(orders) == 2 {
		a, b := orders[0], orders[1]
		switch {
		case h.views[b.in[0]].ordered(a.names) && len(a.names) >= len(b.names):
			orders = []order{{a.names, fams}}
		case h.views[a.in[0]].ordered(b.names):
			orders = []order{{b.names, fams}}
		}
	}
	for _, o := range orders {
		var names []string
		for _, x := range o.names {
			names = append(names, fmt.Sprintf("%q", x))
		}
		h.im.constrain(
			fmt.Sprintf("%s-%s-order", h.table, h.hook),
			fmt.Sprintf("%s.ordered([%s])", chainExpr(h.table, h.hook), strings.Join(names, ", ")),
			fmt.Sprintf("%s %s had %s in this order when it was imported, and has another one now", h.table, h.hook, strings.Join(o.names, ", ")),
			o.in, true)
	}
}

// item is a chain or a participant in a shared chain, with its first and its last
// rule.
type item struct {
	name        string
	first, last int
}

// item looks for a name as expressions do: a jump to our chain is also the
// program's whose name the chain has. first is negative if nothing stands.
func (v *view) item(name string) item {
	x := item{name, -1, -1}
	base, tail := strings.CutSuffix(name, "/tail")
	for i, r := range v.chain.Rules {
		if target(r) != name && (v.who[i].Participant != base || v.who[i].Tail != tail) {
			continue
		}
		if x.first < 0 {
			x.first = i
		}
		x.last = i
	}
	return x
}

// ordered is what expressions have under this name.
func (v *view) ordered(names []string) bool {
	last := -1
	for _, n := range names {
		x := v.item(n)
		switch {
		case x.first < 0:
		case x.first <= last:
			return false
		default:
			last = x.last
		}
	}
	return true
}

// orderIn lists what stands apart from each other in a chain, in its order.
func (h *hookViews) orderIn(v *view) []string {
	var items []item
	add := func(name string) {
		if x := v.item(name); x.first >= 0 {
			items = append(items, x)
		}
	}
	for _, j := range h.jumps {
		if !slices.ContainsFunc(items, func(x item) bool { return x.name == j.target }) {
			add(j.target)
		}
	}
	own := len(items)
	for _, r := range h.named {
		if l := r.label(); !slices.ContainsFunc(items, func(x item) bool { return x.name == l }) {
			add(l)
		}
	}
	others := items[own:]
	slices.SortStableFunc(items, func(a, b item) int { return a.first - b.first })
	if len(others) == 0 {
		return nil
	}
	var out []string
	last := -1
	for _, x := range items {
		if x.first > last {
			out, last = append(out, x.name), x.last
		}
	}
	return out
}

// given: the chain that our jump stands in is a program's own.
func (h *hookViews) given() {
	who, _ := h.im.cat.UserChain(h.hook)
	h.im.constrain(
		fmt.Sprintf("%s-%s-stands", h.table, h.hook),
		chainExpr(h.table, h.hook)+".exists",
		fmt.Sprintf("%s has not made its chain %s: what jumps there is held back", who, h.hook),
		slices.Sorted(maps.Keys(h.views)), true)
}

// users: what a program gives to its users is only asked if the program's own jump
// stands.
func (im *importer) users() {
	for _, t := range im.order {
		who, given := im.cat.UserChain(t.name)
		if !given {
			continue
		}
		for _, table := range ir.TableNames {
			for _, hook := range ir.BuiltinChains(table) {
				var fams []ir.Family
				for _, f := range im.families {
					c := im.chains[ir.ChainKey{Family: f, Table: table, Chain: hook}]
					if c != nil && slices.ContainsFunc(c.Rules, func(r *ir.Rule) bool { return target(r) == t.name && !im.ourJump(f, r) }) {
						fams = append(fams, f)
					}
				}
				if len(fams) > 0 {
					im.constrain(
						fmt.Sprintf("%s-in-%s-%s", t.name, table, hook),
						fmt.Sprintf("%s.has([%q])", chainExpr(table, hook), t.name),
						fmt.Sprintf("%s has not put its jump to %s into %s %s: its rules are not asked", who, t.name, table, hook), fams, true)
				}
			}
		}
	}
}

// mostCalls bounds the constraints about jumps of others.
const mostCalls = 8

// calls: the rules of others that jump to what was asked for. They stay as they
// are, and no anchor says so.
func (im *importer) calls() {
	n := 0
	for _, c := range im.foreign {
		t := im.taken[c.to]
		if t.because != "" || dsl.NameProblem(c.from) != "" {
			continue
		}
		if n++; n > mostCalls {
			return
		}
		im.constrain(
			fmt.Sprintf("%s-%s-calls-%s", c.table, c.from, c.to),
			fmt.Sprintf("%s.has([%q])", chainExpr(c.table, c.from), c.to),
			fmt.Sprintf("%s, which is not of this ruleset, jumped to %s when it was imported, and does so no more", c.from, c.to),
			c.families, true)
	}
}
