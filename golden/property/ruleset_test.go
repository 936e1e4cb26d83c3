package property

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// ruleset is a random ruleset: its text, and what a test must know of it that it
// does not want to ask the compiler.
type ruleset struct {
	*params
	typed    []typed
	users    bool
	name     string
	prefix   string
	families string
	globs    []string
	tables   []*table
	text     string
	// clean tells that the ruleset adopts nothing and that nothing that it owns may
	// stand on the host before.
	clean bool
}

type table struct {
	name    string
	chains  []*chain
	anchors []*anchor
	adopts  []*anchor
	// collects are none in a clean ruleset.
	collects []*collect
}

type chain struct {
	name     string
	families string
	hooks    []string // from which it is reached
	rules    []string // as YAML, lines joined
}

type anchor struct {
	hook, target, key string
	families          string
	goTo              bool
	after, before     []string // chains that are referred to by name
	lines             []string // further keys
	sometimes         bool     // may be left out, or held back
	free              bool     // without bounds
	collapse          bool
}

// newRuleset makes a ruleset and its text.
func newRuleset(d dice, typed []typed, users bool) *ruleset {
	r := &ruleset{params: &params{dice: d}, typed: typed, users: users, clean: d.one(2)}
	r.name = d.pick("site", "node-1", "a", "x9-y", "host-firewall")
	r.prefix = d.pick("HV_", "site-", "Q.", "own:", "a#", "T%_", "zone/")
	r.families = d.pick(both, both, both, both, both, only4, only6)
	if d.one(2) {
		r.globs = []string{r.prefix + "*"}
		if d.one(3) {
			r.globs = append(r.globs, d.pick("unused-*", "gone.*"))
		}
	}
	names := []string{"filter", "nat", "mangle", "raw", "security", "filter", "nat", "mangle"}
	for _, name := range d.some(1+d.IntN(3), names) {
		if !slices.ContainsFunc(r.tables, func(t *table) bool { return t.name == name }) {
			r.tables = append(r.tables, r.newTable(name))
		}
	}
	r.text = r.yaml()
	return r
}

func (r *ruleset) newTable(name string) *table {
	t := &table{name: name}
	for range 1 + r.IntN(4) {
		c := r.chainName(r.prefix)
		if slices.ContainsFunc(t.chains, func(x *chain) bool { return x.name == c }) {
			continue
		}
		t.chains = append(t.chains, &chain{name: c, families: r.families})
	}
	if last := t.chains[len(t.chains)-1]; len(t.chains) > 1 && r.families == both && r.one(4) {
		last.families = r.pick(only4, only6)
	}
	if name == "filter" && !r.clean && r.one(5) {
		t.chains = append(t.chains, &chain{name: given, families: r.families, hooks: ir.BuiltinChains(name)})
		if len(r.globs) > 0 {
			r.globs = append(r.globs, given)
		}
	}
	for range r.IntN(4) {
		t.anchors = append(t.anchors, r.newAnchor(t))
	}
	slices.SortStableFunc(t.anchors, func(a, b *anchor) int { return strings.Compare(a.key, b.key) })
	t.anchors = slices.CompactFunc(t.anchors, func(a, b *anchor) bool { return a.key == b.key })
	if !r.clean && r.one(2) {
		t.adopts = append(t.adopts, r.newAdopt(t))
	}
	for !r.clean && r.one(2) && len(t.collects) < 3 {
		t.collects = append(t.collects, r.newCollect(t))
	}
	// Rules may jump to chains that are declared behind theirs, so that there are no
	// loops; a chain is reached from where the chains before it are reached.
	for i, c := range t.chains {
		pl := place{table: name, hooks: c.hooks, users: r.users}
		for n := range r.IntN(7) {
			var jumps []string
			for _, next := range t.chains[i+1:] {
				if next.families == c.families {
					jumps = append(jumps, next.name)
				}
			}
			c.rules = append(c.rules, r.newRule(c.families, pl, jumps, n))
		}
		for _, next := range t.chains[i+1:] {
			if strings.Contains(strings.Join(c.rules, "\n"), next.name) {
				next.hooks = union(next.hooks, c.hooks)
			}
		}
	}
	return t
}

// given is the chain that Docker gives to its users: a ruleset may fill it, but
// neither the chain nor the jump to it go away with the ruleset.
const given = "DOCKER-USER"

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// newRule is one entry of a chain's rules, as YAML.
func (r *ruleset) newRule(families string, pl place, jumps []string, n int) string {
	if r.one(3) {
		text, own := r.ruleText(families, pl, jumps)
		switch {
		case own == families && r.one(2):
			return text
		case own == families:
			return "{iptables: " + text + "}"
		}
		return "{iptables: " + text + ", families: " + familyList(own) + "}"
	}
	keys := structured(r.params, families, pl, jumps, n)
	if r.one(4) {
		return strings.Join(keys, "\n              ")
	}
	return "{" + strings.Join(keys, ", ") + "}"
}

