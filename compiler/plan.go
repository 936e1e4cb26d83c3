package compiler

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/place"
	"hookline/compiler/recognize"
	"hookline/compiler/timeline"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// Plan is what would change on a host, and what the host then holds.
type Plan struct {
	Rulesets []RulesetInfo
	Variant  ir.Variant
	// Source is the name of the recorded snapshot, or empty for a live host.
	Source string
	// Live is the host as read, Planned as predicted; equal if there is nothing to do
	// or if Diags has errors.
	Live, Planned *ir.State
	Transaction   ir.Transaction
	Changes       []Change
	SetChanges    []SetChange
	// Views are the shared chains that the plan touches or places something in.
	Views []ChainView
	// Timelines are the hooks of nftables at which the rulesets have a base chain, or
	// will have.
	Timelines   []timeline.Hook
	Constraints []ConstraintResult
	// Missing are the other programs' rules that the rulesets name and that are not
	// there. Those about which nothing speaks for a loss are not listed.
	Missing []MissingRule
	// Seen are the names that do stand for rules, sorted: what a record keeps, so that
	// a later plan can tell what was lost.
	Seen  []string
	Diags *diag.List
	// Intrusions are the rules of others in tables of ours; nft backend only.
	Intrusions []Intrusion
	// Notes are the sentences that a plan must show about how it is applied.
	Notes []string
	// BaseDigest identifies what the plan rests on.
	BaseDigest string
	// Asked is what constraints asked for outside the snapshot's scope; the plan is
	// final only if it is empty.
	Asked     []ir.ChainKey
	AskedSets []string
	// Owned lists the owned chains that stand or will stand.
	Owned []ir.ChainKey
	// LeftOut are the rulesets' rules that match nothing.
	LeftOut []LeftOut
	// LeftAsIs are the adopted jumps and the rules that collect would remove: what a
	// removal leaves as it is, one sentence each.
	LeftAsIs []string

	// removal tells that nothing of the rulesets is to stand, liveOnly that errors kept
	// constraints on the prediction from being evaluated.
	removal, liveOnly bool

	attributionLive, attributionPlanned *recognize.Table
	owns, ownsSet, ownsTable            func(name string) bool
	// sent are the texts of rules of ours by what they are printed as.
	sent    map[string]string
	shared  func(ir.ChainKey) bool
	ourJump func(ir.Family, *ir.Rule) bool
	// adopted holds "chain key, target" of the jumps whose place the rulesets manage.
	adopted map[string]bool
	// collected are the texts of the rules of others that go, by their chain, emptied
	// the chains of others that go.
	collected map[ir.ChainKey]map[string]bool
	emptied   map[ir.ChainKey]bool
}

// RulesetInfo names a ruleset.
type RulesetInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Applied is the version that the record says stands; empty if there is none.
	Applied string `json:"applied,omitempty"`
}

// Empty tells that the host is as declared: nothing would be written.
func (p *Plan) Empty() bool { return p.Transaction.Empty() }

// NewPlan compares programs with a snapshot. It always returns a plan; where
// Diags has errors its transaction is empty.
func NewPlan(programs []*Program, snap *ir.Snapshot, opt PlanOptions) *Plan {
	pl := &planner{programs: programs, snap: snap, opt: opt}
	pl.plan = &Plan{
		Variant: snap.Variant, Source: snap.Source, Live: snap.State, Planned: snap.State,
		Diags: &diag.List{}, removal: opt.Remove,
	}
	if snap.Variant == ir.NFT {
		pl.runNFT()
	} else {
		pl.run()
	}
	return pl.plan
}

type planner struct {
	programs []*Program
	snap     *ir.Snapshot
	opt      PlanOptions
	plan     *Plan
	cat      *participant.Catalogue
	rec      *recognize.Table
	families []ir.Family
	tables   []*tablePlan
	isOwned  map[string]bool // memo of owned
	// namings are what the rulesets call other programs' rules, in the order of
	// shared chains and then of writing.
	namings  []*naming
	chainsOf map[string]string // memo of chainOf
}

// tablePlan is the work on one table of one family.
type tablePlan struct {
	key  ir.TableKey
	live *ir.Table // nil if absent
	// standing are the chains of live by name.
	standing map[string]*ir.Chain
	wants    []*Chain // declared chains of this table
	stale    []*ir.Chain
	given    []*ir.Chain // chains given to users, no longer declared: emptied
	hooks    []*hookPlan
	// collects choose rules of others; chosen are the rules that go, by chain and
	// index, emptied the chains that go with them.
	collects []*Collect
	chosen   map[string]map[int]chosenRule
	emptied  []emptiedChain
	// foreignRefs are foreign rules that refer to our chains, by our chain.
	foreignRefs map[string][]ruleAt
	ops         []ir.Op
	dropOps     []ir.Op
}

