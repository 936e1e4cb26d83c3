package compiler

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/check"
	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/place"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// CompileOptions are what a program depends on besides its document.
type CompileOptions struct {
	// Values set params, in rising precedence: values files, a snapshot folder's own
	// values, `--set`.
	Values [][]*dsl.Entry
	// Facts of the host or snapshot; nil if there are none.
	Facts map[string]any
	// WithoutFacts compiles a ruleset that asks for facts although there are none:
	// what depends on them is type-checked and left out.
	WithoutFacts bool
	// Backend and Families override what the ruleset says; empty means no override.
	Backend  string
	Families []ir.Family
	// ReadFile reads a file that a ruleset names, by a name beside the ruleset's own
	// file; nil if there are no files.
	ReadFile func(beside *diag.File, name string) (*diag.File, error)
}

// Compile turns a document into a program. It always returns a program; if the
// list has errors it is not to be used.
func Compile(doc *dsl.Document, opt CompileOptions) (*Program, *diag.List) {
	c := &compilation{
		doc: doc, opt: opt, diags: &diag.List{}, prog: &Program{Span: doc.Span},
		eachType: map[*dsl.ForEach]check.Type{}, eachEnv: map[*dsl.ForEach]*check.Env{},
	}
	c.metadata()
	c.participants()
	if c.params() {
		c.sets()
		c.tables()
		c.constraints()
		c.lint()
	}
	c.diags.OncePerPlace()
	return c.prog, c.diags
}

// compilation is one run of Compile.
type compilation struct {
	doc   *dsl.Document
	opt   CompileOptions
	prog  *Program
	diags *diag.List
	eval  *evaluator
	// decls are the params' types; eachType and eachEnv the variable's type and the
	// environment inside a forEach.
	decls    []check.Param
	eachType map[*dsl.ForEach]check.Type
	eachEnv  map[*dsl.ForEach]*check.Env
	// ruleEnv is the environment of collect's where, made when it is first needed.
	ruleEnv *check.Env
	// valueless tells that a param has no value because its own was refused.
	valueless bool
	// helpers are the names of helper chains that are taken.
	helpers map[string]string
}

func (c *compilation) metadata() {
	p, d := c.prog, c.doc
	p.Name, p.Version, p.Description = literal(d.Name), literal(d.Version), literal(d.Description)
	if d.Name != nil {
		p.Span = d.Name.Span
	}
	p.Backend = "auto"
	if d.Backend != nil {
		p.Backend = literal(d.Backend)
	}
	if c.opt.Backend != "" {
		p.Backend = c.opt.Backend
	}
	p.Counters = literal(d.Counters) != "false"
	p.Intrusions = TolerateIntrusions
	if d.Intrusions != nil {
		p.Intrusions = Intrusions(literal(d.Intrusions))
	}
	p.Families = c.narrow(ir.Families, d.Families)
	if len(c.opt.Families) > 0 {
		p.Narrowed = slices.DeleteFunc(slices.Clone(p.Families), func(f ir.Family) bool { return slices.Contains(c.opt.Families, f) })
		p.Families = slices.DeleteFunc(slices.Clone(p.Families), func(f ir.Family) bool { return !slices.Contains(c.opt.Families, f) })
	}
}

func literal(t *dsl.Text) string {
	if t == nil {
		return ""
	}
	return t.Literal()
}

func literals(list []*dsl.Text) []string {
	var out []string
	for _, t := range list {
		out = append(out, t.Literal())
	}
	return out
}

// narrow keeps the families that a `families` list names; an absent list keeps
// all of them.
func (c *compilation) narrow(from []ir.Family, list []*dsl.Text) []ir.Family {
	if list == nil {
		return from
	}
	var out []ir.Family
	for _, f := range from {
		if slices.ContainsFunc(list, func(t *dsl.Text) bool { return t.Literal() == f.String() }) {
			out = append(out, f)
		}
	}
	return out
}

// participants extends the catalogue and checks the names that the ruleset takes.
func (c *compilation) participants() {
	cat, err := participant.Builtin()
	if err != nil {
		panic(fmt.Sprintf("compiler: the built-in catalogue: %v", err)) // embedded, and tested
	}
	for _, p := range c.doc.Participants {
		e := participant.Entry{
			Name: literal(p.Name), Chains: literals(p.Chains), Comments: literals(p.Comments),
			Sets: literals(p.Sets), NFTTables: literals(p.NFTTables),
		}
		for _, g := range p.Rules {
			e.Rules = append(e.Rules, *ruleGlob(g))
		}
		extended, err := cat.Extend([]participant.Entry{e})
		if err != nil {
			c.diags.Errorf(diag.InvalidValue, p.Span, "participant %s: %v", e.Name, err)
			continue
		}
		cat = extended
		c.prog.Participants = append(c.prog.Participants, e)
	}
	c.prog.Catalogue = cat
	c.names()
}

