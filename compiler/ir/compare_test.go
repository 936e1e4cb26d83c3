package ir_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
)

func TestCompare(t *testing.T) {
	absent := &ir.State{Families: []ir.Family{ir.IPv4}}
	only := &ir.Scope{}
	only.Want(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "OWN"})
	for _, c := range []struct {
		name      string
		want, got *ir.State
		opt       ir.CompareOptions
		diffs     []string
		why       string
	}{
		{name: "the same", want: stateOf(t, host...), got: stateOf(t, host...), opt: ir.CompareOptions{Counters: true}},
		{name: "an absent table", want: stateOf(t, "INPUT ACCEPT", "FORWARD ACCEPT", "OUTPUT ACCEPT"), got: absent, why: "FIELD M-58"},
		{name: "an absent table, the other way round", want: absent, got: stateOf(t, "INPUT ACCEPT")},
		{
			name: "an absent table is not one with a policy", want: stateOf(t, "INPUT DROP"), got: absent,
			diffs: []string{`ipv4 filter INPUT: policy: want "DROP", got "ACCEPT"`},
		},
		{name: "order of user chains", want: stateOf(t, "INPUT ACCEPT", "A", "B"), got: stateOf(t, "B", "A", "INPUT ACCEPT")},
		{
			name: "chains", want: stateOf(t, "A", "B"), got: stateOf(t, "B", "C"),
			diffs: []string{`ipv4 filter A: chain-missing: want "A"`, `ipv4 filter C: chain-unexpected: got "C"`},
		},
		{
			name: "counters only if asked for", want: stateOf(t, "INPUT [1:2] ACCEPT", "INPUT: [3:4] -j DROP"),
			got: stateOf(t, "INPUT ACCEPT", "INPUT: -j DROP"),
		},
		{
			name: "counters", want: stateOf(t, "INPUT [1:2] ACCEPT", "INPUT: [3:4] -j DROP"), got: stateOf(t, "INPUT ACCEPT", "INPUT: -j DROP"),
			opt: ir.CompareOptions{Counters: true},
			diffs: []string{
				`ipv4 filter INPUT: counters: want "[1:2]", got "[0:0]"`,
				`ipv4 filter INPUT rule 1: counters: want "[3:4]", got "[0:0]"`,
			},
		},
		{
			name: "one rule lost, one added", want: stateOf(t, "A", "A: -j 1", "A: -j 2", "A: -j 3", "A: -j 4"),
			got:   stateOf(t, "A", "A: -j 1", "A: -j 3", "A: -j X", "A: -j 4"),
			diffs: []string{`ipv4 filter A rule 2: rule-missing: want "-j 2"`, `ipv4 filter A rule 3: rule-unexpected: got "-j X"`},
		},
		{
			name: "a rule moved", want: stateOf(t, "A", "A: -j 1", "A: -j 2", "A: -j 3"), got: stateOf(t, "A", "A: -j 2", "A: -j 3", "A: -j 1"),
			diffs: []string{`ipv4 filter A rule 1: rule-missing: want "-j 1"`, `ipv4 filter A rule 3: rule-unexpected: got "-j 1"`},
		},
		{
			name: "the same by meaning", want: stateOf(t, "A", "A: -p 6 -j DROP"), got: stateOf(t, "A", "A: -p tcp -j DROP"),
			opt: ir.CompareOptions{SameRule: func(f ir.Family, a, b *ir.Rule) bool {
				return f == ir.IPv4 && strings.ReplaceAll(a.Text, "-p 6", "-p tcp") == b.Text
			}},
		},
		{name: "outside of the scope", want: stateOf(t, "A", "A: -j 1", "OWN"), got: stateOf(t, "OWN", "INPUT DROP"), opt: ir.CompareOptions{Scope: only}},
		{
			name: "inside of the scope", want: stateOf(t, "OWN", "OWN: -j 1"), got: stateOf(t, "OWN"), opt: ir.CompareOptions{Scope: only},
			diffs: []string{`ipv4 filter OWN rule 1: rule-missing: want "-j 1"`},
		},
		{name: "a chain that one side has not read", want: stateOf(t, "A unread"), got: stateOf(t, "A", "A: -j 1")},
		{
			name: "an unread chain that is gone", want: stateOf(t, "A unread"), got: stateOf(t, "INPUT ACCEPT"),
			diffs: []string{`ipv4 filter A: chain-missing: want "A"`},
		},
		{name: "a family that one side has not read", want: stateOf(t, "A"), got: &ir.State{Families: []ir.Family{ir.IPv6}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, d := range ir.Compare(c.want, c.got, c.opt) {
				got = append(got, d.String())
			}
			if d := cmp.Diff(c.diffs, got); d != "" {
				t.Errorf("Compare mismatch (-want +got):\n%s%s", d, c.why)
			}
		})
	}
}

func TestCompareUnreadable(t *testing.T) {
	want, got := stateOf(t, "INPUT ACCEPT", "A"), stateOf(t, "INPUT ACCEPT")
	got.Tables[0].Unreadable = "Table `filter' is incompatible, use 'nft' tool."
	if d := ir.Compare(want, got, ir.CompareOptions{}); len(d) != 1 || d[0].Kind != ir.TableUnreadable {
		t.Errorf("a table that can no longer be read: %v", d)
	}
	got.Tables[0].Unreadable = ""
	got.Tables[0].Chains[0].Unreadable = "a native rule"
	if d := ir.Compare(want, got, ir.CompareOptions{}); len(d) != 2 || d[0].Kind != ir.ChainUnreadable || d[1].Kind != ir.ChainMissing {
		t.Errorf("a chain that can no longer be read: %v", d)
	}
	native := func(handle uint64) *ir.State {
		s := stateOf(t, "INPUT ACCEPT")
		s.Tables[0].Chains[0].Rules = []*ir.Rule{{Native: &ir.Native{Handle: handle, Expr: "ct state"}}}
		return s
	}
	if d := ir.Compare(native(4), native(4), ir.CompareOptions{}); len(d) != 0 {
		t.Errorf("the same native rule: %v", d)
	}
	if d := ir.Compare(native(4), native(5), ir.CompareOptions{}); len(d) != 2 || d[0].Want != "native nft rule: ct state" {
		t.Errorf("another native rule: %v", d)
	}
}

// TestCompareLong compares chains that have too little in common for a table of
// subsequences.
func TestCompareLong(t *testing.T) {
	chain := func(f func(int) string) *ir.State {
		lines := []string{"A"}
		for i := range 3000 {
			lines = append(lines, "A: "+f(i))
		}
		return stateOf(t, lines...)
	}
	want := chain(func(i int) string { return fmt.Sprintf("-j A%d", i) })
	got := chain(func(i int) string { return fmt.Sprintf("-j B%d", i/1500*i) })
	d := ir.Compare(want, got, ir.CompareOptions{})
	if len(d) != 3000 || d[7].Kind != ir.RuleDiffers || d[7].Index != 7 || d[7].Want != "-j A7" || d[7].Got != "-j B0" {
		t.Errorf("%d differences, the eighth is %v", len(d), d[7])
	}
}
