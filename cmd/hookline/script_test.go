package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"hookline/internal/netns"
)

var update = flag.Bool("update", false, "rewrite the outputs that the scripts compare with")

// rootless runs the tests as root of a user namespace where that is needed.
type rootless struct{ m *testing.M }

func (r rootless) Run() int { return netns.Main(r.m) }

func TestMain(m *testing.M) {
	testscript.Main(rootless{m}, map[string]func(){
		"hookline": func() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func params(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	}
}

// exits is `exits CODE COMMAND...`: the command ends with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s exits with %d, want %d", args[1], got, want)
	}
}

// TestScripts are what the program says without a host.
func TestScripts(t *testing.T) { testscript.Run(t, params("testdata/script")) }

// TestKernelScripts are what it does to one. Each script has a network namespace
// of its own, whose path is $NETNS: `exec nsenter --net=$NETNS COMMAND`.
func TestKernelScripts(t *testing.T) {
	p := params("testdata/script/kernel")
	p.Setup = func(env *testscript.Env) error {
		ns := netns.ForTest(env.T().(netns.TB)) //nolint:forcetypeassert // because testscript.Run hands in a *testing.T
		env.Setenv("NETNS", ns.Path())
		env.Setenv("XTABLES_LOCKFILE", ns.LockFile())
		return nil
	}
	testscript.Run(t, p)
}
