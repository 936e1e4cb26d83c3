package converge

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// Options say what to bring a host to.
type Options struct {
	Backend  backend.Backend
	Programs []*compiler.Program
	// Families limits the work; empty means both.
	Families []ir.Family
	// Remove takes away everything owned.
	Remove bool
	// Store is the record of this host; nil means that there is none.
	Store *Store
	// Boot tells one run of the machine from the next: what was seen of other
	// programs' rules is remembered only within it. Empty: not at all.
	Boot string
	// BaseDigest refuses a host on which a plan would rest on something else; empty
	// means any.
	BaseDigest string
	// Expected tells whether a plan is the one that was agreed to; nil means that any
	// is. What is not as expected is refused as a host that moved on.
	Expected func(*compiler.Plan) bool
	// Wait is how long placements that do not hold are tried again.
	Wait time.Duration
	// Pause waits between two tries; nil means real time. Tests pass their own.
	Pause func(context.Context, time.Duration) error
}

// rounds bounds the tries of one apply: a host on which somebody writes without
// a pause is given back as it was.
const rounds = 10

// widenings bounds how often a plan is made again because a constraint asked for
// a chain that was not read; after it everything is read.
const widenings = 4

// Plan reads the host and plans. It writes nothing.
func Plan(ctx context.Context, opt Options) (*compiler.Plan, error) {
	e, err := open(ctx, opt)
	if err != nil {
		return nil, err
	}
	plan, _, err := e.plan(ctx)
	return plan, errors.Join(err, e.session.Close())
}

// engine is one session with a host.
type engine struct {
	opt     Options
	session backend.Session
	records []Record
	planOpt compiler.PlanOptions
	// wanted are chains that constraints asked for in earlier rounds.
	wanted []ir.ChainKey
	sets   []string
	all    bool
}

