package compiler_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
	"hookline/schemas"
)

// snapshot is a host as a save text says, IPv4 only.
func snapshot(t testing.TB, v ir.Variant, save string) *ir.Snapshot {
	t.Helper()
	state, warnings, list := iptables.ParseSave(diag.NewFile("host.save", save), ir.IPv4, iptables.ParseOptions{})
	if err := list.Err(); err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	return &ir.Snapshot{Variant: v, State: state}
}

// node is a host with others' rules, some of ours from before, and a stale chain.
const node = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:SITE-IN - [0:0]
:SITE-OLD - [0:0]
:cali-INPUT - [0:0]
-A INPUT -m comment --comment "hookline:site" -j SITE-OLD
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-A INPUT -j KUBE-FIREWALL
-A INPUT -m comment --comment "hookline:site" -j SITE-IN
-A FORWARD -o eth0 -j SITE-IN
-A SITE-IN -p tcp -m tcp --dport 22 -j ACCEPT
-A SITE-OLD -j SITE-IN
COMMIT
`

const site = head + `  families: [ipv4]
  owns: {chains: ["SITE-*"]}
  tables:
    filter:
      chains:
        SITE-IN:
          rules: ["-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 443 -j ACCEPT"]
      anchors:
        - {hook: INPUT, jump: SITE-IN, after: [calico], before: [kubelet]}
`

func plan(t testing.TB, v ir.Variant, save, ruleset string) *compiler.Plan {
	t.Helper()
	p, list := compile(t, ruleset, compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return compiler.NewPlan([]*compiler.Program{p}, snapshot(t, v, save), compiler.PlanOptions{})
}

func TestPlanTransaction(t *testing.T) {
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		p := plan(t, v, node, site)
		if err := p.Diags.Err(); err != nil {
			t.Fatal(err)
		}
		scripts, err := iptables.Render(p.Transaction, v)
		if err != nil {
			t.Fatal(err)
		}
		guards, drop := "-C INPUT -m comment --comment \"cali:Cz_u1IQiXIMmKD4c\" -j cali-INPUT\n-C INPUT -j KUBE-FIREWALL\n", "COMMIT\n*filter\n"
		if v == ir.IptablesLegacy {
			guards, drop = "", ""
		}
		want := "*filter\n" + guards + `:SITE-IN - [0:0]
-A SITE-IN -p tcp -m tcp --dport 22 -j ACCEPT
-A SITE-IN -p tcp -m tcp --dport 443 -j ACCEPT
-D INPUT -m comment --comment "hookline:site" -j SITE-OLD
-D INPUT -m comment --comment "hookline:site" -j SITE-IN
-I INPUT 2 -m comment --comment "hookline:site" -j SITE-IN
-D FORWARD -o eth0 -j SITE-IN
-F SITE-OLD
` + drop + "-X SITE-OLD\nCOMMIT\n"
		if d := cmp.Diff(want, scripts[0].Text); d != "" {
			t.Errorf("%s (-want +got):\n%s", v, d)
		}
		if keys := p.LeavesForeign(); len(keys) > 0 {
			t.Errorf("%s: foreign rules of %v are not as before", v, keys)
		}
	}
}

// A false plan has no transaction, whatever else it found.
func TestPlanWithErrorsWritesNothing(t *testing.T) {
	foreign := strings.Replace(node, "-A SITE-OLD -j SITE-IN\n", "-A KUBE-FIREWALL -s 10.0.0.1/32 -j SITE-OLD\n", 1)
	p := plan(t, ir.IptablesNFT, foreign, site)
	if !p.Diags.Has(diag.ForeignReference) || !p.Transaction.Empty() || compiler.ExitCode(p.Diags) != 3 {
		t.Errorf("exit code %d, transaction %v: %v", compiler.ExitCode(p.Diags), p.Transaction, p.Diags.Err())
	}
	other := strings.ReplaceAll(node, "hookline:site\" -j SITE-OLD", "hookline:edge\" -j SITE-OLD")
	p = plan(t, ir.IptablesNFT, other, site)
	if !p.Diags.Has(diag.OtherRuleset) || !p.Transaction.Empty() {
		t.Errorf("a stale jump of another ruleset: %v", p.Diags.Err())
	}
}

func TestPlanJSONFitsItsSchema(t *testing.T) {
	text, err := schemas.FS.ReadFile("v1/plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("plan.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("plan.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, ruleset := range []string{site, strings.Replace(site, "kubelet]", "KUBE-FIREWALL]", 1), site + `  constraints:
    - {name: no, that: 'planned.chain("ipv4", "filter", "INPUT").count("SITE-IN") == 2', message: two}