// hookPlan is the work on one shared chain, or on a chain of others from which
// rules are collected.
type hookPlan struct {
	key     ir.ChainKey
	live    *ir.Chain
	anchors []*Anchor
	// sources are the anchors behind input.Anchors, index by index: an adopted target
	// may stand with several different matches.
	sources []*Anchor
	// chosen are the rules of others that go, by index, ascending.
	chosen []int
	input  place.Input
	output place.Output
}

// ruleAt is a rule and where it stands.
type ruleAt struct {
	chain string
	index int
	rule  *ir.Rule
}

func (pl *planner) diags() *diag.List { return pl.plan.Diags }

// introduce says what is planned.
func (pl *planner) introduce() {
	for _, p := range pl.programs {
		info := RulesetInfo{Name: p.Name, Version: p.Version}
		for _, r := range pl.opt.Recorded {
			if r.Name == p.Name {
				info.Applied = r.Version
			}
		}
		pl.plan.Rulesets = append(pl.plan.Rulesets, info)
		for _, n := range p.Notes {
			pl.diags().Add(n)
		}
	}
	pl.plan.ownsTable = func(name string) bool { return pl.rulesetOfTable(name) != nil }
	pl.plan.owns, pl.plan.shared, pl.plan.ourJump = pl.owned, pl.shared, pl.ourJump
	pl.plan.ownsSet = func(name string) bool { owner, _ := pl.setOwner(name); return owner != nil }
}

func (pl *planner) run() {
	pl.introduce()
	pl.chooseFamilies()
	if !pl.opt.Remove {
		for _, p := range pl.programs {
			for _, o := range p.LeftOut {
				if slices.Contains(pl.families, o.Key.Family) {
					pl.plan.LeftOut = append(pl.plan.LeftOut, o)
				}
			}
		}
	}
	if !pl.mergeCatalogues() || !pl.checkOverlap() {
		return
	}
	pl.plan.adopted = map[string]bool{}
	pl.plan.collected, pl.plan.emptied = map[ir.ChainKey]map[string]bool{}, map[ir.ChainKey]bool{}
	for _, p := range pl.programs {
		for _, a := range p.Adopts {
			pl.plan.adopted[a.Key.String()+" "+a.Target] = true
		}
	}
	pl.rec = recognize.New(pl.cat, Fields).State(pl.snap.State)
	pl.plan.attributionLive, pl.plan.attributionPlanned = pl.rec, pl.rec
	pl.checkOtherVariant()
	pl.sets()
	for _, f := range pl.families {
		for _, name := range ir.TableNames {
			pl.table(ir.TableKey{Family: f, Name: name})
		}
	}
	pl.solve()
	pl.write()
	pl.predict()
	pl.hostLint()
	pl.constraints()
	pl.missing()
	pl.views()
	pl.leftAsIs()
	pl.digest()
	if pl.diags().HasErrors() {
		pl.plan.Transaction = ir.Transaction{}
	}
	pl.diags().Sort()
}

// chooseFamilies keeps the families that somebody asked for and that were read.
// Owned objects of the other families are looked at all the same: ownership does
// not depend on a ruleset's families.
func (pl *planner) chooseFamilies() {
	if len(pl.snap.State.Families) == 0 {
		pl.diags().Errorf(diag.NotInSnapshot, diag.Span{}, "%s holds no save of an iptables table: nothing can be planned against it", pl.source()).
			WithHelp("an `nft -j` listing tells what stands in the tables of iptables only together with an iptables-nft-save of the same moment")
		return
	}
	for _, f := range ir.Families {
		if len(pl.opt.Families) > 0 && !slices.Contains(pl.opt.Families, f) {
			continue
		}
		if slices.Contains(pl.snap.State.Families, f) {
			pl.families = append(pl.families, f)
			continue
		}
		for _, p := range pl.programs {
			if slices.Contains(p.Families, f) {
				pl.diags().Warnf(diag.NotInSnapshot, p.Span,
					"%s is left out: the snapshot does not say what stands there", f)
				break
			}
		}
	}
}

