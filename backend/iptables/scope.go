package iptables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// basePlaces says where iptables' base chains stand: any other base chain in one
// of its tables is none of its own, and it does not show the rules in there.
var basePlaces = map[string]map[string]basePlace{
	"raw": {"PREROUTING": {"filter", 0, -300}, "OUTPUT": {"filter", 3, -300}},
	"mangle": {
		"PREROUTING": {"filter", 0, -150}, "INPUT": {"filter", 1, -150}, "FORWARD": {"filter", 2, -150},
		"OUTPUT": {"route", 3, -150}, "POSTROUTING": {"filter", 4, -150},
	},
	"nat": {
		"PREROUTING": {"nat", 0, -100}, "INPUT": {"nat", 1, 100}, "OUTPUT": {"nat", 3, -100}, "POSTROUTING": {"nat", 4, 100},
	},
	"filter":   {"INPUT": {"filter", 1, 0}, "FORWARD": {"filter", 2, 0}, "OUTPUT": {"filter", 3, 0}},
	"security": {"INPUT": {"filter", 1, 150}, "FORWARD": {"filter", 2, 150}, "OUTPUT": {"filter", 3, 150}},
}

// basePlace is a base chain's type, hook number and priority.
type basePlace struct {
	typ      string
	hook     uint32
	priority int32
}

// tableReader reads what a scope wants of one table of the nft variant.
type tableReader struct {
	s     *session
	key   ir.TableKey
	scope *ir.TableScope
	globs *ir.Globs // the scope's, once they are asked
	// kernel is what the kernel says of each chain, by name.
	kernel map[string]*nfnetlink.Chain
	table  *ir.Table
	// rules by chain, for the chains that were listed.
	rules map[string][]kernelRule
	// widened tells that every rule of the table was listed.
	widened bool
	// saved is the answer of the save that runs while the kernel is listing, if the
	// whole table is wanted.
	saved chan saveAnswer
	// text are the chains whose text is wanted, in the table's order.
	text []*ir.Chain
}

// readNFT reads the tables of the nft variant once.
func (s *session) readNFT(ctx context.Context, scope ir.Scope) (*ir.State, error) {
	// A save that is not waited for shall end.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	state := &ir.State{}
	for _, f := range s.b.families(scope) {
		state.Families = append(state.Families, f)
		chains, err := s.kernel.chains(f)
		if err != nil {
			return nil, err
		}
		var readers []*tableReader
		for _, name := range ir.TableNames {
			if r := s.newTableReader(ir.TableKey{Family: f, Name: name}, chains, scope); r != nil {
				r.startSave(ctx)
				if err := r.list(); err != nil {
					return nil, err
				}
				readers = append(readers, r)
				state.Tables = append(state.Tables, r.table)
			}
		}
		if err := s.readText(ctx, f, readers); err != nil {
			return nil, err
		}
		for _, r := range readers {
			r.finish()
		}
	}
	return state, nil
}

// families that a scope wants and the session works on.
func (b *Backend) families(scope ir.Scope) []ir.Family {
	var out []ir.Family
	for _, f := range ir.Families {
		if slices.Contains(b.opt.Families, f) && (len(scope.Families) == 0 || slices.Contains(scope.Families, f)) {
			out = append(out, f)
		}
	}
	return out
}

// everything tells whether a scope wants every chain: it says so, or says
// nothing at all.
func everything(scope ir.Scope) bool {
	return scope.All || scope.Tables == nil && len(scope.Sets)+len(scope.SetGlobs) == 0 && !scope.AllSets
}

// newTableReader lays out a table's chains; nil if the table is absent.
func (s *session) newTableReader(key ir.TableKey, chains []nfnetlink.Chain, scope ir.Scope) *tableReader {
	r := &tableReader{
		s: s, key: key, kernel: map[string]*nfnetlink.Chain{}, rules: map[string][]kernelRule{},
		table: &ir.Table{Family: key.Family, Name: key.Name},
	}
	if everything(scope) {
		r.scope = &ir.TableScope{All: true}
	} else if r.scope = scope.Tables[key]; r.scope == nil {
		r.scope = &ir.TableScope{}
	}
	var users []*ir.Chain
	for i := range chains {
		c := &chains[i]
		if c.Table != key.Name {
			continue
		}
		r.kernel[c.Name] = c
		if ir.IsBuiltin(key.Name, c.Name) {
			continue
		}
		u := &ir.Chain{Name: c.Name, Refs: -1}
		if c.Base {
			u.Unreadable = foreignBase
		}
		users = append(users, u)
	}
	if len(r.kernel) == 0 {
		return nil
	}
	slices.SortFunc(users, func(a, b *ir.Chain) int { return strings.Compare(a.Name, b.Name) })
	for _, name := range ir.BuiltinChains(key.Name) {
		c := &ir.Chain{Name: name, Policy: "ACCEPT", Refs: -1}
		switch k := r.kernel[name]; {
		case k == nil:
			// iptables makes its base chains when it first needs them.
			c.Read, c.Refs = true, 0
		case !k.Base || basePlaces[key.Name][name] != (basePlace{k.Type, k.Hook, k.Priority}):
			c.Unreadable = foreignBase
		case k.Policy == nfnetlink.VerdictDrop:
			c.Policy = "DROP"
			fallthrough
		default:
			c.Packets, c.Bytes = k.Packets, k.Bytes
		}
		r.table.Chains = append(r.table.Chains, c)
	}
	r.table.Chains = append(r.table.Chains, users...)
	r.table.Partial = !r.scope.All
	return r
}

