package compiler_test

import (
	"fmt"
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// inForward is a ruleset with a jump in FORWARD, and constraints on the host as it
// is and as predicted.
const inForward = head + `  families: [ipv4]
  tables:
    filter:
      chains:
        SITE-FWD: {rules: ["-j RETURN"]}
      anchors:
        - {hook: FORWARD, jump: SITE-FWD}
  constraints:
    - {name: readable, that: '!live.hasNativeRules("ipv4", "filter")', message: say why}
    - {name: one-jump, that: 'planned.chain("ipv4", "filter", "FORWARD").count("SITE-FWD") == 1', message: not asked}
`

// notes are a finding's notes.
func notes(d *diag.Diagnostic) string {
	var out []string
	for _, n := range d.Notes {
		out = append(out, n.Message)
	}
	return strings.Join(out, "\n")
}

// Whatever hides a native rule, the finding lists it: chain, place, handle, text and
// who probably wrote it. What the ruleset's constraints say of the host as it is
// stands beside it; what they say of the prediction does not, for there is none.
func TestNativeRulesAreListed(t *testing.T) {
	ours := &ir.Native{Handle: 97, Expr: "ct state", Comment: "frwacceptoif"}
	ours.Add(`oifname "wt0"`, false)
	ours.Add("ct state established,related", true)
	ours.Add("accept", false)
	nobodys := &ir.Native{Handle: 98, Expr: "fib"}
	natives := []ir.NativeAt{{Index: 0, Native: ours}, {Index: 3, Native: nobodys}}
	var many []ir.NativeAt
	for i := range 12 {
		many = append(many, ir.NativeAt{Index: i, Native: nobodys})
	}
	const first = `FORWARD rule 1, handle 97: oifname "wt0" [ct state established,related] accept, comment "frwacceptoif"; probably by netbird`
	const second = `FORWARD rule 4, handle 98: fib; nobody known wrote it`
	forward := func(c ir.Chain) *ir.Chain {
		c.Name, c.Policy = "FORWARD", "ACCEPT"
		return &c
	}
	for _, tt := range []struct {
		name  string
		table ir.Table
		code  diag.Code
		want  []string
	}{
		{
			"an unreadable table, without a word of the tool",
			ir.Table{Unreadable: "it is not in the save", Chains: []*ir.Chain{forward(ir.Chain{Natives: natives})}},
			diag.UnreadableTable,
			[]string{first, second},
		},
		{
			"an unreadable chain",
			ir.Table{Chains: []*ir.Chain{forward(ir.Chain{Natives: natives, Unreadable: "chain `FORWARD' is incompatible"})}},
			diag.UnreadableTable,
			[]string{first, second},
		},
		{
			"a chain that was read",
			ir.Table{Chains: []*ir.Chain{forward(ir.Chain{Read: true, Rules: []*ir.Rule{{Native: ours}, {Text: "-j ACCEPT"}}})}},
			diag.NativeRules,
			[]string{first},
		},
		{
			"very many",
			ir.Table{Unreadable: "?", Chains: []*ir.Chain{forward(ir.Chain{Natives: many})}},
			diag.UnreadableTable,
			[]string{"FORWARD rule 10, handle 98: fib; nobody known wrote it\nand 2 more native rules"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			prog, list := compile(t, inForward, compiler.CompileOptions{})
			if err := list.Err(); err != nil {
				t.Fatal(err)
			}
			tt.table.Family, tt.table.Name = ir.IPv4, "filter"
			snap := &ir.Snapshot{Variant: ir.IptablesNFT, State: &ir.State{Families: []ir.Family{ir.IPv4}, Tables: []*ir.Table{&tt.table}, SetsRead: true}}
			plan := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
			var told, why *diag.Diagnostic
			for _, d := range plan.Diags.All() {
				switch d.Code {
				case tt.code:
					told = d
				case diag.ConstraintNot:
					why = d
				}
			}
			if told == nil || told.Severity != diag.Error {
				t.Fatalf("no error %s: %v", tt.code, plan.Diags.Err())
			}
			for _, want := range tt.want {
				if !strings.Contains(notes(told), want) {
					t.Errorf("the notes do not say %q:\n%s", want, notes(told))
				}
			}
			if why == nil || !strings.Contains(why.Message, "say why") {
				t.Errorf("the constraint on the host as it is says nothing: %v", plan.Diags.Err())
			}
			if len(plan.Constraints) != 1 || plan.Constraints[0].Name != "readable" {
				t.Errorf("constraints that were evaluated: %+v, want only the one on the host as it is", plan.Constraints)
			}
			if len(plan.Transaction.Blocks) > 0 || len(plan.Asked) > 0 {
				t.Errorf("the plan writes or asks: %+v %v", plan.Transaction, plan.Asked)
			}
		})
	}
	t.Run("a table that is not needed", func(t *testing.T) {
		prog, list := compile(t, strings.ReplaceAll(inForward, "filter", "mangle"), compiler.CompileOptions{})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		snap := &ir.Snapshot{Variant: ir.IptablesNFT, State: &ir.State{Families: []ir.Family{ir.IPv4}, SetsRead: true, Tables: []*ir.Table{
			{Family: ir.IPv4, Name: "filter", Unreadable: "?", Chains: []*ir.Chain{forward(ir.Chain{Natives: natives})}},
		}}}
		plan := compiler.NewPlan([]*compiler.Program{prog}, snap, compiler.PlanOptions{})
		if err := plan.Diags.Err(); err != nil || plan.Empty() {
			t.Errorf("another table is worked on all the same: %v", err)
		}
		for _, d := range plan.Diags.All() {
			if d.Code == diag.UnreadableTable && (d.Severity != diag.Warning || !strings.Contains(notes(d), first)) {
				t.Errorf("%v: %s", d.Severity, fmt.Sprint(notes(d)))
			}
		}
		if !plan.Diags.Has(diag.UnreadableTable) {
			t.Error("nothing is said of the unreadable table")
		}
	})
}
