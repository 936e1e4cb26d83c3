package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"hookline/backend/iptables"
	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

func (a *app) planCommand() *cobra.Command {
	var snapshots []string
	var save string
	var detailed bool
	cmd := &cobra.Command{
		Use:   "plan PATH...",
		Short: "Show what would change, and the whole resulting shared chains",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.format("text", "markdown", "json"); err != nil {
				return err
			}
			src, err := a.readSources(args)
			if err != nil {
				return err
			}
			if len(snapshots) > 0 {
				if save != "" {
					return fmt.Errorf("--out and --snapshot do not go together: a stored plan is for the host it was made on")
				}
				return a.planRecorded(src, snapshots, detailed)
			}
			opt, err := a.onHost(cmd.Context(), src)
			if err != nil {
				return err
			}
			plan, err := converge.Plan(cmd.Context(), *opt)
			if err != nil {
				return err
			}
			if err := a.writePlans([]*compiler.Plan{plan}); err != nil {
				return err
			}
			code := planCode(plan, detailed)
			if save != "" && !plan.Diags.HasErrors() {
				if err := src.store(save, plan); err != nil {
					return err
				}
				a.say("the plan is stored in %s; apply it with: hookline apply %s", save, save)
			}
			return ended(code)
		},
	}
	cmd.Flags().StringArrayVar(&snapshots, "snapshot", nil, "plan against a recorded `FILE` or folder, not this host (may be repeated)")
	cmd.Flags().StringVar(&save, "out", "", "store the plan in `FILE`, for apply")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 if changes are pending")
	return cmd
}

func ended(code int) error {
	if code == exitOK {
		return nil
	}
	return exitError(code)
}

// planCode is the exit code of one plan.
func planCode(p *compiler.Plan, detailed bool) int {
	if code := compiler.ExitCode(p.Diags); code != exitOK {
		return code
	}
	if detailed && !p.Empty() {
		return exitDifferent
	}
	return exitOK
}

// worst is the first of 1, 3, 2, 0 that occurs.
func worst(codes []int) int {
	for _, c := range []int{exitFault, exitNotAllowed, exitDifferent} {
		for _, have := range codes {
			if have == c {
				return c
			}
		}
	}
	return exitOK
}

// planRecorded plans against recorded snapshots. It needs no root and touches no
// host and no state directory.
func (a *app) planRecorded(src *sources, paths []string, detailed bool) error {
	list := &diag.List{}
	p := src.parse(list)
	if list.HasErrors() {
		list.Sort()
		if a.flags.output == "markdown" {
			if err := compiler.WriteMarkdownFindings(a.out, "no plan, the input has errors", list); err != nil {
				return err
			}
		}
		if err := a.report(list); err != nil {
			return err
		}
		return exitError(exitFault)
	}
	var plans []*compiler.Plan
	var codes []int
	for _, path := range paths {
		plan, findings := planSnapshot(p, path)
		if plan == nil {
			// The other snapshots are planned all the same: each is a host of its own.
			if err := a.report(findings); err != nil {
				return err
			}
			codes = append(codes, exitFault)
			if a.flags.output == "markdown" {
				plans = append(plans, compiler.Unplanned(path, findings))
			}
			continue
		}
		codes = append(codes, planCode(plan, detailed))
		plans = append(plans, plan)
	}
	if err := a.writePlans(plans); err != nil {
		return err
	}
	return ended(worst(codes))
}

// planSnapshot plans against one recorded snapshot; the plan is nil if the input
// has errors, which are in the list.
func planSnapshot(p *parsed, path string) (*compiler.Plan, *diag.List) {
	kind, err := p.backend()
	var snap *ir.Snapshot
	var list *diag.List
	if err == nil {
		snap, list, err = recorded.Load(path, ir.Variant(strings.TrimPrefix(kind, "auto")))
	}
	if err != nil {
		list = &diag.List{}
		list.Errorf(diag.SnapshotText, diag.Span{}, "%v", err)
		return nil, list
	}
	var own []*dsl.Entry
	if snap != nil && snap.Values != "" {
		entries, l := dsl.ParseValues(diag.NewFile(snap.ValuesName, snap.Values))
		list.Append(l)
		own = entries
	}
	facts := snap.Facts
	if snap.FactsText != "" {
		entries, l := dsl.ParseFacts(diag.NewFile(snap.FactsName, snap.FactsText))
		list.Append(l)
		facts = compiler.Facts(entries)
	}
	var programs []*compiler.Program
	if !list.HasErrors() {
		programs = p.compile(own, facts, false, list)
	}
	list.Sort()
	if list.HasErrors() {
		return nil, list
	}
	plan := compiler.NewPlan(programs, snap, compiler.PlanOptions{Families: p.src.families})
	for _, k := range plan.Asked {
		plan.Diags.Errorf(diag.Unknowable, diag.Span{}, "a constraint asks for %s, which the snapshot does not hold", k)
	}
	for _, name := range plan.AskedSets {
		plan.Diags.Errorf(diag.Unknowable, diag.Span{}, "a constraint asks for the set %s, and the snapshot does not say which sets stand", name)
	}
	plan.Diags.Append(list)
	plan.Diags.Sort()
	plan.Notes = append(plan.Notes, snap.Warnings...)
	if snap.Redacted {
		plan.Notes = append(plan.Notes, "addresses in the snapshot are pseudonyms: what the rulesets say of addresses does not apply to them")
	}
	return plan, list
}

// writePlans prints plans to stdout and their findings to stderr.
func (a *app) writePlans(plans []*compiler.Plan) error {
	switch a.flags.output {
	case "json":
		return compiler.WriteJSON(a.out, plans)
	case "markdown":
		return compiler.WriteMarkdown(a.out, plans, 0)
	}
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		if err := p.WriteText(a.out, compiler.TextOptions{Color: a.color(a.out), All: a.flags.verbose}); err != nil {
			return err
		}
		if err := a.report(p.Diags); err != nil {
			return err
		}
	}
	return nil
}

// writeTransaction prints the scripts of a plan.
func (a *app) writeTransaction(p *compiler.Plan) error {
	scripts, err := iptables.Render(p.Transaction, p.Variant)
	if err != nil {
		return err
	}
	if a.flags.output == "json" {
		return writeScripts(a.out, scripts)
	}
	for _, s := range scripts {
		if s.Sets {
			if _, err := fmt.Fprintf(a.out, "# ipset restore\n%s", s.Text); err != nil {
				return err
			}
			continue
		}
		tool := map[ir.Family]string{ir.IPv4: "iptables", ir.IPv6: "ip6tables"}[s.Family]
		kind := strings.TrimPrefix(string(p.Variant), "iptables-")
		if _, err := fmt.Fprintf(a.out, "# %s-%s-restore --noflush\n%s", tool, kind, s.Text); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify PATH...",
		Short: "Tell whether the host is as declared and the constraints hold",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.format("text", "markdown", "json"); err != nil {
				return err
			}
			plan, err := a.planHost(cmd.Context(), args)
			if err != nil {
				return err
			}
			if err := a.writePlans([]*compiler.Plan{plan}); err != nil {
				return err
			}
			code := planCode(plan, true)
			if code == exitOK && plan.Lost() {
				// Nothing is to be written, and the host is not as declared all the same.
				code = exitDifferent
			}
			return ended(code)
		},
	}
}

func (a *app) planHost(ctx context.Context, args []string) (*compiler.Plan, error) {
	src, err := a.readSources(args)
	if err != nil {
		return nil, err
	}
	opt, err := a.onHost(ctx, src)
	if err != nil {
		return nil, err
	}
	return converge.Plan(ctx, *opt)
}