func ruleGlob(g *dsl.RuleGlob) *participant.RuleGlob {
	return &participant.RuleGlob{
		Comment: literal(g.Comment), Text: literal(g.Text), Target: literal(g.Target),
		In: literal(g.In), Out: literal(g.Out), Set: literal(g.Set),
	}
}

// names fills Owns and refuses names of other programs.
func (c *compilation) names() {
	p, cat := c.prog, c.prog.Catalogue
	if c.doc.Name != nil {
		if sub, why, found := cat.ReservedSubstring(AnchorComment + p.Name); found {
			c.diags.Errorf(diag.ReservedSubstring, c.doc.Name.Span, "a ruleset's name stands in its jumps' comments, and %s", why).
				WithHelp("use a name without %q", sub)
		}
	}
	if o := c.doc.Owns; o != nil {
		for _, r := range o.Replaces {
			if cat.Entry(r.Literal()) == nil {
				d := c.diags.Errorf(diag.UnknownReference, r.Span, "there is no participant %q", r.Literal())
				if s := cat.Suggest(r.Literal()); len(s) > 0 {
					d.WithHelp("did you mean %s?", s[0])
				}
				continue
			}
			p.Owns.Replaces = append(p.Owns.Replaces, r.Literal())
		}
		for _, g := range o.Chains {
			if c.mayOwn(g) {
				p.Owns.Chains = append(p.Owns.Chains, g.Literal())
			}
		}
		for _, g := range o.Sets {
			if who, reserved := cat.ReservedSet(g.Literal()); reserved && !slices.Contains(p.Owns.Replaces, who) {
				c.diags.Errorf(diag.ReservedName, g.Span, "%q takes in sets of %s", g.Literal(), who)
				continue
			}
			if participant.Meet(g.Literal(), setPrefix+"*") {
				c.diags.Errorf(diag.ReservedName, g.Span, "%q takes in sets that hookline fills, %s*, whichever ruleset they are for", g.Literal(), setPrefix)
				continue
			}
			p.Owns.Sets = append(p.Owns.Sets, g.Literal())
			p.setGlobs = append(p.setGlobs, g.Literal())
		}
	}
	var owned *ir.Globs
	if c.doc.Owns != nil {
		owned = ir.NewGlobs(literals(c.doc.Owns.Chains))
	}
	for _, t := range c.doc.Tables {
		for _, ch := range t.Chains {
			name := literal(ch.Name)
			if !c.mayOwn(ch.Name) {
				continue
			}
			if o := c.doc.Owns; o != nil && o.HasChains && !owned.Match(name) {
				c.diags.Errorf(diag.NotOwned, ch.Name.Span, "chain %s is declared, but no entry of owns.chains matches it", name)
			}
			if c.doc.Owns == nil || !c.doc.Owns.HasChains {
				// Also where families or `when` leave the chain out: what stands of it then has
				// to go.
				p.Owns.Chains = append(p.Owns.Chains, name)
			}
			p.Owns.Chains = append(p.Owns.Chains, c.helperPrefix(name)+"*")
		}
	}
	slices.Sort(p.Owns.Chains)
	p.Owns.Chains = slices.Compact(p.Owns.Chains)
	p.owned = ir.NewGlobs(p.Owns.Chains)
	c.killed()
}

// killed warns of names that a ruleset takes over from a program although somebody
// deletes every rule that holds them: the rules go away with those of the program.
// Other names of that kind are refused.
func (c *compilation) killed() {
	o := c.doc.Owns
	if o == nil {
		return
	}
	for _, r := range o.Replaces {
		said := map[string]bool{}
		for _, name := range c.prog.Owns.Chains {
			sub, why, found := c.prog.Catalogue.ReservedSubstring(name)
			if !found || said[sub] || !c.replaces(name, r.Literal()) {
				continue
			}
			said[sub] = true
			c.diags.Warnf(diag.ReservedSubstring, r.Span, "%s keeps the names of %s, and with them what others do to them: %s", c.prog.Name, r.Literal(), why).
				WithHelp("where that program runs no more, choose names without %q; until then expect the rules to be deleted, and apply again", sub)
		}
	}
}

