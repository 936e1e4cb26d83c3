package main

import (
	"context"
	"fmt"
	"os"

	"hookline/backend/iptables"
	"hookline/backend/machine"
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
	case "", "auto":
	case string(ir.NFT):
		return nil, fmt.Errorf("the nft backend is not available in this version")
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
