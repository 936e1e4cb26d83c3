package place_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/place"
)

func TestSolve(t *testing.T) {
	tests := []struct {
		name  string
		why   string
		chain string
		jumps []jump
		want  string
		codes []string
	}{
		{
			name:  "H-1 new jump goes directly behind its last after",
			chain: "cali ksvc hostport", jumps: []jump{{name: "A", after: "cali", before: "ksvc hostport"}},
			want: "cali +A ksvc hostport",
		},
		{
			name:  "directly behind the last rule of several afters",
			chain: "cali x fwd cali y ksvc", jumps: []jump{{name: "A", after: "fwd cali"}},
			want: "cali x fwd cali +A y ksvc",
		},
		{
			name:  "without after directly ahead of the first before",
			chain: "x ksvc y ksvc", jumps: []jump{{name: "A", before: "ksvc"}},
			want: "x +A ksvc y ksvc",
		},
		{name: "without either at the end", chain: "x y", jumps: []jump{{name: "A"}}, want: "x y +A"},
		{name: "into an empty chain", chain: "", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}}, want: "+A"},
		{
			name:  "at last goes ahead of the first before",
			chain: "cali x y ksvc", jumps: []jump{{name: "A", after: "cali", before: "ksvc", at: place.AtLast}},
			want: "cali x y +A ksvc",
		},
		{
			name:  "at first goes to the top when there is no after",
			chain: "x ksvc", jumps: []jump{{name: "A", before: "ksvc", at: place.AtFirst}},
			want: "+A x ksvc",
		},
		{
			name:  "at last does not move a jump that stands in bounds",
			chain: "cali @A x ksvc", jumps: []jump{{name: "A", after: "cali", before: "ksvc", at: place.AtLast}},
			want: "cali @A x ksvc",
		},
		{
			name:  "H-5 a jump in bounds stays",
			chain: "cali x @A y ksvc", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want: "cali x @A y ksvc",
		},
		{
			name:  "a jump out of bounds moves",
			chain: "cali ksvc @A", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want: "cali >A ksvc",
		},
		{
			name:  "H-3 of equal copies the last stays",
			chain: "cali @A x @A ksvc", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want: "cali x @A ksvc",
		},
		{
			name: "equal copies, the last out of bounds: all go and one is put in",
			why:  "delete by value removes the first equal copy (M-49)", chain: "cali @A ksvc @A",
			jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want:  "cali >A ksvc",
		},
		{
			name:  "copies with different texts: the first in bounds stays",
			chain: "@A~old cali @A~1 @A~2 ksvc @A", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want: "cali @A~1 ksvc",
		},
		{
			name: "different texts, of which one stands twice",
			why:  "the first ~1 cannot be the one that stays", chain: "cali @A~1 @A~2 @A~1 ksvc",
			jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want:  "cali @A~2 ksvc",
		},
		{
			name:  "bounds are taken after removals",
			chain: "cali ksvc -cali", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want: "cali +A ksvc",
		},
		{
			name:  "H-4 a missing reference is ignored",
			chain: "cali hostport", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want: "cali +A hostport",
		},
		{
			name:  "a missing reference that fails",
			chain: "cali hostport", jumps: []jump{{name: "A", after: "cali", before: "ksvc!"}},
			want: "cali hostport", codes: []string{"error missing-reference"},
		},
		{
			name:  "a missing reference holds a new jump back",
			chain: "cali", jumps: []jump{{name: "A", after: "cali", before: "ksvc?"}, {name: "B", after: "cali"}},
			want: "cali +B", codes: []string{"warning held"},
		},
		{
			name:  "a missing reference leaves a standing jump alone, though out of bounds",
			chain: "@A cali", jumps: []jump{{name: "A", after: "cali", before: "ksvc?"}},
			want: "@A cali", codes: []string{"warning held"},
		},
		{
			name:  "who refers to a jump that is kept out waits too",
			chain: "cali", jumps: []jump{{name: "A", before: "ksvc?"}, {name: "B", after: "@A?"}},
			want: "cali", codes: []string{"warning held", "warning held"},
		},
		{
			name:  "who refers to a held jump that stands is placed by it",
			chain: "x @A y", jumps: []jump{{name: "A", before: "ksvc?"}, {name: "B", after: "@A"}},
			want: "x @A +B y", codes: []string{"warning held"},
		},
		{
			name:  "a held jump's duplicates collapse",
			chain: "@A cali @A", jumps: []jump{{name: "A", after: "cali", before: "ksvc?"}},
			want: "cali @A", codes: []string{"warning held"},
		},
		{
			name:  "crossing bounds",
			chain: "ksvc x cali", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}},
			want: "ksvc x cali", codes: []string{"error crossing-bounds"},
		},
		{
			name:  "crossing bounds collapse duplicates all the same",
			chain: "@A ksvc x @A cali @A", jumps: []jump{{name: "A", after: "cali", before: "ksvc"}, {name: "B", after: "x"}},
			want: "ksvc x +B cali @A", codes: []string{"error crossing-bounds"},
		},
		{
			name:  "the same rule on both sides crosses",
			chain: "cali", jumps: []jump{{name: "A", after: "cali", before: "cali"}},
			want: "cali", codes: []string{"error crossing-bounds"},
		},
		{
			name:  "an adopted jump moves into bounds",
			chain: "cali ksvc hostport @OVN",
			jumps: []jump{{name: "OVN", after: "cali", before: "ksvc", adopt: true}},
			want:  "cali >OVN ksvc hostport",
		},
		{
			name: "R-1 adopted copies collapse to the last",
			why:  "the state of kube-ovn#5078", chain: "@OVN cali @OVN",
			jumps: []jump{{name: "OVN", after: "cali", before: "ksvc", adopt: true}},
			want:  "cali @OVN",
		},
		{
			name: "adopt never creates", chain: "cali ksvc",
			jumps: []jump{{name: "OVN", after: "cali", before: "ksvc", adopt: true}},
			want:  "cali ksvc",
		},
		{
			name: "adopted copies without collapse all come into bounds", chain: "@OVN cali @OVN x ksvc",
			jumps: []jump{{name: "OVN", after: "cali", before: "ksvc", adopt: true, all: true}},
			want:  "cali >OVN @OVN x ksvc", codes: []string{"warning duplicates"},
		},
		{
			name: "adopted equal copies without collapse: what stands ahead of a moved one moves too",
			why:  "delete by value removes the first equal copy", chain: "cali @OVN ksvc @OVN",
			jumps: []jump{{name: "OVN", after: "cali", before: "ksvc", adopt: true, all: true}},
			want:  "cali >OVN >OVN ksvc", codes: []string{"warning duplicates"},
		},
		{
			name: "same slot is written order", chain: "cali ksvc",
			jumps: []jump{{name: "A", after: "cali"}, {name: "B", after: "cali"}, {name: "C", before: "ksvc"}},
			want:  "cali +A +B +C ksvc",
		},
		{
			name: "a new jump joins those that stand in its slot in written order", chain: "cali @A @C ksvc",
			jumps: []jump{{name: "A", after: "cali"}, {name: "B", after: "cali"}, {name: "C", after: "cali"}},
			want:  "cali @A +B @C ksvc",
		},
		{
			name: "the same at the other end of the slot", chain: "cali @B ksvc",
			jumps: []jump{{name: "A", before: "ksvc"}, {name: "B", before: "ksvc"}},
			want:  "cali +A @B ksvc",
		},
		{
			name: "of two in the wrong order the adopted one stays", why: "its counter would restart", chain: "@B @A x",
			jumps: []jump{{name: "A"}, {name: "B", after: "@A", adopt: true}},
			want:  ">A @B x",
		},
		{
			name: "standing jumps are not put into written order", chain: "cali @B @A ksvc",
			jumps: []jump{{name: "A", after: "cali"}, {name: "B", after: "cali"}},
			want:  "cali @B @A ksvc",
		},
		{
			name: "after another anchor", chain: "cali ksvc",
			jumps: []jump{{name: "A", after: "@B"}, {name: "B", after: "cali", before: "ksvc"}},
			want:  "cali +B +A ksvc",
		},
		{
			name: "before another anchor", chain: "cali x ksvc",
			jumps: []jump{{name: "A", before: "@B"}, {name: "B", before: "ksvc"}},
			want:  "cali x +A +B ksvc",
		},
		{
			name: "an anchor waits for the one that it stands beside", chain: "cali x",
			jumps: []jump{{name: "A", before: "@B"}, {name: "B", after: "cali"}},
			want:  "cali +A +B x",
		},
		{
			name: "bounds are inherited", why: "A must leave room for B ahead of ksvc", chain: "cali ksvc x",
			jumps: []jump{{name: "A"}, {name: "B", after: "@A", before: "ksvc"}},
			want:  "cali +A +B ksvc x",
		},
		{
			name: "the wrong order of two moves one", chain: "cali @B @A ksvc",
			jumps: []jump{{name: "A", after: "cali"}, {name: "B", after: "@A"}},
			want:  "cali @A >B ksvc",
		},
		{
			name: "as few as possible are moved", why: "moving A alone puts three in order", chain: "@B @C @D @A x",
			jumps: []jump{{name: "A"}, {name: "B", after: "@A"}, {name: "C", after: "@A"}, {name: "D", after: "@A"}},
			want:  ">A @B @C @D x",
		},
		{
			name: "a circle", chain: "@A x",
			jumps: []jump{{name: "A", after: "@B"}, {name: "B", after: "@C"}, {name: "C", after: "@A"}, {name: "D", after: "@C"}},
			want:  "@A x +D", codes: []string{"error placement-cycle"},
		},
		{
			name: "a circle of one anchor's two references", chain: "x",
			jumps: []jump{{name: "A", after: "@B", before: "@B"}, {name: "B"}},
			want:  "x", codes: []string{"error placement-cycle"},
		},
		{
			name: "a reference that also matches the anchor's own copies means the others", chain: "x @A",
			jumps: []jump{{name: "A", after: "@A x"}},
			want:  "x @A",
		},
		{
			name: "crossing through another anchor is one error", chain: "ksvc cali",
			jumps: []jump{{name: "A", after: "cali"}, {name: "B", after: "@A", before: "ksvc"}, {name: "C", after: "cali"}},
			want:  "ksvc cali +C", codes: []string{"error crossing-bounds"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input(tt.chain, tt.jumps...)
			out, diags := place.Solve(in)
			if got := result(in, out); got != tt.want {
				t.Errorf("Solve(%q) = %q, want %q (%s)", tt.chain, got, tt.want, tt.why)
			}
			if diff := cmp.Diff(tt.codes, codes(diags)); diff != "" {
				t.Errorf("Solve(%q) diagnostics mismatch (-want +got):\n%s", tt.chain, diff)
			}
			if err := properties(tt.chain, tt.jumps); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOutputSteps(t *testing.T) {
	in := input("@A cali -old @A ksvc @B", jump{name: "A", after: "cali"}, jump{name: "B", after: "cali", before: "ksvc"})
	out, _ := place.Solve(in)
	var got []string
	for _, p := range out.Steps(in) {
		word := p.Kind.String() + " "
		if p.Live >= 0 {
			word += in.Rules[p.Live].Rule.Text
		} else {
			word += in.Anchors[p.Anchor].Name
		}
		got = append(got, word)
	}
	want := []string{"remove @A", "keep cali", "remove -old", "keep @A", "move @B", "keep ksvc", "remove @B"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Steps mismatch (-want +got):\n%s", diff)
	}
	if !out.Changed() {
		t.Error("Changed() = false")
	}
}

func TestSolveLists(t *testing.T) {
	in := input("cali ksvc @ADOPTED",
		jump{name: "ADOPTED", before: "ksvc", adopt: true},
		jump{name: "IDLE", before: "ksvc", adopt: true},
		jump{name: "HELD", before: "nobody?"},
		jump{name: "FAILED", before: "nobody!"})
	out, _ := place.Solve(in)
	type lists struct{ Removed, Held, Failed, Idle, Restarts []int }
	want := lists{[]int{2}, []int{2}, []int{3}, []int{1}, []int{0}}
	if diff := cmp.Diff(want, lists{out.Removed, out.Held, out.Failed, out.Idle, out.Restarts}); diff != "" {
		t.Errorf("Solve lists mismatch (-want +got):\n%s", diff)
	}
}

// A chain as k3s leaves it after months of failed checks: duplicates without
// number, and 100,000 foreign rules.
func TestSolveLarge(t *testing.T) {
	in := input("cali " + strings.Repeat("x @A ", 20_000) + strings.Repeat("y ", 60_000) + "ksvc")
	in.Anchors = input("cali", jump{name: "A"}, jump{name: "B"}).Anchors
	for i, l := range in.Rules {
		if l.Rule.Text == "@A" {
			in.Anchors[0].Standing = append(in.Anchors[0].Standing, i)
		}
	}
	text := func(s string) []place.Ref {
		return []place.Ref{{Label: s, Match: func(i int) bool { return in.Rules[i].Rule.Text == s }}}
	}
	in.Anchors[0].After, in.Anchors[0].Before = text("cali"), text("ksvc")
	in.Anchors[1].After, in.Anchors[1].Before = text("x"), text("ksvc")
	for i, l := range in.Rules {
		if l.Rule.Text == "@A" && i%3 == 0 {
			in.Rules[i].Rule = &ir.Rule{Text: fmt.Sprintf("@A~%d", i)}
		}
	}
	out, diags := place.Solve(in)
	if len(out.Order) != len(in.Rules)-20_000+2 || len(out.Removed) != 19_999 || diags.HasErrors() {
		t.Errorf("Solve: %d rules left, %d removed", len(out.Order), len(out.Removed))
	}
}