// foreignChains are chains of others that states have, by table; references and
// adopted jumps name them.
var foreignChains = map[string][]string{
	"filter":   {"cali-INPUT", "cali-FORWARD", "KUBE-FIREWALL", "KUBE-FORWARD", "DOCKER-USER", "DOCKER-FORWARD", "FLANNEL-FWD", "F-one", "f2b-sshd"},
	"nat":      {"cali-PREROUTING", "KUBE-SERVICES", "OVN-PREROUTING", "CNI-HOSTPORT-DNAT", "KUBE-POSTROUTING", "OVN-POSTROUTING", "F-one"},
	"mangle":   {"cali-PREROUTING", "OVN-POSTROUTING", "KUBE-VIP-EGRESS", "F-one", "F-two"},
	"raw":      {"cali-PREROUTING", "cali-OUTPUT", "F-one"},
	"security": {"F-one"},
}

func (r *ruleset) newAnchor(t *table) *anchor {
	c := t.chains[r.IntN(len(t.chains))]
	if c.name == given {
		c = t.chains[0]
	}
	a := &anchor{hook: r.pick(ir.BuiltinChains(t.name)...), target: c.name, families: c.families, goTo: r.one(6)}
	from := []string{a.hook}
	if t.name == "filter" && t.chains[len(t.chains)-1].name != given && r.one(6) {
		a.hook, from, a.sometimes = given, ir.BuiltinChains(t.name), true // held back where there is none
	}
	a.key = a.hook + " " + a.target
	c.hooks = union(c.hooks, from)
	r.bounds(t, a)
	if r.one(3) {
		device := "in"
		if !slices.Contains([]string{"PREROUTING", "INPUT", "FORWARD", given}, a.hook) {
			device = "out"
		}
		a.lines = append(a.lines, "match: "+r.pick("{"+device+": "+r.interfaces()+"}", "{protocol: tcp, dport: "+r.ports()+"}", "{state: [new]}", "{not: {"+device+": lo}}"))
	}
	if r.one(4) {
		a.lines = append(a.lines, "comment: "+r.remarkScalar())
	}
	if r.one(5) {
		a.lines = append(a.lines, "name: "+r.quote("entry "+a.hook))
	}
	if r.one(10) {
		on := r.one(2)
		a.sometimes = a.sometimes || !on
		a.lines = append(a.lines, "when: "+r.declare("bool", fmt.Sprint(on)))
	}
	return a
}

// bounds adds after, before, at and ifMissing.
func (r *ruleset) bounds(t *table, a *anchor) {
	ref := func(into *[]string) string {
		switch r.IntN(5) {
		case 0:
			return r.pick("calico", "kube-proxy", "kube-ovn", "docker", "flannel", "kube-router", "{participant: kubelet}")
		case 1:
			return r.pick(`{comment: "cali:*"}`, "{target: KUBE-*}", "{target: ACCEPT, in: eth*}", `{text: "*-j F-one"}`, "{in: lo}", `{comment: "no such*"}`, `{out: "br-*"}`)
		}
		c := r.pick(foreignChains[t.name]...)
		*into = append(*into, c)
		return "{chain: " + c + "}"
	}
	missing := r.pick("ignore", "ignore", "ignore", "hold", "fail")
	var kinds []string
	switch r.IntN(8) {
	case 0, 1:
		a.lines = append(a.lines, "after: ["+ref(&a.after)+"]")
		kinds = append(kinds, "after")
	case 2:
		a.lines = append(a.lines, "before: ["+ref(&a.before)+"]")
		kinds = append(kinds, "before")
	case 3:
		a.lines = append(a.lines, "after: ["+ref(&a.after)+", "+ref(&a.after)+"]")
		kinds = append(kinds, "after")
	case 4:
		if r.one(3) {
			a.lines = append(a.lines, "after: ["+ref(&a.after)+"]", "before: ["+ref(&a.before)+"]")
			kinds = append(kinds, "both")
		}
	}
	a.free = len(kinds) == 0
	if !a.free {
		a.lines = append(a.lines, "force: true")
		if missing == "fail" && !r.one(10) {
			missing = "ignore"
		}
		if missing != "ignore" || r.one(3) {
			a.sometimes = a.sometimes || missing == "hold"
			a.lines = append(a.lines, "ifMissing: "+missing)
		}
	}
	if r.one(3) {
		a.lines = append(a.lines, "at: "+r.pick("first", "last"))
	}
}

