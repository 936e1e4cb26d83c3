package compiler_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/timeline"
	"hookline/dsl/diag"
	"hookline/schemas"
)

// named is a ruleset with a name, and one chain with a jump at INPUT.
func named(name, anchor string, rules ...string) string {
	if len(rules) == 0 {
		rules = []string{"{match: {protocol: tcp, dport: \"22\"}, action: accept}", "{action: drop}"}
	}
	upper := strings.ToUpper(name)
	return strings.NewReplacer("NAME", name, "UPPER", upper, "ANCHOR", anchor, "RULES", strings.Join(rules, ", ")).Replace(`apiVersion: hookline/v1
kind: Ruleset
metadata: {name: NAME, version: 1.0.0}
spec:
  owns: {chains: ["UPPER-*"]}
  tables:
    filter:
      chains:
        UPPER-IN: {rules: [RULES]}
      anchors:
        - {hook: INPUT, jump: UPPER-INANCHOR}
`)
}

// nftHost is a host with base chains of nftables at the hook input:
// "ip calico filter-INPUT 0".
func nftHost(t testing.TB, bases ...string) *ir.Snapshot {
	t.Helper()
	s := &ir.Snapshot{Variant: ir.NFT, State: &ir.State{Families: ir.Families}}
	for _, b := range bases {
		table := ir.NFTTable{Rules: 1}
		c := ir.NFTBaseChain{Type: "filter", Hook: "input", Policy: "accept", Rules: 1}
		if _, err := fmt.Sscan(b, &table.Family, &table.Name, &c.Name, &c.Priority); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if strings.HasSuffix(b, " drop") {
			c.Policy = "drop"
		}
		table.Chains = []ir.NFTBaseChain{c}
		s.State.NFTTables = append(s.State.NFTTables, table)
	}
	return s
}

func placed(t testing.TB, snap *ir.Snapshot, opt compiler.PlanOptions, texts ...string) (*compiler.Plan, compiler.Bases) {
	t.Helper()
	var programs []*compiler.Program
	for _, text := range texts {
		prog, list := compile(t, text, compiler.CompileOptions{Backend: string(ir.NFT)})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		programs = append(programs, prog)
	}
	return compiler.PlaceBases(programs, snap, opt)
}

