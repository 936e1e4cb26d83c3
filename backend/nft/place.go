package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/backend/run"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// fewRules is the number of rules on a host up to which nft may put a rule at a place:
// nft 1.0.6 reads every rule of every table for it, once for each chain, which takes a
// tenth of a second at five thousand rules and forty seconds at a hundred thousand.
const fewRules = 3000

// byNetlink tells whether a script is to go to the kernel without nft: it puts a rule
// ahead of another one, on a host with many rules.
func (s *session) byNetlink(script backend.Script) (bool, error) {
	if !slices.ContainsFunc(script.Ops, func(o ir.NFTOp) bool { return o.Do == ir.NFTInsertRule }) {
		return false, nil
	}
	n := 0
	for _, f := range nfnetlink.Families {
		tables, err := s.kernel.TablesOf(f)
		if err != nil {
			return false, err
		}
		if len(tables) == 0 {
			continue // the family may be unknown to the kernel
		}
		chains, err := s.kernel.Chains(f.Proto, f.Name)
		if err != nil {
			return false, err
		}
		for i := range chains {
			n += chains[i].Use
		}
	}
	return n > s.b.few, nil
}

// commit sends a script's steps by netlink, as one transaction. Its rules are made by
// nft, in a private network namespace in which nothing stands but our tables'
// chains and sets, and taken from there as the kernel has them.
func (s *session) commit(ctx context.Context, script backend.Script) error {
	rules, err := s.compile(ctx, script)
	if err != nil {
		return err
	}
	err = s.kernel.CommitSteps(script.Ops, rules)
	var refused *nfnetlink.StepError
	if !errors.As(err, &refused) {
		return err
	}
	if errors.Is(err, syscall.EPERM) {
		if owned := s.owned(script); owned != nil {
			return owned
		}
	}
	e := &backend.ScriptError{Script: script, Tool: netlinkTool, Exit: 1, Message: refused.Error()}
	if errors.Is(err, syscall.ENOENT) {
		e.Message = "No such file or directory"
	}
	if refused.Step >= 0 {
		e.Number = lineOf(script.Ops, refused.Step)
	}
	return e
}

// lineOf is the first line of a step in the script, from 1.
func lineOf(ops []ir.NFTOp, step int) int {
	n := 1
	for i := range step {
		w := &writer{}
		if w.op(&ops[i]) == nil {
			n += len(w.origin)
		}
	}
	return n
}

// errNoNamespace says that there is no place to make rules in; nft alone has to do.
var errNoNamespace = errors.New("there is no private network namespace to be had")

// compile makes the rules of a script, by step.
func (s *session) compile(ctx context.Context, script backend.Script) (rules map[int]*nfnetlink.RawRule, err error) {
	ns, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoNamespace, err)
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	conn, err := nfnetlink.Dial(ns.Do)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	c := &compilation{s: s, conn: conn, runner: &run.Exec{Around: ns.Do}, script: script, rules: map[int]*nfnetlink.RawRule{}}
	for _, key := range c.tables() {
		if err := c.table(ctx, key); err != nil {
			return nil, err
		}
	}
	return c.rules, nil
}

// compilation makes the rules of a script in a namespace of its own.
type compilation struct {
	s      *session
	conn   *nfnetlink.Conn
	runner backend.Runner
	script backend.Script
	rules  map[int]*nfnetlink.RawRule
}

// tableKey names one of our tables.
type tableKey struct {
	kind ir.TableKind
	name string
}

