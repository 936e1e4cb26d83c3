package iptables

import (
	"context"
	"maps"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/compiler/ir"
)

// Snapshot reads what a scope asks for.
func (s *session) Snapshot(ctx context.Context, scope ir.Scope) (*ir.Snapshot, error) {
	s.warnings = nil
	snap := &ir.Snapshot{Variant: s.b.opt.Variant, Scope: scope}
	var err error
	if s.b.opt.Variant == ir.IptablesLegacy {
		snap.State, err = s.readLegacy(ctx, scope)
	} else {
		snap.State, snap.Generation, err = s.settle(ctx, scope)
	}
	if err != nil {
		return nil, err
	}
	if err := s.readSets(ctx, scope, snap.State); err != nil {
		return nil, err
	}
	if snap.Others, err = s.others(ctx); err != nil {
		return nil, err
	}
	if snap.Facts, snap.Tools, err = s.facts(ctx); err != nil {
		return nil, err
	}
	slices.Sort(s.warnings)
	snap.Warnings = slices.Compact(s.warnings)
	return snap, nil
}

// warn keeps what a tool that did its work said besides.
func (s *session) warn(res backend.Result) {
	if res.Exit != 0 {
		return
	}
	for line := range strings.Lines(res.Stderr) {
		line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "#"))
		if line != "" {
			s.warnings = append(s.warnings, line)
		}
	}
}

// others is what stands in the variant that the session does not work on. It is
// read once for a session: nothing is written there.
func (s *session) others(ctx context.Context) (*ir.State, error) {
	if s.other != nil {
		return s.other, nil
	}
	var err error
	if s.b.opt.Variant == ir.IptablesLegacy {
		s.other, err = s.otherNFT()
	} else {
		s.other, err = s.otherLegacy(ctx)
	}
	return s.other, err
}

// otherNFT lists the chains of the nft variant, without their rules. Built-in
// chains without rules are left out: they equal absent ones.
func (s *session) otherNFT() (*ir.State, error) {
	if s.kernel == nil {
		return nil, nil
	}
	state := &ir.State{}
	for _, f := range s.b.opt.Families {
		state.Families = append(state.Families, f)
		chains, err := s.kernel.chains(f)
		if err != nil {
			return nil, err
		}
		for _, name := range ir.TableNames {
			t := &ir.Table{Family: f, Name: name, Partial: true}
			for _, k := range chains {
				if k.table != name || k.base && k.use == 0 {
					continue
				}
				t.Chains = append(t.Chains, &ir.Chain{Name: k.name, Refs: -1})
			}
			slices.SortFunc(t.Chains, func(a, b *ir.Chain) int { return strings.Compare(a.Name, b.Name) })
			if len(t.Chains) > 0 {
				state.Tables = append(state.Tables, t)
			}
		}
	}
	return state, nil
}

// otherLegacy reads the legacy tables, if there are any. A family whose tables
// cannot be seen is left out.
func (s *session) otherLegacy(ctx context.Context) (*ir.State, error) {
	state := &ir.State{}
	for _, f := range s.b.opt.Families {
		names, known, err := s.b.legacyTables(f)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		state.Families = append(state.Families, f)
		if len(names) == 0 {
			continue
		}
		tools, err := findTools(ctx, s.b.run, f, ir.IptablesLegacy)
		for _, name := range names {
			key := ir.TableKey{Family: f, Name: name}
			if err != nil {
				state.Tables = append(state.Tables, &ir.Table{Family: f, Name: name, Unreadable: err.Error()})
				continue
			}
			t, err := s.saveLegacy(ctx, tools.Save, key)
			if err != nil {
				return nil, err
			}
			state.Tables = append(state.Tables, t)
		}
	}
	return state, nil
}

// facts of the host, and the versions of its tools, found out once for a
// Backend: neither changes while a program runs.
func (s *session) facts(ctx context.Context) (map[string]any, map[string]string, error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.versions == nil {
		s.b.versions = Versions(ctx, s.b.run)
	}
	facts, err := hostFacts(s.b.around, s.b.versions)
	return facts, maps.Clone(s.b.versions), err
}
