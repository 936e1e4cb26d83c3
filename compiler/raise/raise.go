package raise

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// Options say what is imported.
type Options struct {
	// Chains are names of chains, or globs in which * stands for anything. A glob takes
	// in no built-in chains.
	Chains []string
	// Tables and Families narrow where the globs look; empty means everywhere. The
	// names that they find are taken in all tables and both families.
	Tables   []string
	Families []ir.Family
	// Name is the ruleset's; empty: that on the standing jumps, else made of Chains.
	Name string
	// Schema is the file of the JSON Schema that the first line names.
	Schema string
}

// Reason is why rules stay iptables text, and how many.
type Reason struct {
	Why   string
	Count int
}

// Result is an import.
type Result struct {
	// Text is the ruleset.
	Text string
	// Plan is that of the ruleset against the same snapshot: it changes nothing.
	Plan *compiler.Plan
	// Chains and Along are the names that were asked for, and those that come with
	// them; Anchors and Constraints as written.
	Chains, Along, Anchors, Constraints int
	// Rules of the host in these chains, each family's by itself, and Raw of them,
	// which stay iptables text. TextAnchors are the anchors with such a condition.
	Rules, Raw, TextAnchors int
	// Reasons of Raw and TextAnchors, most frequent first.
	Reasons []Reason
	// Notes are sentences about what was done besides.
	Notes []string
}

// Import makes a ruleset of chains that stand. If the list has errors there is no
// result; the error is a mistake of ours, or a ruleset too large to be read back.
func Import(snap *ir.Snapshot, opt Options) (*Result, *diag.List, error) {
	cat, err := participant.Builtin()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	im := &importer{
		snap: snap, opt: opt, cat: cat, diags: &diag.List{}, res: &Result{}, doc: &dsl.Document{},
		rec: recognize.New(cat, compiler.Fields).State(snap.State), taken: map[string]*taken{}, remarks: map[any][]string{},
		raw: map[string]int{}, used: map[string]bool{},
	}
	im.index()
	im.nameRuleset()
	if im.choose() {
		im.document()
	}
	im.unread()
	im.diags.Sort()
	if im.diags.HasErrors() {
		return nil, im.diags, nil
	}
	im.finish()
	if err := im.proveNothing(); err != nil {
		return nil, im.diags, err
	}
	return im.res, im.diags, nil
}

// importer is one run of Import.
type importer struct {
	snap  *ir.Snapshot
	opt   Options
	cat   *participant.Catalogue
	rec   *recognize.Table
	diags *diag.List
	res   *Result
	doc   *dsl.Document
	name  string

	names      []string // of user-defined chains, as they stand
	byName     map[string][]ir.ChainKey
	chains     map[ir.ChainKey]*ir.Chain
	unreadable []*ir.Table

	taken    map[string]*taken
	order    []*taken
	replaces []string
	families []ir.Family // of the ruleset
	hooked   []*hookViews
	foreign  []call
	raw      map[string]int
	remarks  map[any][]string
	remarked int             // rules with a remark
	used     map[string]bool // names of constraints
}

// call is a jump from a chain of somebody else to one that is taken.
type call struct {
	table, from, to string
	families        []ir.Family
}

// nameRuleset settles the ruleset's name: the one given, that on the jumps to what
// is asked for, or one made of the chains' names.
func (im *importer) nameRuleset() {
	im.name = im.opt.Name
	if im.name != "" {
		if p := dsl.RulesetNameProblem(im.name); p != "" {
			im.diags.Errorf(diag.InvalidName, diag.Span{}, "--name %q %s", im.name, p)
		} else if sub, why, found := im.cat.ReservedSubstring(compiler.AnchorComment + im.name); found {
			im.diags.Errorf(diag.ReservedSubstring, diag.Span{}, "--name %s: a ruleset's name stands in its jumps' comments, and %s", im.name, why).
				WithHelp("use a name without %q", sub)
		}
		return
	}
	globs := ir.NewGlobs(im.opt.Chains)
	found := map[string]bool{}
	for k, c := range im.chains {
		if _, given := im.cat.UserChain(k.Chain); !given && !ir.IsBuiltin(k.Table, k.Chain) {
			continue
		}
		for _, r := range c.Rules {
			if strings.Contains(r.Text, compiler.AnchorComment) && globs.Match(target(r)) {
				found[rulesetOf(xtables.DecodeRule(r, k.Family))] = true
			}
		}
	}
	delete(found, "")
	if len(found) == 1 {
		im.name = slices.Collect(maps.Keys(found))[0]
	} else {
		im.name = im.madeName()
	}
	if dsl.RulesetNameProblem(im.name) != "" {
		im.name = "imported"
	}
}

