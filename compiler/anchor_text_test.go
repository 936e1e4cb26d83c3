package compiler_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

const anchored = head + `  families: [ipv4]
  tables:
    filter:
      chains: {SITE: {rules: ["-j RETURN"]}}
      anchors: [{hook: INPUT, jump: SITE, %s}]
`

// TestAnchorDuplicates: `keep` leaves the copies that stand, and makes one where
// there is none.
func TestAnchorDuplicates(t *testing.T) {
	for _, tt := range []struct {
		what        string
		copies, ops int
		count       int // jumps in the prediction
	}{
		{"duplicates: keep", 3, 0, 3},
		{"duplicates: keep", 1, 0, 1},
		{"duplicates: keep", 0, 1, 1},
		{"duplicates: collapse", 3, 2, 1},
		{"at: first", 3, 2, 1},
	} {
		save := "*filter\n:INPUT ACCEPT [0:0]\n:SITE - [0:0]\n-A SITE -j RETURN\n-A INPUT -s 192.0.2.1/32 -j DROP\n" +
			strings.Repeat("-A INPUT -j SITE\n", tt.copies) + "COMMIT\n"
		p := plan(t, ir.IptablesNFT, save, fmt.Sprintf(anchored, tt.what))
		if err := p.Diags.Err(); err != nil {
			t.Fatal(err)
		}
		ops := 0
		for _, b := range p.Transaction.Blocks {
			for _, o := range b.Ops {
				if o.Kind != ir.OpRequire {
					ops++
				}
			}
		}
		got := 0
		for _, r := range p.Planned.Table(ir.IPv4, "filter").Chain("INPUT").Rules {
			if r.JumpTarget() == "SITE" {
				got++
			}
		}
		if ops != tt.ops || got != tt.count {
			t.Errorf("%s with %d copies: %d ops and %d jumps, want %d and %d", tt.what, tt.copies, ops, got, tt.ops, tt.count)
		}
	}
}

// TestAnchorText: the condition of a jump may be iptables text, in whichever order
// its matches stand on the host.
func TestAnchorText(t *testing.T) {
	const stands = "*filter\n:INPUT ACCEPT [0:0]\n:SITE - [0:0]\n-A SITE -j RETURN\n-A INPUT -p udp -m pkttype --pkt-type broadcast -m comment --comment mine -m udp --dport 67 -j SITE\nCOMMIT\n"
	p := plan(t, ir.IptablesNFT, stands, fmt.Sprintf(anchored, `iptables: "-p udp -m udp --dport 67 -m pkttype --pkt-type broadcast"`))
	if err := p.Diags.Err(); err != nil || !p.Empty() {
		t.Errorf("the jump that stands is not known: %v, %v", err, p.Changes)
	}
	for _, tt := range []struct {
		text string
		code diag.Code
	}{
		{"-p udp -j ACCEPT", diag.BadTarget},
		{"-m comment --comment x", diag.RuleText},
		{"-p icmpv6 -m icmp6 --icmpv6-type 1", diag.FamilyMismatch},
		{"--nonsense", diag.RuleText},
	} {
		_, list := compile(t, fmt.Sprintf(anchored, fmt.Sprintf("iptables: %q", tt.text)), compiler.CompileOptions{})
		if !list.Has(tt.code) {
			t.Errorf("%s: %v, want %s", tt.text, list.Err(), tt.code)
		}
	}
	both := strings.Replace(fmt.Sprintf(anchored, `iptables: "-s 192.0.2.1"`), "  families: [ipv4]\n", "", 1)
	prog, list := compile(t, both, compiler.CompileOptions{})
	if list.HasErrors() || len(prog.Anchors) != 1 || !slices.ContainsFunc(prog.Notes, func(d *diag.Diagnostic) bool { return d.Code == diag.FamilyMismatch }) {
		t.Errorf("an address of one family: %v, %d anchors, %v", list.Err(), len(prog.Anchors), prog.Notes)
	}
}
