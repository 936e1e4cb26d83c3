package field

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hookline/backend/run"
	"hookline/internal/netns"
)

// writerMode makes this test binary another program that writes rules, in place
// of its tests: its value names the simulator.
const writerMode = "HOOKLINE_FIELD_WRITER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(writerMode); mode != "" {
		os.Exit(writer(mode, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	status := netns.Main(m)
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(status)
}

// built is the command, built once for all tests that ask for exit codes.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// command builds the command and tells where it is.
func command(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "hookline-field-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(built.dir, "hookline"), "hookline/cmd/hookline")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("building the command: %v", built.err)
	}
	return filepath.Join(built.dir, "hookline")
}

// program is a running simulator.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
	errs  strings.Builder
	done  bool
}

// start runs a simulator inside the node and returns when it has done its first
// round.
func (n *node) start(mode string, args ...string) *program {
	n.t.Helper()
	p := &program{t: n.t}
	p.cmd = exec.Command("/proc/self/exe", args...)
	p.cmd.Env = append(os.Environ(), append(n.ns.Env(), writerMode+"="+mode)...)
	p.cmd.Stderr = &p.errs
	in, err := p.cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	p.stdin, p.lines = in, bufio.NewScanner(out)
	if err := n.ns.Do(p.cmd.Start); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if !p.done {
			p.stdin.Close()
			_ = p.cmd.Wait()
		}
	})
	if !p.lines.Scan() {
		p.stop()
		n.t.Fatalf("the %s simulator ended: %s", mode, p.errs.String())
	}
	return p
}

// stop ends the simulator between two of its rounds and returns how many it did.
func (p *program) stop() int {
	p.t.Helper()
	p.done = true
	p.stdin.Close()
	n := 0
	for p.lines.Scan() {
		if _, err := fmt.Sscanf(p.lines.Text(), "rounds %d", &n); err != nil {
			p.t.Errorf("the simulator said %q", p.lines.Text())
		}
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the simulator ended with %v: %s", err, p.errs.String())
	}
	return n
}

// lookPath is where a tool of iptables lies.
func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := run.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
