package compiler_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

const nativeRuleset = head + `  backend: nft
  tables:
    filter:
      chains:
        SITE:
          rules:
            - {name: ssh, match: {protocol: tcp, dport: 22}, action: accept}
            - {name: rest, action: drop}
      anchors: [{hook: INPUT, match: {in: eth0}, jump: SITE}]
`

// nativeHost is a host for the nft backend with tables of ours, each rule with a
// handle.
func nativeHost(own ...*ir.OwnTable) *ir.Snapshot {
	s := &ir.State{Families: ir.Families, Own: own}
	n := uint64(0)
	for _, t := range own {
		for _, c := range t.Chains {
			for i := range c.Rules {
				n++
				c.Rules[i].Handle = n
			}
		}
		s.NFTTables = append(s.NFTTables, t.Summary())
	}
	return &ir.Snapshot{Variant: ir.NFT, State: s}
}

func nativePlan(t *testing.T, text string, snap *ir.Snapshot, opt compiler.PlanOptions) *compiler.Plan {
	t.Helper()
	p, list := compile(t, text, compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return compiler.NewPlan([]*compiler.Program{p}, snap, opt)
}

// applied is a host as a plan leaves it.
func applied(t *testing.T, p *compiler.Plan) *ir.Snapshot {
	t.Helper()
	if err := p.Diags.Err(); err != nil {
		t.Fatal(err)
	}
	return nativeHost(p.Planned.Own...)
}

func TestNativePlan(t *testing.T) {
	first := nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{})
	host := applied(t, first)
	var got []string
	for _, c := range host.State.OwnTable(ir.Inet, "hookline-site").Chains {
		for _, r := range c.Rules {
			got = append(got, c.Name+": "+r.String())
		}
	}
	want := []string{
		`filter-INPUT: iifname "eth0" counter jump filter-SITE comment "hookline:site"`,
		`filter-SITE: tcp dport 22 counter accept comment "ssh"`,
		`filter-SITE: counter drop comment "rest"`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
	var keys []string
	for _, c := range first.Changes {
		keys = append(keys, c.Kind.Mark()+" "+c.Key.String()+" "+c.Address)
	}
	if d := cmp.Diff([]string{
		"+ inet hookline-site filter-INPUT filter-INPUT", "+ inet hookline-site filter-INPUT SITE", "+ inet hookline-site filter-SITE filter-SITE",
		"+ inet hookline-site filter-SITE ssh", "+ inet hookline-site filter-SITE rest",
	}, keys); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
	second := nativePlan(t, nativeRuleset, host, compiler.PlanOptions{})
	if !second.Empty() || len(second.Changes) > 0 || second.Diags.HasErrors() {
		t.Errorf("the second plan is not empty: %+v %v", second.Changes, second.Diags.Err())
	}
	if c := second.Commits(); len(c) != 0 {
		t.Errorf("commits of nothing: %+v", c)
	}
	changed := nativePlan(t, strings.Replace(nativeRuleset, "dport: 22", "dport: 23", 1), host, compiler.PlanOptions{})
	if n := len(changed.Transaction.NFT); n != 2 || len(changed.Changes) != 1 || changed.Changes[0].Address != "ssh" || changed.Changes[0].Kind != compiler.Changed {
		t.Errorf("one rule changes in %d steps: %+v", n, changed.Changes)
	}
	if changed.BaseDigest != second.BaseDigest || changed.BaseDigest == first.BaseDigest {
		t.Error("the digest is not that of the host")
	}
	gone := nativePlan(t, nativeRuleset, host, compiler.PlanOptions{Remove: true})
	if left := applied(t, gone).State; len(left.Own) != 0 || len(left.NFTTables) != 0 {
		t.Errorf("after a removal there is %+v", left.Own)
	}
}

// A ruleset that is for one family any longer has a table of another kind: the old
// one goes in the same transaction.
func TestNativePlanOfOneFamily(t *testing.T) {
	host := applied(t, nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{}))
	narrow := strings.Replace(nativeRuleset, "  backend:", "  families: [ipv4]\n  backend:", 1)
	after := applied(t, nativePlan(t, narrow, host, compiler.PlanOptions{}))
	if own := after.State.Own; len(own) != 1 || own[0].Key() != "ip hookline-site" {
		t.Errorf("tables: %+v", own)
	}
	p, _ := compile(t, nativeRuleset, compiler.CompileOptions{Families: []ir.Family{ir.IPv4}})
	plan := compiler.NewPlan([]*compiler.Program{p}, host, compiler.PlanOptions{Families: []ir.Family{ir.IPv4}})
	if !plan.Diags.HasErrors() || !plan.Empty() {
		t.Error("one family of a table of both is taken away")
	}
}

