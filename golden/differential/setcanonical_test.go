package differential

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"hookline/backend/nft"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/internal/netns"
)

// everySet is a ruleset that declares a set of each type and asks it in every way.
func everySet() string {
	var b strings.Builder
	b.WriteString("apiVersion: hookline/v1\nkind: Ruleset\nmetadata: {name: sets, version: 1.0.0}\nspec:\n  backend: nft\n  sets:\n")
	for _, s := range setKinds {
		fmt.Fprintf(&b, "    %s: {type: %q, elements: [%s]}\n", s.name, s.kind, strings.Join(s.elements, ", "))
	}
	b.WriteString(`    marks: {type: mark, elements: [1, 0x80000001], timeout: 1h}
    tagged: {type: cidr . mark, elements: ["10.1.0.0/24 . 7", "fd01::/64 . 7"]}
    mark: {type: port, families: [ipv4], elements: [{element: "99", comment: "a word of nft's language"}]}
  tables:
    filter:
      chains:
        S:
          rules:
`)
	rule := func(match string) {
		fmt.Fprintf(&b, "            - {match: {%s}, action: drop}\n            - {match: {not: {%s}}, action: return}\n", match, match)
	}
	rule("source: {set: hosts}")
	rule("destination: {set: nets}")
	rule("mark: {set: marks}")
	rule("mac: {set: cards}")
	rule("in: {set: lan}")
	for _, dirs := range []string{"src, src", "src, dst"} {
		for _, name := range []string{"doors", "netdoors", "ways", "owners", "marked", "pairs", "tagged"} {
			rule("source: {set: " + name + ", dirs: [" + dirs + "]}")
		}
	}
	rule("destination: {set: paths, dirs: [dst, src, src]}")
	for _, proto := range []string{"tcp", "udp"} {
		for _, key := range []string{"sport", "dport"} {
			fmt.Fprintf(&b, "            - {match: {protocol: %s, %s: {set: services}}, action: drop}\n", proto, key)
			fmt.Fprintf(&b, "            - {match: {protocol: %s, not: {%s: {set: services}}}, action: drop}\n", proto, key)
		}
		fmt.Fprintf(&b, "            - {match: {protocol: %s, source: {set: doors, dirs: [src, dst]}}, action: drop}\n", proto)
		fmt.Fprintf(&b, "            - {match: {protocol: %s, dport: 80, not: {source: {set: netdoors, dirs: [src, src]}}}, action: drop}\n", proto)
	}
	b.WriteString("            - {families: [ipv4], match: {protocol: tcp, dport: {set: mark}}, action: drop}\n")
	for _, not := range []string{"", "! "} {
		for _, proto := range []string{"", "-p tcp ", "! -p udp ", "-p udp -m udp --sport 5 ", "-p icmp "} {
			if not == "" && proto == "-p icmp " {
				continue // it never matches
			}
			fmt.Fprintf(&b, "            - \"%s-m set %s--match-set services-4 dst -j DROP\"\n", proto, not)
		}
		fmt.Fprintf(&b, "            - \"-m set %s--match-set lan-4 src,dst -j DROP\"\n", not)
	}
	b.WriteString("      anchors: [{hook: FORWARD, jump: S}]\n")
	return b.String()
}

// Rules that ask sets read back as they were written, by nft and by netlink, and so
// do the sets.
func TestSetRulesReadBack(t *testing.T) {
	ns := netns.ForTest(t)
	p, list := program(everySet(), ir.NFT)
	if list.HasErrors() {
		t.Fatal(findings(list))
	}
	tables, list := compiler.NFTables([]*compiler.Program{p})
	if list.HasErrors() {
		t.Fatal(findings(list))
	}
	readsBack(t, ns, tables)
	b, err := nft.New(nft.Options{Runner: ns.Runner(), NetNS: ns.Do})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	snap, err := s.Snapshot(context.Background(), ir.Scope{Own: []string{tables[0].Name}, OwnSets: map[string][]*ir.OwnSet{tables[0].Name: tables[0].Sets}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range nftables.DiffSets(snap.State.Own[0], tables[0]).Differences {
		t.Errorf("a set reads back otherwise: %+v and %+v", d.Live, d.Want)
	}
	rules := 0
	for _, c := range tables[0].Chains {
		rules += len(c.Rules)
	}
	if len(tables[0].Sets) < 20 || rules < 60 {
		t.Errorf("%d sets, %d rules", len(tables[0].Sets), rules)
	}
}