// replaces tells whether a name or glob is a program's that the ruleset replaces.
func (c *compilation) replaces(name, program string) bool {
	others := slices.DeleteFunc(slices.Clone(c.prog.Owns.Replaces), func(s string) bool { return s == program })
	who, reserved := c.prog.Catalogue.ReservedName(name, others...)
	return reserved && who == program
}

// mayOwn tells whether a chain name or glob may be ours, and reports if not.
func (c *compilation) mayOwn(name *dsl.Text) bool {
	s, cat := name.Literal(), c.prog.Catalogue
	for _, t := range ir.TableNames {
		for _, b := range ir.BuiltinChains(t) {
			if s == b || strings.Contains(s, "*") && ir.MatchGlob(s, b) {
				c.diags.Errorf(diag.ReservedName, name.Span, "%q takes in the built-in chain %s", s, b)
				return false
			}
		}
	}
	if ir.IsTargetName(s) {
		c.diags.Errorf(diag.ReservedName, name.Span, "%s is a target of iptables, and no chain can have its name", s)
		return false
	}
	who, reserved := cat.ReservedName(s, c.prog.Owns.Replaces...)
	if _, any := cat.ReservedName(s); any && !reserved {
		return true // the ruleset takes the program's place
	}
	if reserved {
		c.diags.Errorf(diag.ReservedName, name.Span, "%q takes in names of %s", s, who).
			WithHelp("choose another name, or say `replaces: [%s]` under owns if this ruleset takes its place", who)
		return false
	}
	if _, given := cat.UserChain(s); given {
		return true
	}
	if sub, why, found := cat.ReservedSubstring(s); found {
		c.diags.Errorf(diag.ReservedSubstring, name.Span, "a chain name with %q is not safe: %s", sub, why)
		return false
	}
	return true
}

// tables compiles chains, anchors, adopts and collections.
func (c *compilation) tables() {
	tables := slices.Clone(c.doc.Tables)
	slices.SortStableFunc(tables, func(a, b *dsl.Table) int {
		return slices.Index(ir.TableNames, literal(a.Name)) - slices.Index(ir.TableNames, literal(b.Name))
	})
	for _, f := range c.prog.Families {
		for _, t := range tables {
			for _, ch := range t.Chains {
				c.chain(f, literal(t.Name), ch)
			}
		}
	}
	for _, f := range c.prog.Families {
		for _, t := range tables {
			for _, a := range t.Anchors {
				c.anchor(f, literal(t.Name), a, false)
			}
			for _, a := range t.Adopts {
				c.anchor(f, literal(t.Name), a, true)
			}
			for _, x := range t.Collect {
				c.collect(f, literal(t.Name), x)
			}
		}
	}
	c.checkJumps()
	c.checkLoops()
}

// helperPrefix is the beginning of the names of a chain's helper chains: the
// chain's own, or the ruleset's where the chain is one that a program gives to its
// users, whose beginning is the program's.
func (c *compilation) helperPrefix(chain string) string {
	if given(c.prog.Catalogue, chain) {
		chain = c.prog.Name
	}
	return chain[:min(len(chain), 19)] + "."
}

// lint looks at the finished program as a whole.
func (c *compilation) lint() {
	byHook := map[ir.ChainKey][]place.Anchor{}
	var keys []ir.ChainKey
	for _, a := range slices.Concat(c.prog.Anchors, c.prog.Adopts) {
		if byHook[a.Key] == nil {
			keys = append(keys, a.Key)
		}
		byHook[a.Key] = append(byHook[a.Key], place.Anchor{
			Name: a.Name, Span: a.Span, Text: a.Rule.Text, Adopt: a.Adopt, Force: a.Force, At: a.At,
			Participant: adoptedFrom(c.prog.Catalogue, a),
			After:       c.staticRefs(a.After), Before: c.staticRefs(a.Before),
		})
	}
	for _, k := range keys {
		if c.prog.Backend == string(ir.NFT) {
			break // nobody moves a base chain of ours
		}
		c.diags.Append(place.Unstable(c.prog.Catalogue, k, byHook[k]))
	}
	c.neighbourDiscovery()
	c.marks()
	c.killedRules()
}

func adoptedFrom(cat *participant.Catalogue, a *Anchor) string {
	if !a.Adopt {
		return ""
	}
	return cat.ChainOwner(a.Target)
}

