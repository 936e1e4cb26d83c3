package raise

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// raised is one rule of a chain in the language.
type raised struct {
	rule *dsl.Rule
	// key is the rule as text: rules of both families with one key are one rule.
	key string
	// raw says why the rule stays iptables text; empty if it does not.
	raw string
	// counts is the number of rules on the host that it stands for.
	counts int
}

// tables makes the chains of every table, in the order in which they stand.
func (im *importer) tables() {
	for _, name := range ir.TableNames {
		t := &dsl.Table{Name: dsl.NewWord(name)}
		for _, x := range im.inTable(name) {
			if c := im.chain(name, x); c != nil {
				t.Chains = append(t.Chains, c)
			}
		}
		im.anchorsOf(t)
		if len(t.Chains)+len(t.Anchors) > 0 {
			im.doc.Tables = append(im.doc.Tables, t)
		}
	}
}

// inTable are the taken chains of one table, those asked for first.
func (im *importer) inTable(table string) []*taken {
	var out, along []*taken
	for _, t := range im.order {
		if !slices.ContainsFunc(t.places, func(k ir.ChainKey) bool { return k.Table == table }) {
			continue
		}
		if t.because == "" {
			out = append(out, t)
		} else {
			along = append(along, t)
		}
	}
	return append(out, along...)
}

// chain makes one chain of the families in which it stands.
func (im *importer) chain(table string, t *taken) *dsl.Chain {
	lists := map[ir.Family][]raised{}
	var stands []ir.Family
	for _, f := range ir.Families {
		k := ir.ChainKey{Family: f, Table: table, Chain: t.name}
		if c := im.chains[k]; c != nil {
			stands = append(stands, f)
			if !t.refused {
				lists[f] = im.rules(k, c)
			}
		}
	}
	c := &dsl.Chain{Name: dsl.NewText(t.name)}
	var rules []raised
	if len(stands) == len(ir.Families) {
		rules = im.merged(ir.ChainKey{Table: table, Chain: t.name}, lists[ir.IPv4], lists[ir.IPv6])
	} else {
		rules = lists[stands[0]]
		if len(im.families) > 1 {
			c.Families = families(stands)
		}
	}
	for _, r := range rules {
		c.Rules = append(c.Rules, r.rule)
		im.count(r)
	}
	nameRules(c)
	im.remarkRules(t, c)
	im.remarkChain(t, c)
	return c
}

func families(list []ir.Family) []*dsl.Text {
	var out []*dsl.Text
	for _, f := range list {
		out = append(out, dsl.NewWord(f.String()))
	}
	return out
}

// rules turns the rules of a chain into the language's, or reports those that no
// ruleset can hold.
func (im *importer) rules(k ir.ChainKey, c *ir.Chain) []raised {
	out := make([]raised, 0, len(c.Rules))
	for i, r := range c.Rules {
		x, problem := raise(k, r)
		if problem != "" {
			im.diags.Errorf(diag.NotImportable, r.Origin, "rule %d of %s cannot be written in a ruleset: %s", i+1, k, problem)
			continue
		}
		out = append(out, x)
	}
	return out
}

// raise turns one rule into match and action, or keeps its text.
func raise(k ir.ChainKey, r *ir.Rule) (out raised, problem string) {
	s := xtables.DecodeRule(r, k.Family)
	rule, why := structured(s)
	if rule != nil {
		ok := true
		for _, c := range rule.Comments {
			// A comment that cannot be held is told by the text.
			ok = ok && dsl.TextProblem(c.Literal()) == ""
		}
		if ok {
			ok, why = proven(rule, s, k)
		}
		if ok {
			return raised{rule: rule, key: ruleKey(rule), counts: 1}, ""
		}
	}
	if ok, p := asText(r.Text, s, k); !ok {
		return raised{}, p
	}
	rule = &dsl.Rule{String: dsl.NewText(r.Text)}
	return raised{rule: rule, key: ruleKey(rule), raw: why, counts: 1}, ""
}

// isSilent tells whether a structured rule says nothing for a family, and is no
// mistake there, so that it need not be narrowed to the other one.
func isSilent(r *dsl.Rule, k ir.ChainKey) bool {
	res, problem := lowered(r, k)
	return problem == "" && len(res.Rules[k.Family]) == 0 && len(res.Dropped) > 0
}

