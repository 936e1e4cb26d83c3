package converge

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// takeBackTime bounds taking back when the context that ended the apply is over;
// takeBackRounds how often it is tried within that time beside a program that writes
// without a pause.
const (
	takeBackTime   = 30 * time.Second
	takeBackRounds = 10 * rounds
)

// takeBack brings what is ours back to where it was before our first commit, and
// reads back that it is. It works on a context of its own: an apply that was
// interrupted must not leave half of itself behind.
func (a *apply) takeBack(ctx context.Context, status Status) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	a.wantAgain()
	var last error
	for round := range takeBackRounds {
		if round >= rounds && ctx.Err() != nil {
			break
		}
		now, err := a.read(ctx)
		if err != nil {
			last = err
			continue
		}
		restore := a.base.Restore
		if round >= rounds/2 && a.adopts() {
			// Whoever writes adopted jumps changes them faster than they can be put back: they
			// are that program's, and do what they did however they stand.
			restore = a.base.RestoreOwn
			if round == rounds/2 {
				a.out.Diags.Warnf(diag.RaceLost, diag.Span{}, "another program keeps changing adopted jumps: they are left as it has them")
			}
		}
		tx, failed := restore(a.wrote, now)
		if tx.Empty() {
			if len(failed) > 0 {
				byName := func(a, b ir.TableKey) int { return strings.Compare(a.String(), b.String()) }
				last = nil
				for _, k := range slices.SortedFunc(maps.Keys(failed), byName) {
					last = errors.Join(last, failed[k])
				}
				break
			}
			a.out.Status = status
			return a.forget()
		}
		scripts, err := a.opt.Backend.Render(tx)
		if err != nil {
			last = err
			break
		}
		for _, s := range scripts {
			if err := a.session.Apply(ctx, s); err != nil {
				last = err
			}
		}
	}
	a.stuck(ctx, last)
	return nil
}

func (a *apply) adopts() bool {
	return slices.ContainsFunc(a.opt.Programs, func(p *compiler.Program) bool { return len(p.Adopts) > 0 })
}

// wantAgain asks for every chain that was read before our first commit: a shared
// chain that had nothing of ours but jumps which are gone is in no scope any more.
func (a *apply) wantAgain() {
	for _, t := range a.wrote.State.Tables {
		for _, c := range t.Chains {
			if c.Read {
				a.wanted = append(a.wanted, ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name})
			}
		}
	}
}

// forget puts the records back to what they were before the intent.
func (a *apply) forget() error {
	if a.opt.Store == nil || !a.intent {
		return nil
	}
	for _, p := range a.opt.Programs {
		old := a.before[p.Name]
		if old == nil {
			if err := a.opt.Store.Remove(p.Name); err != nil {
				return err
			}
			continue
		}
		if err := a.opt.Store.Save(*old); err != nil {
			return err
		}
	}
	return nil
}

// stuck names each table that was written to as new, old or unknown.
func (a *apply) stuck(ctx context.Context, cause error) {
	a.out.Status = Stuck
	a.out.Tables = map[ir.TableKey]string{}
	if cause == nil {
		cause = errors.New("another program keeps changing it")
	}
	d := a.out.Diags.Errorf(diag.TakeBackFailed, diag.Span{}, "what was committed could not be taken back: %v", cause)
	plan, now, err := a.plan(ctx)
	if err == nil {
		if tx, failed := a.base.Restore(a.wrote, now); failed == nil {
			for _, o := range slices.Concat(tx.SetsBefore, tx.SetsAfter) {
				d.Note(diag.Span{}, "set %s is not as it was", o.Name)
			}
		}
	}
	for k := range a.tables {
		a.out.Tables[k] = "unknown"
		if err != nil {
			continue
		}
		if t := now.State.Table(k.Family, k.Name); t != nil && t.Unreadable != "" {
			continue
		}
		switch {
		case !a.differs(k, now):
			a.out.Tables[k] = "old"
		case !plan.Diags.HasErrors() && !plan.Writes(k):
			a.out.Tables[k] = "new"
		}
	}
}

// differs tells whether taking back still has something to do in a table.
func (a *apply) differs(k ir.TableKey, now *ir.Snapshot) bool {
	tx, failed := a.base.Restore(a.wrote, now)
	if failed[k] != nil {
		return true
	}
	for _, b := range tx.Blocks {
		if b.Family == k.Family && b.Table == k.Name && len(b.Ops) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(tx.NFT, func(o ir.NFTOp) bool { return compiler.OwnTableKey(o) == k })
}

// lineOf is the text of a refused line, "" if the tool named none.
func lineOf(e *backend.ScriptError) string {
	lines := strings.Split(e.Script.Text, "\n")
	if e.Number < 1 || e.Number > len(lines) {
		return ""
	}
	return lines[e.Number-1]
}

// ruleOf is the chain and the rule of a refused line of one command.
func ruleOf(e *backend.ScriptError, command string) (ir.ChainKey, string, bool) {
	rest, ok := strings.CutPrefix(lineOf(e), command)
	if !ok || e.Line() == nil {
		return ir.ChainKey{}, "", false
	}
	chain, text, _ := strings.Cut(rest, " ")
	return ir.ChainKey{Family: e.Script.Family, Table: e.Line().Table, Chain: chain}, text, true
}