// source names the snapshot in a sentence.
func (pl *planner) source() string {
	if pl.snap.Source == "" {
		return "the snapshot"
	}
	return pl.snap.Source
}

func (pl *planner) mergeCatalogues() bool {
	cat, err := participant.Builtin()
	if err != nil {
		pl.diags().Errorf(diag.InvalidValue, diag.Span{}, "the catalogue of participants: %v", err)
		return false
	}
	for _, p := range pl.programs {
		if cat, err = cat.Extend(p.Participants); err != nil {
			pl.diags().Errorf(diag.InvalidValue, p.Span, "the participants: %v", err)
			return false
		}
	}
	pl.cat = cat
	return true
}

// ownerOf finds the program whose chain this is; nil for a foreign chain.
func (pl *planner) ownerOf(chain string) *Program {
	for _, p := range pl.programs {
		if p.OwnsChain(chain) {
			return p
		}
	}
	for _, r := range pl.opt.Recorded {
		if !slices.Contains(r.Declared, chain) {
			continue
		}
		for _, p := range pl.programs {
			if p.Name == r.Name {
				return p
			}
		}
	}
	return nil
}

// owned tells whether a chain name is ours.
func (pl *planner) owned(chain string) bool {
	yes, known := pl.isOwned[chain]
	if !known {
		if pl.isOwned == nil {
			pl.isOwned = map[string]bool{}
		}
		yes = pl.ownerOf(chain) != nil
		pl.isOwned[chain] = yes
	}
	return yes
}

// wanted are the declared chains of a table.
func (pl *planner) wanted(k ir.TableKey) []*Chain {
	if pl.opt.Remove {
		return nil
	}
	var out []*Chain
	for _, p := range pl.programs {
		for _, c := range p.Chains {
			if c.Key.TableKey() == k {
				out = append(out, c)
			}
		}
	}
	return out
}

// placed are the anchors and adopts of a table, by program and as written.
func (pl *planner) placed(k ir.TableKey) []*Anchor {
	if pl.opt.Remove {
		return nil
	}
	var out []*Anchor
	for _, p := range pl.programs {
		for _, a := range p.placed() {
			if a.Key.TableKey() == k {
				out = append(out, a)
			}
		}
	}
	return out
}

// table finds what is ours in a table: chains to write, stale chains, and for each
// shared chain our jumps in it.
func (pl *planner) table(k ir.TableKey) {
	t := &tablePlan{
		key: k, live: pl.snap.State.Table(k.Family, k.Name), wants: pl.wanted(k), collects: pl.collects(k),
		foreignRefs: map[string][]ruleAt{},
	}
	anchors := pl.anchorsHere(pl.placed(k))
	if t.live != nil {
		t.standing = make(map[string]*ir.Chain, len(t.live.Chains))
		for _, c := range t.live.Chains {
			t.standing[c.Name] = c
		}
	}
	needed := len(t.wants) > 0 || len(anchors) > 0 || len(t.collects) > 0
	if t.live != nil && t.live.Unreadable != "" {
		if needed {
			var at diag.Span
			switch {
			case len(t.wants) > 0:
				at = t.wants[0].Span
			case len(anchors) > 0:
				at = anchors[0].Span
			default:
				at = t.collects[0].Span
			}
			d := pl.diags().Errorf(diag.UnreadableTable, at, "table %s of %s cannot be read: %s", k.Name, k.Family, t.live.Unreadable).
				WithHelp("%s", unreadableHelp(k))
			pl.noteNatives(d, pl.tableNatives(k))
		} else {
			d := pl.diags().Warnf(diag.UnreadableTable, diag.Span{}, "table %s of %s cannot be read, and nothing is planned in it: %s", k.Name, k.Family, t.live.Unreadable)
			pl.noteNatives(d, pl.tableNatives(k))
		}
		return
	}
	if t.live != nil {
		pl.findOwned(t)
		pl.choose(t)
		pl.noteCollected(t)
	}
	pl.findHooks(t, anchors)
	if needed || len(t.stale) > 0 || len(t.given) > 0 || len(t.hooks) > 0 {
		pl.tables = append(pl.tables, t)
	}
}

// findOwned lists the owned chains that stand and are not declared.
func (pl *planner) findOwned(t *tablePlan) {
	wanted := map[string]bool{}
	for _, c := range t.wants {
		wanted[c.Key.Chain] = true
	}
	for _, c := range t.live.Chains {
		if ir.IsBuiltin(t.key.Name, c.Name) || !pl.owned(c.Name) {
			continue
		}
		pl.plan.Owned = append(pl.plan.Owned, ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: c.Name})
		if wanted[c.Name] {
			continue
		}
		if given(pl.cat, c.Name) {
			if len(c.Rules) > 0 {
				t.given = append(t.given, c)
			}
			continue
		}
		t.stale = append(t.stale, c)
	}
}

