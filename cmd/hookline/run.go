package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"hookline/dsl/diag"
	"hookline/internal/netns"
)

// The exit codes of every command; docs/commands.md says what each means.
const (
	exitOK         = 0
	exitFault      = 1
	exitDifferent  = 2
	exitNotAllowed = 3
	exitMoved      = 4
	exitTakenBack  = 5
	exitStuck      = 6
)

// exitError ends a command with a code after everything was printed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	flags    flags
}

// flags that every command takes.
type flags struct {
	sets, values []string
	facts        string
	backend      string
	families     []string
	netns        string
	stateDir     string
	output       string
	noColor      bool
	quiet        bool
	verbose      bool
}

// run is the program: it reads args, writes to out and err, and returns the exit
// code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (exit int) {
	a := &app{in: in, out: out, err: errs}
	defer func() {
		// A panic's own exit code, 2, would read as differences.
		if broken := recover(); broken != nil {
			fmt.Fprintf(errs, "hookline: a mistake in the program: %v\n\n%s", broken, debug.Stack())
			exit = exitFault
		}
	}()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	var code exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(errs, "hookline: %s\n", diag.Visible(err.Error()))
	return exitFault
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "hookline",
		Short:         "Declarative netfilter rulesets for hosts that several programs share",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.flags.netns == "" {
				return nil
			}
			return netns.Enter(a.flags.netns)
		},
	}
	f := root.PersistentFlags()
	f.StringArrayVar(&a.flags.sets, "set", nil, "set a param: `NAME=YAML` (may be repeated; wins over --values)")
	f.StringArrayVar(&a.flags.values, "values", nil, "read params from a YAML `FILE` (may be repeated; later ones win)")
	f.StringVar(&a.flags.facts, "facts", "", "read further facts from a YAML `FILE`")
	f.StringVar(&a.flags.backend, "backend", "", "`KIND` of tables: auto, iptables-nft, iptables-legacy or nft (default: what the ruleset says)")
	f.StringSliceVar(&a.flags.families, "family", nil, "work on one `FAMILY` only: ipv4 or ipv6")
	f.StringVar(&a.flags.netns, "netns", "", "work in a network namespace, by `NAME` or path")
	f.StringVar(&a.flags.stateDir, "state-dir", "", "`DIR` of the record of what was applied (default "+defaultStateDir+")")
	f.StringVarP(&a.flags.output, "output", "o", "text", "`FORMAT`: text, markdown or json; validate also sarif and github")
	f.BoolVar(&a.flags.noColor, "no-color", false, "print without colours")
	f.BoolVarP(&a.flags.quiet, "quiet", "q", false, "print results and errors only")
	f.BoolVarP(&a.flags.verbose, "verbose", "v", false, "print informational findings too")
	root.AddCommand(
		a.validateCommand(), a.compileCommand(), a.snapshotCommand(), a.importCommand(), a.planCommand(), a.applyCommand(),
		a.verifyCommand(), a.removeCommand(), a.doctorCommand(), a.schemaCommand(), a.versionCommand(),
	)
	root.CompletionOptions.HiddenDefaultCmd = false
	return root
}

// color tells whether a stream takes colours: a terminal, and nobody objects
// (https://no-color.org).
func (a *app) color(w io.Writer) bool {
	if a.flags.noColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// report prints findings to stderr. With -q warnings are left out, without -v
// informations.
func (a *app) report(l *diag.List) error {
	var shown diag.List
	for _, d := range l.All() {
		if d.Severity == diag.Error || d.Severity == diag.Warning && !a.flags.quiet || a.flags.verbose {
			shown.Add(d)
		}
	}
	if shown.Len() == 0 {
		return nil
	}
	return diag.WriteText(a.err, &shown, diag.TextOptions{Color: a.color(a.err), Excerpts: true})
}

// say prints a sentence about the run to stderr, but not with -q.
func (a *app) say(format string, args ...any) {
	if !a.flags.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// format checks -o against what a command can print.
func (a *app) format(allowed ...string) error {
	for _, f := range allowed {
		if a.flags.output == f {
			return nil
		}
	}
	return fmt.Errorf("-o %s is not available here: one of %v is", a.flags.output, allowed)
}
