package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"hookline/backend/iptables"
	"hookline/backend/machine"
	"hookline/backend/nft"
	"hookline/backend/recorded"
	tools "hookline/backend/run"
	"hookline/compiler/ir"
)

// observe reads all that can be known of the host: both variants of its tables,
// the tables of nftables, its tools, its settings and what is recorded of it. root
// is the folder of the machine's file system; empty means this machine's, or, in
// another network namespace, that settings are nobody's.
func (a *app) observe(ctx context.Context, src *sources, root string) (*ir.Snapshot, error) {
	opt := iptables.Options{Runner: &tools.Exec{}, Families: src.families}
	switch src.backend {
	case "", "auto", string(ir.NFT):
	default:
		opt.Variant = ir.Variant(src.backend)
	}
	snap, err := iptables.ReadWhole(ctx, opt)
	if err != nil {
		return nil, err
	}
	if snap.Host == nil {
		snap.Host = &ir.Host{}
	}
	if err := observeOwn(ctx, snap); err != nil {
		return nil, err
	}
	if err := a.observeMachine(ctx, snap, root); err != nil {
		return nil, err
	}
	records, err := a.store().Load()
	if err != nil {
		// What else there is to see is worth more than this.
		snap.Warnings = append(snap.Warnings, err.Error())
		return snap, nil
	}
	snap.Host.Rulesets = []ir.RecordedRuleset{}
	for _, r := range records {
		snap.Host.Rulesets = append(snap.Host.Rulesets, ir.RecordedRuleset{Name: r.Name, Version: r.Version, Status: r.Status, Variant: ir.Variant(r.Variant)})
	}
	return snap, nil
}

// keptElements is the number of elements of the largest set that a record of a host
// holds whole.
const keptElements = 1 << 16

// observeOwn reads the tables of nftables that are our own, as the nft backend does.
// On a host without nft there are none that it could change, and they stay unknown.
func observeOwn(ctx context.Context, snap *ir.Snapshot) error {
	names := recorded.OwnNames(snap.Host.NFTTables)
	if len(names) == 0 {
		return nil
	}
	b, err := nft.New(nft.Options{Runner: &tools.Exec{}})
	if err != nil {
		return err
	}
	session, err := b.Session(ctx)
	if missing := (*nft.MissingToolError)(nil); errors.As(err, &missing) {
		snap.Warnings = append(snap.Warnings, "what stands in the tables of rulesets is unknown: "+missing.Error())
		return nil
	}
	if err != nil {
		return err
	}
	own, err := session.Snapshot(ctx, ir.Scope{Own: names})
	if err = errors.Join(err, session.Close()); err != nil {
		return err
	}
	snap.State.Own = own.State.Own
	countOwn(snap.State, keptElements)
	if own.Generation != snap.Generation && snap.Generation != 0 {
		snap.Warnings = append(snap.Warnings, "the host changed while it was read: its tables of nftables and those of iptables are of two moments")
	}
	return nil
}

// observeMachine reads tools and settings.
func (a *app) observeMachine(ctx context.Context, snap *ir.Snapshot, root string) error {
	own := os.DirFS("/")
	switch {
	case root == "":
		snap.Host.Binaries = machine.Binaries(ctx, own, &tools.Exec{})
		if a.flags.netns != "" {
			snap.Warnings = append(snap.Warnings, "the settings of the machine were not looked at: they are those of its own network namespace; --root / looks at them all the same")
			return nil
		}
		root = "/"
	case root == "/":
		snap.Host.Binaries = machine.Binaries(ctx, own, &tools.Exec{})
	default:
		info, err := os.Stat(root)
		if err != nil {
			return fmt.Errorf("--root: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("--root: %s is no folder", root)
		}
		// The tools in there are for another machine.
		snap.Host.Binaries = machine.Binaries(ctx, os.DirFS(root), nil)
	}
	settings, troubles := machine.Settings(os.DirFS(root))
	snap.Host.Settings = settings
	snap.Warnings = append(snap.Warnings, troubles...)
	return nil
}
