package converge

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// write sends a plan's transaction. It stops the run (true) if the outcome is
// settled; else the next round reads back.
func (a *apply) write(ctx context.Context, plan *compiler.Plan, snap *ir.Snapshot) (stop bool, err error) {
	scripts, err := a.opt.Backend.Render(plan.Transaction)
	if err != nil {
		return true, err
	}
	if err := a.recordIntent(snap); err != nil {
		return true, err
	}
	if a.committed == 0 {
		a.wrote, a.base = snap, plan
	} else {
		a.wrote = a.base.RestoreAlso(a.wrote, plan)
	}
	a.sent, a.last, a.lastBlocks = sent{}, plan, 0
	a.out.Rounds++
	for _, b := range plan.Transaction.Blocks {
		a.tables[ir.TableKey{Family: b.Family, Name: b.Table}] = true
	}
	for _, o := range plan.Transaction.NFT {
		a.tables[compiler.OwnTableKey(o)] = true
	}
	n := 0
	for _, s := range scripts {
		err := a.session.Apply(ctx, s)
		if s.Sets {
			// A restore of sets is no transaction: what stands ahead of a refused line was done.
			var at *backend.ScriptError
			if !errors.As(err, &at) || at.Number != 1 {
				a.committed++
			}
			if err == nil {
				continue
			}
		}
		if err == nil {
			n += commits(s, len(s.Origin)+1)
			a.lastBlocks = n
			continue
		}
		var refused *backend.ScriptError
		if !errors.As(err, &refused) {
			return true, err
		}
		n += commits(s, refused.Number)
		a.lastBlocks = n
		a.committed += n
		return a.refused(ctx, plan, snap.Generation+uint32(n), refused)
	}
	a.committed += n
	a.sent = sent{generation: snap.Generation, commits: n}
	return false, nil
}

// commits counts the blocks of a script whose COMMIT stands ahead of a line,
// counted from 1.
func commits(s backend.Script, line int) int {
	n := 0
	for i := range min(line-1, len(s.Origin)) {
		if i+1 == len(s.Origin) || s.Origin[i].Block != s.Origin[i+1].Block {
			n++
		}
	}
	return n
}

// recordIntent writes down what is going to be applied, before the first commit.
func (a *apply) recordIntent(snap *ir.Snapshot) error {
	if a.opt.Store == nil || a.intent {
		return nil
	}
	a.intent, a.before = true, map[string]*Record{}
	for _, p := range a.opt.Programs {
		for _, old := range a.records {
			if old.Name == p.Name {
				a.before[p.Name] = &old
			}
		}
		if err := a.save(a.record(p, snap, "intent")); err != nil {
			return err
		}
	}
	return nil
}

// refused deals with a line that a tool did not take. A guard means that the host
// changed: the next round reads again, and if the guarded rule still stands, the
// guard itself is what does not work and is dropped (FIELD M-49). Any other line
// is tried once more, because the host may have changed between read and write;
// then what was committed is taken back. A chain of others that cannot be deleted
// although nothing was left in it is no longer so: what was in it and the jumps to
// it are put back at once, for whoever filled it needs them. A rule of a shared
// chain that cannot be deleted because it is gone says the same as a guard. The
// generation is the one that holds if nobody else wrote since the plan was made.
func (a *apply) refused(ctx context.Context, plan *compiler.Plan, generation uint32, e *backend.ScriptError) (stop bool, err error) {
	failure := failureKey(e)
	a.failures[failure]++
	if e.Guard() {
		return false, a.checkGuard(ctx, e)
	}
	if e.Script.Sets {
		return a.refusedSet(ctx, e)
	}
	if chain, _, ok := ruleOf(e, "-X "); ok && plan.Empties(chain) {
		a.out.Diags.Errorf(diag.RaceLost, e.Line().Span, "another program uses a chain again in which nothing was left: %s", e.Message).
			WithHelp("apply again; what was collected was put back")
		return true, a.end(ctx, Moved)
	}
	if gone, err := a.goneAlready(ctx, plan, generation, e); gone || err != nil {
		return false, err
	}
	if a.failures[failure] < 2 {
		return false, nil
	}
	for _, one := range e.Each() {
		a.tellRefused(plan, one)
	}
	if a.committed == 0 {
		return true, a.end(ctx, Refused)
	}
	return true, a.end(ctx, TakenBack)
}

// failureKey tells refusals apart: of the same line for the same reason.
func failureKey(e *backend.ScriptError) string {
	if e.Script.Sets {
		return fmt.Sprintf("sets %d: %s", e.Number, e.Message)
	}
	table := ""
	if l := e.Line(); l != nil {
		table = l.Table
	}
	return fmt.Sprintf("%s %s %d %s: %s", e.Script.Family, table, e.Number, lineOf(e), e.Message)
}

