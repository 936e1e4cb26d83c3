package field

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

// node is a host in a private network namespace.
type node struct {
	t       *testing.T
	ns      *netns.NS
	variant ir.Variant
	store   *converge.Store
	state   string // the state directory of store

	mu sync.Mutex
	// sent are the restores that our applies ran, in order.
	sent []backend.Cmd
	// used are the families whose tools ran on the node.
	used map[ir.Family]bool
}

// both runs a test on an empty node of each variant.
func both(t *testing.T, f func(t *testing.T, n *node)) {
	t.Helper()
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		t.Run(string(v), func(t *testing.T) { f(t, newNode(t, v)) })
	}
}

func newNode(t *testing.T, v ir.Variant) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{t: t, ns: netns.ForTest(t), variant: v, state: dir, store: converge.OpenStore(dir)}
	t.Attr("variant", string(v))
	t.Cleanup(func() { t.Attr("families", strings.Join(n.families(), ", ")) })
	return n
}

// families are those that applies of the test wrote to; if none wrote, those
// that were read.
func (n *node) families() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	wrote := map[ir.Family]bool{}
	for _, c := range n.sent {
		for _, f := range ir.Families {
			if n.runs(f, c.Argv) {
				wrote[f] = true
			}
		}
	}
	if len(wrote) == 0 {
		wrote = n.used
	}
	var out []string
	for _, f := range ir.Families {
		if wrote[f] {
			out = append(out, f.String())
		}
	}
	return out
}

// runs tells whether a command is one of a family's tools.
func (n *node) runs(f ir.Family, argv []string) bool {
	return strings.HasPrefix(filepath.Base(argv[0]), n.tool(f, ""))
}

// uses notes the family of a tool that the test or an apply ran.
func (n *node) uses(argv []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range ir.Families {
		if n.runs(f, argv) {
			if n.used == nil {
				n.used = map[ir.Family]bool{}
			}
			n.used[f] = true
		}
	}
}

// kind is the word in the names of the variant's tools.
func (n *node) kind() string { return strings.TrimPrefix(string(n.variant), "iptables-") }

// tool is the name of a family's tool: "" the command, "-save" or "-restore".
func (n *node) tool(f ir.Family, what string) string {
	name := "iptables-"
	if f == ir.IPv6 {
		name = "ip6tables-"
	}
	return name + n.kind() + what
}

// try runs a tool in the node.
func (n *node) try(stdin string, argv ...string) backend.Result {
	n.t.Helper()
	n.uses(argv)
	res, err := n.ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
	if err != nil {
		n.t.Fatal(err)
	}
	return res
}

// run runs a tool that must succeed, and returns what it prints.
func (n *node) run(stdin string, argv ...string) string {
	n.t.Helper()
	res := n.try(stdin, argv...)
	if res.Exit != 0 {
		n.t.Fatalf("%s: exit %d: %s", strings.Join(argv, " "), res.Exit, res.Stderr)
	}
	return res.Stdout
}

// load has both families' tools take a save text. Texts without counters are
// taken as they are.
func (n *node) load(v4, v6 string) *node {
	n.t.Helper()
	for i, f := range ir.Families {
		if text := []string{v4, v6}[i]; text != "" {
			n.run(text, n.tool(f, "-restore"), "-c")
		}
	}
	return n
}

// recorded loads a node that the scenarios use: golden/nodes/NAME-VARIANT or
// golden/nodes/NAME, else the input of a scenario of that name.
func (n *node) recorded(name string) *node {
	n.t.Helper()
	dir := filepath.Join("..", "scenarios", name, "in", n.kind())
	for _, node := range []string{name, name + "-" + n.kind()} {
		if d := filepath.Join("..", "nodes", node); isFolder(d) {
			dir = d
		}
	}
	if !isFolder(dir) {
		n.t.Fatalf("there is no recorded node %s for %s", name, n.variant)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			n.t.Fatal(err)
		}
		return string(text)
	}
	if sets := read("ipset-save.txt"); sets != "" {
		n.run(sets, "ipset", "restore")
	}
	return n.load(read(n.tool(ir.IPv4, "-save.txt")), read(n.tool(ir.IPv6, "-save.txt")))
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// stamp are the lines of a save that change with time.
var stamp = regexp.MustCompile(`(?m)^# (Generated|Completed).*\n`)

// save is what a family's save tool prints, with counters, without the time.
func (n *node) save(f ir.Family) string {
	n.t.Helper()
	return stamp.ReplaceAllString(n.run("", n.tool(f, "-save"), "-c"), "")
}

// saves are both families'.
func (n *node) saves() string { return n.save(ir.IPv4) + n.save(ir.IPv6) }