`} {
		var b bytes.Buffer
		if err := compiler.WriteJSON(&b, []*compiler.Plan{plan(t, ir.IptablesNFT, node, ruleset)}); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%v\n%s", err, b.String())
		}
		var back compiler.PlanJSON
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.FormatVersion != compiler.FormatVersion {
			t.Errorf("read back: %v, version %d", err, back.FormatVersion)
		}
	}
}

// A comment fits, says what it leaves out, and never leaves a code block open.
func TestMarkdownFits(t *testing.T) {
	var rules strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&rules, ", \"-p tcp --dport %d -m comment --comment `x` -j ACCEPT\"", i+1000)
	}
	big := strings.Replace(site, `--dport 443 -j ACCEPT"`, `--dport 443 -j ACCEPT"`+rules.String(), 1)
	for _, limit := range []int{0, 65536, 5000, 1200} {
		var b bytes.Buffer
		p := plan(t, ir.IptablesNFT, node, big)
		if err := compiler.WriteMarkdown(&b, []*compiler.Plan{p, p}, limit); err != nil {
			t.Fatal(err)
		}
		most := limit
		if most == 0 {
			most = 65000 // what a comment takes, with room for what a workflow puts around it
		}
		text := b.String()
		if n := len([]rune(text)); n > most {
			t.Errorf("%d characters, want at most %d", n, most)
		}
		if !strings.Contains(text, "left out") {
			t.Errorf("limit %d: nothing says that something is left out", limit)
		}
		if strings.Count(text, "\n```")%2 != 0 {
			t.Errorf("limit %d: a code block stays open", limit)
		}
	}
}

// Of several plans the longest is shortened first: a node with little to show is
// shown whole beside one with thousands of rules, and the table ahead of them
// names all, also those of which nothing else fits.
func TestMarkdownOfSeveralFits(t *testing.T) {
	var rules strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&rules, ", \"-p tcp --dport %d -j ACCEPT\"", i+1000)
	}
	big := plan(t, ir.IptablesNFT, node, strings.Replace(site, `--dport 443 -j ACCEPT"`, `--dport 443 -j ACCEPT"`+rules.String(), 1))
	small := plan(t, ir.IptablesNFT, node, site)
	big.Source, small.Source = "snapshots/big", "snapshots/small"
	var b, alone bytes.Buffer
	if err := compiler.WriteMarkdown(&b, []*compiler.Plan{big, small}, 0); err != nil {
		t.Fatal(err)
	}
	if err := compiler.WriteMarkdown(&alone, []*compiler.Plan{small}, 0); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), alone.String()) {
		t.Errorf("the small plan is not shown whole:\n%s", b.String())
	}
	if n := utf8.RuneCountInString(b.String()); n > 65000 || strings.Count(b.String(), "left out") != 1 {
		t.Errorf("%d characters, %d sentences about what is left out: want at most 65000 and one", n, strings.Count(b.String(), "left out"))
	}

	many := make([]*compiler.Plan, 400)
	for i := range many {
		p := *small
		p.Source = fmt.Sprintf("snapshots/node-%d", i)
		many[i] = &p
	}
	many[7] = compiler.Unplanned("snapshots/node-7", big.Diags)
	b.Reset()
	if err := compiler.WriteMarkdown(&b, many, 0); err != nil {
		t.Fatal(err)
	}
	if n := utf8.RuneCountInString(b.String()); n > 65000 {
		t.Errorf("%d characters for 400 plans", n)
	}
	for _, p := range many {
		if !strings.Contains(b.String(), "| `"+p.Source+"` |") {
			t.Fatalf("%s is not in the table", p.Source)
		}
	}
}