// refusedSet deals with a refused step on a set: what is left half done under a
// temporary name the next round takes away.
func (a *apply) refusedSet(ctx context.Context, e *backend.ScriptError) (stop bool, err error) {
	if a.failures[failureKey(e)] < 2 {
		return false, nil
	}
	at := diag.Span{}
	if l := e.Line(); l != nil {
		at = l.Span
	}
	a.out.Diags.Errorf(diag.ToolRefused, at, "%s refused line %d of its input: %s", e.Tool, e.Number, e.Message)
	if a.committed == 0 {
		return true, a.end(ctx, Refused)
	}
	return true, a.end(ctx, TakenBack)
}

// tellRefused reports a refused line at the YAML that asks for it. The legacy
// tools name only the COMMIT when it is the kernel that refuses: then the rules
// of that table which hold words that hookline passes on unread are shown.
func (a *apply) tellRefused(plan *compiler.Plan, e *backend.ScriptError) {
	l := e.Line()
	if l == nil {
		a.out.Diags.Errorf(diag.ToolRefused, diag.Span{}, "%s refused its input: %s", e.Tool, e.Message)
		return
	}
	if !l.Span.IsZero() || l.Block >= len(plan.Transaction.Blocks) {
		a.out.Diags.Errorf(diag.ToolRefused, l.Span, "%s refused line %d of its input: %s", e.Tool, e.Number, e.Message)
		return
	}
	d := a.out.Diags.Errorf(diag.ToolRefused, diag.Span{}, "%s refused table %s of %s, at line %d of its input: %s",
		e.Tool, l.Table, e.Script.Family, e.Number, e.Message)
	for _, o := range plan.Transaction.Blocks[l.Block].Ops {
		if o.Rule != nil && o.Rule.Spec != nil && !o.Origin.IsZero() && passedOn(o.Rule.Spec) && len(d.Notes) < maxSuspects {
			d.Note(o.Origin, "it may be this rule: -A %s %s", o.Chain, o.Rule.Text)
		}
	}
}

// maxSuspects bounds the rules that are shown for one refused table.
const maxSuspects = 5

// passedOn tells whether a rule holds a match or a target that hookline passes on
// word by word.
func passedOn(s *ir.Spec) bool {
	if _, raw := s.Target.(*ir.RawTarget); raw {
		return true
	}
	return slices.ContainsFunc(s.Matches, func(m ir.Match) bool { _, raw := m.(*ir.RawMatch); return raw })
}

// checkGuard reads again after a guard failed.
func (a *apply) checkGuard(ctx context.Context, e *backend.ScriptError) error {
	key, text, ok := ruleOf(e, "-C ")
	if !ok {
		return nil
	}
	stands, err := a.stands(ctx, key, text)
	if !stands || err != nil {
		return err
	}
	guard := compiler.GuardKey(key, text)
	if a.failures["guard "+guard]++; a.failures["guard "+guard] > 1 {
		a.planOpt.DropGuards[guard] = true
		a.out.Diags.Warnf(diag.GuardDropped, e.Line().Span,
			"the place is not guarded: %s does not find %q in %s, although it stands there", e.Tool, text, key)
	}
	return nil
}

// goneAlready reads again after a line was refused, and tells whether that line
// deletes a rule of which fewer copies stand by now than the plan counted. On
// nf_tables it is enough that anybody wrote: who takes a rule out and puts it back
// in again leaves no other trace.
func (a *apply) goneAlready(ctx context.Context, plan *compiler.Plan, generation uint32, e *backend.ScriptError) (bool, error) {
	key, text, ok := ruleOf(e, "-D ")
	if !ok {
		return false, nil
	}
	now, err := a.read(ctx)
	if errors.Is(err, backend.ErrUnsettled) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if now.Generation != 0 && now.Generation != generation {
		return true, nil
	}
	return copies(now.State, key, text) < copies(plan.Live, key, text), nil
}

// copies counts the rules of one text in a chain; none in one that cannot be read.
func copies(s *ir.State, k ir.ChainKey, text string) int {
	c, err := s.Lookup(k)
	if err != nil || c == nil {
		return 0
	}
	n := 0
	for _, r := range c.Rules {
		if r.Text == text {
			n++
		}
	}
	return n
}

// putBack makes adopted jumps again of which our deletes took the last copy
// (Plan.PutBack), and tells whether there were any. What a tool refuses of it, the
// next round sees.
func (a *apply) putBack(ctx context.Context, snap *ir.Snapshot) (bool, error) {
	if a.last == nil || a.out.Rounds >= rounds {
		return false, nil
	}
	tx := a.last.PutBack(snap.State, a.lastBlocks)
	if tx.Empty() {
		return false, nil
	}
	for _, b := range tx.Blocks {
		for _, o := range b.Ops {
			a.out.Diags.Warnf(diag.RaceLost, diag.Span{}, "%s %s %s: the last copy of an adopted jump went while the others were removed: it is made again: %s",
				b.Family, b.Table, o.Chain, o.Rule.Text)
		}
	}
	scripts, err := a.opt.Backend.Render(tx)
	if err != nil {
		return true, err
	}
	a.sent = sent{}
	a.out.Rounds++
	for _, s := range scripts {
		err := a.session.Apply(ctx, s)
		var refused *backend.ScriptError
		if err != nil && !errors.As(err, &refused) {
			return true, err
		}
		if err == nil {
			a.committed += commits(s, len(s.Origin)+1)
		}
	}
	return true, nil
}

