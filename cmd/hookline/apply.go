package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
	"hookline/schemas"
)

func (a *app) applyCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "apply PATH... | PLAN",
		Short: "Bring the host there, and prove it",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.format("text", "json"); err != nil {
				return err
			}
			src, plan, err := a.toApply(args)
			if err != nil {
				return err
			}
			opt, err := a.onHost(cmd.Context(), src)
			if err != nil {
				return err
			}
			opt.Wait = wait
			if plan != nil {
				opt.BaseDigest, opt.Expected = plan.BaseDigest, plan.shows
			}
			out, err := converge.Apply(cmd.Context(), *opt)
			return a.applied(out, err, "applied and read back: the host is as declared")
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "try again for `D` while a placement or constraint does not hold")
	return cmd
}

// toApply reads what apply is given: rulesets, or one stored plan; it is nil
// if there is none.
func (a *app) toApply(args []string) (*sources, *planFile, error) {
	src, err := a.readSources(args)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range src.rulesets {
		plan, err := asPlanFile(f)
		if err != nil {
			return nil, nil, err
		}
		if plan == nil {
			continue
		}
		if len(args) > 1 || len(src.values) > 0 || len(src.sets) > 0 || src.facts != nil || len(src.families) > 0 || src.backend != "" {
			return nil, nil, fmt.Errorf("%s is a stored plan: it is applied alone, without --set, --values, --facts, --family and --backend", f.Name())
		}
		s, err := plan.sources()
		return s, plan, err
	}
	return src, nil, nil
}

// outcomeJSON is apply's and remove's result with -o json.
type outcomeJSON struct {
	Result string `json:"result"`
	// Wrote tells that at least one commit was made, whether it stands or was taken back.
	Wrote  bool               `json:"wrote"`
	Rounds int                `json:"rounds"`
	Plan   *compiler.PlanJSON `json:"plan,omitempty"`
	// Tables of a stuck outcome: new, old or unknown, by "FAMILY TABLE".
	Tables map[string]string `json:"tables,omitempty"`
}

// results are the words of outcomeJSON.Result and the exit codes.
var results = map[converge.Status]struct {
	word string
	code int
}{
	converge.Done:      {"done", exitOK},
	converge.Refused:   {"refused", exitNotAllowed},
	converge.Moved:     {"moved", exitMoved},
	converge.TakenBack: {"taken back", exitTakenBack},
	converge.Stuck:     {"stuck", exitStuck},
}

// applied prints the end of an apply or a remove and turns it into an exit code.
func (a *app) applied(out *converge.Outcome, err error, done string) error {
	if out == nil || out.Plan == nil && err != nil {
		var held *iptables.LockHeldError
		if errors.As(err, &held) {
			return fmt.Errorf("%w; nothing was changed", err)
		}
		return err
	}
	code := results[out.Status].code
	if out.Status == converge.Refused {
		code = refusedCode(out)
	}
	switch {
	case err == nil || out.Status == converge.Stuck:
	case out.Wrote:
		code = exitTakenBack
	default:
		code = exitFault
	}
	if werr := a.writeOutcome(out, done); werr != nil {
		return werr
	}
	if rerr := a.report(out.Diags); rerr != nil {
		return rerr
	}
	if err != nil {
		fmt.Fprintf(a.err, "hookline: %s\n", diag.Visible(err.Error()))
	}
	return ended(code)
}

// refusedCode is the code of the plan that was refused: the last one.
func refusedCode(out *converge.Outcome) int {
	if out.Diags.HasErrors() {
		return compiler.ExitCode(out.Diags)
	}
	if out.Final != nil && out.Final.Diags.HasErrors() {
		return compiler.ExitCode(out.Final.Diags)
	}
	return compiler.ExitCode(out.Plan.Diags)
}

func (a *app) writeOutcome(out *converge.Outcome, done string) error {
	var err error
	switch {
	case a.flags.output == "json":
		err = a.writeOutcomeJSON(out)
	case out.Plan != nil:
		err = a.writePlans([]*compiler.Plan{out.Plan})
	}
	if err != nil {
		return err
	}
	if out.Final != nil && out.Final.Diags.HasErrors() && out.Final != out.Plan {
		if err := a.report(out.Final.Diags); err != nil {
			return err
		}
	}
	switch {
	case a.flags.output == "json":
	case out.Status == converge.Done && !out.Wrote:
	case out.Status == converge.Done && out.Intruded:
		fmt.Fprintln(a.out, "applied and read back: what is ours is as declared; rules of others came again into our tables and were left there")
	case out.Status == converge.Done && out.Final != nil && out.Final.Lost():
		fmt.Fprintln(a.out, "applied and read back: what is ours is as declared; what is missing is not ours to put back")
	case out.Status == converge.Done:
		fmt.Fprintln(a.out, done)
	case out.Status == converge.Stuck:
		fmt.Fprintln(a.out, "what was committed could not be taken back:")
		var keys []ir.TableKey
		for k := range out.Tables {
			keys = append(keys, k)
		}
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, k := range keys {
			fmt.Fprintf(a.out, "  %s: %s\n", k, out.Tables[k])
		}
	case out.Wrote:
		fmt.Fprintln(a.out, "what was committed has been taken back: the host is as before")
	default:
		fmt.Fprintln(a.out, "nothing was written")
	}
	return nil
}

// writeOutcomeJSON prints the result as data. The findings are in it, and go to
// stderr all the same: whoever reads a log wants to know why.
func (a *app) writeOutcomeJSON(out *converge.Outcome) error {
	o := outcomeJSON{Result: results[out.Status].word, Wrote: out.Wrote, Rounds: out.Rounds}
	if out.Plan != nil {
		j := out.Plan.JSON()
		o.Plan = &j
		if err := a.report(out.Plan.Diags); err != nil {
			return err
		}
	}
	for k, v := range out.Tables {
		if o.Tables == nil {
			o.Tables = map[string]string{}
		}
		o.Tables[k.String()] = v
	}
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(o)
}

func (a *app) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove PATH...",
		Short: "Take away everything that the rulesets own, and nothing else",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.format("text", "json"); err != nil {
				return err
			}
			src, err := a.readSources(args)
			if err != nil {
				return err
			}
			opt, err := a.onHost(cmd.Context(), src)
			if err != nil {
				return err
			}
			opt.Remove = true
			out, err := converge.Apply(cmd.Context(), *opt)
			if out != nil && out.Plan != nil && a.flags.output == "text" {
				for _, s := range out.Plan.LeftAsIs {
					fmt.Fprintf(a.out, "stays as it is: %s\n", diag.Visible(s))
				}
			}
			return a.applied(out, err, "removed and read back: nothing of the rulesets stands")
		},
	}
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "schema [ruleset|plan|snapshot|doctor]",
		Short:     "Print the JSON Schema of rulesets, plans, snapshots or reports",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"ruleset", "plan", "snapshot", "doctor"},
		RunE: func(_ *cobra.Command, args []string) error {
			name := "ruleset"
			if len(args) == 1 {
				name = args[0]
			}
			text, err := schemas.FS.ReadFile("v1/" + name + ".schema.json")
			if err != nil {
				return err
			}
			_, err = a.out.Write(text)
			return err
		},
	}
}
