package compiler_test

import (
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// The tools compare no helpers: a delete could take the rule of another helper.
const helpers = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:AGENT - [0:0]
:OURS - [0:0]
-A INPUT -m helper --helper ftp -j ACCEPT
-A INPUT -m helper ! --helper sip -j ACCEPT
-A INPUT -m helper --helper sip -j DROP
-A AGENT -j RETURN
COMMIT
`

func TestNoDeleteThatMayHitAnotherHelper(t *testing.T) {
	for where, refused := range map[string]bool{
		`rule.text == "-m helper ! --helper sip -j ACCEPT"`:       true,
		`rule.text.contains("helper") && rule.target == "ACCEPT"`: false, // both go
		`rule.target == "DROP"`:                                   false,
	} {
		p := plan(t, ir.IptablesNFT, helpers, collecting("{chain: INPUT, where: '"+where+"'}"))
		if got := p.Diags.Has(diag.UndeletableRule) && compiler.ExitCode(p.Diags) == 3 && p.Empty(); got != refused || p.Diags.HasErrors() != refused {
			t.Errorf("%s: refused is %v: %v", where, got, p.Diags.Err())
		}
	}
	// The adopted jump has to move, and another jump to the chain looks the same.
	adopt := head + "  families: [ipv4]\n  tables: {filter: {adopt: [{hook: INPUT, jump: AGENT, iptables: '-m helper --helper ftp', before: [{text: '-i lo -j ACCEPT'}]}]}}\n"
	jumps := strings.NewReplacer("-j ACCEPT", "-j AGENT", "-A AGENT -j RETURN", "-A INPUT -i eth9 -j DROP").Replace(helpers)
	jumps = strings.Replace(jumps, "-A INPUT -m helper --helper ftp", "-A INPUT -i lo -j ACCEPT\n-A INPUT -m helper --helper ftp", 1)
	if p := plan(t, ir.IptablesNFT, jumps, adopt); !p.Diags.Has(diag.UndeletableRule) || !p.Empty() {
		t.Errorf("adopt: %v", p.Diags.Err())
	}
	alone := strings.Replace(jumps, "-A INPUT -m helper ! --helper sip -j AGENT\n", "", 1)
	if p := plan(t, ir.IptablesNFT, alone, adopt); p.Diags.HasErrors() || p.Empty() {
		t.Errorf("adopt of the only such jump: %v", p.Diags.Err())
	}
}

// What was collected cannot be taken back by deletes that may hit another rule.
func TestRestoreMayHitAnotherHelper(t *testing.T) {
	prog, _ := compile(t, collecting(`{chain: INPUT, where: 'rule.text == "-m helper --helper sip -j DROP"'}`), compiler.CompileOptions{})
	before := snapshot(t, ir.IptablesLegacy, helpers)
	p := compiler.NewPlan([]*compiler.Program{prog}, before, compiler.PlanOptions{})
	if p.Diags.HasErrors() || p.Empty() {
		t.Fatal(p.Diags.Err())
	}
	// Its program has added it again, behind one that looks the same.
	now := snapshot(t, ir.IptablesLegacy, strings.Replace(helpers, "-A INPUT -m helper --helper sip -j DROP\n",
		"-A INPUT -m helper --helper tftp -j DROP\n-A INPUT -m helper --helper sip -j DROP\n", 1))
	tx, failed := p.Restore(before, now)
	if !tx.Empty() || failed[ir.TableKey{Family: ir.IPv4, Name: "filter"}] == nil {
		t.Errorf("restored by %v, errors %v", tx, failed)
	}
}