// shared tells whether a chain is one in which every jump to an owned chain is
// ours: a built-in chain, or one that a program gives to its users. Anchors stand
// in no others.
func (pl *planner) shared(k ir.ChainKey) bool {
	return ir.IsBuiltin(k.Table, k.Chain) || given(pl.cat, k.Chain)
}

// ourJump tells whether a rule of a shared chain is ours: a jump to an owned
// chain. The jump to a chain that a program gives to its users is that program's,
// whoever fills the chain, unless our comment stands on it.
func (pl *planner) ourJump(f ir.Family, r *ir.Rule) bool {
	target := ruleTarget(r)
	if target == "" || !pl.owned(target) {
		return false
	}
	return !given(pl.cat, target) || rulesetOf(xtables.DecodeRule(r, f)) != ""
}

// findHooks makes a hookPlan for each shared chain in which an anchor is wanted
// or a jump of ours stands, and for each chain from which rules of others go. It
// takes note of foreign references.
func (pl *planner) findHooks(t *tablePlan, anchors []*Anchor) {
	// order are the names of the shared chains; there can be tens of thousands of
	// others.
	order := slices.Clone(ir.BuiltinChains(t.key.Name))
	if t.live != nil {
		for _, c := range t.live.Chains {
			k := ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: c.Name}
			switch {
			case ir.IsBuiltin(k.Table, k.Chain) || pl.owned(c.Name):
			case pl.shared(k):
				order = append(order, c.Name)
			case c.Read && c.Unreadable == "":
				pl.foreignRefs(t, k, c)
				if len(t.chosen[c.Name]) > 0 || t.empties(c.Name) {
					order = append(order, c.Name)
				}
			}
		}
	}
	for _, a := range anchors {
		if !slices.Contains(order, a.Key.Chain) {
			order = append(order, a.Key.Chain)
		}
	}
	for _, name := range order {
		k := ir.ChainKey{Family: t.key.Family, Table: t.key.Name, Chain: name}
		h := &hookPlan{key: k}
		for _, a := range anchors {
			if a.Key == k {
				h.anchors = append(h.anchors, a)
			}
		}
		live, err := pl.snap.State.Lookup(k)
		if err != nil {
			pl.unreadHook(t, h, err)
			continue
		}
		h.live = live
		if live == nil {
			for _, a := range h.anchors {
				pl.diags().Warnf(diag.Held, a.Span, "chain %s does not stand yet: the jump to %s is held back", k, a.Target)
			}
			continue
		}
		if pl.hook(t, h) {
			t.hooks = append(t.hooks, h)
		}
	}
}

// unreadHook reports that a shared chain in which anchors are wanted was not read.
func (pl *planner) unreadHook(t *tablePlan, h *hookPlan, err error) {
	if len(h.anchors) == 0 {
		return
	}
	c := t.live.Chain(h.key.Chain)
	if t.live == nil || c == nil || c.Unreadable == "" {
		pl.diags().Errorf(diag.NotInSnapshot, h.anchors[0].Span, "%v", err)
		return
	}
	d := pl.diags().Errorf(diag.UnreadableTable, h.anchors[0].Span, "chain %s of table %s of %s cannot be read: %s",
		h.key.Chain, h.key.Table, h.key.Family, c.Unreadable)
	if natives := pl.rec.NativesIn(h.key); len(natives) > 0 {
		d.WithHelp("%s", unreadableHelp(h.key.TableKey()))
		pl.noteNatives(d, natives)
	}
}

// foreignRefs notes the rules of a foreign chain that refer to ours and stay.
func (pl *planner) foreignRefs(t *tablePlan, k ir.ChainKey, c *ir.Chain) {
	for i, r := range c.Rules {
		_, goes := t.chosen[c.Name][i]
		if target := ruleTarget(r); target != "" && !goes && pl.owned(target) {
			t.foreignRefs[target] = append(t.foreignRefs[target], ruleAt{k.Chain, i, r})
		}
	}
}

// given tells whether a program gives a chain of this name to its users.
func given(cat *participant.Catalogue, chain string) bool {
	_, yes := cat.UserChain(chain)
	return yes
}