func TestIntrusionsInNativePlans(t *testing.T) {
	for mode, want := range map[string]struct {
		ops    int
		errors bool
	}{"tolerate": {0, false}, "remove": {1, false}, "fail": {0, true}} {
		text := strings.Replace(nativeRuleset, "  backend: nft", "  backend: nft\n  intrusions: "+mode, 1)
		host := applied(t, nativePlan(t, text, nativeHost(), compiler.PlanOptions{}))
		c := host.State.Own[0].Chain("filter-INPUT")
		c.Rules = slices.Insert(c.Rules, 0, ir.OwnRule{Text: `iifname "wt0" accept`, Tag: "inputaccept", Handle: 99})
		p := nativePlan(t, text, host, compiler.PlanOptions{})
		if len(p.Transaction.NFT) != want.ops || p.Diags.HasErrors() != want.errors {
			t.Errorf("%s: %d steps and %v", mode, len(p.Transaction.NFT), p.Diags.Err())
		}
		if len(p.Intrusions) != 1 || p.Intrusions[0].Author != "netbird" || p.Intrusions[0].Removed != (mode == "remove") {
			t.Errorf("%s: %+v", mode, p.Intrusions)
		}
		found := slices.ContainsFunc(p.Diags.All(), func(d *diag.Diagnostic) bool { return d.Code == diag.Intrusion })
		if !found || want.errors && compiler.ExitCode(p.Diags) != 3 {
			t.Errorf("%s: the findings: %v, exit code %d", mode, p.Diags.All(), compiler.ExitCode(p.Diags))
		}
		for _, o := range p.Transaction.NFT {
			if o.Do != ir.NFTDeleteRule || o.Handle != 99 {
				t.Errorf("%s: %+v", mode, o)
			}
		}
		if tolerant := nativePlan(t, text, host, compiler.PlanOptions{TolerateIntrusions: true}); !tolerant.Empty() {
			t.Errorf("%s: what came again is removed again", mode)
		}
	}
}

// What somebody typed into our table is no intrusion of a program but drift.
func TestDriftInNativePlans(t *testing.T) {
	host := applied(t, nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{}))
	c := host.State.Own[0].Chain("filter-SITE")
	c.Rules = append([]ir.OwnRule{{Text: "tcp dport 80 accept", Comment: "by hand", Handle: 98}}, c.Rules[1:]...)
	host.State.Own[0].Chains = append(host.State.Own[0].Chains, &ir.OwnChain{Name: "more"})
	host.State.Own[0].Chain("filter-INPUT").Base.Policy = "drop"
	p := nativePlan(t, nativeRuleset, host, compiler.PlanOptions{})
	after := applied(t, p)
	if d := cmp.Diff(applied(t, nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{})).State.Own[0].Chain("filter-SITE").Rules, after.State.Own[0].Chain("filter-SITE").Rules,
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Handle" || p.Last().String() == ".Origin" }, cmp.Ignore())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if after.State.Own[0].Chain("more") != nil || after.State.Own[0].Chain("filter-INPUT").Base.Policy != "" || len(p.Intrusions) > 0 {
		t.Errorf("drift stays: %+v", after.State.Own[0])
	}
}

