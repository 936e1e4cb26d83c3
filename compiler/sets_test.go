package compiler_test

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// A set that was asked for by name and is not there is missing, as it is where
// every set was read; of a set that nobody asked for nothing is known.
func TestMissingSet(t *testing.T) {
	const rules = head + `  families: [ipv4]
  tables:
    filter:
      chains:
        SITE-IN:
          rules:
            - {match: {source: {set: gone, ifMissing: %s}}, action: accept}
            - {match: {source: {set: there}}, action: accept}
`
	there := []*ir.Set{{Family: ir.IPv4, Name: "there", Type: "hash:net"}}
	for _, c := range []struct {
		name, ifMissing string
		sets            []string
		read            bool
		appended        int
		failed          bool
	}{
		{"asked for by name, left out", "skip", []string{"gone", "there"}, false, 1, false},
		{"asked for by name, needed", "fail", []string{"gone", "there"}, false, 0, true},
		{"all sets read, left out", "skip", nil, true, 1, false},
		{"nothing known", "skip", nil, false, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			snap := snapshot(t, ir.IptablesNFT, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
			snap.State.Sets, snap.State.SetsRead = there, c.read
			snap.Scope = ir.Scope{All: true, Sets: c.sets}
			prog, list := compile(t, fmt.Sprintf(rules, c.ifMissing), compiler.CompileOptions{})
			if err := list.Err(); err != nil {
				t.Fatal(err)
			}
			p := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
			if got := p.Diags.Has(diag.UnresolvedSet) && p.Diags.HasErrors(); got != c.failed {
				t.Errorf("refused = %v, want %v: %v", got, c.failed, p.Diags.Err())
			}
			appended := 0
			for _, b := range p.Transaction.Blocks {
				for _, o := range b.Ops {
					if o.Kind == ir.OpAppend {
						appended++
					}
				}
			}
			if appended != c.appended {
				t.Errorf("%d rules are appended, want %d", appended, c.appended)
			}
		})
	}
}

// A jump that matches on a set needs it as any rule does.
func TestMissingSetOfAnchor(t *testing.T) {
	const rules = head + `  families: [ipv4]
  tables:
    filter:
      chains: {SITE-IN: {rules: ["-p tcp -m tcp --dport 22 -j ACCEPT"]}}
      anchors: [{hook: INPUT, jump: SITE-IN, match: {source: {set: gone, ifMissing: %s}}}]
`
	for _, c := range []struct {
		ifMissing string
		failed    bool
	}{{"skip", false}, {"fail", true}} {
		prog, list := compile(t, fmt.Sprintf(rules, c.ifMissing), compiler.CompileOptions{})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		snap := snapshot(t, ir.IptablesNFT, node)
		snap.Scope = compiler.Scope([]*compiler.Program{prog}, compiler.PlanOptions{})
		p := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
		if got := p.Diags.Has(diag.UnresolvedSet) && p.Diags.HasErrors(); got != c.failed {
			t.Errorf("%s: refused = %v, want %v: %v", c.ifMissing, got, c.failed, p.Diags.Err())
		}
		for _, text := range texts(t, p.Planned, "filter", "INPUT") {
			if !c.failed && strings.Contains(text, "SITE-IN") {
				t.Errorf("%s: the jump %q stands without its set", c.ifMissing, text)
			}
		}
	}
}

