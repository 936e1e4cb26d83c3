package lower

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

// TestMeaning compares what rules mean with what the lowered rules do to packets:
// the action runs once if all conditions hold, else never; a limit is asked once,
// and only if all else holds; and the packet goes on where it should.
func TestMeaning(t *testing.T) {
	const rounds, packets = 16000, 16
	rnd := rand.New(rand.NewPCG(1, 2))
	tables := map[string]string{"reject": "filter", "masquerade": "nat", "ct": "raw"}
	var lowered, refused, mismatched, dropped, held, chains int
	for range rounds {
		m := newMeaning(rnd)
		text := m.String()
		res, list := Lower(readRule(t, text), testContext(cmp.Or(tables[m.kind], "mangle")))
		if list.HasErrors() {
			for _, d := range list.All() {
				switch {
				case d.Code == diag.ExpandsTwice && (m.kind == "return" || m.kind == "goto"):
					refused++
				case d.Code == diag.FamilyMismatch:
					mismatched++
				case d.Code == diag.Inverted: // lists may happen to cover everything
					refused++
				default:
					t.Fatalf("%s\n%s: %s", text, d.Code, d.Message)
				}
			}
			if !list.Has(diag.FamilyMismatch) {
				continue
			}
		}
		lowered++
		dropped += len(res.Dropped)
		for _, f := range ir.Families {
			chains += len(res.Chains[f])
			printsBack(t, text, res, f)
			for range packets {
				p := newPacket(rnd, f)
				if m.conditions(&p) && m.limits(&p) {
					held++
				}
				if diff := m.compare(res, p); diff != "" {
					t.Fatalf("%s\n%s\n%+v\n%s", text, strings.Join(lines(res), "\n"), p, diff)
				}
			}
		}
	}
	t.Logf("%d rules lowered (%d families dropped, %d helper chains), %d refused, %d family mismatches; %d packets taken of %d",
		lowered, dropped, chains, refused, mismatched, held, lowered*packets*2)
	if lowered < rounds*3/4 || held < lowered {
		t.Errorf("too few rules or packets say anything")
	}
}

// compare runs a packet and says what is wrong.
func (m *meaning) compare(res Result, p packet) string {
	want := m.conditions(&p)
	asks := want && len(m.rates) > 0
	takes := want && m.limits(&p)
	x := newMachine(res.Rules[p.family], res.Chains[p.family], p)
	x.run()
	ran, behind, returned := 0, 1, 1
	if takes {
		ran = 1
		switch m.kind {
		case "return", "goto":
			behind = 0
		case "accept", "drop", "reject", "masquerade":
			behind, returned = 0, 0
		}
	}
	if m.kind == "return" {
		ran = 0 // seen by where the packet goes only
	}
	switch {
	case x.ran != ran:
		return "the action ran wrongly often"
	case x.behind != behind:
		return "the packet came behind the rule wrongly often"
	case x.returned != returned:
		return "the packet came back to the caller wrongly often"
	case asks != (x.asked > 0), x.asked > len(m.rates):
		return "the limits were asked wrongly often"
	}
	return ""
}

// printsBack checks that what is emitted has iptables-save's spelling.
func printsBack(t *testing.T, text string, res Result, f ir.Family) {
	t.Helper()
	specs := append([]*ir.Spec{}, res.Rules[f]...)
	for _, c := range res.Chains[f] {
		specs = append(specs, c.Specs...)
	}
	for _, s := range specs {
		printed := xtables.Print(s, f)
		back, ok := xtables.Decode(printed, f)
		if !ok || xtables.Print(back, f) != printed {
			t.Errorf("%s\n%q is read back as %q", text, printed, xtables.Print(back, f))
		}
	}
}