// staticRefs are references without a host: who is meant, and nothing more. A
// program whose place the ruleset takes moves nothing any more.
func (c *compilation) staticRefs(refs []Ref) []place.Ref {
	var out []place.Ref
	for _, r := range refs {
		p := place.Ref{Label: r.Label, Span: r.Span, IfMissing: r.IfMissing, Participant: r.Participant, Tail: r.Tail, Chain: r.Chain}
		if r.Chain != "" {
			p.Participant = c.prog.Catalogue.ChainOwner(r.Chain)
		}
		if slices.Contains(c.prog.Owns.Replaces, p.Participant) {
			p.Participant = ""
		}
		out = append(out, p)
	}
	return out
}

// neighbourDiscovery warns of an IPv6 chain at INPUT that drops everything
// without having accepted ICMPv6: neighbour discovery is never ESTABLISHED, and
// without it the host is off the network within a minute (FIELD M-56).
func (c *compilation) neighbourDiscovery() {
	for _, a := range c.prog.Anchors {
		if a.Key.Family != ir.IPv6 || a.Key.Chain != "INPUT" {
			continue
		}
		ch := c.prog.Chain(ir.ChainKey{Family: ir.IPv6, Table: a.Key.Table, Chain: a.Target})
		if ch == nil {
			continue
		}
		for _, r := range ch.Rules {
			s := r.Rule.Spec
			if s == nil {
				continue
			}
			v, _ := s.Target.(*ir.Verdict)
			j, _ := s.Target.(*ir.Jump)
			takes := v != nil && v.Name == "ACCEPT" || j != nil
			if takes && (s.Protocol == nil || !s.Protocol.Not && s.Protocol.Number == protoICMPv6) && !narrow(s) {
				break
			}
			if v != nil && v.Name == "DROP" && s.Protocol == nil && len(s.Comments()) == len(s.Matches) && s.Source == nil && s.Destination == nil && s.In == nil {
				c.diags.Warnf(diag.NeighbourDrop, r.Rule.Origin,
					"%s drops IPv6 neighbour discovery: nothing ahead of this rule accepts icmpv6", a.Target).
					WithHelp("put {match: {protocol: icmpv6}, action: accept} ahead of it")
				break
			}
		}
	}
}

// protoICMPv6 is the protocol number of ICMPv6 (IANA protocol numbers).
const protoICMPv6 = 58

// narrow tells that a rule asks for more than protocol and ICMP type, so that it
// does not let every neighbour solicitation through.
func narrow(s *ir.Spec) bool {
	if s.Source != nil || s.Destination != nil || s.In != nil {
		return true
	}
	for _, m := range s.Matches {
		switch m := m.(type) {
		case *ir.Comment:
		case *ir.ICMP:
			if m.Not || m.Type < 133 || m.Type > 136 {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// killedRules warns of rules that clean-up scripts delete for what stands in their text:
// an accept that goes while the drop behind it stays cuts a host off.
func (c *compilation) killedRules() {
	warn := func(chain string, r *ir.Rule) {
		if sub, why, found := c.prog.Catalogue.KilledRule(r.Text); found {
			c.diags.Warnf(diag.ReservedSubstring, r.Origin, "this rule of %s will not survive with %q in its text: %s", chain, sub, why)
		}
	}
	for _, ch := range c.prog.Chains {
		for _, r := range ch.Rules {
			// A jump to another program's chain is refused for what it is.
			if c.prog.Catalogue.ChainOwner(r.Rule.JumpTarget()) == "" {
				warn(ch.Key.Chain, r.Rule)
			}
		}
	}
	for _, a := range c.prog.Anchors {
		warn(a.Key.Chain, a.Rule)
	}
}

// marks warns of mark bits that another program uses, but not of those of a program
// whose place the ruleset takes.
func (c *compilation) marks() {
	for _, ch := range c.prog.Chains {
		for _, r := range ch.Rules {
			if r.Rule.Spec == nil {
				continue
			}
			m, ok := r.Rule.Spec.Target.(*ir.SetMark)
			if !ok {
				continue
			}
			owners := slices.DeleteFunc(c.prog.Catalogue.MarkOwners(m.Value, m.Mask), func(o participant.MarkOwner) bool {
				return slices.Contains(c.prog.Owns.Replaces, o.Participant)
			})
			if len(owners) == 0 {
				continue
			}
			d := c.diags.Warnf(diag.MarkCollision, r.Rule.Origin, "the mark 0x%x/0x%x touches bits that other programs use", m.Value, m.Mask)
			for _, o := range owners {
				d.Note(diag.Span{}, "%s uses %v/%v", o.Participant, o.Value, o.Mask)
			}
		}
	}
}