func open(ctx context.Context, opt Options) (*engine, error) {
	e := &engine{opt: opt}
	if e.opt.Pause == nil {
		e.opt.Pause = pause
	}
	if opt.Store != nil {
		records, err := opt.Store.Load()
		if err != nil {
			return nil, err
		}
		e.records = records
	}
	e.planOpt = compiler.PlanOptions{
		Recorded: recorded(e.records, opt.Boot), Remove: opt.Remove, Families: opt.Families,
		DropGuards: map[string]bool{}, Respelled: map[string]string{},
	}
	session, err := opt.Backend.Session(ctx)
	if err != nil {
		return nil, err
	}
	e.session = session
	return e, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// read reads what the programs need, and what was asked for besides until now.
func (e *engine) read(ctx context.Context) (*ir.Snapshot, error) {
	return e.session.Snapshot(ctx, e.scope())
}

// plan reads what the programs need, and then what their constraints ask for,
// until nothing is asked any more.
func (e *engine) plan(ctx context.Context) (*compiler.Plan, *ir.Snapshot, error) {
	for round := 0; ; round++ {
		snap, err := e.read(ctx)
		if err != nil {
			return nil, nil, err
		}
		for k, v := range respelled(e.records, toolOf(snap)) {
			if _, learned := e.planOpt.Respelled[k]; !learned {
				e.planOpt.Respelled[k] = v
			}
		}
		plan := compiler.NewPlan(e.opt.Programs, snap, e.planOpt)
		plan.Notes = append(plan.Notes, e.session.Notes()...)
		e.stateLost(plan)
		if len(plan.Asked)+len(plan.AskedSets) == 0 {
			return plan, snap, nil
		}
		if e.all {
			for _, k := range plan.Asked {
				plan.Diags.Errorf(diag.Unknowable, diag.Span{}, "a constraint asks for %s, which cannot be read", k)
			}
			for _, name := range plan.AskedSets {
				plan.Diags.Errorf(diag.Unknowable, diag.Span{}, "a constraint asks for the set %s, and which sets stand cannot be read", name)
			}
			plan.Transaction = ir.Transaction{}
			return plan, snap, nil
		}
		e.wanted = append(e.wanted, plan.Asked...)
		e.sets = append(e.sets, plan.AskedSets...)
		e.all = round+1 >= widenings
	}
}

func (e *engine) scope() ir.Scope {
	if e.all {
		return ir.Scope{Families: e.opt.Families, All: true, AllSets: true, Own: compiler.OwnTables(e.opt.Programs)}
	}
	s := compiler.Scope(e.opt.Programs, e.planOpt)
	if e.opt.Backend.Variant() == ir.NFT {
		s = compiler.NFTScope(e.opt.Programs, e.planOpt)
	}
	s.AllSets = len(e.sets) > 0
	for _, k := range e.wanted {
		if k.Chain == "" {
			s.WantAll(k.TableKey())
		} else {
			s.Want(k)
		}
	}
	return s
}

// toolOf is the name and version of the tool that printed a snapshot's rules.
func toolOf(snap *ir.Snapshot) string {
	return string(snap.Variant) + " " + snap.Tools[string(snap.Variant)]
}

// stateLost warns that chains of ours stand of which nothing is recorded.
func (e *engine) stateLost(plan *compiler.Plan) {
	if e.opt.Store == nil || len(plan.Owned) == 0 {
		return
	}
	for _, p := range e.opt.Programs {
		if slices.ContainsFunc(e.records, func(r Record) bool { return r.Name == p.Name }) {
			continue
		}
		if slices.ContainsFunc(plan.Owned, func(k ir.ChainKey) bool { return p.Owns.Chain(k.Chain) || p.Chain(k) != nil }) {
			plan.Diags.Warnf(diag.StateLost, p.Span,
				"chains of %s stand, but nothing is recorded of it: chains that earlier versions declared and owns.chains does not match are not found", p.Name)
		}
	}
}

// Status says how an apply ended.
type Status uint8

// The ends of an apply, each with its exit code in CONTRACT 6.
const (
	// Done: the host is as declared, and was read back to be.
	Done Status = iota
	// Refused: the plan has errors; nothing of ours was written, or all was taken back.
	Refused
	// Moved: the host changed under us; nothing of ours stands.
	Moved
	// TakenBack: a commit failed or what was read back was wrong; nothing of ours
	// stands.
	TakenBack
	// Stuck: something could not be taken back; Outcome.Tables names each table.
	Stuck
)

// Outcome is the end of an apply.
type Outcome struct {
	Status Status
	// Plan is the first plan: what was to be done; nil if the host could not be read.
	// Final is the plan of what was read back; of a Done outcome it is empty. Nil if
	// nothing was read back.
	Plan, Final *compiler.Plan
	// Wrote tells that at least one commit was made, Rounds how often the host was
	// written to.
	Wrote  bool
	Rounds int
	// Diags are findings of applying, besides those of the plans.
	Diags *diag.List
	// Intruded tells of a Done outcome that rules of others, which were to be removed from
	// tables of ours, came again and were left there.
	Intruded bool
	// Tables tells of a Stuck outcome what each table holds: "new", "old" or
	// "unknown".
	Tables map[ir.TableKey]string
}

// Apply brings the host to where the programs say, and proves it.
func Apply(ctx context.Context, opt Options) (out *Outcome, err error) {
	if opt.Store != nil {
		release, locked := opt.Store.Lock(ctx)
		if locked != nil {
			return &Outcome{Status: Refused, Diags: &diag.List{}}, locked
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	e, err := open(ctx, opt)
	if err != nil {
		return &Outcome{Status: Refused, Diags: &diag.List{}}, err
	}
	defer func() { err = errors.Join(err, e.session.Close()) }()
	a := &apply{engine: e, out: &Outcome{Diags: &diag.List{}}, failures: map[string]int{}, tables: map[ir.TableKey]bool{}}
	if err := a.guarded(ctx); err != nil {
		if a.wrote == nil {
			return a.out, errors.Join(err, a.forget())
		}
		// The machine failed between our commits: what stands is taken back.
		a.out.Wrote = true
		if back := a.takeBack(ctx, TakenBack); back != nil {
			return a.out, errors.Join(err, back)
		}
		return a.out, err
	}
	return a.out, nil
}

// guarded is run, which makes an error of a broken invariant: what was committed
// until then has to be taken back all the same.
func (a *apply) guarded(ctx context.Context) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("a mistake in the program: %v\n%s", broken, debug.Stack())
		}
	}()
	return a.run(ctx)
}

