package converge_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

// cutter runs tools, and is killed in the middle of the n-th line that ipset reads:
// from then on nothing runs.
type cutter struct {
	next backend.Runner
	left int
	dead bool
	sent int // lines that ipset read
}

func (c *cutter) Run(ctx context.Context, cmd backend.Cmd) (backend.Result, error) {
	if c.dead {
		return backend.Result{}, errKilled
	}
	if cmd.Argv[0] == "ipset" && cmd.Argv[1] == "restore" {
		lines := strings.SplitAfter(strings.TrimSuffix(cmd.Stdin, "\n"), "\n")
		if c.left < len(lines) {
			c.dead = true
			cmd.Stdin = strings.Join(lines[:c.left], "") + "\n"
			if _, err := c.next.Run(ctx, cmd); err != nil {
				return backend.Result{}, err
			}
			return backend.Result{}, errKilled
		}
		c.left -= len(lines)
		c.sent += len(lines)
	}
	return c.next.Run(ctx, cmd)
}

// kernelHost is the backend of a namespace whose tools a test can step into.
func kernelHost(t testing.TB, ns *netns.NS, v ir.Variant, r backend.Runner) *iptables.Backend {
	t.Helper()
	b, err := iptables.New(iptables.Options{Variant: v, Runner: r, NetNS: ns.Do, LockFile: ns.LockFile()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func shell(t testing.TB, ns *netns.NS, script string) string {
	t.Helper()
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: []string{"sh", "-ec", script}})
	if err != nil || res.Exit != 0 {
		t.Fatalf("%s: %v %s", script, err, res.Stderr)
	}
	return res.Stdout
}

// elements are those of a set in the kernel, without time and comments; nil if there
// is no such set.
func elements(t testing.TB, ns *netns.NS, name string) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(shell(t, ns, "ipset save "+name+" 2>/dev/null || true")) {
		if w := strings.Fields(line); w[0] == "add" {
			out = append(out, w[2])
		} else if out == nil {
			out = []string{}
		}
	}
	slices.Sort(out)
	return out
}

// The real ipset is killed behind each line of a change: what the rules see is old or
// new, and the next apply leaves nothing behind.
func TestSetsKilledOnAKernel(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		ns := netns.ForTest(t)
		store := converge.OpenStore(t.TempDir())
		old := converge.Options{Backend: kernelHost(t, ns, v, ns.Runner()), Programs: programs(t, sitesSets(oldNets, oldHosts)), Store: store}
		changed := programs(t, sitesSets(newNets, newHosts))
		want := map[string][2][]string{
			"nets-4": {{"10.0.0.0/8"}, {"10.0.0.0/8", "198.51.100.0/24", "203.0.113.0/24"}}, "nets-6": {{"2001:db8::/32"}, {"2001:db8:1::/48"}},
			"hosts-4": {{"192.0.2.1"}, {"192.0.2.1", "192.0.2.2", "192.0.2.3"}}, "hosts-6": {{"2001:db8::1"}, {"2001:db8::1"}},
		}
		for line := range 100 {
			must(t, apply(t, old), converge.Done)
			c := &cutter{next: ns.Runner(), left: line}
			_, err := converge.Apply(t.Context(), converge.Options{Backend: kernelHost(t, ns, v, c), Programs: changed, Store: store})
			for name, w := range want {
				if got := elements(t, ns, name); !slices.Equal(got, w[0]) && !slices.Equal(got, w[1]) {
					t.Errorf("line %d: set %s holds %q, neither old nor new", line, name, got)
				}
			}
			if err == nil && line == 0 {
				t.Fatal("nothing was killed")
			}
			if err == nil {
				return
			}
			opt := old
			opt.Programs = changed
			must(t, apply(t, opt), converge.Done)
			if names := shell(t, ns, "ipset list -n | sort | tr '\\n' ' '"); names != "hosts-4 hosts-6 nets-4 nets-6 " {
				t.Errorf("line %d: the sets %s stand", line, names)
			}
		}
		t.Error("the change is longer than a hundred lines")
	})
}

// What stays in a set keeps the time that it has left and what it counted, whether
// the set is changed in place or by a swap, and a set that is as declared is not
// written.
func TestSetsKeepTimeOnAKernel(t *testing.T) {
	const ruleset = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  families: [ipv4]
  sets:
    guests: {type: address, timeout: 1h, elements: [%s]}
  tables:
    filter:
      chains: {SITE_INPUT: {rules: [{match: {source: {set: guests}}, action: accept}]}}
`
	both(t, func(t *testing.T, v ir.Variant) {
		ns := netns.ForTest(t)
		c := &cutter{next: ns.Runner(), left: 1 << 20}
		host := kernelHost(t, ns, v, c)
		bring := func(list string) {
			t.Helper()
			must(t, apply(t, converge.Options{Backend: host, Programs: programs(t, fmt.Sprintf(ruleset, list))}), converge.Done)
		}
		left := func(element string) string {
			t.Helper()
			return strings.TrimSpace(shell(t, ns, "ipset save guests | sed -n 's/^add guests "+element+" timeout //p'"))
		}
		bring("192.0.2.1, 192.0.2.2")
		shell(t, ns, "ipset -exist add guests 192.0.2.1 timeout 1000")
		n := c.sent
		bring("192.0.2.1, 192.0.2.2")
		if c.sent != n {
			t.Errorf("%d lines were written, although the set holds what is declared", c.sent-n)
		}
		bring("192.0.2.1, 192.0.2.2, 192.0.2.3") // in place
		if c.sent != n+1 {
			t.Errorf("%d lines were written for one element more", c.sent-n)
		}
		bring("192.0.2.1, 192.0.2.8, 192.0.2.9") // swapped
		if got := left("192.0.2.1"); len(got) != 3 && got != "1000" {
			t.Errorf("192.0.2.1 has %q seconds left, of 1000", got)
		}
		if got := left("192.0.2.9"); len(got) != 4 {
			t.Errorf("192.0.2.9 has %q seconds left, of 3600", got)
		}
		// One that ended is declared, and comes back.
		shell(t, ns, "ipset del guests 192.0.2.8")
		bring("192.0.2.1, 192.0.2.8, 192.0.2.9")
		if got := elements(t, ns, "guests"); !slices.Equal(got, []string{"192.0.2.1", "192.0.2.8", "192.0.2.9"}) {
			t.Errorf("the set holds %q", got)
		}
	})
}

// A rule of somebody else uses a set that is declared no more, in a chain that is not
// read for a plan.
func TestSetsForeignReferenceOnAKernel(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		ns := netns.ForTest(t)
		opt := converge.Options{Backend: kernelHost(t, ns, v, ns.Runner()), Programs: programs(t, sitesSets(oldNets, oldHosts)), Store: converge.OpenStore(t.TempDir())}
		must(t, apply(t, opt), converge.Done)
		tool := string(v)
		shell(t, ns, tool+" -w -N THEIRS; "+tool+" -w -A THEIRS -m set --match-set hosts-4 src -j DROP")
		opt.Programs = programs(t, site)
		out := apply(t, opt)
		must(t, out, converge.Refused)
		if err := out.Plan.Diags.Err(); err == nil || !strings.Contains(err.Error(), "set hosts-4 is no longer declared") {
			t.Errorf("findings %v", err)
		}
		shell(t, ns, tool+" -w -F THEIRS")
		must(t, apply(t, opt), converge.Done)
		if names := shell(t, ns, "ipset list -n"); names != "" {
			t.Errorf("the sets %s stand", names)
		}
	})
}