// foreignBase is said of a base chain that stands in a table of iptables without
// being one of its own.
const foreignBase = "it is a base chain with a type, hook or priority that iptables does not use"

// list finds out which chains are wanted and lists their rules.
func (r *tableReader) list() error {
	wanted := map[string]bool{}
	for _, c := range r.table.Chains {
		if r.kernel[c.Name] != nil && c.Unreadable == "" && r.wants(c.Name) {
			wanted[c.Name] = true
		}
	}
	if err := r.listRules(wanted); err != nil {
		return err
	}
	if r.scope.Refs && !r.scope.All {
		if err := r.references(wanted); err != nil {
			return err
		}
	}
	for _, c := range r.table.Chains {
		if wanted[c.Name] && c.Unreadable == "" {
			r.text = append(r.text, c)
		}
	}
	return nil
}

// wants tells whether the scope names a chain.
func (r *tableReader) wants(chain string) bool {
	return r.scope.All || slices.Contains(r.scope.Chains, chain) || r.owned(chain)
}

// owned tells whether a chain matches one of the scope's globs.
func (r *tableReader) owned(chain string) bool {
	if r.globs == nil {
		r.globs = ir.NewGlobs(r.scope.Globs)
	}
	return r.globs.Match(chain)
}

// listCost is about what listing rules costs, in microseconds. The kernel gives a
// listing in pieces of some 80 rules and walks up to each piece from the start.
func listCost(rules int) int { return 40 + rules + rules*rules/1000 }

// listRules lists the rules of chains that are not listed yet: chain by chain,
// or of the whole table if that is cheaper.
func (r *tableReader) listRules(chains map[string]bool) error {
	apart, total := 0, 0
	for _, k := range r.kernel {
		total += k.Use
	}
	for name := range chains {
		if r.rules[name] == nil {
			apart += listCost(r.kernel[name].Use)
		}
	}
	if apart == 0 || r.widened {
		return nil
	}
	if apart >= listCost(total) {
		return r.listTable()
	}
	for name := range chains {
		if r.rules[name] != nil {
			continue
		}
		rules, err := r.s.kernel.rules(r.key.Family, r.key.Name, name)
		if err != nil {
			return err
		}
		r.rules[name] = rules
	}
	return nil
}

// listTable lists every rule of the table in one go.
func (r *tableReader) listTable() error {
	rules, err := r.s.kernel.rules(r.key.Family, r.key.Name, "")
	if err != nil {
		return err
	}
	clear(r.rules)
	for i := 0; i < len(rules); {
		n := i
		for n < len(rules) && rules[n].chain == rules[i].chain {
			n++
		}
		r.rules[rules[i].chain] = append(r.rules[rules[i].chain], rules[i:n]...)
		i = n
	}
	r.widened = true
	return nil
}

// widen lists every rule of the table that is not listed yet.
func (r *tableReader) widen() error {
	all := map[string]bool{}
	for name, k := range r.kernel {
		// A chain that nothing uses has no rules either.
		if k.Use > 0 {
			all[name] = true
		}
	}
	if err := r.listRules(all); err != nil {
		return err
	}
	r.widened = true
	return nil
}