// tables are those into which the script brings rules.
func (c *compilation) tables() []tableKey {
	var out []tableKey
	for i := range c.script.Ops {
		o := &c.script.Ops[i]
		if key := (tableKey{o.Kind, o.Table}); brings(o) && !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	return out
}

func brings(o *ir.NFTOp) bool { return o.Do == ir.NFTAddRule || o.Do == ir.NFTInsertRule }

// table makes the rules of one table. Chains and sets stand there as they do on the
// host and as the script makes them, all chains empty and none of them at a hook:
// what a rule may do at which hook is for the host to judge.
func (c *compilation) table(ctx context.Context, key tableKey) error {
	f := familyOf(key.kind)
	chains, err := c.s.kernel.Chains(f.Proto, f.Name)
	if err != nil {
		return err
	}
	sets, err := c.standing(f, key)
	if err != nil {
		return err
	}
	if err := c.feed(ctx, &feeder{}, func(w *feeder) { w.line(-1, "add table %s %s", key.kind, key.name) }); err != nil {
		return err
	}
	if err := c.conn.CopySets(key.kind, key.name, sets); err != nil {
		return err
	}
	w := &feeder{}
	order := map[string][]int{} // the steps whose rules stand in a chain
	err = c.feed(ctx, w, func(w *feeder) {
		for i := range chains {
			if chains[i].Table == key.name {
				w.line(-1, "add chain %s %s %s", key.kind, key.name, chains[i].Name)
			}
		}
		for i := range c.script.Ops {
			if o := &c.script.Ops[i]; o.Kind == key.kind && o.Table == key.name {
				w.step(i, o)
				if brings(o) {
					order[o.Chain] = append(order[o.Chain], i)
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return c.take(f, key, order)
}

// standing are the named sets of a table on the host that the script does not make.
func (c *compilation) standing(f nfnetlink.Family, key tableKey) (map[string]*nfnetlink.RawSet, error) {
	there, err := c.s.kernel.TablesOf(f)
	if err != nil || !slices.ContainsFunc(there, func(t nfnetlink.Table) bool { return t.Name == key.name }) {
		return nil, err
	}
	sets, err := c.s.kernel.RawSets(f.Proto, key.name)
	if err != nil {
		return nil, err
	}
	for name, set := range sets {
		if len(set.Elements) > 0 || strings.HasPrefix(name, "__") || c.makes(key, name) {
			delete(sets, name)
		}
	}
	return sets, nil
}

// makes tells that the script makes a set.
func (c *compilation) makes(key tableKey, set string) bool {
	return slices.ContainsFunc(c.script.Ops, func(o ir.NFTOp) bool {
		return o.Do == ir.NFTAddSet && o.Kind == key.kind && o.Table == key.name && o.Set.Name == set
	})
}

// take reads the rules that nft has made.
func (c *compilation) take(f nfnetlink.Family, key tableKey, order map[string][]int) error {
	sets, err := c.conn.RawSets(f.Proto, key.name)
	if err != nil {
		return err
	}
	for name := range sets {
		if !strings.HasPrefix(name, "__") {
			delete(sets, name)
		}
	}
	for chain, steps := range order {
		rules, err := c.conn.Rules(f.Proto, f.Name, key.name, chain)
		if err != nil {
			return err
		}
		if len(rules) != len(steps) {
			return fmt.Errorf("making rules: nft made %d of %d in chain %s", len(rules), len(steps), chain)
		}
		for i, step := range steps {
			c.rules[step] = &nfnetlink.RawRule{Exprs: rules[i].Exprs, UserData: rules[i].UserData, Sets: sets}
		}
	}
	return nil
}

// feeder writes what nft is given in the namespace.
type feeder struct {
	text strings.Builder
	// from is the step of each line, -1 for none.
	from []int
}

func (w *feeder) line(step int, format string, args ...any) {
	fmt.Fprintf(&w.text, format+"\n", args...)
	w.from = append(w.from, step)
}

// step writes what of a step matters to the rules: chains and sets that it makes, and
// the rule itself, at the end of its chain.
func (w *feeder) step(i int, o *ir.NFTOp) {
	switch o.Do {
	case ir.NFTAddChain:
		w.line(i, "add chain %s %s %s", o.Kind, o.Table, o.Chain)
	case ir.NFTAddSet:
		lines := &writer{}
		if lines.op(o) == nil {
			for text := range strings.Lines(lines.text.String()) {
				w.line(i, "%s", strings.TrimSuffix(text, "\n"))
			}
		}
	case ir.NFTAddRule, ir.NFTInsertRule:
		w.line(i, "add rule %s %s %s %s", o.Kind, o.Table, o.Chain, o.Rule)
	default:
	}
}

// feed gives nft what fill writes. What it refuses is refused of the script.
func (c *compilation) feed(ctx context.Context, w *feeder, fill func(w *feeder)) error {
	fill(w)
	res, err := c.runner.Run(ctx, backend.Cmd{Argv: []string{tool, "-f", "-"}, Stdin: w.text.String()})
	if err != nil {
		return fmt.Errorf("making rules: %w", err)
	}
	if res.Exit == 0 {
		return nil
	}
	e := refusal(c.script, res)
	line := func(n int) int {
		if n >= 1 && n <= len(w.from) && w.from[n-1] >= 0 {
			return lineOf(c.script.Ops, w.from[n-1])
		}
		return 0
	}
	e.Number = line(e.Number)
	for i := range e.More {
		e.More[i].Number = line(e.More[i].Number)
	}
	return e
}

// familyOf is the family of nf_tables of a kind of table.
func familyOf(kind ir.TableKind) nfnetlink.Family {
	i := slices.IndexFunc(nfnetlink.Families, func(f nfnetlink.Family) bool { return f.Name == string(kind) })
	return nfnetlink.Families[i]
}
