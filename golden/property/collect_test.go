package property

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// collect is one entry of collect, and what it chooses told by nothing but the
// text of a rule.
type collect struct {
	chain, families string
	where           string
	chooses         func(text string) bool
	dropEmpty       bool
}

// predicates choose rules: as CEL, and by the text behind "-A CHAIN ".
var predicates = []struct {
	where   string
	chooses func(text string) bool
}{
	{`rule.text.startsWith("-s ")`, func(s string) bool { return strings.HasPrefix(s, "-s ") }},
	{`rule.text.contains("-p udp ")`, func(s string) bool { return strings.Contains(s, "-p udp ") }},
	{`rule.target == "RETURN"`, func(s string) bool { return strings.HasSuffix(" "+s, " -j RETURN") }},
	{`rule.text.endsWith("-j ACCEPT") && rule.comment == ""`, func(s string) bool {
		return strings.HasSuffix(s, "-j ACCEPT") && !strings.Contains(s, "--comment")
	}},
	{`rule.text == ""`, func(s string) bool { return s == "" }},
	{`rule.comments.exists(c, c.startsWith("kube"))`, func(s string) bool {
		return strings.Contains(s, `--comment "kube`) || strings.Contains(s, `--comment kube`)
	}},
	{`rule.target in ["KUBE-SERVICES", "OVN-PREROUTING", "F-one", "KUBE-FIREWALL"]`, func(s string) bool {
		return slices.Contains([]string{"KUBE-SERVICES", "OVN-PREROUTING", "F-one", "KUBE-FIREWALL"}, targetOf("-A X "+s))
	}},
	{`true`, func(string) bool { return true }},
}

// newCollect makes an entry for a table. It chooses nothing of ours and no jump
// that the table adopts.
func (r *ruleset) newCollect(t *table) *collect {
	var adopted []string
	for _, a := range t.adopts {
		adopted = append(adopted, a.target)
	}
	barred := func(s string) bool { return s == given || slices.Contains(adopted, s) }
	c := &collect{families: r.families}
	p := predicates[r.IntN(len(predicates))]
	chains := slices.DeleteFunc(slices.Clone(foreignChains[t.name]), barred)
	if r.one(2) || len(chains) == 0 {
		p = predicates[r.IntN(len(predicates)-1)]
		c.chain = r.pick(ir.BuiltinChains(t.name)...)
	} else {
		c.chain, c.dropEmpty = r.pick(chains...), !r.one(3)
		if r.one(2) {
			p = predicates[len(predicates)-1]
		}
	}
	conditions := []string{"!rule.owned", p.where}
	for _, a := range adopted {
		conditions = append(conditions, "rule.target != \""+a+"\"")
	}
	c.where = strings.Join(conditions, " && ")
	c.chooses = func(text string) bool { return p.chooses(text) && !slices.Contains(adopted, targetOf("-A X "+text)) }
	return c
}

// collects writes the entries of a table.
func (r *ruleset) collects(line func(int, string, ...any), t *table) {
	if len(t.collects) == 0 {
		return
	}
	line(3, "collect:")
	for _, c := range t.collects {
		line(4, "- chain: %s", r.quoted(c.chain))
		line(5, "where: '%s'", c.where)
		line(5, "reason: %s", r.quote(r.remark()))
		if c.dropEmpty || r.one(4) {
			line(5, "dropEmpty: %v", c.dropEmpty)
		}
	}
}

// gone are the lines of a save that the ruleset collects, by table and without
// counters: chosen rules, and chains in which nothing is left with the jumps to
// them.
func (r *round) gone(f ir.Family, text string) map[string]bool {
	out := map[string]bool{}
	if !slices.Contains(familiesOf(r.rules.families), f) {
		return out
	}
	s := readSave(text)
	for _, t := range r.rules.tables {
		b := s.table(t.name)
		if b == nil {
			continue
		}
		key := func(line string) string { return t.name + " " + bare(line) }
		for _, c := range t.collects {
			for _, line := range b.rules {
				_, text, _ := strings.Cut(line, "-A "+c.chain)
				if chainOf(line) == c.chain && !r.ours(t.name, line) && c.chooses(strings.TrimPrefix(text, " ")) {
					out[key(line)] = true
				}
			}
		}
		for again := true; again; {
			again = false
			for _, c := range t.collects {
				again = c.dropEmpty && r.empties(b, c.chain, key, out) || again
			}
		}
	}
	return out
}

// empties tells whether a chain stands in which nothing is left, and takes the
// jumps to it along.
func (r *round) empties(b *block, chain string, key func(string) string, out map[string]bool) bool {
	at := slices.IndexFunc(b.decls, func(line string) bool { return chainOf(line) == chain })
	left := slices.ContainsFunc(b.rules, func(line string) bool { return chainOf(line) == chain && !out[key(line)] })
	if at < 0 || left || out[key(b.decls[at])] {
		return false
	}
	out[key(b.decls[at])] = true
	for _, line := range b.rules {
		if targetOf(line) == chain && !r.rules.owned(chainOf(line)) {
			out[key(line)] = true
		}
	}
	return true
}

// staying are the lines of what stood before that are neither ours nor collected.
func (r *round) staying(f ir.Family) save {
	gone := r.gone(f, r.before[f])
	return r.lines(r.before[f], func(table, line string) bool { return r.ours(table, line) || gone[table+" "+bare(line)] })
}
