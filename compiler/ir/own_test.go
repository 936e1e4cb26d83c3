package ir

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ownState() *State {
	return &State{Families: Families, Own: []*OwnTable{{Kind: Inet, Name: "hookline-t", Chains: []*OwnChain{
		{Name: "filter-INPUT", Base: &BaseChain{Type: "filter", Hook: "input"}, Rules: []OwnRule{{Text: "counter jump filter-SITE", Handle: 4}}},
		{Name: "filter-SITE", Rules: []OwnRule{{Text: "tcp dport 22 counter accept", Comment: "ssh", Handle: 5}, {Text: "counter drop", Handle: 6}}},
	}}}}
}

func step(do NFTOpKind, chain string) NFTOp {
	return NFTOp{Kind: Inet, Table: "hookline-t", Do: do, Chain: chain}
}

func TestApplyOwn(t *testing.T) {
	insert := step(NFTInsertRule, "filter-SITE")
	insert.Rule, insert.Handle = &OwnRule{Text: "udp dport 53 counter accept"}, 6
	gone := step(NFTDeleteRule, "filter-SITE")
	gone.Handle = 5
	before := ownState()
	after, err := before.Apply(Transaction{NFT: []NFTOp{insert, gone}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range after.OwnTable(Inet, "hookline-t").Chain("filter-SITE").Rules {
		got = append(got, r.String())
	}
	if d := cmp.Diff([]string{"udp dport 53 counter accept", "counter drop"}, got); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
	if d := cmp.Diff(ownState().Own, before.Own); d != "" {
		t.Errorf("the state that was given has changed:\n%s", d)
	}
	if n := after.NFTTables; len(n) != 1 || n[0].Rules != 3 || n[0].Others != 1 || len(n[0].Chains) != 1 || n[0].Chains[0].Policy != "accept" {
		t.Errorf("the tables: %+v", n)
	}
}

func TestApplyOwnRefuses(t *testing.T) {
	jump := step(NFTAddRule, "filter-SITE")
	jump.Rule = &OwnRule{Text: `log prefix "jump nowhere" jump filter-NONE`}
	lost := step(NFTDeleteRule, "filter-SITE")
	lost.Handle = 77
	for name, x := range map[string]struct {
		ops  []NFTOp
		want Reason
	}{
		"a chain that is jumped to goes":  {[]NFTOp{step(NFTFlushChain, "filter-SITE"), step(NFTDeleteChain, "filter-SITE")}, ReasonChainInUse},
		"a chain with rules goes":         {[]NFTOp{step(NFTDeleteChain, "filter-SITE")}, ReasonChainNotEmpty},
		"a chain is made twice":           {[]NFTOp{step(NFTAddChain, "filter-SITE")}, ReasonChainExists},
		"a jump to nowhere":               {[]NFTOp{jump}, ReasonBadTarget},
		"a rule that is gone":             {[]NFTOp{lost}, ReasonNoRule},
		"a chain that is not there":       {[]NFTOp{step(NFTFlushChain, "filter-NONE")}, ReasonNoChain},
		"a table that was deleted before": {[]NFTOp{step(NFTDeleteTable, ""), step(NFTAddChain, "x")}, ReasonNoTable},
	} {
		s := ownState()
		after, err := s.Apply(Transaction{NFT: x.ops})
		var refused *NFTError
		if !errors.As(err, &refused) || refused.Reason != x.want {
			t.Errorf("%s: %v, want %s", name, err, x.want)
		}
		if !slices.Equal(after.Own, s.Own) {
			t.Errorf("%s: something was done all the same", name)
		}
	}
}

func TestApplyOwnElements(t *testing.T) {
	one := func(n uint64) Element { return Element{Interval: Interval{Value{Low: n}, Value{Low: n}}} }
	s := &State{Families: Families, Own: []*OwnTable{{Kind: Inet, Name: "hookline-t", Sets: []*OwnSet{{Name: "s", Type: SetType{PortField}, Elements: []Element{one(1), one(3)}, Counted: -1}}}}}
	add, del := step(NFTAddElements, ""), step(NFTDeleteElements, "")
	add.Set, del.Set = &OwnSet{Name: "s"}, &OwnSet{Name: "s"}
	add.Elements, del.Elements = []Element{one(2)}, []Element{one(3)}
	after, err := s.Apply(Transaction{NFT: []NFTOp{del, add}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Element{one(1), one(2)}, after.Own[0].Sets[0].Elements); d != "" {
		t.Errorf("elements (-want +got):\n%s", d)
	}
	for _, ops := range [][]NFTOp{{add, add}, {del, del}} {
		if _, err := s.Apply(Transaction{NFT: ops}); err == nil {
			t.Error("the same twice is done")
		}
	}
}

// TestDeletedTableHasNoBases: a table that goes does not stand among all tables any
// more, and one that comes does.
func TestDeletedTableHasNoBases(t *testing.T) {
	old := &OwnTable{Kind: Inet, Name: "hookline-t", Chains: []*OwnChain{{Name: "a", Base: &BaseChain{Type: "filter", Hook: "input"}}}}
	s := &State{Families: Families, Own: []*OwnTable{old}, NFTTables: []NFTTable{{Family: "ip", Name: "filter"}, old.Summary()}}
	next, err := s.Apply(Transaction{NFT: []NFTOp{
		{Kind: Inet, Table: "hookline-t", Do: NFTDeleteTable},
		{Kind: IP, Table: "hookline-t", Do: NFTAddTable},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range next.NFTTables {
		got = append(got, x.Key())
	}
	if want := []string{"ip filter", "ip hookline-t"}; !slices.Equal(got, want) {
		t.Errorf("tables %q, want %q", got, want)
	}
	if len(s.NFTTables) != 2 || len(s.Own) != 1 || len(s.Own[0].Chains) != 1 {
		t.Error("the state from which was predicted has changed")
	}
}