// TestBasesOfSeveralRulesets: each has a table of its own, and neither takes the
// other's place.
func TestBasesOfSeveralRulesets(t *testing.T) {
	snap := nftHost(t, "ip calico filter-INPUT 0", "inet firewalld filter_INPUT 10")
	plan, bases := placed(t, snap, compiler.PlanOptions{}, named("one", ", after: [calico]"), named("two", ", after: [calico], before: [firewalld]"))
	if err := plan.Diags.Err(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int{"one filter INPUT": 2, "two filter INPUT": 1}, bases.Priority); d != "" {
		t.Error(d)
	}
	// What stands stays, so that a second plan says nothing of a change.
	snap.State = plan.Planned
	again, twice := placed(t, snap, compiler.PlanOptions{}, named("one", ", after: [calico]"), named("two", ", after: [calico], before: [firewalld]"))
	if d := cmp.Diff(bases.Priority, twice.Priority); d != "" {
		t.Error(d)
	}
	var short, all bytes.Buffer
	if err := again.WriteText(&short, compiler.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := again.WriteText(&all, compiler.TextOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(short.String(), "hook ipv4") || !strings.Contains(all.String(), "hook ipv4 input") {
		t.Errorf("a plan that changes nothing:\n%s\nand with all:\n%s", short.String(), all.String())
	}
	for _, h := range again.Timelines {
		for _, c := range h.Chains {
			if c.Change != timeline.Stays {
				t.Errorf("%s %s: %s changes", h.Stack, h.Hook, c.Title())
			}
		}
	}
}

// TestBasesHeld: an anchor is held in the families in which what it waits for is not
// there, and with ignore in none.
func TestBasesHeld(t *testing.T) {
	snap := nftHost(t, "ip calico filter-INPUT 0")
	plan, bases := placed(t, snap, compiler.PlanOptions{}, named("one", ", after: [calico], ifMissing: hold"))
	if d := cmp.Diff(map[string][]string{"one filter INPUT": {"ONE-IN"}}, bases.Held); d != "" || bases.Priority["one filter INPUT"] != 1 {
		t.Errorf("held %v at %v", bases.Held, bases.Priority)
	}
	if !plan.Diags.Has(diag.Held) || plan.Diags.HasErrors() {
		t.Error(plan.Diags.Err())
	}
	plan, bases = placed(t, snap, compiler.PlanOptions{}, named("one", ", after: [calico]"))
	if plan.Diags.Has(diag.Held) || len(bases.Held) > 0 {
		t.Errorf("held without being asked: %v", bases.Held)
	}
	plan, bases = placed(t, nftHost(t), compiler.PlanOptions{}, named("one", ", after: [calico], ifMissing: fail"))
	if !plan.Diags.Has(diag.MissingReference) || compiler.ExitCode(plan.Diags) != 3 || len(bases.Priority) > 0 {
		t.Errorf("fail: exit code %d, %v: %v", compiler.ExitCode(plan.Diags), bases.Priority, plan.Diags.Err())
	}
}

// TestBasesExitCodes: what no priority can do is exit code 3 and says which backend
// can.
func TestBasesExitCodes(t *testing.T) {
	snap := snapshot(t, ir.NFT, strings.NewReplacer("@", "\n").Replace("*filter@:INPUT ACCEPT [0:0]@:FORWARD ACCEPT [0:0]@:OUTPUT ACCEPT [0:0]@:KUBE-ROUTER-INPUT - [0:0]@:KUBE-FIREWALL - [0:0]@-A INPUT -j KUBE-ROUTER-INPUT@-A INPUT -j KUBE-FIREWALL@COMMIT@"))
	snap.State.Families = ir.Families
	snap.State.NFTTables = nftHost(t, "ip filter INPUT 0").State.NFTTables
	plan, _ := placed(t, snap, compiler.PlanOptions{}, named("one", ", after: [kube-router], before: [kubelet]"))
	var text bytes.Buffer
	if err := diag.WriteText(&text, plan.Diags, diag.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if compiler.ExitCode(plan.Diags) != 3 || !strings.Contains(text.String(), "use iptables-nft") || !strings.Contains(text.String(), "with rules of kube-router, kubelet") {
		t.Errorf("exit code %d:\n%s", compiler.ExitCode(plan.Diags), text.String())
	}
	// The same on a host where nobody asks whether it can be done.
	plan, bases := placed(t, snap, compiler.PlanOptions{}, named("one", ", before: [kubelet]"))
	if plan.Diags.HasErrors() || bases.Priority["one filter INPUT"] != -1 {
		t.Errorf("%v: %v", bases.Priority, plan.Diags.Err())
	}
	notrack := strings.NewReplacer("filter:", "raw:", "hook: INPUT", "hook: PREROUTING").Replace(named("one", ", after: [docker]", "{action: {ct: {notrack: true}}}"))
	late := nftHost(t, "ip docker-bridges raw-PREROUTING -201")
	late.State.NFTTables[0].Chains[0].Hook = "prerouting"
	if plan, _ := placed(t, late, compiler.PlanOptions{}, notrack); !plan.Diags.Has(diag.NoPriority) || compiler.ExitCode(plan.Diags) != 3 {
		t.Errorf("notrack behind -201: %v", plan.Diags.Err())
	}
}

// TestTailHasNoPlace: on nft, a participant's tail is where the participant is, which
// a crossing says.
func TestTailHasNoPlace(t *testing.T) {
	plan, _ := placed(t, nftHost(t, "ip calico filter-INPUT 0"), compiler.PlanOptions{}, named("one", ", after: [calico], before: [calico/tail]"))
	var text bytes.Buffer
	if err := diag.WriteText(&text, plan.Diags, diag.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if compiler.ExitCode(plan.Diags) != 3 || !strings.Contains(text.String(), "a tail has no place of its own") || !strings.Contains(text.String(), "use iptables-nft") {
		t.Errorf("exit code %d:\n%s", compiler.ExitCode(plan.Diags), text.String())
	}
}

// TestTimelineMarks: ours is new, moves, goes; each is marked in every form.
func TestTimelineMarks(t *testing.T) {
	text := named("one", ", after: [calico]")
	ours := "inet hookline-one filter-INPUT -7"
	for name, c := range map[string]struct {
		host   []string
		remove bool
		line   string
		action string
	}{
		"new":   {[]string{"ip calico filter-INPUT 0"}, false, "  + 1  filter  ours", "add"},
		"moves": {[]string{"ip calico filter-INPUT 0", ours}, false, "  ~ -7 -> 1  filter  ours", "move"},
		"goes":  {[]string{"ip calico filter-INPUT 0", ours}, true, "  - -7  filter  ours", "remove"},
	} {
		plan, _ := placed(t, nftHost(t, c.host...), compiler.PlanOptions{Remove: c.remove}, text)
		var out, md bytes.Buffer
		if err := plan.WriteText(&out, compiler.TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.line) {
			t.Errorf("%s: no %q in\n%s", name, c.line, out.String())
		}
		if err := compiler.WriteMarkdown(&md, []*compiler.Plan{plan}, 0); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(md.String(), "\n"+strings.TrimSpace(c.line)) {
			t.Errorf("%s: no %q in\n%s", name, c.line, md.String())
		}
		actions := map[string]bool{}
		for _, h := range plan.JSON().Hooks {
			for _, b := range h.Chains {
				if b.Ours {
					actions[b.Action] = true
				}
			}
		}
		if !actions[c.action] || len(actions) != 1 {
			t.Errorf("%s: %v", name, actions)
		}
	}
}

// TestTimelineDrift: a base chain that somebody else made in our table goes, and is
// not called ours; one that stands for a hook of an earlier version is.
func TestTimelineDrift(t *testing.T) {
	base := func(name, hook string) *ir.OwnChain {
		return &ir.OwnChain{Name: name, Base: &ir.BaseChain{Type: "filter", Hook: hook, Priority: -5, Policy: "accept"}}
	}
	snap := nativeHost(&ir.OwnTable{Kind: ir.Inet, Name: "hookline-site", Chains: []*ir.OwnChain{
		base("spy\x1b[1m", "input"), base("filter-FORWARD", "forward"), base("filter-OUTPUT", "input"), {Name: "nb"}, {Name: "filter-OLD"},
	}})
	plan := nativePlan(t, nativeRuleset, snap, compiler.PlanOptions{})
	var out, md bytes.Buffer
	if err := plan.WriteText(&out, compiler.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := compiler.WriteMarkdown(&md, []*compiler.Plan{plan}, 0); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`  - -5  filter  drift in our table  0 rules  inet hookline-site spy\x1b[1m`,
		`  - -5  filter  drift in our table  0 rules  inet hookline-site filter-OUTPUT`,
		`  - -5  filter  ours  0 rules  inet hookline-site filter-FORWARD`,
		`  +  0  filter  ours                1 rule   inet hookline-site filter-INPUT`,
		`inet hookline-site spy\x1b[1m (drift in our table)`,
		`inet hookline-site nb (drift in our table)`,
		`inet hookline-site filter-OLD (owned chain)`,
		`inet hookline-site filter-INPUT (owned chain)`,
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("no %q in\n%s", line, out.String())
		}
	}
	if !strings.Contains(md.String(), "\n@@ inet hookline-site nb (drift in our table) @@\n") || strings.Contains(md.String()+out.String(), "\x1b") {
		t.Errorf("markdown:\n%s", md.String())
	}
	drift := map[string]bool{}
	for _, h := range plan.JSON().Hooks {
		for _, c := range h.Chains {
			drift[c.Chain] = c.Drift
		}
	}
	if !drift["spy\x1b[1m"] || drift["filter-FORWARD"] || drift["filter-INPUT"] {
		t.Errorf("JSON: %v", drift)
	}
}

// TestTimelineRemarks: each is said where it is true, and nowhere else.
func TestTimelineRemarks(t *testing.T) {
	accept, drop := `{match: {protocol: tcp, dport: "22"}, action: accept}`, `{match: {protocol: tcp, dport: "23"}, action: drop}`
	reject, mark := `{match: {protocol: tcp, dport: "24"}, action: reject}`, `{match: {protocol: tcp, dport: "24"}}`
	for _, c := range []struct {
		name, host, anchor, rule, want string
	}{
		{"accept, and NetBird drops later", "ip netbird netbird-acl-input-filter 5", "", accept, "accept-not-final"},
		{"the same with a rule that decides nothing", "ip netbird netbird-acl-input-filter 5", "", mark, ""},
		{"accept, and nobody drops later", "ip flannel-ipv4 forward 5", "", accept, ""},
		{"accept, and a policy drops later", "inet site in 5 drop", "", accept, "accept-not-final"},
		{"accept, and nobody knows", "inet site in 5", "", accept, "accept-not-final"},
		{"accept behind", "ip netbird netbird-acl-input-filter 0", ", after: [netbird]", accept, "verdict-first"},
		{"drop ahead", "ip flannel-ipv4 forward 5", "", drop, "cuts-off"},
		{"reject ahead", "ip flannel-ipv4 forward 5", "", reject, "cuts-off"},
		{"drop behind", "ip flannel-ipv4 forward -5", "", drop, ""},
		{"an earlier policy", "inet site in -5 drop", "", mark, "verdict-first"},
		{"an earlier chain of nobody known", "inet site in -5", "", mark, ""},
		{"the same priority, standing", "inet site in 0|inet hookline-one filter-INPUT 0", "", mark, "shared-priority"},
	} {
		plan, _ := placed(t, nftHost(t, strings.Split(c.host, "|")...), compiler.PlanOptions{}, named("one", c.anchor, c.rule))
		kinds := map[string]bool{}
		for _, h := range plan.Timelines {
			for _, r := range h.Remarks {
				kinds[string(r.Kind)] = true
			}
		}
		var got []string
		for k := range kinds {
			got = append(got, k)
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
		n := 0
		for _, d := range plan.Diags.All() {
			if d.Code == diag.AcceptNotFinal {
				n++
				if d.Span.IsZero() || d.Severity != diag.Warning {
					t.Errorf("%s: %+v", c.name, d)
				}
			}
		}
		if want := strings.Count(c.want, "accept-not-final"); n != want {
			t.Errorf("%s: %d warnings, want %d", c.name, n, want)
		}
	}
}

// TestTimelineHostileNames: names of other programs' tables cannot break out of any
// form, nor make a comment too long.
func TestTimelineHostileNames(t *testing.T) {
	snap := nftHost(t, "ip calico filter-INPUT 0")
	for i, name := range []string{"a`b", "x\n```\n# heading", "\x1b[31mred", "<img src=x>", "|cell|", strings.Repeat("long", 60)} {
		c := ir.NFTBaseChain{Name: name, Type: "filter", Hook: "input", Priority: 20 + i, Policy: "drop", Rules: 1}
		snap.State.NFTTables = append(snap.State.NFTTables, ir.NFTTable{Family: "inet", Name: name, Chains: []ir.NFTBaseChain{c}})
	}
	for range 400 {
		snap.State.NFTTables = append(snap.State.NFTTables, ir.NFTTable{Family: "inet", Name: "many", Chains: []ir.NFTBaseChain{
			{Name: strings.Repeat("c", 100), Type: "filter", Hook: "input", Priority: 40, Policy: "drop", Rules: 1},
		}})
	}
	plan, _ := placed(t, snap, compiler.PlanOptions{}, named("one", ""))
	var text, md bytes.Buffer
	if err := plan.WriteText(&text, compiler.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := compiler.WriteMarkdown(&md, []*compiler.Plan{plan}, 20000); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x1b") || strings.Contains(text.String(), "\n# heading") {
		t.Errorf("text:\n%.2000s", text.String())
	}
	if strings.ContainsAny(md.String(), "\x1b") || strings.Contains(md.String(), "\n# heading") || strings.Contains(md.String(), "\n<img") || len(md.String()) > 20000 {
		t.Errorf("markdown of %d characters:\n%.2000s", md.Len(), md.String())
	}
}

// TestTimelineJSONFitsItsSchema: the hooks of a plan are part of the schema.
func TestTimelineJSONFitsItsSchema(t *testing.T) {
	file, err := schemas.FS.ReadFile("v1/plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(file))
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
	plan, _ := placed(t, recordedNode(t, "mixed-all-native-nftables-nft"), compiler.PlanOptions{}, edge)
	data, err := json.Marshal(plan.JSON())
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
	if len(plan.JSON().Hooks) < 8 {
		t.Errorf("%d hooks", len(plan.JSON().Hooks))
	}
}

// TestNFTScope: what is read is our tables, and of iptables the built-in chains at
// the hooks in use, in the families of the ruleset.
func TestNFTScope(t *testing.T) {
	prog, _ := compile(t, strings.Replace(named("one", ""), "spec:", "spec:\n  families: [ipv4]", 1), compiler.CompileOptions{})
	s := compiler.NFTScope([]*compiler.Program{prog}, compiler.PlanOptions{})
	if d := cmp.Diff([]string{"hookline-one"}, s.Own); d != "" {
		t.Error(d)
	}
	got := map[string][]string{}
	for k, v := range s.Tables {
		got[k.String()] = v.Chains
	}
	in := []string{"INPUT"}
	if d := cmp.Diff(map[string][]string{"ipv4 mangle": in, "ipv4 nat": in, "ipv4 filter": in, "ipv4 security": in}, got); d != "" {
		t.Error(d)
	}
}
