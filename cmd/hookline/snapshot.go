package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"hookline/backend/recorded"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

func (a *app) snapshotCommand() *cobra.Command {
	var out, root string
	var from []string
	var opt recorded.WriteOptions
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Write the host's state to one reviewable text file",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(from) > 1 {
				return errors.New("--snapshot: one file is written, so one is read")
			}
			src, err := a.readSources(nil)
			if err != nil {
				return err
			}
			snap, err := a.look(cmd.Context(), src, from, root)
			if err != nil {
				return err
			}
			if opt.Redact && len(from) == 0 {
				// Lists of who is blocked or let in: who hides addresses does not show how many
				// there are in which network.
				countElements(snap.State)
			}
			text, err := recorded.Write(snap, opt)
			if err != nil {
				return err
			}
			for _, w := range snap.Warnings {
				a.say("warning: %s", diag.Visible(w))
			}
			if out == "" || out == "-" {
				_, err = a.out.Write(text)
				return err
			}
			return createFile(out, text)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write to `FILE` (default: stdout)")
	cmd.Flags().BoolVar(&opt.Counters, "counters", false, "keep the counters of rules, which differ from one moment to the next")
	cmd.Flags().BoolVar(&opt.Redact, "redact", false, "write pseudonyms in place of addresses")
	cmd.Flags().StringArrayVar(&from, "snapshot", nil, "write what a recorded `FILE` or folder holds, not this host")
	rootFlag(cmd, &root)
	return cmd
}

// countElements leaves of a host's sets how many elements they have.
func countElements(s *ir.State) {
	for _, x := range s.Sets {
		x.Counted, x.Elements = x.Size(), nil
	}
	countOwn(s, 0)
}

// countOwn does so with the sets in our own tables that have more elements than
// some.
func countOwn(s *ir.State, most int) {
	for _, t := range s.Own {
		for _, x := range t.Sets {
			if x.Size() > most {
				x.Counted, x.Elements = x.Size(), nil
			}
		}
	}
}

func rootFlag(cmd *cobra.Command, root *string) {
	cmd.Flags().StringVar(root, "root", "", "`DIR` of the machine's file system, to read its settings (default /, and none with --netns)")
}

// look reads the host, or the one recorded host that is named instead.
func (a *app) look(ctx context.Context, src *sources, from []string, root string) (*ir.Snapshot, error) {
	if len(from) == 0 {
		return a.observe(ctx, src, root)
	}
	return a.loadSnapshot(src, from[0])
}

// loadSnapshot reads a recorded host. What is wrong with its texts is reported.
func (a *app) loadSnapshot(src *sources, path string) (*ir.Snapshot, error) {
	kind := ir.Variant(src.backend)
	if kind == "auto" || kind == ir.NFT {
		kind = "" // a report on a host, and a record of it, hold all that is there
	}
	snap, list, err := recorded.Load(path, kind)
	if err != nil {
		return nil, err
	}
	list.Sort()
	if err := a.report(list); err != nil {
		return nil, err
	}
	if list.HasErrors() {
		return nil, exitError(exitFault)
	}
	return snap, nil
}