var noName = regexp.MustCompile(`[^a-z0-9]+`)

// madeName is made of the first chain's name or glob; "imported" if that would not
// be safe.
func (im *importer) madeName() string {
	for _, g := range im.opt.Chains {
		s := strings.Trim(noName.ReplaceAllString(strings.ToLower(g), "-"), "-")
		if s == "" || dsl.RulesetNameProblem(s) != "" {
			continue
		}
		if _, _, killed := im.cat.ReservedSubstring(compiler.AnchorComment + s); !killed {
			return s
		}
	}
	return "imported"
}

// document makes the ruleset.
func (im *importer) document() {
	for _, f := range ir.Families {
		if slices.ContainsFunc(im.order, func(t *taken) bool {
			return slices.ContainsFunc(t.places, func(k ir.ChainKey) bool { return k.Family == f })
		}) {
			im.families = append(im.families, f)
		}
	}
	d := im.doc
	d.Name, d.Version = dsl.NewText(im.name), dsl.NewWord("1.0.0")
	if len(im.families) < len(ir.Families) {
		d.Families = families(im.families)
	}
	d.Owns = im.owns()
	im.calledFrom()
	im.tables()
	im.constraints()
}

// mostNames bounds owns.chains: a longer list would only repeat the names of the
// chains, which are owned without it.
const mostNames = 100

// owns is what the ruleset owns; nil if that need not be said.
func (im *importer) owns() *dsl.Owns {
	o := &dsl.Owns{}
	globs := im.owned()
	// A name with ? or [ in it is no glob: other programs would read it as one.
	noGlob := func(s string) bool { return strings.ContainsAny(s, "?[") }
	if len(globs) <= mostNames && !slices.ContainsFunc(globs, noGlob) {
		o.HasChains = true
		for _, g := range globs {
			o.Chains = append(o.Chains, dsl.NewText(g))
		}
	}
	slices.Sort(im.replaces)
	for _, r := range im.replaces {
		o.Replaces = append(o.Replaces, dsl.NewText(r))
	}
	if !o.HasChains && len(o.Replaces) == 0 {
		return nil
	}
	return o
}

// calledFrom finds the rules of others that jump to what is taken from chains in
// which no anchor can stand.
func (im *importer) calledFrom() {
	at := map[string]int{}
	for _, f := range im.families {
		for _, table := range ir.TableNames {
			t := im.snap.State.Table(f, table)
			if t == nil || t.Unreadable != "" {
				continue
			}
			for _, c := range t.Chains {
				if _, given := im.cat.UserChain(c.Name); given || im.taken[c.Name] != nil || ir.IsBuiltin(table, c.Name) {
					continue
				}
				for _, r := range c.Rules {
					to := target(r)
					if im.taken[to] == nil {
						continue
					}
					key := table + " " + c.Name + " " + to
					n, known := at[key]
					if !known {
						n = len(im.foreign)
						at[key] = n
						im.foreign = append(im.foreign, call{table: table, from: c.Name, to: to})
					}
					if x := &im.foreign[n]; !slices.Contains(x.families, f) {
						x.families = append(x.families, f)
					}
				}
			}
		}
	}
}

// unread says which part of the host could not be looked at.
func (im *importer) unread() {
	for _, t := range im.unreadable {
		im.diags.Warnf(diag.UnreadableTable, diag.Span{}, "table %s cannot be read, and nothing of it is imported: %s", t.Key(), t.Unreadable)
	}
	for _, f := range ir.Families {
		if !slices.Contains(im.snap.State.Families, f) {
			im.diags.Warnf(diag.NotInSnapshot, diag.Span{}, "%s was not read: chains of these names that stand there belong to the ruleset too, and would be removed", f)
		}
	}
}