// Hostile text in a plan does not become markup, a mention or a terminal escape.
func TestMarkdownHostile(t *testing.T) {
	save := strings.Replace(node, "-A INPUT -j KUBE-FIREWALL\n", "-A INPUT -m comment --comment \"```\\\" @everyone <img src=x> | \x1b[31m\" -j KUBE-FIREWALL\n", 1)
	p := plan(t, ir.IptablesNFT, save, site)
	var b, text bytes.Buffer
	if err := compiler.WriteMarkdown(&b, []*compiler.Plan{p}, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteText(&text, compiler.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "\x1b") || strings.Contains(text.String(), "\x1b") {
		t.Error("a terminal escape gets through")
	}
	if !strings.Contains(b.String(), "````diff") {
		t.Errorf("the fence is not longer than what stands inside:\n%s", b.String())
	}
}

// Restore takes what a plan did back, also after others have written meanwhile.
func TestRestore(t *testing.T) {
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		before := snapshot(t, v, node)
		prog, _ := compile(t, site, compiler.CompileOptions{})
		p := compiler.NewPlan([]*compiler.Program{prog}, before, compiler.PlanOptions{})
		foreign := ir.Transaction{Blocks: []ir.Block{{Family: ir.IPv4, Table: "filter", NoFlush: true, Ops: []ir.Op{
			{Kind: ir.OpInsert, Chain: "INPUT", Index: 3, Rule: &ir.Rule{Text: "-i wt0 -j ACCEPT"}},
		}}}}
		moved, err := p.Planned.Apply(foreign)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct{ now, want *ir.State }{
			"alone":          {p.Planned, before.State},
			"others between": {moved, must(before.State.Apply(foreign))},
			"nothing to do":  {before.State, before.State},
		} {
			tx := restored(t, p, before, &ir.Snapshot{Variant: v, State: c.now})
			if err := ir.CheckTransaction(tx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got, err := c.now.Apply(tx)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			same := func(f ir.Family, a, b *ir.Rule) bool { return xtables.Equal(a, b, f) }
			for _, d := range ir.Compare(c.want, got, ir.CompareOptions{SameRule: same}) {
				t.Errorf("%s on %s: %v", name, v, d)
			}
		}
	}
}

func must(s *ir.State, err error) *ir.State {
	if err != nil {
		panic(err)
	}
	return s
}

// Any two lists of lines: the edits give the second from the first.
func TestDiffLines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	list := func() []string {
		out := make([]string, r.IntN(9))
		for i := range out {
			out[i] = string(rune('a' + r.IntN(4)))
		}
		return out
	}
	for range 5000 {
		a, b := list(), list()
		if got := compiler.Patched(a, b); !cmp.Equal(got, b) && len(got)+len(b) > 0 {
			t.Fatalf("%q to %q gives %q", a, b, got)
		}
	}
}

// A rule that may do without a set is left out whole, whichever of its lines and
// helper chains name the set.
func TestPlanSkipsWholeRules(t *testing.T) {
	ruleset := head + "  families: [ipv4]\n" + chain(
		`{match: {source: [10.0.0.1, {set: gone, ifMissing: skip}]}, action: accept}`,
		`{match: {not: {source: [10.0.0.1, {set: gone, ifMissing: skip}]}}, action: drop}`,
		`{match: {source: [10.0.0.2, {set: gone, ifMissing: skip}], limit: 5/minute}, action: {log: {prefix: x}}}`,
		`{match: {source: {set: here}}, action: accept}`)
	p, list := compile(t, ruleset, compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	snap := snapshot(t, ir.IptablesNFT, node)
	snap.State.SetsRead, snap.State.Sets = true, []*ir.Set{{Family: ir.IPv4, Name: "here", Type: "hash:ip", Counted: -1}}
	got := compiler.NewPlan([]*compiler.Program{p}, snap, compiler.PlanOptions{})
	if err := got.Diags.Err(); err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, c := range got.Planned.Table(ir.IPv4, "filter").Chains {
		if strings.HasPrefix(c.Name, "SITE-IN") {
			for _, r := range c.Rules {
				rules = append(rules, c.Name+" "+r.Text)
			}
		}
	}
	if d := cmp.Diff([]string{"SITE-IN -m set --match-set here src -j ACCEPT"}, rules); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
}

// restored is the transaction that takes a host back whole.
func restored(t *testing.T, p *compiler.Plan, before, now *ir.Snapshot) ir.Transaction {
	t.Helper()
	tx, failed := p.Restore(before, now)
	for k, err := range failed {
		t.Fatalf("%s: %v", k, err)
	}
	return tx
}