// apply is one run of Apply.
type apply struct {
	*engine
	out *Outcome
	// wrote is the host before our first commit; nil as long as nothing was written.
	wrote *ir.Snapshot
	// base is the plan that was made of wrote, last the one that was written last, of
	// which the first lastBlocks blocks were committed.
	base, last *compiler.Plan
	lastBlocks int
	// tables are those that were sent something.
	tables map[ir.TableKey]bool
	// failures counts refused lines, by text: one that is refused twice will be
	// refused always.
	failures map[string]int
	waited   time.Duration
	sent     sent
	// committed counts our commits of all rounds.
	committed int
	// intent tells that records of intent were written; before are the records as
	// they were ahead of that.
	intent bool
	before map[string]*Record
}

func (a *apply) run(ctx context.Context) error {
	for {
		plan, snap, err := a.plan(ctx)
		if errors.Is(err, backend.ErrUnsettled) {
			a.out.Diags.Errorf(diag.RaceLost, diag.Span{}, "%v", err)
			return a.end(ctx, Moved)
		}
		if err != nil {
			return err
		}
		if a.out.Plan == nil {
			a.out.Plan = plan
		}
		if a.wrote != nil {
			a.out.Final = plan
			if back, err := a.putBack(ctx, snap); err != nil {
				return err
			} else if back {
				continue
			}
		}
		switch {
		case plan.Diags.HasErrors():
			if a.waits(plan) {
				if err := a.wait(ctx); err != nil {
					return err
				}
				continue
			}
			return a.end(ctx, Refused)
		case a.committed == 0 && a.moved(plan):
			return a.end(ctx, Moved)
		case plan.Empty():
			return a.done(plan, snap)
		case a.learnSpelling(plan, snap):
			continue
		case a.out.Rounds == rounds:
			a.out.Diags.Errorf(diag.RaceLost, diag.Span{}, "another program keeps changing what the placements rest on: given up after %d rounds", rounds)
			return a.end(ctx, Moved)
		}
		if a.comesBack(plan) {
			continue
		}
		if a.wrote != nil && (len(plan.Transaction.Blocks)+len(plan.Transaction.NFT) > 0 && a.alone(snap) || a.setsStay(plan)) {
			a.mismatch(plan)
			return a.end(ctx, TakenBack)
		}
		stop, err := a.write(ctx, plan, snap)
		if err != nil || stop {
			return err
		}
	}
}

// moved tells whether a plan is not what was asked for, and reports it. It is asked
// until the first commit: a guard may have failed because the host moved on.
func (a *apply) moved(plan *compiler.Plan) bool {
	switch {
	case a.opt.BaseDigest != "" && plan.BaseDigest != a.opt.BaseDigest:
		a.out.Diags.Errorf(diag.HostMoved, diag.Span{}, "the host is not the one that the plan was made for: what it rests on has changed").
			WithHelp("make a new plan")
	case a.opt.Expected != nil && !a.opt.Expected(plan):
		a.out.Diags.Errorf(diag.HostMoved, diag.Span{}, "what would be written now is not what the plan shows: facts of the host that the rulesets ask for have changed, or the program has").
			WithHelp("make a new plan")
	default:
		return false
	}
	return true
}

// waitStep is the pause between two tries of --wait.
const waitStep = 500 * time.Millisecond

// wait pauses without the session: on legacy it holds the lock, and whoever is
// waited for needs that.
func (a *apply) wait(ctx context.Context) error {
	if err := a.session.Close(); err != nil {
		return err
	}
	a.session = closed{}
	if err := a.opt.Pause(ctx, waitStep); err != nil {
		return err
	}
	session, err := a.opt.Backend.Session(ctx)
	if err != nil {
		return err
	}
	a.session = session
	return nil
}

// closed stands in for a session that was given back.
type closed struct{ backend.Session }

