package compiler_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
	"hookline/schemas"
)

// collecting is a ruleset with entries of collect in filter.
func collecting(entries ...string) string {
	return head + "  families: [ipv4]\n  params: {stale: {type: list(address), default: []}}\n  tables:\n    filter:\n      collect:\n        - " +
		strings.Join(entries, "\n        - ") + "\n"
}

// leftovers are two chains of an agent and the jumps to them.
const leftovers = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:AGENT - [0:0]
:OTHER - [0:0]
-A INPUT -s 192.0.2.1/32 -m comment --comment "agent: a" -j DROP
-A INPUT -j AGENT
-A INPUT -s 192.0.2.1/32 -m comment --comment "agent: a" -j DROP
-A FORWARD -j OTHER
-A AGENT -s 192.0.2.1/32 -j RETURN
-A OTHER -s 192.0.2.2/32 -g AGENT
-A OTHER -s 192.0.2.3/32 -j RETURN
COMMIT
`

// Random rules, random predicates: what is predicted is what stood without what a
// predicate of ours, which knows nothing but the text, chooses.
func TestCollectChoosesExactly(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	texts := []string{
		"-s 192.0.2.1/32 -j ACCEPT", "-s 192.0.2.1/32 -j DROP", "-s 192.0.2.2/32 -j ACCEPT", "-p udp -m udp --dport 53 -j ACCEPT", "",
		`-m comment --comment "a b" -j RETURN`, "-m comment --comment a -m comment --comment b -j DROP", "-i eth0 -j OTHER", "! -s 192.0.2.1/32 -g OTHER",
		"-p tcp -m tcp --dport 22 -m comment --comment a -j RETURN", "-m mark --mark 0x40/0x40 -j ACCEPT",
	}
	predicates := []struct {
		where string
		holds func(s string) bool
	}{
		{`rule.source == "192.0.2.1/32"`, func(s string) bool { return strings.HasPrefix(s, "-s 192.0.2.1/32 ") }},
		{`rule.target in ["DROP", ""]`, func(s string) bool { return s == "" || strings.HasSuffix(s, "-j DROP") }},
		{`rule.comments.exists(c, c == "a")`, func(s string) bool { return strings.Contains(s, "--comment a ") }},
		{`rule.comment.startsWith("a")`, func(s string) bool { return strings.Contains(s, "--comment a") || strings.Contains(s, `--comment "a`) }},
		{`rule.dport == "53" || rule.mark != ""`, func(s string) bool { return strings.Contains(s, "--dport 53") || strings.Contains(s, "--mark ") }},
		{`!(rule.iface == "eth0") && !rule.owned && !rule.native`, func(s string) bool { return !strings.Contains(s, "-i eth0") }},
		{`rule.text.size() > 30 || rule.participant != ""`, func(s string) bool { return len(s) > 30 }},
		{"false", func(string) bool { return false }},
		{"true", func(string) bool { return true }},
	}
	collected := 0
	for range 300 {
		var save strings.Builder
		save.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:AGENT - [0:0]\n:OTHER - [0:0]\n")
		p := predicates[r.IntN(len(predicates))]
		want := map[string][]string{"INPUT": nil, "AGENT": nil}
		gone := 0
		for _, chain := range []string{"INPUT", "AGENT"} {
			for range r.IntN(12) {
				text := texts[r.IntN(len(texts))]
				fmt.Fprintf(&save, "[%d:60] -A %s %s\n", r.IntN(9), chain, text)
				if p.holds(text) {
					gone++
				} else {
					want[chain] = append(want[chain], text)
				}
			}
		}
		save.WriteString("COMMIT\n")
		v := []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy}[r.IntN(2)]
		got := plan(t, v, save.String(), collecting("{chain: INPUT, where: '"+p.where+"'}", "{chain: AGENT, where: '"+p.where+"'}"))
		if err := got.Diags.Err(); err != nil {
			t.Fatal(err)
		}
		for chain, w := range want {
			if d := cmp.Diff(w, texts2(t, got.Planned, chain)); d != "" {
				t.Fatalf("%s\n%s of %s (-want +got):\n%s", p.where, chain, save.String(), d)
			}
		}
		if n := len(got.Changes); n != gone || got.Empty() != (gone == 0) {
			t.Fatalf("%d changes, %d rules chosen", n, gone)
		}
		if keys := got.LeavesForeign(); len(keys) > 0 {
			t.Fatalf("rules of others in %v are not as before", keys)
		}
		if err := ir.CheckTransaction(got.Transaction); err != nil {
			t.Fatal(err)
		}
		collected += gone
	}
	if collected < 500 {
		t.Errorf("%d rules were collected: the test says too little", collected)
	}
}