// Taking back gives what stood, whatever the plan and others did since.
func TestNativeRestore(t *testing.T) {
	before := applied(t, nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{}))
	text := strings.NewReplacer("dport: 22", "dport: 2222", "name: rest", "name: last").Replace(nativeRuleset)
	p := nativePlan(t, text, before, compiler.PlanOptions{})
	now := applied(t, p)
	c := now.State.Own[0].Chain("filter-INPUT")
	c.Rules = append(c.Rules, ir.OwnRule{Text: `iifname "wt0" accept`, Tag: "inputaccept", Handle: 99})
	tx, failed := p.Restore(before, now)
	if len(failed) > 0 {
		t.Fatal(failed)
	}
	back, err := now.State.Apply(tx)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, r := range back.Own[0].Chain("filter-SITE").Rules {
		got = append(got, r.String())
	}
	for _, r := range before.State.Own[0].Chain("filter-SITE").Rules {
		want = append(want, r.String())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if again, _ := p.Restore(before, &ir.Snapshot{Variant: ir.NFT, State: back}); !again.Empty() {
		t.Errorf("the second time there is something to do: %+v", again.NFT)
	}
	if n := len(back.Own[0].Chain("filter-INPUT").Rules); n != 2 {
		t.Errorf("the rule of others did not stay: %d rules", n)
	}
	first := nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{})
	tx, _ = first.Restore(nativeHost(), applied(t, first))
	if back, err := applied(t, first).State.Apply(tx); err != nil || len(back.Own) > 0 {
		t.Errorf("a table that was not there stays: %v", err)
	}
}

// A constraint on iptables' chains must not take a chain of ours for absent.
func TestNativeConstraints(t *testing.T) {
	for that, want := range map[string]int{
		`planned.chain("ipv4", "filter", "SITE").exists`:                             1,
		`planned.backend == "nft" || planned.chain("ipv4", "filter", "SITE").exists`: 0,
		`!live.chain("ipv4", "filter", "NOBODYS").exists`:                            0,
		`live.chain("ipv4", "filter", "INPUT").policy == "DROP"`:                     3,
	} {
		text := nativeRuleset + "  constraints: [{name: c, that: '" + that + "'}]\n"
		p := nativePlan(t, text, nativeHost(), compiler.PlanOptions{})
		if got := compiler.ExitCode(p.Diags); got != want || len(p.Asked) > 0 {
			t.Errorf("%s: exit code %d, want %d; asked %v; %v", that, got, want, p.Asked, p.Diags.Err())
		}
	}
}

// Rules of others that stay keep what they jump to and ask; those in a chain that
// goes go with it, and are told.
func TestIntrudersAndWhatTheyNeed(t *testing.T) {
	host := func() *ir.Snapshot {
		h := applied(t, nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{}))
		own := h.State.Own[0]
		c := own.Chain("filter-INPUT")
		c.Rules = append(c.Rules, ir.OwnRule{Text: "ip saddr @theirs jump theirs", Tag: "x", Handle: 90})
		own.Chains = append(own.Chains,
			&ir.OwnChain{Name: "theirs", Rules: []ir.OwnRule{{Text: "accept", Tag: "x", Handle: 91}, {Text: "drop", Handle: 92}}},
			&ir.OwnChain{Name: "filter-OLD", Rules: []ir.OwnRule{{Text: "accept", Tag: "y", Handle: 93}}})
		own.Sets = append(own.Sets, &ir.OwnSet{Name: "theirs", Foreign: "a map", Counted: -1})
		return h
	}
	for mode, want := range map[string]struct {
		rules, chains, sets, removed int
		code                         int
	}{"tolerate": {4, 3, 1, 1, 0}, "remove": {3, 2, 0, 3, 0}, "fail": {0, 0, 0, 1, 3}} {
		text := strings.Replace(nativeRuleset, "  backend: nft", "  backend: nft\n  intrusions: "+mode, 1)
		p := nativePlan(t, text, host(), compiler.PlanOptions{})
		removed := 0
		for _, x := range p.Intrusions {
			if x.Removed {
				removed++
			}
		}
		if got := compiler.ExitCode(p.Diags); got != want.code || removed != want.removed || len(p.Intrusions) != 3 {
			t.Errorf("%s: exit code %d, %d of %d go: %v", mode, got, removed, len(p.Intrusions), p.Diags.All())
		}
		if want.code != 0 {
			continue
		}
		own := p.Planned.Own[0]
		n := 0
		for _, c := range own.Chains {
			n += len(c.Rules)
		}
		if want.rules+1 != n+map[string]int{"tolerate": 0, "remove": 1}[mode] || len(own.Chains) != want.chains || len(own.Sets) != want.sets {
			t.Errorf("%s: %d rules, %d chains, %d sets", mode, n, len(own.Chains), len(own.Sets))
		}
		again := nativePlan(t, text, &ir.Snapshot{Variant: ir.NFT, State: p.Planned}, compiler.PlanOptions{})
		if !again.Empty() {
			t.Errorf("%s: the second time there is something to do: %+v", mode, again.Transaction.NFT)
		}
	}
}

