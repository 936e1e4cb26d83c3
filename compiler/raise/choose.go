package raise

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// taken is a chain name that the ruleset will own, in every table and both
// families: a ruleset owns names.
type taken struct {
	name string
	// because says why a chain that nobody asked for comes along, as a clause; empty
	// for those that were asked for.
	because string
	// places are the tables in which it stands.
	places []ir.ChainKey
	// refused tells that it cannot be taken; that was reported.
	refused bool
}

// index finds chains by name.
func (im *importer) index() {
	im.byName = map[string][]ir.ChainKey{}
	im.chains = map[ir.ChainKey]*ir.Chain{}
	for _, f := range ir.Families {
		for _, name := range ir.TableNames {
			t := im.snap.State.Table(f, name)
			if t == nil {
				continue
			}
			if t.Unreadable != "" {
				im.unreadable = append(im.unreadable, t)
				continue
			}
			for _, c := range t.Chains {
				k := ir.ChainKey{Family: f, Table: name, Chain: c.Name}
				im.chains[k] = c
				if !ir.IsBuiltin(name, c.Name) {
					if im.byName[c.Name] == nil {
						im.names = append(im.names, c.Name)
					}
					im.byName[c.Name] = append(im.byName[c.Name], k)
				}
			}
		}
	}
}

// choose finds the chains that the ruleset will own: those asked for, those that
// they jump to, and those whose names it would own besides. It is false if it is
// not known which they are.
func (im *importer) choose() bool {
	for _, g := range im.opt.Chains {
		im.asked(g)
	}
	if im.diags.HasErrors() || len(im.order) == 0 {
		return false
	}
	for i := 0; i < len(im.order); i++ {
		im.follow(im.order[i])
		if i+1 == len(im.order) {
			im.helpers()
		}
	}
	for _, t := range im.order {
		before := im.diags.Len()
		im.mayTake(t)
		t.refused = im.diags.Len() > before
	}
	return true
}

// asked takes the chains of one glob.
func (im *importer) asked(glob string) {
	found, elsewhere := false, ""
	if !strings.Contains(glob, "*") && im.refusedByName(glob) {
		return
	}
	for _, name := range im.names {
		if !ir.MatchGlob(glob, name) {
			continue
		}
		places := im.byName[name]
		if !slices.ContainsFunc(places, im.looksIn) {
			elsewhere = fmt.Sprintf("%s stands in %s", name, places[0].TableKey())
			continue
		}
		found = true
		im.take(name, "")
	}
	if found {
		return
	}
	d := im.diags.Errorf(diag.UnknownChain, diag.Span{}, "no chain %s stands in %s", quoted(glob), im.where())
	switch near := diag.DidYouMean(glob, im.names); {
	case elsewhere != "":
		d.WithHelp("%s", elsewhere)
	case near != "":
		d.WithHelp("did you mean %s?", near)
	}
	for _, t := range im.unreadable {
		d.Note(diag.Span{}, "%s cannot be read: %s", t.Key(), t.Unreadable)
	}
}

func quoted(glob string) string {
	if strings.Contains(glob, "*") {
		return fmt.Sprintf("%q", glob)
	}
	return glob
}

// refusedByName reports names that no chain of ours can have.
func (im *importer) refusedByName(name string) bool {
	for _, t := range ir.TableNames {
		if ir.IsBuiltin(t, name) {
			im.diags.Errorf(diag.NotImportable, diag.Span{}, "%s is a built-in chain, which all programs share: no ruleset can own it", name).
				WithHelp("move its rules to a chain of your own (iptables -N SITE-%s), jump there from %s, and import that chain", name, name)
			return true
		}
	}
	return false
}

// looksIn tells whether a glob is looked for in a table.
func (im *importer) looksIn(k ir.ChainKey) bool {
	return (len(im.opt.Tables) == 0 || slices.Contains(im.opt.Tables, k.Table)) &&
		(len(im.opt.Families) == 0 || slices.Contains(im.opt.Families, k.Family))
}

// where names the tables that globs are looked for in.
func (im *importer) where() string {
	what := "any table"
	if len(im.opt.Tables) > 0 {
		what = "table " + strings.Join(im.opt.Tables, ", ")
	}
	if len(im.opt.Families) > 0 {
		what += " of " + im.opt.Families[0].String()
	}
	return what
}

// take adds a chain by name.
func (im *importer) take(name, because string) {
	if im.taken[name] != nil {
		return
	}
	t := &taken{name: name, because: because, places: im.byName[name]}
	im.taken[name] = t
	im.order = append(im.order, t)
}

// follow takes the chains that a chain jumps to: a ruleset may only jump to what
// it declares, and to what a program gives to its users.
func (im *importer) follow(t *taken) {
	for _, k := range t.places {
		for _, r := range im.chains[k].Rules {
			to := target(r)
			if to == "" || im.taken[to] != nil {
				continue
			}
			if _, given := im.cat.UserChain(to); given || im.chains[ir.ChainKey{Family: k.Family, Table: k.Table, Chain: to}] == nil {
				continue
			}
			im.take(to, t.name+" jumps to it")
		}
	}
}

// target is the chain that a rule jumps to, or "".
func target(r *ir.Rule) string {
	if r.Native != nil {
		return ""
	}
	return r.JumpTarget()
}

