package iptables

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// namesFile lists the legacy tables that the network namespace has. Asking a
// legacy tool about a table makes the table, and iptables-nft warns about it for
// ever after (FIELD M-30): look here first.
func namesFile(f ir.Family) string {
	if f == ir.IPv6 {
		return "/proc/thread-self/net/ip6_tables_names"
	}
	return "/proc/thread-self/net/ip_tables_names"
}

// ReadLegacy reads the legacy tables that stand on a host, and makes none. A family
// whose tables cannot be seen is left out; a table without a tool to read it is
// unreadable.
func ReadLegacy(ctx context.Context, opt Options) (*ir.State, error) {
	opt.Variant = ir.IptablesLegacy
	b, err := New(opt)
	if err != nil {
		return nil, err
	}
	return (&session{b: b}).otherLegacy(ctx)
}

// legacyTables lists the legacy tables of a family. known is false where the
// kernel does not let us look (FIELD M-61).
func (b *Backend) legacyTables(f ir.Family) (names []string, known bool, err error) {
	var text []byte
	err = b.around(func() error {
		var err error
		text, err = os.ReadFile(namesFile(f))
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Without the module there are no tables.
		return nil, true, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("looking for legacy tables: %w", err)
	}
	for _, name := range strings.Fields(string(text)) {
		if ir.BuiltinChains(name) != nil {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return slices.Index(ir.TableNames, a) - slices.Index(ir.TableNames, b)
	})
	return names, true, nil
}

// readLegacy reads each table that is there once: every read copies the whole
// table, so there is nothing to gain from reading less. Under the lock nobody
// who keeps to it writes meanwhile.
func (s *session) readLegacy(ctx context.Context, scope ir.Scope) (*ir.State, error) {
	state := &ir.State{}
	for _, f := range s.b.families(scope) {
		state.Families = append(state.Families, f)
		names, known, err := s.b.legacyTables(f)
		if err != nil {
			return nil, err
		}
		if !known && scope.Whole {
			// A report makes no table.
			state.Families = state.Families[:len(state.Families)-1]
			s.warnings = append(s.warnings, fmt.Sprintf("%s is unknown: which tables exist cannot be seen, and asking for one makes it", f))
			continue
		}
		if !known {
			names = s.wantedTables(f, scope)
			s.warnings = append(s.warnings, fmt.Sprintf("which %s tables exist cannot be seen; those that matter were asked for, which creates them", f))
		}
		for _, name := range names {
			t, err := s.saveLegacy(ctx, s.tools(f).Save, ir.TableKey{Family: f, Name: name})
			if err != nil {
				return nil, err
			}
			state.Tables = append(state.Tables, t)
		}
	}
	return state, nil
}

// wantedTables are the tables of a family that a scope names.
func (s *session) wantedTables(f ir.Family, scope ir.Scope) []string {
	var out []string
	for _, name := range ir.TableNames {
		if everything(scope) || scope.Tables[ir.TableKey{Family: f, Name: name}] != nil {
			out = append(out, name)
		}
	}
	return out
}

// saveLegacy reads one legacy table.
func (s *session) saveLegacy(ctx context.Context, save []string, key ir.TableKey) (*ir.Table, error) {
	res, err := s.exec(ctx, save, "", "-c", "-t", key.Name)
	if err != nil {
		return nil, fmt.Errorf("reading table %s: %w", key, err)
	}
	s.warn(res)
	if res.Exit != 0 {
		return &ir.Table{Family: key.Family, Name: key.Name, Unreadable: refusalMessage(res.Stderr)}, nil
	}
	tables, err := parseTables(key.Family, strings.Join(save, " "), res.Stdout)
	if err != nil {
		return nil, fmt.Errorf("reading table %s: %w", key, err)
	}
	if len(tables) != 1 || tables[0].Name != key.Name {
		return nil, fmt.Errorf("reading table %s: %s printed %d tables", key, strings.Join(save, " "), len(tables))
	}
	settleTable(tables[0])
	return tables[0], nil
}

// settleTable gives a table that was read whole from a live host what a save
// does not say: the number of references to each chain. Lines of the tool's
// output are no places that anybody could look up.
func settleTable(t *ir.Table) {
	refs := map[string]int{}
	for _, c := range t.Chains {
		c.Span = diag.Span{}
		for _, r := range c.Rules {
			r.Origin = diag.Span{}
			if to := r.JumpTarget(); to != "" {
				refs[to]++
			}
		}
	}
	for _, c := range t.Chains {
		c.Refs = refs[c.Name]
	}
}
