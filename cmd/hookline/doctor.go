package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"hookline/compiler"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/survey"
	"hookline/dsl/diag"
)

func (a *app) doctorCommand() *cobra.Command {
	var from []string
	var root string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell which programs wrote what, in which order, and what of it will hurt",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.format("text", "markdown", "json"); err != nil {
				return err
			}
			src, err := a.readSources(nil)
			if err != nil {
				return err
			}
			reports, codes, err := a.reports(cmd.Context(), src, from, root)
			if err != nil {
				return err
			}
			if err := a.writeReports(reports); err != nil {
				return err
			}
			for _, r := range reports {
				if r.Hurts() {
					codes = append(codes, exitDifferent)
				}
			}
			return ended(worst(codes))
		},
	}
	cmd.Flags().StringArrayVar(&from, "snapshot", nil, "look at a recorded `FILE` or folder, not this host (may be repeated)")
	rootFlag(cmd, &root)
	return cmd
}

// reports surveys the host, or each recorded host that is named instead. Of several
// one that cannot be read does not hide the others; codes says that there was one.
func (a *app) reports(ctx context.Context, src *sources, from []string, root string) (out []*survey.Report, codes []int, err error) {
	cat, err := participant.Builtin()
	if err != nil {
		return nil, nil, err
	}
	rec := recognize.New(cat, compiler.Fields)
	if len(from) == 0 {
		snap, err := a.observe(ctx, src, root)
		if err != nil {
			return nil, nil, err
		}
		return []*survey.Report{survey.New(snap, cat, rec)}, nil, nil
	}
	for _, path := range from {
		snap, err := a.loadSnapshot(src, path)
		var reported exitError
		switch {
		case err == nil:
			out = append(out, survey.New(snap, cat, rec))
			continue
		case !errors.As(err, &reported):
			fmt.Fprintf(a.err, "hookline: %s\n", diag.Visible(err.Error()))
		}
		codes = append(codes, exitFault)
	}
	return out, codes, nil
}

func (a *app) writeReports(reports []*survey.Report) error {
	switch a.flags.output {
	case "json":
		return survey.WriteJSON(a.out, reports)
	case "markdown":
		return survey.WriteMarkdown(a.out, reports, 0)
	}
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		if err := r.WriteText(a.out, survey.TextOptions{Color: a.color(a.out), All: a.flags.verbose}); err != nil {
			return err
		}
	}
	return nil
}
