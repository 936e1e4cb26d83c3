package nft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// Snapshot reads what a scope asks for.
func (s *session) Snapshot(ctx context.Context, scope ir.Scope) (*ir.Snapshot, error) {
	snap := &ir.Snapshot{Variant: ir.NFT, Scope: scope}
	read, err := s.settle(ctx, scope)
	if err != nil {
		return nil, err
	}
	snap.State, snap.Generation, snap.NFTNames = read.state, read.generation, read.names
	if scope.Whole {
		snap.Host = &ir.Host{NFTTables: snap.State.NFTTables}
	}
	s.warnings = read.warnings
	if snap.Others, err = iptables.ReadLegacy(ctx, iptables.Options{Runner: s.b.run, NetNS: s.b.around, Families: scope.Families}); err != nil {
		return nil, err
	}
	if snap.Facts, snap.Tools, err = s.facts(ctx); err != nil {
		return nil, err
	}
	slices.Sort(s.warnings)
	snap.Warnings = slices.Compact(s.warnings)
	return snap, nil
}

// facts of the host, and the versions of its tools, found out once for a Backend.
func (s *session) facts(ctx context.Context) (map[string]any, map[string]string, error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.versions == nil {
		s.b.versions = iptables.Versions(ctx, s.b.run)
	}
	facts, err := iptables.Facts(s.b.around, s.b.versions)
	return facts, maps.Clone(s.b.versions), err
}

// reading is what one read found.
type reading struct {
	state      *ir.State
	generation uint32
	names      []string
	warnings   []string
}

// calmTries is how often a read is tried again because somebody wrote meanwhile,
// before two equal reads in a row have to do; mostTries is how often at all.
const (
	calmTries = 8
	mostTries = 4 * calmTries
)

// settle reads until nothing changed during a read. On a host on which somebody
// writes all the time two reads in a row with the same result count too, after some
// tries: what was asked for did not change.
func (s *session) settle(ctx context.Context, scope ir.Scope) (*reading, error) {
	var last *reading
	for try := 1; try <= mostTries; try++ {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reading the host: %w", err)
		}
		before, err := s.kernel.Generation()
		if err != nil {
			return nil, err
		}
		r, err := s.read(ctx, scope)
		after, gerr := s.kernel.Generation()
		if gerr != nil {
			return nil, gerr
		}
		switch {
		case err != nil && after == before && !errors.Is(err, nfnetlink.ErrInterrupted):
			// What vanished under us fails a read: only a failure in peace counts.
			return nil, err
		case err != nil:
			last = nil
		case before == after && r.generation == after, try > calmTries && last != nil && last.same(r):
			r.generation = after
			return r, nil
		default:
			last = r
		}
	}
	return nil, fmt.Errorf("reading the host: %w: the rules that matter changed during each of %d reads", backend.ErrUnsettled, mostTries)
}

// same compares two readings without counters.
func (r *reading) same(o *reading) bool {
	return slices.EqualFunc(r.state.Own, o.state.Own, sameTable) && slices.EqualFunc(r.state.NFTTables, o.state.NFTTables, sameBases) &&
		len(ir.Compare(r.state, o.state, ir.CompareOptions{})) == 0
}

func sameTable(a, b *ir.OwnTable) bool {
	return a.Key() == b.Key() && a.Flags == b.Flags && slices.EqualFunc(a.Sets, b.Sets, sameSet) && slices.EqualFunc(a.Chains, b.Chains, func(x, y *ir.OwnChain) bool {
		return x.Name == y.Name && (x.Base == nil) == (y.Base == nil) && (x.Base == nil || *x.Base == *y.Base) &&
			slices.EqualFunc(x.Rules, y.Rules, func(v, w ir.OwnRule) bool {
				return v.Handle == w.Handle && v.Text == w.Text && v.Comment == w.Comment && v.Tag == w.Tag
			})
	})
}

func sameSet(a, b *ir.OwnSet) bool {
	return a.Name == b.Name && a.Foreign == b.Foreign && (a.Foreign != "" || a.SameShape(b)) && a.Counted == b.Counted &&
		slices.EqualFunc(a.Elements, b.Elements, func(x, y ir.Element) bool { return x.Compare(y) == 0 && x.Options.Same(y.Options) })
}

// sameBases compares where tables stand, not how many rules others have in them.
func sameBases(a, b ir.NFTTable) bool {
	return a.Key() == b.Key() && a.Dormant == b.Dormant && slices.EqualFunc(a.Chains, b.Chains, func(x, y ir.NFTBaseChain) bool {
		return x.Name == y.Name && x.Type == y.Type && x.Hook == y.Hook && x.Priority == y.Priority && x.Policy == y.Policy && x.Device == y.Device
	})
}