func (closed) Close() error { return nil }

// waits tells whether a plan's errors may go away by themselves and there is time
// left.
func (a *apply) waits(plan *compiler.Plan) bool {
	if a.waited >= a.opt.Wait || a.wrote != nil {
		return false
	}
	for _, d := range plan.Diags.All() {
		if d.Severity == diag.Error && !compiler.MayPass(d.Code) {
			return false
		}
	}
	a.waited += waitStep
	a.out.Plan = nil
	return true
}

// done records what stands. A host that was as declared from the start is not
// written to, and neither is an unchanged record.
func (a *apply) done(plan *compiler.Plan, snap *ir.Snapshot) error {
	a.out.Status, a.out.Wrote = Done, a.committed > 0
	if a.opt.Store == nil {
		return nil
	}
	for _, p := range a.opt.Programs {
		if a.opt.Remove {
			if err := a.removed(p.Name); err != nil {
				return err
			}
			continue
		}
		r := a.record(p, snap, "applied")
		r.see(plan.Seen)
		if err := a.save(r); err != nil {
			return err
		}
	}
	return nil
}

// removed forgets a ruleset, or the families of it that were removed.
func (a *apply) removed(name string) error {
	var left []ir.Family
	for _, r := range a.records {
		if r.Name != name || len(a.opt.Families) == 0 {
			continue
		}
		if left = slices.DeleteFunc(r.families(), func(f ir.Family) bool { return slices.Contains(a.opt.Families, f) }); len(left) > 0 {
			r.Status, r.Families = "applied", familyNames(left)
			return a.save(r)
		}
	}
	return a.opt.Store.Remove(name)
}

func (a *apply) save(r Record) error {
	for _, old := range a.records {
		r.FormatVersion = recordVersion
		if old.Name == r.Name && fmt.Sprintf("%+v", old) == fmt.Sprintf("%+v", r) {
			return nil
		}
	}
	if err := a.opt.Store.Save(r); err != nil {
		return err
	}
	a.records = slices.DeleteFunc(a.records, func(old Record) bool { return old.Name == r.Name })
	a.records = append(a.records, r)
	return nil
}

// union is two lists of names as one, sorted.
func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func (a *apply) record(p *compiler.Program, snap *ir.Snapshot, status string) Record {
	r := Record{
		FormatVersion: recordVersion, Name: p.Name, Version: p.Version, Status: status, Variant: string(snap.Variant),
		Owns: p.Owns.Chains, Declared: p.DeclaredNames(), Sets: p.DeclaredSetNames(), OwnsSets: slices.Clone(p.Owns.Sets), Families: familyNames(a.opt.Families), Boot: a.opt.Boot,
	}
	for _, old := range a.records {
		if old.Name != p.Name {
			continue
		}
		r.Respelled = old.Respelled
		if old.Boot == r.Boot {
			r.Seen = slices.Clone(old.Seen)
		}
		// What stands on a family that this apply does not work on.
		rest := slices.DeleteFunc(old.families(), func(f ir.Family) bool { return len(a.opt.Families) == 0 || slices.Contains(a.opt.Families, f) })
		if len(rest) > 0 {
			r.Families = nil // there are two
		}
		if status == "intent" || len(rest) > 0 {
			// Until the new state is proved, what the old one declared stays known.
			r.Declared = append(slices.Clone(r.Declared), old.Declared...)
			slices.Sort(r.Declared)
			r.Declared = slices.Compact(r.Declared)
			r.Sets, r.OwnsSets = union(r.Sets, old.Sets), union(r.OwnsSets, old.OwnsSets)
		}
	}
	spellings := p.Respellings
	if snap.Variant == ir.NFT {
		spellings = p.OwnRespellings
	}
	for _, s := range spellings(a.planOpt.Respelled) {
		x := Respelling{Tool: toolOf(snap), Family: s.Family.String(), Sent: s.Sent, Printed: s.Printed}
		if !slices.Contains(r.Respelled, x) {
			r.Respelled = append(r.Respelled, x)
		}
	}
	return r
}
