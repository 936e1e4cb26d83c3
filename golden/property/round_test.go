package property

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// round is one ruleset on one state.
type round struct {
	host     *host
	rules    *ruleset
	recorded bool
	kill     bool // kill the first apply between two commits
	store    *converge.Store
	facts    map[string]any

	programs []*compiler.Program
	texts    []string // what happened, for people
	wrong    []string
	before   map[ir.Family]string
	after    map[ir.Family]string
	refused  string // the code of the finding, if the ruleset was refused
	why      string // the finding
	ops      int
	// collected is how many rules and chains of others went.
	collected int
	rewrote   bool
}

func (r *round) errorf(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// run does the whole round on a host that is loaded.
func (r *round) run() {
	r.before = r.host.read()
	if !r.compile() {
		return
	}
	if r.kill {
		r.dies()
	}
	out := r.apply(converge.Options{})
	if out == nil {
		return
	}
	r.after = r.host.read()
	r.explain("apply", out)
	switch out.Status {
	case converge.Done:
	case converge.Refused, converge.TakenBack:
		r.untouched(out)
		return
	default:
		r.errorf("the apply ended with status %d", out.Status)
		return
	}
	if !r.rewrote {
		r.predicted(out)
	}
	r.foreign(r.after)
	r.standing()
	r.again()
	r.imported()
	r.remove()
}

// compile reads the ruleset; false if it is refused.
func (r *round) compile() bool {
	docs, list := dsl.Parse(diag.NewFile("ruleset.yaml", r.rules.text))
	if !list.HasErrors() {
		for _, d := range docs {
			p, l := compiler.Compile(d, compiler.CompileOptions{Facts: r.facts})
			list.Append(l)
			r.programs = append(r.programs, p)
		}
	}
	r.note("compile", list)
	return !list.HasErrors()
}

func (r *round) note(what string, list *diag.List) {
	for _, d := range list.All() {
		if d.Severity == diag.Error && r.refused == "" {
			r.refused, r.why = string(d.Code), fmt.Sprintf("%s: %s: %q", d.Code, d.Message, d.Span.Text())
		}
	}
	var b bytes.Buffer
	_ = diag.WriteText(&b, list, diag.TextOptions{Excerpts: true})
	r.texts = append(r.texts, "== "+what+"\n"+b.String())
}

func (r *round) explain(what string, out *converge.Outcome) {
	if out.Status != converge.Done {
		r.note(what+": plan", out.Plan.Diags)
		r.note(what+": apply", out.Diags)
	}
	var b bytes.Buffer
	_ = out.Plan.WriteText(&b, compiler.TextOptions{})
	scripts, _ := r.host.backend.Render(out.Plan.Transaction)
	for _, s := range scripts {
		fmt.Fprintf(&b, "# %s\n%s", s.Family, s.Text)
	}
	if out.Final != nil && !out.Final.Empty() {
		b.WriteString("== final\n")
		_ = out.Final.WriteText(&b, compiler.TextOptions{})
	}
	r.texts = append(r.texts, fmt.Sprintf("== %s: status %d, %d rounds\n%s", what, out.Status, out.Rounds, b.String()))
}

// apply brings the host to where the ruleset says.
func (r *round) apply(opt converge.Options) *converge.Outcome {
	opt.Programs, opt.Store = r.programs, r.store
	if opt.Backend == nil {
		opt.Backend = r.host.backend
	}
	out, err := converge.Apply(context.Background(), opt)
	if err != nil {
		r.errorf("the apply failed: %v", err)
		return nil
	}
	return out
}

// dies applies and is killed behind some commit, if there are as many.
func (r *round) dies() {
	m := &mortal{Backend: r.host.backend, commits: r.rules.IntN(3)}
	_, err := converge.Apply(context.Background(), converge.Options{Backend: m, Programs: r.programs, Store: r.store})
	if m.dead != errors.Is(err, errKilled) || err != nil && !m.dead {
		r.errorf("killed %v, but the apply ended with: %v", m.dead, err)
	}
	// What follows is no first apply any more, also if that one came to its end.
	r.rewrote = true
}

// untouched: a refusal has changed nothing.
func (r *round) untouched(out *converge.Outcome) {
	switch {
	case r.refused == "":
		r.errorf("refused without a finding")
	case out.Status != converge.Refused || out.Diags.HasErrors():
		// The rulesets hold nothing that a tool may refuse: that is for the plan to find.
		r.errorf("applied, then taken back: %s", r.why)
	}
	for _, f := range ir.Families {
		want, got := r.lines(r.before[f], nil), r.lines(r.after[f], nil)
		if out.Wrote {
			// What is ours was written again, with new counters, and so was what had been
			// collected.
			gone := r.gone(f, r.before[f])
			ours := func(line string) string {
				collected := slices.ContainsFunc(r.rules.tables, func(t *table) bool { return gone[t.name+" "+bare(line)] })
				if r.rules.owned(chainOf(line)) || r.rules.owned(targetOf(line)) || r.adopted(line) || collected {
					return bare(line)
				}
				return line
			}
			want, got = want.edit(ours), got.edit(ours)
		}
		if r.rewrote {
			return // a killed apply may have left something
		}
		r.same("a refused apply changed the host", f, want, got)
	}
}

// lines is what the tools print, in a form that can be compared. drop leaves
// lines out.
func (r *round) lines(text string, drop func(table, line string) bool) save {
	s := readSave(text)
	if r.host.kind == "legacy" {
		s = s.withoutPolicyCounters()
	}
	return s.filter(func(table, line string) bool { return drop == nil || !drop(table, line) })
}

func (r *round) same(what string, f ir.Family, want, got save) {
	if d := cmp.Diff(want.String(), got.String()); d != "" {
		r.errorf("%s: %s (-want +got):\n%s", f, what, d)
	}
}

// predicted compares what the tools print with what the model said.
func (r *round) predicted(out *converge.Outcome) {
	before, after := r.host.state(r.before), r.host.state(r.after)
	for _, b := range out.Plan.Transaction.Blocks {
		r.ops += len(b.Ops)
	}
	if out.Rounds > 1 {
		r.errorf("the host was written to %d times", out.Rounds)
	}
	if out.Diags.Len() > 0 {
		r.note("findings of applying", out.Diags)
		r.errorf("applying had something to say: %s", out.Diags.All()[0].Message)
	}
	if keys := out.Plan.LeavesForeign(); len(keys) > 0 {
		r.errorf("foreign rules are lost, changed or out of order in %v", keys)
	}
	if err := ir.CheckTransaction(out.Plan.Transaction); err != nil {
		r.errorf("the transaction breaks a promise: %v", err)
	}
	want, err := before.Apply(out.Plan.Transaction)
	if err != nil {
		r.errorf("the transaction does not apply to what the tools print: %v", err)
		return
	}
	same := func(f ir.Family, a, b *ir.Rule) bool { return xtables.Equal(a, b, f) }
	for _, d := range ir.Compare(want, after, ir.CompareOptions{Counters: true, SameRule: same}) {
		if r.host.kind == "legacy" && d.Kind == ir.CountersDiffer && d.Index < 0 {
			continue // docs/decisions/0009
		}
		r.errorf("predicted from all that stood: %v", d)
	}
	for _, d := range ir.Compare(out.Plan.Planned, after, ir.CompareOptions{SameRule: same}) {
		if d.Kind != ir.ChainUnexpected || r.rules.owned(d.Key.Chain) { // the plan did not read all chains
			r.errorf("predicted from what was read: %v", d)
		}
	}
}

// adopted tells whether a line is a jump that the ruleset adopts.
func (r *round) adopted(line string) bool {
	for _, t := range r.rules.tables {
		for _, a := range t.adopts {
			if a.hook == chainOf(line) && a.target == targetOf(line) {
				return true
			}
		}
	}
	return false
}

// ours tells whether a line of a save may change.
func (r *round) ours(table, line string) bool {
	if r.rules.owned(chainOf(line)) {
		return true
	}
	if strings.HasPrefix(line, ":") {
		return false
	}
	if target := targetOf(line); target != given && r.rules.owned(target) {
		return true
	}
	for _, t := range r.rules.tables {
		for _, a := range t.adopts {
			if t.name == table && a.hook == chainOf(line) && a.target == targetOf(line) {
				return true
			}
		}
	}
	return false
}

// foreign: lines of others keep bytes, order and counters.
func (r *round) foreign(now map[ir.Family]string) {
	for _, f := range ir.Families {
		r.collected += len(r.gone(f, r.before[f]))
		r.same("lines of others changed", f, r.staying(f), r.lines(now[f], r.ours))
	}
}

// again plans and applies what stands.
func (r *round) again() {
	before, _ := r.host.glance()
	out := r.apply(converge.Options{})
	if out == nil {
		return
	}
	if out.Status != converge.Done || !out.Plan.Empty() || out.Wrote {
		r.explain("second apply", out)
		r.errorf("the second apply is not empty: status %d, wrote %v", out.Status, out.Wrote)
	}
	if after, _ := r.host.glance(); after != before {
		r.errorf("the second apply made %d commits", after-before)
	}
	if r.host.kind == "legacy" {
		now := r.host.read()
		for _, f := range ir.Families {
			r.same("the second apply changed something", f, readSave(r.after[f]), readSave(now[f]))
		}
	}
}

// remove: what was there before is there again.
func (r *round) remove() {
	out := r.apply(converge.Options{Remove: true})
	if out == nil {
		return
	}
	now := r.host.read()
	if out.Status == converge.Refused && out.Plan.Diags.Has(diag.ForeignReference) && !r.rules.clean {
		for _, f := range ir.Families {
			r.same("a refused remove changed the host", f, r.lines(r.after[f], nil), r.lines(now[f], nil))
		}
		return
	}
	if out.Status != converge.Done {
		r.explain("remove", out)
		r.errorf("remove ended with status %d", out.Status)
		return
	}
	wrong := len(r.wrong)
	for _, f := range ir.Families {
		if r.rules.clean {
			r.same("remove left something else than was there before", f, r.lines(r.before[f], nil), r.lines(now[f], nil))
			continue
		}
		r.same("remove changed lines of others", f, r.staying(f), r.lines(now[f], r.ours))
		left := r.lines(now[f], func(table, line string) bool {
			return !r.ours(table, line) || r.adopted(line) || line == ":"+given+" - [0:0]" || line == ":"+given+" -"
		})
		r.same("remove left something of ours", f, save{}, left)
		// Adopted jumps stay as they are.
		others := func(table, line string) bool { return !r.adopted(line) }
		r.same("remove changed adopted jumps", f, r.lines(r.after[f], others), r.lines(now[f], others))
	}
	if len(r.wrong) > wrong {
		r.explain("remove", out)
	}
}

// keep writes a broken round to a folder and returns its path.
func (r *round) keep(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return dir, err
	}
	files := map[string]string{
		"ruleset.yaml": r.rules.text, "wrong.txt": strings.Join(r.wrong, "\n"), "happened.txt": strings.Join(r.texts, "\n"),
	}
	for _, f := range ir.Families {
		files["before-"+f.String()+".txt"], files["after-"+f.String()+".txt"] = r.before[f], r.after[f]
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

// standing: the declared chains stand, and the jumps stand within their bounds.
func (r *round) standing() {
	for _, f := range familiesOf(r.rules.families) {
		s := readSave(r.after[f])
		for _, t := range r.rules.tables {
			b := s.table(t.name)
			if b == nil {
				b = &block{}
			}
			for _, c := range t.chains {
				stands := slices.ContainsFunc(b.decls, func(line string) bool { return chainOf(line) == c.name })
				if slices.Contains(familiesOf(c.families), f) && !stands {
					r.errorf("%s %s: chain %s does not stand", f, t.name, c.name)
				}
			}
			for _, a := range slices.Concat(t.anchors, t.adopts) {
				if slices.Contains(familiesOf(a.families), f) {
					r.placed(f, t, b, a)
				}
			}
		}
	}
}

// placed checks one anchor or adopted jump.
func (r *round) placed(f ir.Family, t *table, b *block, a *anchor) {
	var at []int
	var rules []string
	for _, line := range b.rules {
		if chainOf(line) == a.hook {
			rules = append(rules, line)
		}
	}
	seen := map[string]bool{}
	adopt := slices.Contains(t.adopts, a)
	for i, line := range rules {
		if targetOf(line) != a.target {
			continue
		}
		at = append(at, i)
		if seen[bare(line)] && (!adopt || a.collapse) {
			r.errorf("%s %s %s: two jumps %q", f, t.name, a.hook, bare(line))
		}
		seen[bare(line)] = true
	}
	if a.sometimes {
		return
	}
	if len(at) == 0 && !adopt {
		r.errorf("%s %s %s: there is no jump to %s", f, t.name, a.hook, a.target)
	}
	for i, line := range rules {
		for _, x := range at {
			if slices.Contains(a.after, targetOf(line)) && i > x || slices.Contains(a.before, targetOf(line)) && i < x {
				r.errorf("%s %s %s: the jump to %s stands on the wrong side of %q", f, t.name, a.hook, a.target, line)
			}
		}
	}
}