// texts2 are the rules of a chain of filter, nil if there are none.
func texts2(t *testing.T, s *ir.State, chain string) []string {
	t.Helper()
	return append([]string(nil), texts(t, s, "filter", chain)...)
}

// LeavesForeign proves what it says also of what is collected: a chosen rule that
// stays and one that goes without being chosen are found.
func TestLeavesForeignKnowsWhatIsCollected(t *testing.T) {
	entry := `{chain: INPUT, where: 'rule.comment == "agent: a"'}`
	for name, change := range map[string]func(p *compiler.Plan){
		"a chosen copy stays": func(p *compiler.Plan) {
			p.Transaction.Blocks[0].Ops = p.Transaction.Blocks[0].Ops[:len(p.Transaction.Blocks[0].Ops)-1]
		},
		"another rule goes": func(p *compiler.Plan) {
			p.Transaction.Blocks[0].Ops = append(p.Transaction.Blocks[0].Ops, ir.Op{Kind: ir.OpDelete, Chain: "INPUT", Rule: &ir.Rule{Text: "-j AGENT"}})
		},
		"another chain is emptied": func(p *compiler.Plan) {
			p.Transaction.Blocks[0].Ops = append(p.Transaction.Blocks[0].Ops, ir.Op{Kind: ir.OpFlush, Chain: "OTHER"})
		},
		"nothing": nil,
	} {
		p := plan(t, ir.IptablesNFT, leftovers, collecting(entry))
		if change != nil {
			change(p)
		}
		p.Planned = must(p.Live.Apply(p.Transaction))
		if keys := p.LeavesForeign(); len(keys) > 0 != (change != nil) {
			t.Errorf("%s: found %v", name, keys)
		}
	}
}

// The whole pass over a chain has one limit of cost, not one for each rule.
func TestCollectHasOneBudget(t *testing.T) {
	var save strings.Builder
	save.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n")
	for i := range 300 {
		fmt.Fprintf(&save, "-A INPUT -p tcp -m tcp --dport %d -j ACCEPT\n", i+1)
	}
	save.WriteString("COMMIT\n")
	const dear = `{chain: INPUT, where: '[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c,
            [1,2,3,4,5,6,7,8,9,10].all(d, a + b + c + d + size(rule.text) > 1))))'}`
	p := plan(t, ir.IptablesNFT, save.String(), collecting(dear))
	if !p.Diags.Has(diag.CELCost) || !p.Empty() {
		t.Errorf("findings %v, want %s", p.Diags.Err(), diag.CELCost)
	}
	first := strings.Join(strings.SplitAfterN(save.String(), "\n", 6)[:5], "") + "COMMIT\n"
	if p := plan(t, ir.IptablesNFT, first, collecting(dear)); p.Diags.HasErrors() || p.Empty() {
		t.Errorf("one rule: findings %v, want it collected", p.Diags.Err())
	}
}

// Facts, params and when decide without a host.
func TestCollectAsksForFactsAndParams(t *testing.T) {
	const facts = `{chain: INPUT, where: 'rule.iface in facts.interfaces.map(i, i)'}`
	if _, list := compile(t, collecting(facts), compiler.CompileOptions{}); !list.Has(diag.FactsNeeded) {
		t.Errorf("findings %v, want %s", list.Err(), diag.FactsNeeded)
	}
	p, list := compile(t, collecting(facts), compiler.CompileOptions{WithoutFacts: true})
	if list.HasErrors() || len(p.Collects) > 0 {
		t.Errorf("without facts: findings %v, %d entries, want the entry checked and left out", list.Err(), len(p.Collects))
	}
	entry := `{chain: INPUT, when: size(params.stale) > 0, where: 'params.stale.exists(a, rule.source == a + "/32")'}`
	for want, sets := range map[int][]string{0: nil, 1: {"stale=[192.0.2.1]"}} {
		p, list := compile(t, collecting(entry), compiler.CompileOptions{}, sets...)
		if list.HasErrors() || len(p.Collects) != want {
			t.Errorf("%v: findings %v, %d entries, want %d", sets, list.Err(), len(p.Collects), want)
		}
	}
}

