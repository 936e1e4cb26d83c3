package place_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/compiler/place"
	"hookline/dsl/diag"
)

// render writes diagnostics as text: positions, notes and help.
func render(l *diag.List) string {
	var b strings.Builder
	for _, d := range l.All() {
		fmt.Fprintf(&b, "%s: %s: %s [%s]\n", d.Span, d.Severity, d.Message, d.Code)
		for _, n := range d.Notes {
			fmt.Fprintf(&b, "  %s: %s\n", n.Span, n.Message)
		}
		if d.Help != "" {
			fmt.Fprintf(&b, "  help: %s\n", d.Help)
		}
	}
	return b.String()
}

func builtin(t *testing.T) *participant.Catalogue {
	t.Helper()
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func TestReports(t *testing.T) {
	tests := []struct {
		name  string
		chain string
		owner map[string]string // word to participant
		jumps []jump
		want  string
	}{
		{
			name:  "crossing, and one side re-asserts",
			chain: "ksvc cali", owner: map[string]string{"cali": "calico", "ksvc": "kube-proxy"},
			jumps: []jump{{name: "SITE", after: "cali", before: "ksvc"}},
			want: `
yaml:1:1: error: SITE cannot stand after cali and before ksvc in ipv4 filter INPUT: the last rule of cali stands behind the first rule of ksvc [crossing-bounds]
  save:2:1: cali is rule 2: cali
  save:1:1: ksvc is rule 1: ksvc
  yaml:1:1: SITE is to stand before ksvc
  -: calico puts its jump back at position 1 within 180 s (ChainInsertMode: insert)
  help: apply --wait DURATION tries again until the program has moved its rule
`,
		},
		{
			name:  "crossing through another anchor, and nobody moves",
			chain: "fwd masq", owner: map[string]string{"fwd": "flannel"},
			jumps: []jump{{name: "A", after: "masq"}, {name: "B", after: "@A"}, {name: "C", after: "@B", before: "fwd"}},
			want: `
yaml:1:1: error: A cannot stand after masq and before fwd in ipv4 filter INPUT: the last rule of masq stands behind the first rule of fwd [crossing-bounds]
  save:2:1: masq is rule 2: masq
  save:1:1: fwd is rule 1: fwd
  yaml:1:1: C is to stand before fwd
  yaml:1:1: B is to stand after A
  yaml:1:1: C is to stand after B
  help: no program is known to move these rules by itself: change their order, or drop one of the bounds
`,
		},
		{
			name:  "both bounds are one rule",
			chain: "x", jumps: []jump{{name: "A", after: "x", before: "x"}},
			want: `
yaml:1:1: error: A cannot stand after x and before x in ipv4 filter INPUT: both mean the same rule [crossing-bounds]
  save:1:1: rule 1: x
  yaml:1:1: A is to stand before x
  help: no program is known to move these rules by itself: change their order, or drop one of the bounds
`,
		},
		{
			name:  "circle",
			chain: "x", jumps: []jump{{name: "A", after: "x @B"}, {name: "B", before: "x", after: "@A"}},
			want: `
yaml:1:1: error: anchors in filter INPUT are ordered in a circle: A before B before A [placement-cycle]
  yaml:1:3: A is to stand after B
  help: remove one of these references
`,
		},
		{
			name:  "missing, by what ifMissing says",
			chain: "x", jumps: []jump{{name: "A", after: "calico"}, {name: "B", after: "calico?"}, {name: "C", after: "calico!"}},
			want: `
yaml:1:1: warning: B is kept out until a rule of calico appears in ipv4 filter INPUT [held]
  -: calico puts its jump back at position 1 within 180 s (ChainInsertMode: insert)
yaml:1:1: error: no rule of calico in ipv4 filter INPUT: C cannot be placed, and ifMissing is fail [missing-reference]
  -: calico puts its jump back at position 1 within 180 s (ChainInsertMode: insert)
`,
		},
		{
			name:  "duplicates",
			chain: "@OVN x @OVN", jumps: []jump{{name: "OVN", before: "x", adopt: true}},
			want: `
yaml:1:1: info: the jump to OVN stands 2 times in ipv4 filter INPUT: one is kept [duplicates]
  save:1:1: rule 1: @OVN
  save:3:1: rule 3: @OVN
`,
		},
		{
			name:  "nothing to adopt",
			chain: "x", jumps: []jump{{name: "OVN", before: "x", adopt: true}},
			want: "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input(tt.chain, tt.jumps...)
			in.Catalogue = builtin(t)
			for i := range in.Rules {
				in.Rules[i].Participant = tt.owner[in.Rules[i].Rule.Text]
			}
			for a := range in.Anchors {
				for i, r := range in.Anchors[a].After {
					in.Anchors[a].After[i].Participant = r.Label
				}
			}
			_, diags := place.Solve(in)
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), render(diags)); diff != "" {
				t.Errorf("Solve(%q) reports mismatch (-want +got):\n%s", tt.chain, diff)
			}
		})
	}
}

func TestAdoptIfMissingFails(t *testing.T) {
	in := input("x", jump{name: "OVN", adopt: true})
	in.Anchors[0].IfMissing = place.Fail
	_, diags := place.Solve(in)
	if diff := cmp.Diff([]string{"error missing-reference"}, codes(diags)); diff != "" {
		t.Errorf("Solve diagnostics mismatch (-want +got):\n%s", diff)
	}
}