// helpers takes the chains that the ruleset would own for their names: those that
// look like helper chains of one that is taken, and would be removed as stale.
func (im *importer) helpers() {
	heads := map[string]string{}
	for _, t := range im.order {
		head := t.name
		if _, given := im.cat.UserChain(head); given {
			head = im.name
		}
		heads[head[:min(len(head), 19)]+"."] = t.name
	}
	for _, name := range im.names {
		dot := strings.IndexByte(name, '.')
		for dot >= 0 {
			if owner, yes := heads[name[:dot+1]]; yes {
				im.take(name, "its name is that of a helper chain of "+owner)
				break
			}
			next := strings.IndexByte(name[dot+1:], '.')
			if next < 0 {
				break
			}
			dot += 1 + next
		}
	}
}

// mayTake reports why a chain cannot be owned, or notes whose place is taken.
func (im *importer) mayTake(t *taken) {
	at := im.chains[t.places[0]].Span
	why := ""
	if t.because != "" {
		why = " (" + t.because + ")"
	}
	p := dsl.NameProblem(t.name)
	switch {
	case p != "":
	case ir.IsTargetName(t.name):
		p = "is that of a target of iptables"
	case slices.ContainsFunc(ir.TableNames, func(table string) bool { return ir.IsBuiltin(table, t.name) }):
		p = "is that of a built-in chain of another table, and a ruleset owns names in all of them"
	}
	if p != "" {
		im.diags.Errorf(diag.NotImportable, at, "chain %q%s cannot be declared: the name %s", t.name, why, p).
			WithHelp("rename it with iptables -E")
		return
	}
	for _, k := range t.places {
		c := im.chains[k]
		switch {
		case c.Unreadable != "":
			im.diags.Errorf(diag.NotImportable, c.Span, "chain %s%s cannot be read: %s", k, why, c.Unreadable)
		case !c.Read:
			im.diags.Errorf(diag.NotImportable, c.Span, "chain %s%s was not read", k, why)
		case c.HasNative():
			d := im.diags.Errorf(diag.NotImportable, c.Span, "chain %s%s holds native nft rules, which iptables cannot say", k, why)
			for i, r := range c.Rules {
				if r.Native != nil {
					d.Note(r.Origin, "rule %d, handle %d: %s", i+1, r.Native.Handle, r.Native.Expr)
				}
			}
		}
	}
	im.reserved(t, at, why)
	im.otherVariant(t, at)
}

// reserved notes the program whose place the ruleset takes with a name.
func (im *importer) reserved(t *taken, at diag.Span, why string) {
	if _, given := im.cat.UserChain(t.name); given {
		return
	}
	for {
		who, reserved := im.cat.ReservedName(t.name, im.replaces...)
		if !reserved {
			break
		}
		im.replaces = append(im.replaces, who)
	}
	_, mine := im.cat.ReservedName(t.name)
	if sub, by, found := im.cat.ReservedSubstring(t.name); found && !mine {
		im.diags.Errorf(diag.ReservedSubstring, at, "chain %s%s: a name with %q is not safe: %s", t.name, why, sub, by).
			WithHelp("rename it with iptables -E")
	}
}

// otherVariant reports a chain whose name also stands in the other variant's
// tables: nothing can be planned while it does.
func (im *importer) otherVariant(t *taken, at diag.Span) {
	if im.snap.Others == nil {
		return
	}
	for _, table := range im.snap.Others.Tables {
		if !ir.IsBuiltin(table.Name, t.name) && table.Chain(t.name) != nil {
			other := im.snap.Variant.Other()
			im.diags.Errorf(diag.NotImportable, at, "chain %s stands in %s too, in %s: a ruleset owns the name there as well, and cannot be applied to one of them", t.name, other, table.Key()).
				WithHelp("remove it there first, or import from there with --backend %s", other)
			return
		}
	}
}

// owned are the globs of owns.chains: the globs that were asked for if they match
// nothing else, and the names that none of them matches.
func (im *importer) owned() []string {
	var out []string
	for _, g := range im.opt.Chains {
		if !strings.Contains(g, "*") || slices.Contains(out, g) || !im.clean(g) {
			continue
		}
		out = append(out, g)
	}
	globs := ir.NewGlobs(out)
	var names []string
	for _, t := range im.order {
		if !globs.Match(t.name) {
			names = append(names, t.name)
		}
	}
	slices.Sort(names)
	return append(out, names...)
}

// clean tells whether a ruleset can own a glob as it stands: it takes in nothing
// that is not taken, and no name of somebody else's.
func (im *importer) clean(glob string) bool {
	for _, t := range ir.TableNames {
		for _, b := range ir.BuiltinChains(t) {
			if ir.MatchGlob(glob, b) {
				return false
			}
		}
	}
	for _, name := range im.names {
		if im.taken[name] == nil && ir.MatchGlob(glob, name) {
			return false
		}
	}
	_, any := im.cat.ReservedName(glob)
	_, others := im.cat.ReservedName(glob, im.replaces...)
	_, _, killed := im.cat.ReservedSubstring(glob)
	return !others && (any || !killed) && dsl.NameProblem(strings.ReplaceAll(glob, "*", "x")) == "" && !strings.ContainsAny(glob, "?[")
}