// A chain that another ruleset owns, planned or recorded, or that this one
// declared when it was last applied, is none of others.
func TestCollectInOwnedChains(t *testing.T) {
	entry := collecting("{chain: AGENT, where: 'true'}")
	mine, _ := compile(t, entry, compiler.CompileOptions{})
	other, _ := compile(t, strings.Replace(head, "name: site", "name: edge", 1)+"  families: [ipv4]\n  tables: {filter: {chains: {AGENT: {rules: []}}}}\n", compiler.CompileOptions{})
	snap := snapshot(t, ir.IptablesNFT, leftovers)
	for name, p := range map[string]*compiler.Plan{
		"together": compiler.NewPlan([]*compiler.Program{mine, other}, snap, compiler.PlanOptions{}),
		"recorded": compiler.NewPlan([]*compiler.Program{mine}, snap, compiler.PlanOptions{Recorded: []compiler.Recorded{{Name: "edge", Owns: compiler.Owns{Chains: []string{"AG*"}}}}}),
		"before":   compiler.NewPlan([]*compiler.Program{mine}, snap, compiler.PlanOptions{Recorded: []compiler.Recorded{{Name: "site", Declared: []string{"AGENT"}}}}),
	} {
		if !p.Diags.Has(diag.AdoptOwned) || !p.Empty() {
			t.Errorf("%s: findings %v, want %s", name, p.Diags.Err(), diag.AdoptOwned)
		}
	}
}