// references adds to the wanted chains those that refer to an owned chain or to
// one of RefsTo. The kernel counts a chain's rules and the jumps to it together:
// what is left after its own rules and the jumps that were seen proves a
// reference that was not read.
func (r *tableReader) references(wanted map[string]bool) error {
	targets := map[string]bool{}
	for name := range r.kernel {
		if r.owned(name) || slices.Contains(r.scope.RefsTo, name) {
			targets[name] = true
		}
	}
	if err := r.listRules(targets); err != nil {
		return err
	}
	if len(r.unseen(targets)) > 0 {
		if err := r.widen(); err != nil {
			return err
		}
	}
	// What is still not seen are verdict maps, which only native rules look into.
	unseen := r.unseen(targets)
	for _, t := range unseen {
		r.s.warnings = append(r.s.warnings, fmt.Sprintf("chain %s %s is referred to by a verdict map of a native nft rule", r.key, t))
	}
	for name, rules := range r.rules {
		refers := func(k kernelRule) bool { return targets[k.jump] || len(unseen) > 0 && strings.Contains(k.native, "@") }
		if slices.ContainsFunc(rules, refers) {
			wanted[name] = true
		}
	}
	return nil
}

// unseen are the targets to which the kernel counts more references than the
// rules that were listed make up for, sorted.
func (r *tableReader) unseen(targets map[string]bool) []string {
	seen := map[string]int{}
	for _, rules := range r.rules {
		for i := range rules {
			if rules[i].jump != "" {
				seen[rules[i].jump]++
			}
		}
	}
	var out []string
	for t := range targets {
		if r.kernel[t].Use > len(r.rules[t])+seen[t] {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return out
}

// refs is the kernel's number of references to a chain, -1 if its rules were not
// listed.
func (r *tableReader) refs(chain string) int {
	k := r.kernel[chain]
	if k == nil {
		return 0
	}
	if r.rules[chain] == nil && !r.widened {
		return -1
	}
	return k.Use - len(r.rules[chain])
}

// finish joins what the kernel and the tool said of each chain. Of one that could
// not be printed the kernel knows at least the native rules.
func (r *tableReader) finish() {
	for _, c := range r.table.Chains {
		if n := r.refs(c.Name); n >= 0 {
			c.Refs = n
		}
		if c.Read || c.Unreadable == "" {
			continue
		}
		for i, k := range r.rules[c.Name] {
			if k.described != nil {
				c.Natives = append(c.Natives, ir.NativeAt{Index: i, Native: k.described})
			}
		}
	}
}

// generationTries is how often a read is tried again because somebody wrote
// meanwhile, before two equal reads in a row have to do.
const generationTries = 8

// settle reads until nothing changed during a read. A host on which somebody
// writes all the time never gets there: after some tries two reads in a row
// with the same result count too, for what was asked for did not change.
func (s *session) settle(ctx context.Context, scope ir.Scope) (*ir.State, uint32, error) {
	var last *ir.State
	for try := 1; try <= 4*generationTries; try++ {
		if err := ctx.Err(); err != nil {
			return nil, 0, fmt.Errorf("reading the host: %w", err)
		}
		before, err := s.kernel.Generation()
		if err != nil {
			return nil, 0, err
		}
		s.warnings, s.began = nil, before
		state, err := s.readNFT(ctx, scope)
		if err != nil && !errors.Is(err, nfnetlink.ErrInterrupted) {
			// A chain that vanished under us fails a tool: only a failure in peace counts.
			if after, gerr := s.kernel.Generation(); gerr != nil || after == before {
				return nil, 0, err
			}
		}
		if err != nil {
			last = nil
			continue
		}
		after, err := s.kernel.Generation()
		if err != nil {
			return nil, 0, err
		}
		if before == after || try > generationTries && last != nil && sameRules(last, state) {
			return state, after, nil
		}
		last = state
	}
	return nil, 0, fmt.Errorf("reading the host: %w: the rules that matter changed during each of %d reads", backend.ErrUnsettled, 4*generationTries)
}

// sameRules compares two states without counters.
func sameRules(a, b *ir.State) bool {
	return slices.EqualFunc(a.Tables, b.Tables, func(x, y *ir.Table) bool {
		return x.Key() == y.Key() && x.Unreadable == y.Unreadable && slices.EqualFunc(x.Chains, y.Chains, sameChain)
	})
}

func sameChain(a, b *ir.Chain) bool {
	return a.Name == b.Name && a.Policy == b.Policy && a.Read == b.Read && a.Refs == b.Refs && a.Unreadable == b.Unreadable &&
		slices.EqualFunc(a.Natives, b.Natives, func(x, y ir.NativeAt) bool { return x.Index == y.Index && *x.Native == *y.Native }) &&
		slices.EqualFunc(a.Rules, b.Rules, func(x, y *ir.Rule) bool {
			if x.Native != nil && y.Native != nil {
				return *x.Native == *y.Native
			}
			return x.Text == y.Text && (x.Native == nil) == (y.Native == nil)
		})
}
