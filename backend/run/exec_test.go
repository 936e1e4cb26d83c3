package run

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
)

func sh(script string) backend.Cmd { return backend.Cmd{Argv: []string{"sh", "-c", script}} }

func TestRun(t *testing.T) {
	big := strings.Repeat("0123456789abcde\n", 1<<20)
	for _, c := range []struct {
		name string
		x    Exec
		cmd  backend.Cmd
		want backend.Result
	}{
		{"streams and exit", Exec{}, sh("echo out; echo err >&2; exit 3"), backend.Result{Stdout: "out\n", Stderr: "err\n", Exit: 3}},
		{"language", Exec{}, sh("echo $LC_ALL"), backend.Result{Stdout: "C\n"}},
		{
			"the command's environment goes before the runner's",
			Exec{Env: []string{"A=runner", "B=runner"}},
			backend.Cmd{Argv: []string{"sh", "-c", "echo $A $B"}, Env: []string{"A=command"}},
			backend.Result{Stdout: "command runner\n"},
		},
		{"a tool that does not read its input", Exec{}, backend.Cmd{Argv: []string{"true"}, Stdin: big}, backend.Result{}},
		{"16 MiB in and out", Exec{}, backend.Cmd{Argv: []string{"cat"}, Stdin: big}, backend.Result{Stdout: big}},
		{"its own name", Exec{}, backend.Cmd{Argv: []string{"sh", "-c", "echo $0"}}, backend.Result{Stdout: "sh\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.x.Run(context.Background(), c.cmd)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("Run(%v) mismatch (-want +got):\n%.500s", c.cmd.Argv, cmp.Diff(c.want, got))
			}
		})
	}
}

func TestRunErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		x    Exec
		cmd  backend.Cmd
		is   func(error) bool
	}{
		{"no such program", Exec{}, backend.Cmd{Argv: []string{"no-such-program-here"}}, func(err error) bool { return errors.Is(err, exec.ErrNotFound) }},
		{"nothing to run", Exec{}, backend.Cmd{}, func(err error) bool { return strings.Contains(err.Error(), "no command given") }},
		{"too much output", Exec{Limit: 1000}, backend.Cmd{Argv: []string{"yes"}}, func(err error) bool {
			var e *TooMuchOutputError
			return errors.As(err, &e) && e.Limit == 1000
		}},
		{"too much on stderr", Exec{Limit: 1000}, sh("exec yes >&2"), func(err error) bool {
			var e *TooMuchOutputError
			return errors.As(err, &e)
		}},
		{"killed", Exec{}, sh("kill -SEGV $$"), func(err error) bool { return strings.Contains(err.Error(), "segmentation fault") }},
		{"Around fails", Exec{Around: func(func() error) error { return errors.New("no way") }}, sh("true"), func(err error) bool {
			return strings.Contains(err.Error(), "no way")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.x.Run(context.Background(), c.cmd); err == nil || !c.is(err) {
				t.Errorf("Run(%v) = %v", c.cmd.Argv, err)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := (&Exec{}).Run(ctx, backend.Cmd{Argv: []string{"sleep", "60"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run = %v, want context.DeadlineExceeded", err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("the tool was waited for: %s", d)
	}
}

func TestLookPathOutsideOfPATH(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if got, err := LookPath("nft"); err == nil && !strings.Contains(got, "sbin/") {
		t.Errorf("LookPath(nft) = %s, want it in an sbin folder", got)
	}
	if _, err := LookPath("no-such-program-here"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("LookPath = %v, want exec.ErrNotFound", err)
	}
}

// A tool finds its input whole in a file: if we are killed it must not take half a
// line for a command.
func TestInputIsNoPipe(t *testing.T) {
	in := strings.Repeat("a line\n", 100_000)
	x := &Exec{}
	res, err := x.Run(context.Background(), backend.Cmd{Argv: []string{"sh", "-c", "stat -L -c '%F %s' /dev/stdin; wc -l"}, Stdin: in})
	if err != nil {
		t.Fatal(err)
	}
	if want := "regular file 700000\n100000\n"; res.Stdout != want {
		t.Errorf("the tool sees %q, want %q", res.Stdout, want)
	}
}
