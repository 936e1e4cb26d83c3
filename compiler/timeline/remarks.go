package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// RemarkKind says what a remark is about. The set is closed.
type RemarkKind string

// The kinds of a remark.
const (
	// NotFinal: a later base chain can drop what ours accepts.
	NotFinal RemarkKind = "accept-not-final"
	// CutsOff: what ours drops, later programs do not see.
	CutsOff RemarkKind = "cuts-off"
	// First: an earlier base chain can drop packets before ours sees them.
	First RemarkKind = "verdict-first"
	// NewestFirst: chains of several programs rewrite addresses at one priority.
	NewestFirst RemarkKind = "newest-first"
	// Shared: ours has the priority of another chain.
	Shared RemarkKind = "shared-priority"
)

// Remark is a sentence about a hook that follows from the order of its chains.
type Remark struct {
	Kind RemarkKind
	// Chain of ours that it is about; nil for one about the others.
	Chain *Chain
	// Others are the chains that it names.
	Others []*Chain
	Text   string
}

// Verdicts is what the rules of a base chain can do with a packet.
type Verdicts struct{ Accepts, Drops bool }

// VerdictsOf follows the jumps from a base chain of ours.
func VerdictsOf(t *ir.OwnTable, base *ir.OwnChain) Verdicts {
	v := Verdicts{Drops: base.Base != nil && base.Base.Policy == "drop"}
	for _, c := range reached(t, base) {
		for _, r := range c.Rules {
			words := r.Words()
			v.Accepts = v.Accepts || slices.Contains(words, "accept")
			v.Drops = v.Drops || slices.Contains(words, "drop") || slices.Contains(words, "reject")
		}
	}
	return v
}

// CanDrop says in a clause how a base chain of others can end a packet; empty if
// for all that is known it cannot. A chain of nobody known, or whose rules nobody
// knows, can.
func (h *Host) CanDrop(c *Chain) string {
	var out []string
	if c.Policy == "drop" {
		out = append(out, "its policy is drop")
	}
	switch {
	case c.Program == Iptables:
		key := "iptables " + c.Table + " " + c.Name
		for _, u := range c.Users {
			if e := h.Catalogue.Entry(u); e != nil && e.DropsIn(key) != "" && (c.leads == nil || c.leads[u]) {
				out = append(out, c.perhaps()+u+" "+e.DropsIn(key))
			}
		}
		if c.drops && len(out) == 0 {
			out = append(out, "it holds a rule that drops or rejects")
		}
		if c.Rules != 0 && len(out)+len(c.Users) == 0 {
			out = append(out, "what its rules do is not known")
		}
	case strings.HasPrefix(c.Program, OfRuleset), c.Program == "":
		if c.Rules != 0 && len(out) == 0 {
			out = append(out, "what its rules do is not known")
		}
	default:
		if does := h.Catalogue.Entry(c.Program).DropsIn(c.key() + " " + c.Name); does != "" && c.Rules != 0 {
			out = append(out, c.Program+" "+does)
		}
	}
	return strings.Join(out, ", ")
}

// Remark adds to a hook what follows from the order of its chains for those of
// ours that are to stand; verdicts says what one does.
func (h *Host) Remark(hook *Hook, verdicts func(*Chain) Verdicts) {
	for i, c := range hook.Chains {
		if !c.Ours || c.Drift || c.Change == Goes {
			continue
		}
		v := verdicts(c)
		if c.Type != "nat" && v.Accepts && finalInIptables(c.Name) {
			h.notFinal(hook, c, hook.Chains[i+1:])
		}
		if v.Drops {
			h.cutsOff(hook, c, hook.Chains[i+1:])
		}
		h.first(hook, c, hook.Chains[:i])
		h.shares(hook, c)
	}
	ours := func(c *Chain) bool { return c.Ours && c.Change != Goes && c.Type == "nat" }
	for _, group := range hook.Equal() {
		if slices.ContainsFunc(hook.Chains, ours) {
			hook.Remarks = append(hook.Remarks, Remark{Kind: NewestFirst, Others: group, Text: fmt.Sprintf(
				"at priority %d, of %s the one that was made last runs first, and the first that rewrites an address ends the matter",
				group[0].Priority, titles(group))})
		}
	}
}

// finalInIptables tells whether an accept in the table for which a chain of ours
// stands is the last word in iptables too, as far as other tables are not asked: of
// raw and mangle nobody expects it.
func finalInIptables(chain string) bool {
	table, _, _ := strings.Cut(chain, "-")
	return table == "filter" || table == "security"
}

