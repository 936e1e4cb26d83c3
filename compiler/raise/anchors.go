package raise

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// view is a shared chain of one family as the planner will see it.
type view struct {
	key   ir.ChainKey
	chain *ir.Chain
	who   []recognize.Attribution
	// ours are the chains that the rules jump to, as far as that is the ruleset's; ""
	// for rules of others.
	ours []string
	// reaches keeps what reach found.
	reaches map[reference][2]int
}

// jump is a jump of ours in a shared chain: with its copies, in one family or both.
type jump struct {
	hook, target string
	isGoto       bool
	// The condition: as a match, or as iptables text if there is no match for it.
	match *dsl.Match
	text  string
	why   string // of text
	// comments are the jump's own, those of ours left out.
	comments []string
	// at are the places of its copies, ascending, by family.
	at map[ir.Family][]int
}

// key is the same for the same jump of both families.
func (j *jump) key() string {
	return fmt.Sprint(j.target, j.isGoto, j.text, ruleKey(&dsl.Rule{Match: j.match}))
}

// anchorsOf makes the anchors of a table, hook by hook, in the order in which the
// jumps stand.
func (im *importer) anchorsOf(t *dsl.Table) {
	table := t.Name.Value
	for _, hook := range im.hooks(table) {
		h := &hookViews{im: im, table: table, hook: hook, views: map[ir.Family]*view{}}
		jumps := map[ir.Family][]*jump{}
		for _, f := range im.families {
			if v := im.view(ir.ChainKey{Family: f, Table: table, Chain: hook}); v != nil {
				h.views[f] = v
				jumps[f] = im.jumps(v)
			}
		}
		for _, j := range mergedJumps(jumps) {
			h.jumps = append(h.jumps, h.apart(j)...)
		}
		if len(h.jumps) == 0 {
			continue
		}
		for _, j := range h.jumps {
			t.Anchors = append(t.Anchors, h.anchor(j))
		}
		im.hooked = append(im.hooked, h)
	}
}

// hooks are the shared chains of a table: the built-in ones, and those that a
// program gives to its users and the ruleset does not take.
func (im *importer) hooks(table string) []string {
	out := slices.Clone(ir.BuiltinChains(table))
	for _, name := range im.names {
		if _, given := im.cat.UserChain(name); !given || im.taken[name] != nil {
			continue
		}
		if slices.ContainsFunc(im.byName[name], func(k ir.ChainKey) bool { return k.Table == table }) {
			out = append(out, name)
		}
	}
	return out
}

// view looks at a shared chain; nil if it is absent or cannot be read.
func (im *importer) view(k ir.ChainKey) *view {
	c := im.chains[k]
	if c == nil {
		return nil
	}
	if !c.Read || c.Unreadable != "" {
		im.diags.Warnf(diag.NotInSnapshot, c.Span, "%s cannot be read: jumps that stand in it are not imported", k)
		return nil
	}
	v := &view{key: k, chain: c, ours: make([]string, len(c.Rules)), reaches: map[reference][2]int{}}
	found := false
	for i, r := range c.Rules {
		if im.ourJump(k.Family, r) {
			v.ours[i], found = target(r), true
		}
	}
	if !found {
		return nil
	}
	v.who = im.rec.Rules(k)
	return v
}

// ourJump tells whether the planner will take a rule of a shared chain for the
// ruleset's: a jump to a chain that it owns. The jump to a chain that a program
// gives to its users is that program's, unless a comment of ours stands on it.
func (im *importer) ourJump(f ir.Family, r *ir.Rule) bool {
	to := target(r)
	if im.taken[to] == nil {
		return false
	}
	_, given := im.cat.UserChain(to)
	return !given || rulesetOf(xtables.DecodeRule(r, f)) != ""
}

// rulesetOf is the ruleset that a rule's comment names, or "".
func rulesetOf(s *ir.Spec) string { return ir.AnchorOf(s.Comments()) }

// jumps finds the jumps of ours in a chain; copies are one jump.
func (im *importer) jumps(v *view) []*jump {
	var out []*jump
	byMeaning := map[string]*jump{}
	for i, r := range v.chain.Rules {
		if v.ours[i] == "" {
			continue
		}
		s := xtables.DecodeRule(r, v.key.Family)
		if name := rulesetOf(s); name != "" && name != im.name {
			im.diags.Errorf(diag.OtherRuleset, r.Origin, "the jump to %s in %s belongs to ruleset %q", v.ours[i], v.key, name).
				WithHelp("import it under that name (--name %s), or remove that ruleset first", name)
			continue
		}
		meaning := xtables.KeyNoComment(s, v.key.Family)
		if j := byMeaning[meaning]; j != nil {
			j.at[v.key.Family] = append(j.at[v.key.Family], i)
			continue
		}
		j, problem := im.jump(v, s)
		if problem != "" {
			im.diags.Errorf(diag.NotImportable, r.Origin, "the jump to %s in %s cannot be written as an anchor: %s", v.ours[i], v.key, problem)
			continue
		}
		j.at = map[ir.Family][]int{v.key.Family: {i}}
		byMeaning[meaning] = j
		out = append(out, j)
	}
	return out
}