// merged puts the rules of both families together. k says where they stand, but for
// the family.
func (im *importer) merged(k ir.ChainKey, v4, v6 []raised) []raised {
	keys := func(list []raised) []string {
		out := make([]string, len(list))
		for i, r := range list {
			out[i] = r.key
		}
		return out
	}
	var out []raised
	one := func(r raised, f ir.Family) {
		k.Family = ir.IPv4 + ir.IPv6 - f
		text := r.rule.String
		if text != nil {
			r.rule = &dsl.Rule{Iptables: text}
		}
		if text != nil || !isSilent(r.rule, k) {
			r.rule.Families = families([]ir.Family{f})
		}
		out = append(out, r)
	}
	for _, s := range supersequence(keys(v4), keys(v6)) {
		switch {
		case s.b < 0:
			one(v4[s.a], ir.IPv4)
		case s.a < 0:
			one(v6[s.b], ir.IPv6)
		default:
			r := v4[s.a]
			r.counts = 2
			out = append(out, r)
		}
	}
	return out
}

// count adds a rule to the result's numbers.
func (im *importer) count(r raised) {
	im.res.Rules += r.counts
	if r.raw == "" {
		return
	}
	im.res.Raw += r.counts
	im.raw[r.raw] += r.counts
}

// ruleKey is a rule as text.
func ruleKey(r *dsl.Rule) string {
	if r.String != nil {
		return "text " + r.String.Value
	}
	var b strings.Builder
	if r.Match != nil {
		writeEntries(&b, r.Match.Keys)
		b.WriteString(" not ")
		writeEntries(&b, r.Match.Not)
	}
	if r.Action != nil {
		fmt.Fprintf(&b, " %s ", r.Action.Kind.Value)
		if r.Action.Args != nil {
			writeValue(&b, r.Action.Args)
		}
	}
	for _, c := range r.Comments {
		fmt.Fprintf(&b, " %q", c.Value)
	}
	return b.String()
}

func writeEntries(b *strings.Builder, list []*dsl.Entry) {
	b.WriteByte('{')
	for _, e := range list {
		fmt.Fprintf(b, "%s: ", e.Key.Value)
		writeValue(b, e.Value)
		b.WriteByte(',')
	}
	b.WriteByte('}')
}

func writeValue(b *strings.Builder, v *dsl.Value) {
	switch v.Kind {
	case dsl.Sequence:
		b.WriteByte('[')
		for _, i := range v.Items {
			writeValue(b, i)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	case dsl.Mapping:
		writeEntries(b, v.Entries)
	case dsl.Scalar:
		fmt.Fprintf(b, "%q", v.Text.Value)
	}
}

// goodName is a comment that makes a name: a few plain words.
var goodName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*( [A-Za-z0-9_./-]+){0,5}$`)

// nameRules names the rules whose comment says what they are, and that of no other
// rule in the chain.
func nameRules(c *dsl.Chain) {
	names := map[string]int{}
	slug := func(r *dsl.Rule) string {
		if len(r.Comments) != 1 {
			return ""
		}
		text := r.Comments[0].Literal()
		if len(text) > 40 || !goodName.MatchString(text) {
			return ""
		}
		return strings.ToLower(strings.ReplaceAll(text, " ", "-"))
	}
	for _, r := range c.Rules {
		names[slug(r)]++
	}
	for _, r := range c.Rules {
		if s := slug(r); s != "" && names[s] == 1 && dsl.LocalNameProblem(s) == "" {
			r.Name = dsl.NewText(s)
		}
	}
}

// mostRemarks bounds how many lines of remarks a chain or an import gets.
const mostRemarks = 40

// remarkChain says why a chain came along, and who else jumps to it.
func (im *importer) remarkChain(t *taken, c *dsl.Chain) {
	var lines []string
	if t.because != "" && im.along() <= mostRemarks {
		lines = append(lines, "comes along: "+t.because)
	}
	if who, given := im.cat.UserChain(t.name); given {
		lines = append(lines, who+" gives this chain to its users, and puts the jump to it")
	}
	if len(lines) > 0 {
		im.remarks[c] = lines
	}
}

// remarkRules warns of rules whose comment gets them deleted by somebody, but for
// those of a program whose place is taken: that is said of the whole ruleset.
func (im *importer) remarkRules(t *taken, c *dsl.Chain) {
	if _, mine := im.cat.ReservedName(t.name); mine {
		return
	}
	for _, r := range c.Rules {
		for _, text := range r.Comments {
			if sub, why, found := im.cat.ReservedSubstring(text.Literal()); found && im.remarked < mostRemarks {
				im.remarks[r] = []string{fmt.Sprintf("a comment with %q is not safe: %s", sub, why)}
				im.remarked++
			}
		}
	}
}

// along is the number of chains that nobody asked for.
func (im *importer) along() int {
	n := 0
	for _, t := range im.order {
		if t.because != "" {
			n++
		}
	}
	return n
}
