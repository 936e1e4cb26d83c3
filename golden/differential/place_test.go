package differential

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/backend/nft"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/internal/netns"
)

// crowd are more rules than those up to which nft is asked to put one at a place.
func crowd() string {
	var b strings.Builder
	b.WriteString("add table ip crowd\nadd chain ip crowd c\n")
	for i := range 4000 {
		fmt.Fprintf(&b, "add rule ip crowd c ip saddr 10.0.%d.%d counter\n", i>>8, i&255)
	}
	return b.String()
}

// TestTypedRulesAtAPlace: every form that people type reads back as it was written
// where it was put ahead of another rule on a host with many rules, which is the way
// to the kernel without nft.
func TestTypedRulesAtAPlace(t *testing.T) {
	for _, kind := range []nftables.Kind{nftables.Inet, nftables.IP, nftables.IP6} {
		t.Run(string(kind), func(t *testing.T) {
			ns := netns.ForTest(t)
			table, _, translated := tableOf(t, kind, true, typedRules(t))
			var script strings.Builder
			script.WriteString(crowd())
			empty := *table
			empty.Chains = nil
			for _, c := range table.Chains {
				n := *c
				n.Rules = []nftables.Rule{{Text: "counter", Comment: "the last one"}}
				empty.Chains = append(empty.Chains, &n)
			}
			script.WriteString(nftables.Text(nftables.Script([]*nftables.Table{&empty})))
			if _, complaint := run(t, ns, script.String(), "nft", "-f", "-"); complaint != "" {
				t.Fatal(complaint)
			}
			placed := place(t, ns, table)
			if translated < 40 || placed < 40 {
				t.Errorf("only %d rules were put at a place", placed)
			}
			for _, c := range table.Chains {
				c.Rules = append(c.Rules, nftables.Rule{Text: "counter", Comment: "the last one"})
			}
			got := map[string]map[string][]string{"nft -j": listing(t, ns), "netlink": netlinkListing(t, ns, []*nftables.Table{table})}
			bothReadBack(t, []*nftables.Table{table}, got)
		})
	}
}

// place puts every rule of a table ahead of the last one of its chain, all of them in
// one transaction.
func place(t *testing.T, ns *netns.NS, table *nftables.Table) int {
	t.Helper()
	b, err := nft.New(nft.Options{Runner: ns.Runner(), NetNS: ns.Do})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	snap, err := s.Snapshot(context.Background(), ir.Scope{Own: []string{table.Name}})
	if err != nil {
		t.Fatal(err)
	}
	live := snap.State.OwnTable(table.Kind, table.Name)
	var ops []ir.NFTOp
	for _, c := range table.Chains {
		for i := range c.Rules {
			ops = append(ops, ir.NFTOp{
				Kind: table.Kind, Table: table.Name, Chain: c.Name, Do: ir.NFTInsertRule, Rule: &c.Rules[i], Handle: live.Chain(c.Name).Rules[0].Handle,
			})
		}
	}
	send := func(ops []ir.NFTOp) error {
		scripts, err := b.Render(ir.Transaction{NFT: ops})
		if err != nil || len(scripts) != 1 {
			t.Fatalf("%d scripts, %v", len(scripts), err)
		}
		return s.Apply(context.Background(), scripts[0])
	}
	// Behind a step that is refused, nothing of this stands; and it was no tool that said so.
	stale := ir.NFTOp{Kind: table.Kind, Table: table.Name, Chain: table.Chains[0].Name, Do: ir.NFTDeleteRule, Handle: 1 << 40}
	var refused *backend.ScriptError
	if err := send(append(ops[:len(ops):len(ops)], stale)); !errors.As(err, &refused) || refused.Number != len(ops)+1 || refused.Tool == "nft" {
		t.Errorf("a stale handle: %v", err)
	}
	if err := send(ops); errors.As(err, &refused) {
		t.Fatalf("%v: %s", err, strings.Split(refused.Script.Text, "\n")[max(0, refused.Number-1)])
	} else if err != nil {
		t.Fatal(err)
	}
	return len(ops)
}