// Rule text calls a declared set as the kernel does, and by its own family.
func TestDeclaredSetInRuleText(t *testing.T) {
	const rules = head + `  sets: {admins: {type: cidr, elements: [10.0.0.0/8, "fd00::/8"]}}
  tables:
    filter:
      chains:
        SITE-IN:
          rules:
            - {families: [%s], iptables: "-m set --match-set %s src -j ACCEPT"}
`
	for _, c := range []struct{ family, name, message, help string }{
		{"ipv4", "admins-4", "", ""},
		{"ipv6", "admins-6", "", ""},
		{"ipv4", "admins", "needs the set admins, which does not stand on the host", "in rule text the declared set admins is called as in the kernel: admins-4"},
		{"ipv6", "admins-4", "stands in ipv6, but the set admins-4 is of ipv4", "narrow it with `families: [ipv4]`"},
	} {
		prog, list := compile(t, fmt.Sprintf(rules, c.family, c.name), compiler.CompileOptions{})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		snap := snapshot(t, ir.IptablesNFT, node)
		snap.State.Families = ir.Families
		snap.State.SetsRead = true
		p := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
		message, help := "", ""
		for _, d := range p.Diags.All() {
			if d.Severity == diag.Error {
				message, help = d.Message, d.Help
			}
		}
		if !strings.HasSuffix(message, c.message) || help != c.help || (message == "") != (c.message == "") {
			t.Errorf("%s in %s: %q, help %q", c.name, c.family, message, help)
		}
	}
}

// Elements of a snapshot that only counts them are not known: the plan says so, and
// writes the set anew.
func TestDeclaredSetOfUnknownElements(t *testing.T) {
	const rules = head + `  families: [ipv4]
  sets: {admins: {type: cidr, elements: [10.0.0.0/8]}}
`
	prog, list := compile(t, rules, compiler.CompileOptions{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	snap := snapshot(t, ir.IptablesNFT, node)
	snap.State.SetsRead = true
	snap.State.Sets = []*ir.Set{{Family: ir.IPv4, Name: "admins", Type: "hash:net", Counted: 1}}
	p := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
	if !p.Diags.Has(diag.NotInSnapshot) || p.Diags.HasErrors() || len(p.Transaction.SetsBefore) != 1 || !p.Transaction.SetsBefore[0].Swap {
		t.Errorf("findings %v, steps %+v", p.Diags.All(), p.Transaction.SetsBefore)
	}
	snap.State.SetsRead, snap.State.Sets = false, nil
	p = compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
	if !p.Diags.Has(diag.NotInSnapshot) || len(p.Transaction.SetsBefore) != 1 {
		t.Errorf("without a list of sets: findings %v, steps %+v", p.Diags.All(), p.Transaction.SetsBefore)
	}
}

// Kernel names belong to one set and one ruleset, declared or owned by a glob.
func TestSetNamesAreDisjoint(t *testing.T) {
	one := func(name, spec string) *compiler.Program {
		t.Helper()
		prog, list := compile(t, strings.Replace(head, "name: site", "name: "+name, 1)+spec, compiler.CompileOptions{})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		return prog
	}
	a := one("a", "  sets: {hosts: {type: address}}\n")
	for _, c := range []struct {
		spec string
		bad  bool
	}{
		{"  sets: {hosts: {type: port}}\n", true},
		{"  families: [ipv6]\n  sets: {hosts-6: {type: port}}\n", true},
		{"  owns: {sets: [\"host*\"]}\n", true},
		{"  families: [ipv4]\n  sets: {hosts: {type: port}}\n", false}, // is called hosts in the kernel
		{"  sets: {others: {type: address}}\n", false},
	} {
		list := &diag.List{}
		compiler.Overlaps([]*compiler.Program{a, one("b", c.spec)}, list)
		if list.Has(diag.OwnershipOverlap) != c.bad {
			t.Errorf("%s: findings %v", c.spec, list.Err())
		}
	}
	_, list := compile(t, head+"  sets:\n    x: {type: port}\n    x-4: {type: port, families: [ipv4]}\n", compiler.CompileOptions{})
	if !list.Has(diag.DuplicateName) {
		t.Errorf("two sets with one kernel name: %v", list.Err())
	}
}

// A set keeps its name whatever families a run works on, and an apply of one family
// declares that one only.
func TestSetNameOfOneFamilyRun(t *testing.T) {
	prog, list := compile(t, head+"  sets: {hosts: {type: address, elements: [192.0.2.1, \"2001:db8::1\"]}}\n", compiler.CompileOptions{Families: []ir.Family{ir.IPv6}})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	if len(prog.Sets) != 1 || prog.Sets[0].Name != "hosts-6" || len(prog.Sets[0].Elements) != 1 {
		t.Errorf("sets %+v", prog.Sets)
	}
}