func (h *Host) notFinal(hook *Hook, c *Chain, later []*Chain) {
	var others []*Chain
	var how []string
	for _, o := range later {
		if o.Ours || o.Priority <= c.Priority {
			continue
		}
		if can := h.CanDrop(o); can != "" && o.Type != "nat" {
			others = append(others, o)
			how = append(how, fmt.Sprintf("%s at %d (%s)", o.Title(), o.Priority, can))
		}
	}
	if len(others) > 0 {
		hook.Remarks = append(hook.Remarks, Remark{Kind: NotFinal, Chain: c, Others: others, Text: fmt.Sprintf(
			"an accept in %s is not the last word: later runs %s", c.Name, strings.Join(how, "; "))})
	}
}

func (h *Host) cutsOff(hook *Hook, c *Chain, later []*Chain) {
	var others []*Chain
	for _, o := range later {
		if !o.Ours && o.Priority > c.Priority && (o.Rules != 0 || o.Policy == "drop") {
			others = append(others, o)
		}
	}
	if len(others) > 0 {
		hook.Remarks = append(hook.Remarks, Remark{Kind: CutsOff, Chain: c, Others: others, Text: fmt.Sprintf(
			"what %s drops is not seen by %s", c.Name, titles(others))})
	}
}

func (h *Host) first(hook *Hook, c *Chain, earlier []*Chain) {
	var others []*Chain
	var how []string
	for _, o := range earlier {
		if o.Ours || o.Priority >= c.Priority || o.Program == "" && o.Policy != "drop" {
			continue
		}
		if can := h.CanDrop(o); can != "" {
			others = append(others, o)
			how = append(how, fmt.Sprintf("%s at %d (%s)", o.Title(), o.Priority, can))
		}
	}
	if len(others) > 0 {
		hook.Remarks = append(hook.Remarks, Remark{Kind: First, Chain: c, Others: others, Text: fmt.Sprintf(
			"%s sees only what others let pass: earlier runs %s", c.Name, strings.Join(how, "; "))})
	}
}

func (h *Host) shares(hook *Hook, c *Chain) {
	var others []*Chain
	for _, o := range hook.Chains {
		if !o.Ours && o.Priority == c.Priority {
			others = append(others, o)
		}
	}
	if len(others) > 0 {
		hook.Remarks = append(hook.Remarks, Remark{Kind: Shared, Chain: c, Others: others, Text: fmt.Sprintf(
			"%s has the priority of %s: the one that was made last runs first", c.Name, titles(others))})
	}
}

// titles lists chains with whose they are.
func titles(list []*Chain) string {
	var out []string
	for _, c := range list {
		who := c.Who()
		if who == Iptables {
			out = append(out, c.Title())
			continue
		}
		out = append(out, c.Title()+" ("+who+")")
	}
	return strings.Join(out, ", ")
}

// Who is whose a chain is, in a word or a few: of one of iptables, who has rules in
// it.
func (c *Chain) Who() string {
	switch {
	case c.Drift:
		return "drift in our table"
	case c.Ours:
		return "ours"
	case c.Program == Iptables:
		if users := c.userNames(); users != "" {
			return Iptables + ": " + c.perhaps() + users
		}
		return Iptables
	}
	return cmp.Or(c.Program, "unknown")
}

// perhaps stands in front of who has rules in a chain where only the names of other
// chains tell of it.
func (c *Chain) perhaps() string {
	if c.Unread != "" {
		return "perhaps "
	}
	return ""
}

// Compare makes the timelines of the hooks at which chains of ours stand or will
// stand: those after, with the ones that go at their old places.
func Compare(before, after *Host) []Hook {
	old := map[string]*Chain{}
	for _, c := range before.Chains() {
		if c.Ours {
			old[c.Title()] = c
		}
	}
	chains := after.Chains()
	for _, c := range chains {
		if !c.Ours {
			continue
		}
		was := old[c.Title()]
		delete(old, c.Title())
		switch {
		case was == nil:
			c.Change = Comes
		case was.Hook != c.Hook || was.Type != c.Type:
			c.Change = Comes
			was.Change = Goes
			chains = append(chains, was)
		case was.Priority != c.Priority:
			c.Change, c.Was = Moves, was.Priority
		}
	}
	for _, c := range before.Chains() {
		if was := old[c.Title()]; was != nil && c.Ours {
			was.Change = Goes
			chains = append(chains, was)
		}
	}
	return slices.DeleteFunc(Group(chains), func(h Hook) bool {
		return !slices.ContainsFunc(h.Chains, func(c *Chain) bool { return c.Ours })
	})
}