func TestUnstable(t *testing.T) {
	ref := func(name string) place.Ref {
		owner, tail := strings.CutSuffix(name, "/tail")
		return place.Ref{Label: name, Participant: owner, Tail: tail}
	}
	chain := func(name, owner string) place.Ref { return place.Ref{Label: name, Participant: owner, Chain: name} }
	tests := []struct {
		name          string
		why           string
		table, hook   string
		after, before []place.Ref
		adopts        string // the participant whose jump is adopted
		force         bool
		want          string // "" or the severity
	}{
		{
			name: "H-7 before calico", why: "Felix asserts position 1", table: "filter", hook: "INPUT",
			before: []place.Ref{ref("calico")}, want: "error",
		},
		{name: "before calico, forced", table: "filter", hook: "INPUT", before: []place.Ref{ref("calico")}, force: true, want: "warning"},
		{name: "before a chain of calico's", table: "nat", hook: "PREROUTING", before: []place.Ref{chain("cali-PREROUTING", "calico")}, want: "error"},
		{name: "after calico", table: "filter", hook: "INPUT", after: []place.Ref{ref("calico")}},
		{name: "before calico's tail", table: "filter", hook: "FORWARD", before: []place.Ref{ref("calico/tail")}},
		{name: "after calico's tail", table: "filter", hook: "FORWARD", after: []place.Ref{ref("calico/tail")}, want: "error"},
		{name: "after calico in nat POSTROUTING", why: "last since 3.29", table: "nat", hook: "POSTROUTING", after: []place.Ref{ref("calico")}, want: "error"},
		{name: "before calico in nat POSTROUTING", table: "nat", hook: "POSTROUTING", before: []place.Ref{ref("calico")}},
		{name: "before kube-router", table: "filter", hook: "FORWARD", before: []place.Ref{ref("kube-router")}, want: "error"},
		{name: "after kube-router's tail", why: "it appends, and never moves", table: "filter", hook: "FORWARD", after: []place.Ref{ref("kube-router/tail")}},
		{name: "before kube-proxy", why: "it prepends only what is lost", table: "nat", hook: "PREROUTING", before: []place.Ref{ref("kube-proxy")}},
		{name: "after flannel", table: "nat", hook: "POSTROUTING", after: []place.Ref{ref("flannel")}},
		{name: "before kube-vip", why: "until its next event", table: "nat", hook: "POSTROUTING", before: []place.Ref{ref("kube-vip")}, want: "warning"},
		{name: "before kube-vip, forced", table: "nat", hook: "POSTROUTING", before: []place.Ref{ref("kube-vip")}, force: true, want: "info"},
		{name: "another table", table: "mangle", hook: "POSTROUTING", before: []place.Ref{ref("kube-vip")}},
		{
			name: "adopting calico's own jump into a place that it leaves", table: "filter", hook: "INPUT", adopts: "calico",
			after: []place.Ref{ref("kube-proxy")}, want: "error",
		},
		{
			name: "adopting kube-ovn's jump as it wants it", table: "nat", hook: "PREROUTING", adopts: "kube-ovn",
			after: []place.Ref{ref("calico")}, before: []place.Ref{chain("KUBE-SERVICES", "kube-proxy")},
		},
		{
			name: "adopting kube-ovn's jump behind KUBE-SERVICES", table: "nat", hook: "PREROUTING", adopts: "kube-ovn",
			after: []place.Ref{chain("KUBE-SERVICES", "kube-proxy")}, want: "error",
		},
		{
			name: "adopting kube-ovn's jump behind kube-proxy", table: "nat", hook: "PREROUTING", adopts: "kube-ovn",
			after: []place.Ref{ref("kube-proxy")}, want: "error",
		},
		{name: "a participant that nobody knows", table: "filter", hook: "INPUT", before: []place.Ref{ref("site-agent")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := place.Anchor{
				Name: "SITE", After: tt.after, Before: tt.before, Adopt: tt.adopts != "", Participant: tt.adopts, Force: tt.force,
			}
			diags := place.Unstable(builtin(t), ir.ChainKey{Family: ir.IPv4, Table: tt.table, Chain: tt.hook}, []place.Anchor{a})
			got := ""
			for _, d := range diags.All() {
				got += d.Severity.String()
				if d.Code != diag.UnstablePlacement {
					t.Errorf("Unstable: code %s", d.Code)
				}
			}
			if got != tt.want {
				t.Errorf("Unstable = %q, want %q (%s)\n%s", got, tt.want, tt.why, render(diags))
			}
		})
	}
}

func TestUnstableMessage(t *testing.T) {
	a := place.Anchor{Name: "HARVESTER_INPUT", Before: []place.Ref{{Label: "calico", Participant: "calico"}}}
	got := render(place.Unstable(builtin(t), hook, []place.Anchor{a}))
	want := `-: error: HARVESTER_INPUT before calico in filter INPUT does not last: calico puts its jump back at position 1 within 180 s (ChainInsertMode: insert) [unstable-placement]
  help: choose another place, or say force: true if calico is set up differently here
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Unstable mismatch (-want +got):\n%s", diff)
	}
}