// finish fills the result.
func (im *importer) finish() {
	r := im.res
	for _, t := range im.order {
		if t.because == "" {
			r.Chains++
		} else {
			r.Along++
		}
	}
	for _, t := range im.doc.Tables {
		r.Anchors += len(t.Anchors)
	}
	r.Constraints = len(im.doc.Constraints)
	for why, n := range im.raw {
		r.Reasons = append(r.Reasons, Reason{why, n})
	}
	slices.SortFunc(r.Reasons, func(a, b Reason) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Why, b.Why)) })
	im.notes()
	r.Text = dsl.Format(im.doc, dsl.FormatOptions{Schema: im.opt.Schema, Head: im.head(), Remarks: im.remarks})
}

// head are the lines in front of the ruleset.
func (im *importer) head() []string {
	from := "a live host"
	if im.snap.Source != "" {
		from = im.snap.Source
	}
	out := []string{
		"Imported from " + from + ". Planned against that, it changes nothing.",
		"It says what stood there at one moment, which need not be what is meant: read it before it goes anywhere else.",
	}
	return append(out, im.res.Notes...)
}

// notes are the sentences that the file and the command say.
func (im *importer) notes() {
	r := im.res
	if r.Along > 0 {
		var names []string
		for _, t := range im.order {
			if t.because != "" && len(names) < 8 {
				names = append(names, t.name)
			}
		}
		more := ""
		if r.Along > len(names) {
			more = fmt.Sprintf(" and %d more", r.Along-len(names))
		}
		r.Notes = append(r.Notes, fmt.Sprintf("Chains that come along, because the others jump to them or their names belong to the ruleset: %s%s.", strings.Join(names, ", "), more))
	}
	if len(im.replaces) > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("The ruleset takes the place of %s: it must not run beside it, or both write these chains.", strings.Join(im.replaces, ", ")))
	}
	for i, c := range im.foreign {
		if i == mostCalls {
			r.Notes = append(r.Notes, fmt.Sprintf("%d more jumps of others to these chains stay as they are.", len(im.foreign)-i))
			break
		}
		r.Notes = append(r.Notes, fmt.Sprintf("%s %s, which is not of this ruleset, jumps to %s; that jump stays as it is.", c.table, c.from, c.to))
	}
	if len(r.Reasons) > 0 {
		var what, why []string
		for _, x := range r.Reasons {
			why = append(why, fmt.Sprintf("%s (%d)", x.Why, x.Count))
		}
		if r.Raw > 0 {
			what = append(what, fmt.Sprintf("%d of %d rules", r.Raw, r.Rules))
		}
		if r.TextAnchors > 0 {
			what = append(what, fmt.Sprintf("the conditions of %d of %d anchors", r.TextAnchors, r.Anchors))
		}
		r.Notes = append(r.Notes, fmt.Sprintf("In iptables text, for want of a structured form: %s. What has none: %s.", strings.Join(what, " and "), strings.Join(why, ", ")))
	}
}

// proveNothing reads the ruleset back and plans it: it must be valid, change
// nothing, and all that it says must hold.
func (im *importer) proveNothing() error {
	if n := len(im.res.Text); n > dsl.ReadLimit {
		return fmt.Errorf("the ruleset would have %d MiB, and one of at most %d MiB can be read: import fewer chains at a time", n>>20, dsl.ReadLimit>>20)
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("the ruleset that was made is not what stands; this is a mistake in hookline: "+format, args...)
	}
	docs, list := dsl.Parse(diag.NewFile("import.yaml", im.res.Text))
	if list.HasErrors() || len(docs) != 1 {
		return wrong("%w", list.Err())
	}
	program, list := compiler.Compile(docs[0], compiler.CompileOptions{})
	if list.HasErrors() {
		return wrong("%w", list.Err())
	}
	plan := compiler.NewPlan([]*compiler.Program{program}, im.snap, compiler.PlanOptions{})
	if plan.Diags.HasErrors() {
		return wrong("%w", plan.Diags.Err())
	}
	if !plan.Empty() && len(plan.Changes) == 0 {
		return wrong("it would change %d sets", len(plan.SetChanges))
	}
	if !plan.Empty() {
		return wrong("it would change %d rules, the first in %s", len(plan.Changes), plan.Changes[0].Key)
	}
	for _, c := range plan.Constraints {
		if !c.Holds && !c.Skipped {
			return wrong("the constraint %s does not hold: %s%s", c.Name, c.Message, c.Error)
		}
	}
	im.res.Plan = plan
	return nil
}