// stands reads again and tells whether a rule stands in a chain. In a chain that
// cannot be read any more, which is the next round's matter, it does not.
func (a *apply) stands(ctx context.Context, key ir.ChainKey, text string) (bool, error) {
	snap, err := a.read(ctx)
	if err != nil {
		return false, err
	}
	c, err := snap.State.Lookup(key)
	if err != nil || c == nil {
		return false, nil //nolint:nilerr // see above
	}
	return slices.ContainsFunc(c.Rules, func(r *ir.Rule) bool { return r.Text == text }), nil
}

// sent is what was written since the last read, for telling whether anybody else
// wrote. It is zero unless all of a plan was committed: what was refused has to
// be sent again, whoever wrote.
type sent struct {
	generation uint32
	commits    int
}

// alone proves that nobody else wrote between the read before our commits and the
// last read: every commit of nf_tables counts one generation (FIELD M-7). Legacy
// tables have no generation, and a writer with another lock file is not kept out
// (M-53): there it cannot be told.
func (a *apply) alone(now *ir.Snapshot) bool {
	return a.sent.generation != 0 && now.Generation == a.sent.generation+uint32(a.sent.commits)
}

// setsStay tells that sets are to be written that were written in the rounds before,
// too: they are not what was predicted, and nobody is at work on them all the time.
// Sets have no generation that would tell it at once.
func (a *apply) setsStay(plan *compiler.Plan) bool {
	return a.out.Rounds >= maxSetRounds && a.last != nil && len(plan.SetChanges) > 0 && len(plan.Transaction.Blocks)+len(plan.Transaction.NFT) == 0 && reflect.DeepEqual(plan.SetChanges, a.last.SetChanges)
}

// maxSetRounds is how often the same sets are written.
const maxSetRounds = 3

// mismatch reports what a plan of the read-back would still change.
func (a *apply) mismatch(plan *compiler.Plan) {
	d := a.out.Diags.Errorf(diag.VerifyMismatch, diag.Span{}, "what was read back is not what was predicted, although nobody else wrote")
	for _, c := range plan.SetChanges {
		d.Note(c.Source, "set %s: %d elements are missing, and %d too many", c.Name, c.Add, c.Remove)
	}
	for _, c := range plan.Changes {
		switch {
		case c.Before == "":
			d.Note(c.Source, "%s: %q is not there", c.Key, c.After)
		case c.After == "":
			d.Note(c.Source, "%s: %q is there", c.Key, c.Before)
		default:
			d.Note(c.Source, "%s: %q is there, not %q", c.Key, c.Before, c.After)
		}
	}
}

// learnSpelling finds rules of ours that a tool printed back with other words in a
// part that we cannot decode, at their own places. They count as applied; the
// user is told the text to paste, and the record keeps it.
func (a *apply) learnSpelling(plan *compiler.Plan, snap *ir.Snapshot) bool {
	if a.wrote == nil {
		return false
	}
	learned := false
	var found []compiler.Spelling
	for _, p := range a.opt.Programs {
		found = append(found, p.Respelled(snap.State)...)
	}
	if snap.Variant == ir.NFT && a.last != nil && a.alone(snap) {
		found = a.last.RespelledNFT(snap.State)
	}
	for _, s := range found {
		key := compiler.RespellKey(s.Family, s.Sent)
		if a.planOpt.Respelled[key] == s.Printed || a.failures["spelling "+key] > 0 {
			continue // a text that is printed in two ways is not learned for ever
		}
		a.failures["spelling "+key]++
		a.planOpt.Respelled[key] = s.Printed
		learned = true
		d := a.out.Diags.Warnf(diag.Respelled, s.Span, "%s prints this rule as %q", printer(snap.Variant), s.Printed)
		if snap.Variant != ir.NFT || !strings.Contains(s.Printed, "(0x") {
			d.WithHelp("paste that text into the ruleset")
		}
	}
	return learned
}

// printer is what shows the rules of a variant.
func printer(v ir.Variant) string {
	if v == ir.NFT {
		return "nft"
	}
	return "iptables"
}

// end settles an outcome that is not done.
func (a *apply) end(ctx context.Context, status Status) error {
	a.out.Status, a.out.Wrote = status, a.committed > 0
	if a.wrote == nil {
		return nil
	}
	return a.takeBack(ctx, status)
}

// comesBack tells that rules of others are to be removed again from tables of ours
// that this apply has removed before: whoever puts them there does so faster than
// we can look. From now on they are left where they are.
func (a *apply) comesBack(plan *compiler.Plan) bool {
	removes := func(p *compiler.Plan) bool {
		return p != nil && slices.ContainsFunc(p.Intrusions, func(x compiler.Intrusion) bool { return x.Removed })
	}
	if a.planOpt.TolerateIntrusions || !removes(a.last) || !removes(plan) {
		return false
	}
	a.planOpt.TolerateIntrusions, a.out.Intruded = true, true
	a.out.Diags.Warnf(diag.Intrusion, diag.Span{}, "another program puts its rules into our tables again as soon as they are removed: they are left there for now")
	return true
}
