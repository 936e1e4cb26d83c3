package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hookline/compiler/ir"
	"hookline/compiler/raise"
	"hookline/dsl/diag"
)

// schemaName is the file that the first line of an imported ruleset names:
// `hookline schema > ruleset.schema.json` writes it.
const schemaName = "ruleset.schema.json"

func (a *app) importCommand() *cobra.Command {
	var chains, tables []string
	var snapshot, name, out string
	cmd := &cobra.Command{
		Use:   "import [CHAIN...]",
		Short: "Write a ruleset that owns chains as they stand",
		Long: "Write a ruleset that owns chains as they stand: their rules, the jumps to them with the places that hold, and what\n" +
			"else is true now. Planning it against the same host changes nothing. A CHAIN is a name, or a glob with *.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.format("text"); err != nil {
				return err
			}
			opt := raise.Options{Chains: slices.Concat(chains, args), Tables: tables, Name: name, Schema: schemaName}
			if len(opt.Chains) == 0 {
				return fmt.Errorf("import needs to be told which chains: --chain NAME, or --chain 'GLOB*'")
			}
			for _, t := range tables {
				if ir.BuiltinChains(t) == nil {
					return fmt.Errorf("--table %s: there are %s", t, strings.Join(ir.TableNames, ", "))
				}
			}
			snap, families, err := a.toImport(cmd.Context(), snapshot)
			if err != nil {
				return err
			}
			opt.Families = families
			return a.importChains(snap, opt, out)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&chains, "chain", nil, "take the chains of this name or `GLOB` (may be repeated)")
	f.StringSliceVar(&tables, "table", nil, "look for them in this `TABLE` only")
	f.StringVar(&snapshot, "snapshot", "", "import from a recorded `FILE` or folder, not from this host")
	f.StringVar(&name, "name", "", "`NAME` of the ruleset (default: made of the first chain's)")
	f.StringVar(&out, "out", "", "write to `FILE` (default: stdout)")
	return cmd
}

// toImport reads all of the host, or of what was recorded of one: a chain can be
// jumped to from anywhere. families are those of --family.
func (a *app) toImport(ctx context.Context, path string) (*ir.Snapshot, []ir.Family, error) {
	src, err := a.readSources(nil)
	if err != nil {
		return nil, nil, err
	}
	if path == "" {
		snap, err := a.readHost(ctx, src.backend, nil)
		return snap, src.families, err
	}
	snap, err := a.loadSnapshot(src, path)
	return snap, src.families, err
}

// importChains writes the ruleset, and what is to be said about it to stderr.
func (a *app) importChains(snap *ir.Snapshot, opt raise.Options, out string) error {
	for _, w := range snap.Warnings {
		a.say("warning: %s", diag.Visible(w))
	}
	res, list, err := raise.Import(snap, opt)
	if list != nil {
		if rerr := a.report(list); rerr != nil {
			return rerr
		}
	}
	switch {
	case err != nil:
		return err
	case res == nil:
		return exitError(exitFault)
	}
	for _, n := range res.Notes {
		a.say("note: %s", diag.Visible(n))
	}
	a.say("imported %s with %s, %s and %s", counted(res.Chains+res.Along, "chain"), counted(res.Rules, "rule"), counted(res.Anchors, "anchor"),
		counted(res.Constraints, "constraint"))
	if out == "" || out == "-" {
		_, err = fmt.Fprint(a.out, res.Text)
		return err
	}
	return createFile(out, []byte(res.Text))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