func (r *ruleset) newAdopt(t *table) *anchor {
	others := slices.DeleteFunc(slices.Clone(foreignChains[t.name]), func(s string) bool { return s == given })
	a := &anchor{hook: r.pick(ir.BuiltinChains(t.name)...), target: r.pick(others...), families: r.families, collapse: !r.one(4)}
	if t.name == "nat" && r.one(2) {
		a.hook, a.target = "PREROUTING", "OVN-PREROUTING"
	}
	a.key = a.hook + " " + a.target
	r.bounds(t, a)
	a.lines = slices.DeleteFunc(a.lines, func(s string) bool { return strings.Contains(s, a.target) })
	a.after = slices.DeleteFunc(a.after, func(s string) bool { return s == a.target })
	a.before = slices.DeleteFunc(a.before, func(s string) bool { return s == a.target })
	if !slices.ContainsFunc(a.lines, func(s string) bool { return strings.HasPrefix(s, "after: ") }) {
		a.after = nil
	}
	if !slices.ContainsFunc(a.lines, func(s string) bool { return strings.HasPrefix(s, "before: ") }) {
		a.before = nil
	}
	a.lines = append(a.lines, "duplicates: "+map[bool]string{true: "collapse", false: "keep"}[a.collapse])
	return a
}

// yaml writes the ruleset.
func (r *ruleset) yaml() string {
	var b strings.Builder
	line := func(indent int, format string, args ...any) {
		b.WriteString(strings.Repeat("  ", indent))
		fmt.Fprintf(&b, format+"\n", args...)
	}
	line(0, "apiVersion: hookline/v1")
	line(0, "kind: Ruleset")
	line(0, "metadata: {name: %s, version: 1.0.%d, description: %s}", r.name, r.IntN(9), r.quote(r.remark()))
	line(0, "spec:")
	if r.families != both || r.one(3) {
		line(1, "families: %s", familyList(r.families))
	}
	if len(r.lines) > 0 {
		line(1, "params:")
		for _, p := range r.lines {
			line(2, "%s", p)
		}
	}
	if len(r.globs) > 0 {
		var globs []string
		for _, g := range r.globs {
			globs = append(globs, `"`+g+`"`)
		}
		line(1, "owns: {chains: [%s]}", strings.Join(globs, ", "))
	}
	line(1, "tables:")
	for _, t := range r.tables {
		line(2, "%s:", t.name)
		line(3, "chains:")
		for _, c := range t.chains {
			line(4, "%s:", r.quoted(c.name))
			if c.families != r.families {
				line(5, "families: %s", familyList(c.families))
			}
			if len(c.rules) == 0 {
				line(5, "rules: []")
				continue
			}
			line(5, "rules:")
			for _, x := range c.rules {
				line(6, "- %s", x)
			}
		}
		r.anchors(line, "anchors", t.anchors)
		r.anchors(line, "adopt", t.adopts)
		r.collects(line, t)
	}
	r.constraints(line)
	return b.String()
}

// quoted writes a key.
func (r *ruleset) quoted(s string) string { return `"` + s + `"` }

func (r *ruleset) anchors(line func(int, string, ...any), key string, list []*anchor) {
	if len(list) == 0 {
		return
	}
	line(3, "%s:", key)
	for _, a := range list {
		jump := "jump"
		if a.goTo {
			jump = "goto"
		}
		line(4, "- hook: %s", a.hook)
		line(5, "%s: %s", jump, r.quoted(a.target))
		for _, s := range a.lines {
			line(5, "%s", s)
		}
	}
}

func (r *ruleset) constraints(line func(int, string, ...any)) {
	if !r.one(3) {
		return
	}
	line(1, "constraints:")
	t := r.tables[0]
	hook := r.pick(ir.BuiltinChains(t.name)...)
	for _, f := range familiesOf(r.families) {
		line(2, "- {name: here-%s, that: 'planned.chain(%q, %q, %q).exists && live.chain(%q, %q, %q).policy in [\"ACCEPT\", \"DROP\"]', message: %s}",
			f, f, t.name, hook, f, t.name, hook, r.remarkScalar())
		line(2, "- {name: warns-%s, severity: warning, that: 'planned.chain(%q, %q, %q).count(\"KUBE-SERVICES\") <= 1', message: twice, families: [%s]}",
			f, f, t.name, hook, f)
	}
}

// owned tells whether a chain is the ruleset's, by its own words: a declared
// name, a helper chain of one, or a glob under owns.
func (r *ruleset) owned(name string) bool {
	for _, g := range r.globs {
		if ir.MatchGlob(g, name) {
			return true
		}
	}
	for _, t := range r.tables {
		for _, c := range t.chains {
			head := c.name[:min(19, len(c.name))]
			if c.name == given {
				head = r.name // whose chains Docker would take for its own otherwise
			}
			if c.name == name || strings.HasPrefix(name, head+".") {
				return true
			}
		}
	}
	return false
}