// chain are the rules of a chain as -S prints them, without "-A CHAIN ".
func (n *node) chain(f ir.Family, table, chain string) []string {
	n.t.Helper()
	var out []string
	for line := range strings.Lines(n.run("", n.tool(f, ""), "-w", "-t", table, "-S", chain)) {
		if text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-A "+chain); ok {
			out = append(out, strings.TrimPrefix(text, " "))
		}
	}
	return out
}

// foreign are the lines of a save that do not speak of our chains, policies and
// counters included. Empty tables that our write made are left out.
func foreign(save string) string {
	var out, table []string
	rules := false
	for line := range strings.Lines(save) {
		switch {
		case strings.HasPrefix(line, "*"):
			table, rules = []string{line}, false
		case strings.HasPrefix(line, "COMMIT"):
			if rules {
				out = append(append(out, table...), line)
			}
		case strings.Contains(line, "SITE_") || strings.Contains(line, "HARVESTER_") || strings.Contains(line, "RKE2_"):
		default:
			rules = rules || strings.Contains(line, "-A ") || strings.Contains(line, " - [") || strings.Contains(line, " DROP [")
			if strings.HasPrefix(line, ":") {
				line = line[:strings.LastIndex(line, "[")] + "\n" // a policy's counters start again with a change on legacy
			}
			table = append(table, line)
		}
	}
	return strings.Join(out, "")
}

// compile reads rulesets.
func compile(t *testing.T, texts ...string) []*compiler.Program {
	t.Helper()
	var out []*compiler.Program
	for _, text := range texts {
		docs, list := dsl.Parse(diag.NewFile("ruleset.yaml", text))
		if list.HasErrors() {
			t.Fatal(findings(list))
		}
		for _, d := range docs {
			p, list := compiler.Compile(d, compiler.CompileOptions{})
			if list.HasErrors() {
				t.Fatal(findings(list))
			}
			out = append(out, p)
		}
	}
	return out
}

// writes tells whether a run of a tool is a restore that changes something; -S in
// a restore only lists.
func writes(c backend.Cmd) bool {
	return !slices.Contains(c.Argv, "--test") && regexp.MustCompile(`(?m)^(:|-[^SC])`).MatchString(c.Stdin)
}

// Run makes the node a Runner that keeps what our applies send to restore tools.
func (n *node) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	n.uses(c.Argv)
	if writes(c) {
		n.mu.Lock()
		n.sent = append(n.sent, c)
		n.mu.Unlock()
	}
	return n.ns.Runner().Run(ctx, c)
}

// backend is the node's own, over a runner; nil means the node itself.
func (n *node) backend(r backend.Runner) *iptables.Backend {
	n.t.Helper()
	if r == nil {
		r = n
	}
	b, err := iptables.New(iptables.Options{Variant: n.variant, Runner: r, NetNS: n.ns.Do, LockFile: n.ns.LockFile()})
	if err != nil {
		n.t.Fatal(err)
	}
	return b
}

// apply brings the node to where rulesets say.
func (n *node) apply(texts ...string) *converge.Outcome {
	n.t.Helper()
	return n.applyWith(converge.Options{Backend: n.backend(nil), Programs: compile(n.t, texts...), Store: n.store})
}

func (n *node) remove(texts ...string) *converge.Outcome {
	n.t.Helper()
	return n.applyWith(converge.Options{Backend: n.backend(nil), Programs: compile(n.t, texts...), Store: n.store, Remove: true})
}

func (n *node) applyWith(opt converge.Options) *converge.Outcome {
	n.t.Helper()
	out, err := converge.Apply(context.Background(), opt)
	if err != nil {
		n.t.Fatalf("Apply: %v", err)
	}
	return out
}

// must fails the test unless an apply ended as wanted.
func (n *node) must(out *converge.Outcome, want converge.Status) *converge.Outcome {
	n.t.Helper()
	if out.Status == want {
		return out
	}
	n.t.Fatalf("the apply ended with status %d, want %d\nfindings: %s\nplan: %s\nread back: %s",
		out.Status, want, findings(out.Diags), findings(out.Plan.Diags), func() string {
			if out.Final == nil {
				return "-"
			}
			return findings(out.Final.Diags)
		}())
	return out
}

// findings are all findings as the command prints them.
func findings(l *diag.List) string {
	var b strings.Builder
	if err := diag.WriteText(&b, l, diag.TextOptions{Excerpts: true}); err != nil {
		return err.Error()
	}
	return b.String()
}

// hookline runs the command in the node with its own state directory.
func (n *node) hookline(ruleset string, args ...string) backend.Result {
	n.t.Helper()
	argv := append([]string{command(n.t)}, args...)
	argv = append(argv, "--state-dir", n.state, "--backend", string(n.variant), "--no-color", "-")
	return n.try(ruleset, argv...)
}