// Whose a rule is may follow from a jump beside it (firewalld's rules in INPUT). An
// expression that removes that jump and asks for the participant would choose more
// the next time.
func TestCollectChoosesNoMoreTheNextTime(t *testing.T) {
	const save = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:INPUT_ZONES - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -j INPUT_ZONES
COMMIT
`
	p := plan(t, ir.IptablesNFT, save, collecting(`{chain: INPUT, where: 'rule.target == "INPUT_ZONES" || rule.participant == ""'}`))
	if err := p.Diags.Err(); !p.Empty() || err == nil || !strings.Contains(err.Error(), "depends on what it removes") {
		t.Errorf("findings %v, empty %v", err, p.Empty())
	}
}

// A scope asks for the chain, and for whoever refers to one that may go.
func TestCollectScope(t *testing.T) {
	prog, _ := compile(t, collecting("{chain: INPUT, where: 'false'}", "{chain: AGENT, where: 'false', dropEmpty: true}"), compiler.CompileOptions{})
	s := compiler.Scope([]*compiler.Program{prog}, compiler.PlanOptions{})
	got := s.Tables[ir.TableKey{Family: ir.IPv4, Name: "filter"}]
	if d := cmp.Diff(&ir.TableScope{Chains: []string{"INPUT", "AGENT"}, Refs: true, RefsTo: []string{"AGENT"}}, got); d != "" {
		t.Errorf("scope of ipv4 filter (-want +got):\n%s", d)
	}
	if s := s.Tables[ir.TableKey{Family: ir.IPv6, Name: "filter"}]; s != nil {
		t.Errorf("scope of ipv6 filter is %v, want nothing", s)
	}
}

// Restore puts back what was collected, the chain and its jumps included, also if
// others have written meanwhile.
func TestRestoreCollected(t *testing.T) {
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		before := snapshot(t, v, leftovers)
		prog, _ := compile(t, collecting(`{chain: AGENT, where: "true", dropEmpty: true}`, `{chain: INPUT, where: 'rule.comment == "agent: a"'}`), compiler.CompileOptions{})
		p := compiler.NewPlan([]*compiler.Program{prog}, before, compiler.PlanOptions{})
		if p.Diags.HasErrors() || p.Planned.Table(ir.IPv4, "filter").Chain("AGENT") != nil {
			t.Fatalf("AGENT stays: %v", p.Diags.Err())
		}
		op := func(o ir.Op) ir.Transaction {
			return ir.Transaction{Blocks: []ir.Block{{Family: ir.IPv4, Table: "filter", NoFlush: true, Ops: []ir.Op{o}}}}
		}
		others := op(ir.Op{Kind: ir.OpAppend, Chain: "OTHER", Rule: &ir.Rule{Text: "-i wt0 -j ACCEPT"}})
		again := op(ir.Op{Kind: ir.OpNew, Chain: "AGENT"})
		for name, c := range map[string]struct{ now, want *ir.State }{
			"alone":          {p.Planned, before.State},
			"others between": {must(p.Planned.Apply(others)), must(before.State.Apply(others))},
			"made again":     {must(p.Planned.Apply(again)), before.State},
			"nothing to do":  {before.State, before.State},
		} {
			tx := restored(t, p, before, &ir.Snapshot{Variant: v, State: c.now})
			if err := ir.CheckTransaction(tx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			same := func(f ir.Family, a, b *ir.Rule) bool { return xtables.Equal(a, b, f) }
			for _, d := range ir.Compare(c.want, must(c.now.Apply(tx)), ir.CompareOptions{SameRule: same}) {
				t.Errorf("%s on %s: %v", name, v, d)
			}
		}
	}
}

// A chain of a host whose references were not read cannot go.
func TestCollectUnreadReferences(t *testing.T) {
	snap := snapshot(t, ir.IptablesNFT, leftovers)
	filter := snap.State.Table(ir.IPv4, "filter")
	filter.Partial = true
	filter.Chain("OTHER").Read, filter.Chain("OTHER").Rules = false, nil
	prog, _ := compile(t, collecting(`{chain: AGENT, where: "true", dropEmpty: true}`), compiler.CompileOptions{})
	if p := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{}); !p.Diags.HasErrors() || !p.Empty() {
		t.Errorf("findings %v, transaction %v: want a refusal", p.Diags.Err(), p.Transaction)
	}
	filter.Chain("AGENT").Refs = 2 // as the kernel counts them: one was not seen
	p := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
	if !p.Diags.Has(diag.ForeignReference) || compiler.ExitCode(p.Diags) != 3 {
		t.Errorf("findings %v, want %s", p.Diags.Err(), diag.ForeignReference)
	}
}

// Everything that a plan says of collected rules is in each of its forms, and no
// reason or rule escapes into the terminal or the markup.
func TestCollectInEachForm(t *testing.T) {
	save := strings.Replace(leftovers, "-s 192.0.2.1/32 -j RETURN", "-m comment --comment \"``` @all <b>\" -j RETURN", 1)
	save = strings.Replace(save, "-s 192.0.2.3/32 -j RETURN", "-m comment --comment \"\x1b[31m\" -j RETURN", 1)
	p := plan(t, ir.IptablesNFT, save, collecting(`{chain: AGENT, where: "true", dropEmpty: true, reason: "gone | ~~~ <i>x</i>"}`))
	if err := p.Diags.Err(); err != nil {
		t.Fatal(err)
	}
	var text, md, js bytes.Buffer
	for _, err := range []error{
		p.WriteText(&text, compiler.TextOptions{Color: true}), compiler.WriteMarkdown(&md, []*compiler.Plan{p}, 0),
		compiler.WriteJSON(&js, []*compiler.Plan{p}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"text": {text.String(), []string{"AGENT\x1b[0m (chain of others, goes)", "reason: gone | ~~~ <i>x</i>", "reason: nothing is left in AGENT: gone"}},
		"markdown": {md.String(), []string{
			"<code>ipv4 filter AGENT</code> goes", "-      collected ", "reason: gone | ~~~ <i>x</i>", "reason: nothing is left in AGENT: gone", "````diff",
			"| ipv4 filter | 0 | 0 | 0 | 4 |",
		}},
		"json": {js.String(), []string{`"collected": true`, `"dropped": true`, `"foreign": true`, `"reason": "gone | ~~~ <i>x</i>"`, `"reason": "nothing is left in AGENT: gone`}},
	} {
		for _, want := range c.want {
			if !strings.Contains(c.text, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, c.text)
			}
		}
		if strings.Contains(c.text, "\x1b[31m\"") {
			t.Errorf("%s lets an escape through", name)
		}
	}
	schemaText, err := schemas.FS.ReadFile("v1/plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaText))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("plan.json", doc); err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(js.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MustCompile("plan.json").Validate(v); err != nil {
		t.Error(err)
	}
}

// Nothing of others stands on an empty host: compile prints nothing for collect.
func TestCollectOnAnEmptyHost(t *testing.T) {
	prog, list := compile(t, collecting(`{chain: AGENT, where: "true", dropEmpty: true}`, `{chain: INPUT, where: "true"}`), compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		if p := compiler.EmptyHost([]*compiler.Program{prog}, v); !p.Empty() || p.Diags.Len() > 0 || len(p.Views) > 0 {
			t.Errorf("%s: %v, findings %v", v, p.Transaction, p.Diags.All())
		}
	}
}
