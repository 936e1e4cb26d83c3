package backendtest

import (
	"context"
	"errors"
	"testing"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// load makes the host hold a state, by its save text.
func (b *bench) load(s *ir.State) {
	b.Helper()
	opt := iptables.WriteOptions{Counters: true}
	b.Load(b.T, iptables.WriteSave(s, ir.IPv4, opt), iptables.WriteSave(s, ir.IPv6, opt))
}

// refusedRule sends a rule that only the tool can refuse: the prediction does not
// know which modules there are.
func refusedRule(t *testing.T, h Host) {
	b := start(t, h, node, "")
	before := b.everything()
	yaml := diag.NewFile("site.yaml", "rules:\n  - bad\n")
	bad := appendRule("SITE-PRE", "-m nosuchmatch --flag -j ACCEPT")
	bad.Origin = yaml.Span(11, 14)
	err := b.send(tx(block("nat", ensure("SITE-PRE"), appendRule("SITE-PRE", "-j RETURN"), bad, insertRule("PREROUTING", 1, ours))))
	var e *backend.ScriptError
	if !errors.As(err, &e) {
		t.Fatalf("want a refusal, got %v", err)
	}
	b.wantLine(e, "-A SITE-PRE -m nosuchmatch --flag -j ACCEPT")
	if e.Guard() {
		t.Error("a mistake counts as a guard that failed")
	}
	if l := e.Line(); l == nil || l.Span != bad.Origin {
		t.Errorf("the refused line does not lead to the YAML: %+v", l)
	}
	if e.Exit == 0 || e.Message == "" || e.Tool == "" {
		t.Errorf("the refusal says too little: %+v", e)
	}
	b.compare(before)
}

func missingTarget(t *testing.T, h Host) {
	b := start(t, h, node, "")
	e := b.refused(tx(block("nat", ensure("SITE-PRE"), appendRule("SITE-PRE", "-j SITE-NOWHERE"))))
	b.wantLine(e, "-A SITE-PRE -j SITE-NOWHERE")
}

func loop(t *testing.T, h Host) {
	b := start(t, h, node, "")
	e := b.refused(tx(
		block("mangle", ensure("SITE-MARK")),
		block("nat",
			ensure("SITE-A"), ensure("SITE-B"),
			appendRule("SITE-A", "-p udp -j SITE-B"), appendRule("SITE-B", "-p udp -j SITE-A"),
			insertRule("PREROUTING", 1, "-j SITE-A"))))
	if l := e.Line(); l == nil || l.Table != "nat" {
		t.Errorf("the refused line is not in the nat table: %v", e)
	}
}

func missingSet(t *testing.T, h Host) {
	b := start(t, h, node, "")
	s := b.snapshot(ir.Scope{Sets: []string{"site-nosuch"}}).State
	if s.Set("site-nosuch") != nil {
		t.Error("a set that nobody made was read")
	}
	text := "-m set --match-set site-nosuch src -j RETURN"
	b.wantLine(b.refused(tx(block("nat", ensure("SITE-PRE"), appendRule("SITE-PRE", text)))), "-A SITE-PRE "+text)
}

func emptyTransaction(t *testing.T, h Host) {
	b := start(t, h, node, "")
	for _, x := range []ir.Transaction{{}, tx(block("nat"))} {
		scripts, err := b.Backend.Render(x)
		if err != nil || len(scripts) > 0 {
			t.Errorf("rendering nothing gives %v, %v", scripts, err)
		}
	}
	b.compare(b.everything())
}

func brokenPromises(t *testing.T, h Host) {
	for name, x := range map[string]ir.Transaction{
		"flush of a built-in chain":       tx(block("nat", flush("PREROUTING"))),
		"declaration of a built-in chain": tx(block("nat", ensure("PREROUTING"))),
		"delete by index":                 tx(block("nat", ir.Op{Kind: ir.OpDeleteIndex, Chain: "PREROUTING", Index: 1})),
		"policy":                          tx(block("nat", ir.Op{Kind: ir.OpPolicy, Chain: "PREROUTING", Policy: "DROP"})),
		"guard behind an op":              tx(block("nat", ensure("SITE-PRE"), require("PREROUTING", calico))),
		"line end in a rule":              tx(block("nat", appendRule("PREROUTING", "-j RETURN\n-F"))),
		"whole table":                     tx(ir.Block{Family: ir.IPv4, Table: "nat", Ops: []ir.Op{ensure("SITE-PRE")}}),
	} {
		if scripts, err := h.Backend.Render(x); err == nil {
			t.Errorf("%s is rendered: %v", name, scripts)
		}
	}
	b := start(t, h, node, "")
	if err := b.session.Check(context.Background(), backend.Script{
		Family: ir.IPv4, Text: "*nat\n-A PREROUTING -m nosuchmatch\nCOMMIT\n",
	}); err == nil {
		t.Error("a check lets a module pass that does not exist")
	}
	b.compare(b.everything())
}