// read reads once.
func (s *session) read(ctx context.Context, scope ir.Scope) (*reading, error) {
	r := &reading{state: &ir.State{}, names: []string{}}
	var err error
	if r.generation, err = s.kernel.Generation(); err != nil {
		return nil, err
	}
	chains := map[string][]nfnetlink.Chain{}
	for _, f := range nfnetlink.Families {
		tables, err := s.kernel.TablesOf(f)
		if err != nil {
			return nil, err
		}
		if len(tables) == 0 {
			continue
		}
		if chains[f.Name], err = s.kernel.Chains(f.Proto, f.Name); err != nil {
			return nil, err
		}
		for _, head := range tables {
			r.names = append(r.names, f.Name+" "+head.Name)
			summary := f.Summary(head.Name, chains[f.Name])
			if owns(scope, f, head.Name) {
				t, err := s.ownTable(f, head, chains[f.Name], scope.OwnSets[head.Name])
				if err != nil {
					return nil, err
				}
				r.state.Own = append(r.state.Own, t)
				summary = t.Summary()
			}
			summary.Dormant = head.Dormant()
			r.state.NFTTables = append(r.state.NFTTables, summary)
		}
	}
	slices.Sort(r.names)
	ir.SortNFTTables(r.state.NFTTables)
	if scope.Whole {
		if r.state.NFTTables, err = s.kernel.Tables(); err != nil {
			return nil, err
		}
	}
	return r, s.readTables(ctx, scope, r, chains)
}

// owns tells whether a scope asks for a table as one of ours.
func owns(scope ir.Scope, f nfnetlink.Family, name string) bool {
	if !slices.Contains(ownKinds, ir.TableKind(f.Name)) {
		return false
	}
	return slices.Contains(scope.Own, name) || everything(scope) && strings.HasPrefix(name, ownPrefix)
}

// everything tells whether a scope wants all that there is: it says so, or says
// nothing at all.
func everything(scope ir.Scope) bool {
	return scope.All || len(scope.Tables) == 0 && len(scope.Own) == 0 && len(scope.Sets)+len(scope.SetGlobs) == 0 && !scope.AllSets
}

// readTables reads what the scope wants of the tables of iptables. Of those that it
// does not ask for, the names of their chains are known.
func (s *session) readTables(ctx context.Context, scope ir.Scope, r *reading, chains map[string][]nfnetlink.Chain) error {
	families := scope.Families
	if len(families) == 0 {
		families = ir.Families
	}
	for _, f := range ir.Families {
		if slices.Contains(families, f) {
			r.state.Families = append(r.state.Families, f)
			r.state.Tables = append(r.state.Tables, namesOnly(f, chains[kindOf(f)])...)
		}
	}
	asked := everything(scope) || len(scope.Tables) > 0 || len(scope.Sets)+len(scope.SetGlobs) > 0 || scope.AllSets
	if !asked {
		return nil
	}
	if err := s.openTables(ctx); err != nil {
		return err
	}
	for _, missing := range s.toolless {
		if slices.Contains(families, missing.Family) {
			r.unreadable(scope, missing)
		}
	}
	part := scope
	part.Own, part.Whole, part.All = nil, false, everything(scope)
	part.Families = slices.DeleteFunc(slices.Clone(families), s.lacksTools)
	if s.tables == nil || len(part.Families) == 0 {
		return nil
	}
	snap, err := s.tables.Snapshot(ctx, part)
	if err != nil {
		return err
	}
	// It settles by itself: if it saw another ruleset than we, the read does not count.
	r.generation = snap.Generation
	names := r.state.Tables
	r.state.Tables = nil
	for _, f := range ir.Families {
		from := snap.State.Tables
		if s.lacksTools(f) {
			from = names
		}
		for _, t := range from {
			if t.Family == f {
				r.state.Tables = append(r.state.Tables, t)
			}
		}
	}
	r.state.Sets, r.state.SetsRead = snap.State.Sets, snap.State.SetsRead
	r.warnings = append(r.warnings, snap.Warnings...)
	return nil
}

// unreadable marks the tables of iptables of one family that were asked for and stand,
// but that no tool is there to print.
func (r *reading) unreadable(scope ir.Scope, why *iptables.MissingToolError) {
	for _, t := range r.state.Tables {
		if t.Family == why.Family && (everything(scope) || scope.Tables[t.Key()] != nil) {
			t.Unreadable = why.Error()
		}
	}
	r.warnings = append(r.warnings, fmt.Sprintf("the chains of %s are unknown: %v", map[ir.Family]string{ir.IPv4: "iptables", ir.IPv6: "ip6tables"}[why.Family], why))
}

// kindOf is the family of nf_tables in which a family's tables of iptables stand.
func kindOf(f ir.Family) string {
	if f == ir.IPv6 {
		return string(ir.IP6)
	}
	return string(ir.IP)
}

// namesOnly are the tables of iptables that stand, of which nothing but the names of
// their chains is known.
func namesOnly(f ir.Family, chains []nfnetlink.Chain) []*ir.Table {
	var out []*ir.Table
	for _, name := range ir.TableNames {
		t := &ir.Table{Family: f, Name: name, Partial: true}
		for i := range chains {
			if chains[i].Table == name {
				t.Chains = append(t.Chains, &ir.Chain{Name: chains[i].Name, Refs: -1})
			}
		}
		slices.SortFunc(t.Chains, func(a, b *ir.Chain) int {
			at := func(c *ir.Chain) int { return slices.Index(ir.BuiltinChains(name), c.Name) }
			x, y := at(a), at(b)
			switch {
			case x >= 0 && y >= 0:
				return x - y
			case x >= 0:
				return -1
			case y >= 0:
				return 1
			}
			return strings.Compare(a.Name, b.Name)
		})
		if len(t.Chains) > 0 {
			out = append(out, t)
		}
	}
	return out
}
