package iptables

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"hookline/compiler/ir"
)

// ReadWhole reads all that stands on a host, for a report or a record of it: both
// variants with their rules and the tables of nftables. Where opt names no variant,
// the one in use is found out. It works on a host on which tools are missing too:
// then a family whose tools are not there is unknown, with a warning, and a host
// without any is known by the names of its chains. No legacy table is made by
// looking.
func ReadWhole(ctx context.Context, opt Options) (*ir.Snapshot, error) {
	asked := opt.Families
	if len(asked) == 0 {
		asked = ir.Families
	}
	opt.Families = slices.Clone(asked)
	var warnings []string
	for {
		snap, err := readWhole(ctx, opt)
		var missing *MissingToolError
		switch {
		case err == nil:
			snap.Warnings = append(snap.Warnings, warnings...)
			slices.Sort(snap.Warnings)
			return snap, nil
		case !errors.As(err, &missing) || ctx.Err() != nil:
			return nil, err
		case len(opt.Families) == 1:
			opt.Families = asked
			return readWithoutTools(ctx, opt, missing)
		}
		warnings = append(warnings, fmt.Sprintf("%s is unknown: %v", missing.Family, missing))
		opt.Families = slices.DeleteFunc(opt.Families, func(f ir.Family) bool { return f == missing.Family })
	}
}

func readWhole(ctx context.Context, opt Options) (*ir.Snapshot, error) {
	why := "it was asked for"
	if opt.Variant == "" {
		var err error
		if opt.Variant, why, err = Detect(ctx, opt); err != nil {
			return nil, err
		}
	}
	b, err := New(opt)
	if err != nil {
		return nil, err
	}
	session, err := b.Session(ctx)
	if err != nil {
		return nil, err
	}
	scope := ir.Scope{All: true, AllSets: true, Whole: true, SetGlobs: []string{"*"}}
	if len(opt.Families) < len(ir.Families) {
		scope.Families = opt.Families
	}
	snap, err := session.Snapshot(ctx, scope)
	if err = errors.Join(err, session.Close()); err != nil {
		return nil, err
	}
	snap.Why = why
	return snap, nil
}

// readWithoutTools is what the kernel says of a host that has no iptables tool. No
// family counts as read.
func readWithoutTools(ctx context.Context, opt Options, missing *MissingToolError) (snap *ir.Snapshot, err error) {
	opt.Variant = ir.IptablesNFT
	b, err := New(opt)
	if err != nil {
		return nil, err
	}
	s := &session{b: b}
	if s.kernel, err = dialKernel(b.around); err != nil {
		return nil, fmt.Errorf("%w; and without it: %w", missing, err)
	}
	defer func() { err = errors.Join(err, s.kernel.Close()) }()
	snap = &ir.Snapshot{
		Variant: ir.IptablesNFT, Why: "no tool of iptables was found: this is what the kernel says",
		Scope:    ir.Scope{All: true, AllSets: true, Whole: true},
		Warnings: []string{missing.Error()},
	}
	if snap.State, err = s.otherNFT(); err != nil {
		return nil, err
	}
	for _, t := range snap.State.Tables {
		t.Unreadable = "no iptables tool is there to print its rules"
	}
	snap.State.Families = nil
	if err := s.readSets(ctx, snap.Scope, snap.State); err != nil {
		return nil, err
	}
	if snap.Others, err = s.otherLegacy(ctx); err != nil {
		return nil, err
	}
	if snap.Host, err = s.readHost(ctx); err != nil {
		return nil, err
	}
	snap.Facts, snap.Tools, err = s.facts(ctx)
	return snap, err
}