// jump turns a jump into what an anchor says.
func (im *importer) jump(v *view, s *ir.Spec) (j *jump, problem string) {
	to, ok := s.Target.(*ir.Jump)
	if !ok {
		return nil, "its target is not read as a chain"
	}
	j = &jump{hook: v.key.Chain, target: to.Chain, isGoto: to.Goto}
	for _, c := range s.Comments() {
		if !strings.HasPrefix(c, compiler.AnchorComment) {
			j.comments = append(j.comments, c)
		}
	}
	bare := *s
	bare.Matches = slices.DeleteFunc(slices.Clone(s.Matches), func(m ir.Match) bool { _, comment := m.(*ir.Comment); return comment })
	rule, why := structured(&bare)
	if rule != nil {
		if ok, why = proven(rule, &bare, v.key); ok {
			j.match = rule.Match
			return j, ""
		}
	}
	bare.Target = nil
	text := xtables.Print(&bare, v.key.Family)
	if ok, p := asText(text, &bare, v.key); !ok {
		return nil, p
	}
	j.text, j.why = text, why
	return j, ""
}

// mergedJumps puts the jumps of both families together: the same jump is one.
func mergedJumps(byFamily map[ir.Family][]*jump) []*jump {
	v4, v6 := byFamily[ir.IPv4], byFamily[ir.IPv6]
	keys := func(list []*jump) []string {
		out := make([]string, len(list))
		for i, j := range list {
			out[i] = j.key()
		}
		return out
	}
	var out []*jump
	for _, s := range supersequence(keys(v4), keys(v6)) {
		switch {
		case s.b < 0:
			out = append(out, v4[s.a])
		case s.a < 0:
			out = append(out, v6[s.b])
		default:
			j := v4[s.a]
			maps.Copy(j.at, v6[s.b].at)
			if len(j.comments) == 0 {
				j.comments = v6[s.b].comments
			}
			out = append(out, j)
		}
	}
	return out
}

// hookViews is a shared chain in the families in which a jump of ours stands in it.
type hookViews struct {
	im          *importer
	table, hook string
	views       map[ir.Family]*view
	jumps       []*jump
	// named are the references that the anchors use, each once.
	named []reference
}

// apart is a jump of both families, or one for each if it stands in places that no
// common bounds can say.
func (h *hookViews) apart(j *jump) []*jump {
	if len(j.at) < 2 {
		return []*jump{j}
	}
	both := &bounds{h: h, j: j}
	var out []*jump
	common := true
	for _, f := range ir.Families {
		one := *j
		one.at = map[ir.Family][]int{f: j.at[f]}
		b := &bounds{h: h, j: &one}
		b.find()
		for _, r := range b.after {
			common = common && both.holds(r, true)
		}
		for _, r := range b.before {
			common = common && both.holds(r, false)
		}
		out = append(out, &one)
	}
	if common {
		return []*jump{j}
	}
	return out
}

// anchor makes the anchor of a jump.
func (h *hookViews) anchor(j *jump) *dsl.Anchor {
	a := &dsl.Anchor{Hook: dsl.NewText(h.hook), Jump: dsl.NewText(j.target), Goto: j.isGoto, Match: j.match}
	if j.text != "" {
		a.Iptables = dsl.NewText(j.text)
		h.im.res.TextAnchors++
		h.im.raw[j.why]++
	}
	var remarks []string
	if len(j.at) < len(h.im.families) && h.im.standsIn(h.table, j.target) > len(j.at) {
		a.Families = families(slices.Sorted(maps.Keys(j.at)))
	}
	for _, f := range ir.Families {
		if k := len(j.at[f]); k > 1 {
			a.Duplicates = dsl.NewWord("keep")
			remarks = append(remarks, fmt.Sprintf("stands %d times in %s; `duplicates: collapse` would leave one", k, f))
		}
	}
	for _, c := range j.comments {
		if sub, _, found := h.im.cat.ReservedSubstring(c); found {
			remarks = append(remarks, fmt.Sprintf("its comment %q is left out: rules with %q in them are deleted by others", c, sub))
		} else if _, bad := commentProblem(c); bad {
			remarks = append(remarks, fmt.Sprintf("its comment %q is left out: no ruleset can hold it", c))
		} else {
			a.Comments = append(a.Comments, dsl.NewText(c))
		}
	}
	b := &bounds{h: h, j: j}
	b.find()
	for _, r := range slices.Concat(b.after, b.before) {
		if r.label() != "" && !slices.Contains(h.named, r) {
			h.named = append(h.named, r)
		}
	}
	a.After, a.Before = b.refs(b.after), b.refs(b.before)
	if b.first {
		a.At = dsl.NewWord("first")
	}
	if remarks = append(remarks, b.remarks...); len(remarks) > 0 {
		h.im.remarks[a] = remarks
	}
	return a
}

// commentProblem tells that lowering refuses a comment.
func commentProblem(c string) (why string, bad bool) {
	_, why = lowered(&dsl.Rule{Comments: []*dsl.Text{dsl.NewText(c)}}, ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"})
	return why, why != "" || c == ""
}

// standsIn is the number of families in which a taken chain stands in a table.
func (im *importer) standsIn(table, chain string) int {
	n := 0
	for _, k := range im.byName[chain] {
		if k.Table == table {
			n++
		}
	}
	return n
}