// A table that cannot be mended step by step is made anew.
func TestTablesThatCannotBeMended(t *testing.T) {
	for name, change := range map[string]func(*ir.OwnTable){
		"a flag":                  func(o *ir.OwnTable) { o.Flags = "dormant" },
		"a chain without a name":  func(o *ir.OwnTable) { o.Chains = append(o.Chains, &ir.OwnChain{Name: "foo bar"}) },
		"a chain named as a word": func(o *ir.OwnTable) { o.Chains = append(o.Chains, &ir.OwnChain{Name: "accept"}) },
		"a set without a name":    func(o *ir.OwnTable) { o.Sets = append(o.Sets, &ir.OwnSet{Name: "9", Foreign: "x"}) },
	} {
		host := applied(t, nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{}))
		change(host.State.Own[0])
		p := nativePlan(t, nativeRuleset, host, compiler.PlanOptions{})
		after := applied(t, p)
		if p.Empty() || after.State.Own[0].Flags != "" || len(after.State.Own[0].Chains) != 2 || len(after.State.Own[0].Sets) != 0 {
			t.Errorf("%s: %+v", name, after.State.Own[0])
		}
		if again := nativePlan(t, nativeRuleset, after, compiler.PlanOptions{}); !again.Empty() {
			t.Errorf("%s: the second time there is something to do", name)
		}
	}
}

// Two rules that are printed alike are two rules.
func TestRulesThatPrintAlike(t *testing.T) {
	text := strings.Replace(nativeRuleset, `            - {name: rest`, `            - {nft: "tcp dport ssh counter accept", comment: ssh}`+"\n            - {name: rest", 1)
	host := applied(t, nativePlan(t, text, nativeHost(), compiler.PlanOptions{}))
	c := host.State.Own[0].Chain("filter-SITE")
	c.Rules[1].Text = "tcp dport 22 counter accept"
	known := map[string]string{compiler.RespellKey(ir.BothFamilies, "tcp dport ssh counter accept"): "tcp dport 22 counter accept"}
	if p := nativePlan(t, text, host, compiler.PlanOptions{Respelled: known}); !p.Empty() {
		t.Errorf("there is something to do: %+v", p.Changes)
	}
	if p := nativePlan(t, text, host, compiler.PlanOptions{}); len(p.Transaction.NFT) != 2 {
		t.Errorf("without the record: %+v", p.Changes)
	}
}

