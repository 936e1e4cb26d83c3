package iptables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/backend/nfnetlink"
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
	if snap.Others, err = s.others(ctx, scope.Whole); err != nil {
		return nil, err
	}
	if scope.Whole && s.kernel != nil {
		if snap.Host, err = s.readHost(ctx); err != nil {
			return nil, err
		}
	}
	if snap.NFTNames, err = s.nftNames(ctx); err != nil {
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
// read once for a session: nothing is written there. What is there of legacy
// tables is read whole anyway; of the nft variant the names of its chains, unless
// the whole of it is wanted.
func (s *session) others(ctx context.Context, whole bool) (*ir.State, error) {
	if s.other != nil && (s.otherWhole || !whole) {
		return s.other, nil
	}
	var err error
	switch {
	case s.b.opt.Variant == ir.IptablesNFT:
		s.other, err = s.otherLegacy(ctx)
		whole = true
	case whole:
		s.other, err = s.otherNFTWhole(ctx)
	default:
		s.other, err = s.otherNFT()
	}
	s.otherWhole = whole && err == nil
	return s.other, err
}

// otherNFTWhole reads the nft variant with its rules, by a session of its own
// on the same socket.
// Where its tools are missing, the names of its chains have to do.
func (s *session) otherNFTWhole(ctx context.Context) (*ir.State, error) {
	if s.kernel == nil {
		return nil, nil
	}
	opt := s.b.opt
	opt.Variant, opt.Tools = ir.IptablesNFT, nil
	b, err := New(opt)
	if err != nil {
		return nil, err
	}
	_, err = b.findTools(ctx)
	var missing *MissingToolError
	if errors.As(err, &missing) {
		s.warnings = append(s.warnings, "the rules of the nft variant cannot be read: "+missing.Error())
		return s.otherNFT()
	}
	if err != nil {
		return nil, err
	}
	there := &session{b: b, kernel: s.kernel}
	state, _, err := there.settle(ctx, ir.Scope{All: true})
	if err != nil {
		return nil, fmt.Errorf("reading the nft variant: %w", err)
	}
	s.warnings = append(s.warnings, there.warnings...)
	return state, nil
}

// readHost reads what is beyond the tables of iptables, while nobody writes.
func (s *session) readHost(ctx context.Context) (*ir.Host, error) {
	for range 4 * generationTries {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reading the host: %w", err)
		}
		before, err := s.kernel.Generation()
		if err != nil {
			return nil, err
		}
		tables, err := s.kernel.Tables()
		if err != nil && !errors.Is(err, nfnetlink.ErrInterrupted) {
			return nil, err
		}
		after, gerr := s.kernel.Generation()
		if gerr != nil {
			return nil, gerr
		}
		if err == nil && before == after {
			return &ir.Host{NFTTables: tables}, nil
		}
	}
	return nil, fmt.Errorf("reading the tables of nftables: %w: they changed during each of %d reads", backend.ErrUnsettled, 4*generationTries)
}

// nftNames lists the tables of nftables, which is one short answer of the kernel.
// Where they keep changing they stay unknown: what needs them is a warning.
func (s *session) nftNames(ctx context.Context) ([]string, error) {
	for range generationTries {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reading the host: %w", err)
		}
		if s.kernel == nil {
			return nil, nil
		}
		names, err := s.kernel.TableNames()
		if !errors.Is(err, nfnetlink.ErrInterrupted) {
			return names, err
		}
	}
	return nil, nil
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
				if k.Table != name || k.Base && k.Use == 0 {
					continue
				}
				t.Chains = append(t.Chains, &ir.Chain{Name: k.Name, Refs: -1})
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