// Taking back puts rules back in the words in which they were sent, and says which
// it cannot.
func TestNativeRestoreOfUnreadableRules(t *testing.T) {
	before := applied(t, nativePlan(t, nativeRuleset, nativeHost(), compiler.PlanOptions{}))
	own := before.State.Own[0]
	c := own.Chain("filter-SITE")
	c.Rules = append(c.Rules, ir.OwnRule{Text: "ct(0xaa) counter accept", Handle: 70}, ir.OwnRule{Text: "vmap(0xbb) counter", Handle: 71})
	own.Sets = append(own.Sets, &ir.OwnSet{Name: "theirs", Foreign: "a map", Counted: -1})
	known := map[string]string{compiler.RespellKey(ir.BothFamilies, "ct count 3 counter accept"): "ct(0xaa) counter accept"}
	p := nativePlan(t, nativeRuleset, before, compiler.PlanOptions{Respelled: known})
	if tx, failed := p.Restore(before, before); !tx.Empty() || failed != nil {
		t.Errorf("nothing was done, and to take it back is %+v, %v", tx.NFT, failed)
	}
	tx, failed := p.Restore(before, applied(t, p))
	if len(failed) != 1 || !strings.Contains(failed[ir.TableKey{Family: ir.BothFamilies, Name: "hookline-site"}].Error(), "vmap(0xbb)") {
		t.Errorf("what cannot be put back: %v", failed)
	}
	back, err := p.Planned.Apply(tx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range back.Own[0].Chain("filter-SITE").Rules {
		got = append(got, r.Text)
	}
	if d := cmp.Diff([]string{"tcp dport 22 counter accept", "counter drop", "ct count 3 counter accept"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A jump that is held stays where it stands, if for one family only.
func TestHeldJumpsStay(t *testing.T) {
	text := strings.Replace(nativeRuleset, "jump: SITE}", "jump: SITE, after: [kube-proxy], ifMissing: hold}", 1)
	proxy := func(family string) ir.NFTTable {
		return ir.NFTTable{Family: family, Name: "kube-proxy", Chains: []ir.NFTBaseChain{{Name: "filter-input", Type: "filter", Hook: "input", Priority: 0, Policy: "accept"}}}
	}
	for _, families := range [][]string{{"ip"}, {"ip", "ip6"}} {
		host := nativeHost()
		for _, f := range families {
			host.State.NFTTables = append(host.State.NFTTables, proxy(f))
		}
		p := nativePlan(t, text, host, compiler.PlanOptions{})
		after := applied(t, p)
		n := len(after.State.Own[0].Chain("filter-INPUT").Rules)
		if n != 1 {
			t.Fatalf("%v: %d jumps", families, n)
		}
		if again := nativePlan(t, text, after, compiler.PlanOptions{}); !again.Empty() {
			t.Errorf("%v: without kube-proxy: %+v", families, again.Changes)
		}
	}
}

// What is asked of iptables' tables as a whole does not count our chains, which do
// not stand there: it can be told as on the iptables backends.
func TestNativeConstraintsOnWholeTables(t *testing.T) {
	table := func(rules ...*ir.Rule) *ir.Snapshot {
		snap := nativeHost()
		snap.State.Tables = []*ir.Table{{Family: ir.IPv4, Name: "filter", Chains: []*ir.Chain{{Name: "INPUT", Policy: "ACCEPT", Read: true, Rules: rules}}}}
		return snap
	}
	native := &ir.Rule{Native: &ir.Native{Text: "meta l4proto tcp ct mark 1 drop"}}
	for _, c := range []struct {
		that string
		snap *ir.Snapshot
		want int
	}{
		{`!planned.hasNativeRules("ipv4", "filter")`, nativeHost(), 0},
		{`!planned.hasNativeRules("ipv4", "filter")`, table(), 0},
		{`!live.hasNativeRules("ipv4", "filter")`, table(native), 3},
		{`live.participants == []`, table(), 0},
		{`planned.tables == ["ipv4 filter"]`, table(), 0},
		{`planned.tables == []`, nativeHost(), 0},
	} {
		p := nativePlan(t, nativeRuleset+"  constraints: [{name: c, that: '"+c.that+"'}]\n", c.snap, compiler.PlanOptions{})
		if got := compiler.ExitCode(p.Diags); got != c.want || len(p.Asked) > 0 {
			t.Errorf("%s: exit code %d, want %d; asked %v; %v", c.that, got, c.want, p.Asked, p.Diags.Err())
		}
	}
}

// Each ruleset has a table of its own on nft: chains and sets that are called the same
// do not meet there, as they do beside iptables, and rulesets of one name do.
func TestEqualNamesInNativeTables(t *testing.T) {
	text := func(name, backend string) string {
		return strings.NewReplacer("name: site", "name: "+name, "backend: nft", "backend: "+backend, "  tables:", "  owns: {chains: [SITE], sets: [peers]}\n  sets: {peers: {type: cidr, elements: [192.0.2.0/24]}}\n  tables:").Replace(nativeRuleset)
	}
	record := func(name string, v ir.Variant) compiler.Recorded {
		return compiler.Recorded{Name: name, Variant: v, Declared: []string{"SITE"}, Sets: []string{"peers-4"}, Owns: compiler.Owns{Sets: []string{"peers"}}}
	}
	for _, c := range []struct {
		name      string
		rulesets  []string
		recorded  []compiler.Recorded
		otherwise bool // on iptables-nft
		want      diag.Code
	}{
		{"two rulesets", []string{text("a", "nft"), text("b", "nft")}, nil, false, ""},
		{"that leave the backend open", []string{text("a", "auto"), text("b", "auto")}, nil, false, ""},
		{"beside iptables", []string{text("a", "auto"), text("b", "auto")}, nil, true, diag.OwnershipOverlap},
		{"of one name", []string{text("a", "nft"), text("a", "nft")}, nil, false, diag.DuplicateName},
		{"one on the host", []string{text("a", "nft")}, []compiler.Recorded{record("b", ir.NFT)}, false, ""},
		{"one on the host, on another backend", []string{text("a", "nft")}, []compiler.Recorded{record("b", ir.IptablesNFT)}, false, diag.OwnershipOverlap},
		{"one on the host, and nobody knows where", []string{text("a", "nft")}, []compiler.Recorded{record("b", "")}, false, diag.OwnershipOverlap},
		{"one on nft, and a plan for iptables", []string{text("a", "auto")}, []compiler.Recorded{record("b", ir.NFT)}, true, diag.OwnershipOverlap},
	} {
		t.Run(c.name, func(t *testing.T) {
			var programs []*compiler.Program
			for _, text := range c.rulesets {
				p, list := compile(t, text, compiler.CompileOptions{})
				if err := list.Err(); err != nil {
					t.Fatal(err)
				}
				programs = append(programs, p)
			}
			snap := nativeHost()
			if c.otherwise {
				snap = snapshot(t, ir.IptablesNFT, node)
			}
			plan := compiler.NewPlan(programs, snap, compiler.PlanOptions{Recorded: c.recorded})
			if got := plan.Diags.HasErrors(); got != (c.want != "") || c.want != "" && !plan.Diags.Has(c.want) {
				t.Errorf("findings %v, want code %q", plan.Diags.Err(), c.want)
			}
			list := &diag.List{}
			compiler.Overlaps(programs, list)
			if apart := programs[0].Backend == string(ir.NFT); len(programs) > 1 && c.want != diag.DuplicateName && list.HasErrors() == apart {
				t.Errorf("without a host: %v", list.Err())
			}
		})
	}
}

// A plan says how many commits it needs, and a table that is made anew needs one.
func TestNativeCommits(t *testing.T) {
	var list strings.Builder
	for i := range 5000 {
		list.WriteString(", 10.0." + strconv.Itoa(i/250) + "." + strconv.Itoa(i%250))
	}
	text := strings.Replace(nativeRuleset, "  tables:", "  sets: {large: {type: address, families: [ipv4], elements: ["+list.String()[2:]+"]}}\n  tables:", 1)
	first := nativePlan(t, text, nativeHost(), compiler.PlanOptions{})
	host := applied(t, first)
	if c := first.Commits(); len(c) != 2 || !c[0].SetsOnly || c[1].SetsOnly {
		t.Errorf("commits: %+v", c)
	}
	if j := first.JSON().Commits; len(j) != 2 || j[0].Atomic == j[1].Atomic {
		t.Errorf("commits: %+v", j)
	}
	host.State.Own[0].Flags = "dormant"
	if c := nativePlan(t, text, host, compiler.PlanOptions{}).Commits(); len(c) != 1 || c[0].SetsOnly {
		t.Errorf("commits of a table that is made anew: %+v", c)
	}
}

// A bound on a chain of a ruleset that is not planned here is told, and its table may
// be named instead.
func TestNativeBoundsOnOtherRulesets(t *testing.T) {
	text := strings.Replace(nativeRuleset, "jump: SITE}", "jump: SITE, before: [{chain: OTHER}]}", 1)
	recorded := []compiler.Recorded{{Name: "other", Version: "1.0.0", Declared: []string{"OTHER"}, Variant: ir.NFT}}
	p := nativePlan(t, text, nativeHost(), compiler.PlanOptions{Recorded: recorded})
	if !slices.ContainsFunc(p.Diags.All(), func(d *diag.Diagnostic) bool {
		return d.Code == diag.MissingReference && strings.Contains(d.Help, "hookline-other")
	}) {
		t.Errorf("findings: %v", p.Diags.All())
	}
	other := nativeHost()
	other.State.NFTTables = []ir.NFTTable{{Family: "inet", Name: "hookline-other", Chains: []ir.NFTBaseChain{{Name: "filter-INPUT", Type: "filter", Hook: "input", Priority: -5, Policy: "accept"}}}}
	text = strings.Replace(nativeRuleset, "  tables:", "  participants: {other: {nftTables: [\"inet hookline-other\"]}}\n  tables:", 1)
	text = strings.Replace(text, "jump: SITE}", "jump: SITE, before: [other]}", 1)
	p = nativePlan(t, text, other, compiler.PlanOptions{})
	if c := applied(t, p).State.OwnTable(ir.Inet, "hookline-site"); c == nil || c.Chain("filter-INPUT").Base.Priority != -6 {
		t.Errorf("the place: %+v", c)
	}
}
