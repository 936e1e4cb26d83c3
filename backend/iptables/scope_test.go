package iptables

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// open opens a session in a namespace.
func open(t testing.TB, ns *netns.NS, v ir.Variant) *session {
	t.Helper()
	b, err := New(Options{Variant: v, Runner: ns.Runner(), NetNS: ns.Do, LockFile: ns.LockFile()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	s, err := b.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*session)
}

func snapshot(t testing.TB, s backend.Session, scope ir.Scope) *ir.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(context.Background(), scope)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// print shows a state: a line for each table, chain and rule.
func print(s *ir.State) string {
	var b strings.Builder
	for _, t := range s.Tables {
		fmt.Fprintf(&b, "*%s partial=%v %s\n", t.Key(), t.Partial, t.Unreadable)
		for _, c := range t.Chains {
			switch {
			case c.Unreadable != "":
				fmt.Fprintf(&b, ":%s unreadable: %s\n", c.Name, c.Unreadable)
			case !c.Read:
				fmt.Fprintf(&b, ":%s\n", c.Name)
			default:
				fmt.Fprintf(&b, ":%s read %s refs=%d\n", c.Name, c.Policy, c.Refs)
			}
			for _, r := range c.Rules {
				if r.Native != nil {
					fmt.Fprintf(&b, "  native %s %q\n", r.Native.Expr, r.Native.Comment)
				} else {
					fmt.Fprintf(&b, "  %s\n", r.Text)
				}
			}
		}
	}
	return b.String()
}

func TestScope(t *testing.T) {
	for _, c := range []struct {
		name, setup string
		scope       func(*ir.Scope)
		want        string
	}{
		{
			"empty host", "", func(*ir.Scope) {}, "",
		},
		{
			"absent base chains are empty", "iptables-nft -P FORWARD DROP",
			func(s *ir.Scope) { s.All = true },
			`*ipv4 filter partial=false 
:INPUT read ACCEPT refs=0
:FORWARD read DROP refs=0
:OUTPUT read ACCEPT refs=0
`,
		},
		{
			"one chain", "iptables-nft -N A; iptables-nft -N B; iptables-nft -A INPUT -j A; iptables-nft -A FORWARD -s 10.1.2.3 -j B; iptables-nft -t nat -N C",
			func(s *ir.Scope) { s.Want(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}) },
			`*ipv4 nat partial=true 
:PREROUTING read ACCEPT refs=0
:INPUT read ACCEPT refs=0
:OUTPUT read ACCEPT refs=0
:POSTROUTING read ACCEPT refs=0
:C
*ipv4 filter partial=true 
:INPUT read ACCEPT refs=0
  -j A
:FORWARD
:OUTPUT read ACCEPT refs=0
:A
:B
`,
		},
		{
			"references are found wherever they stand",
			"iptables-nft -N OWN-1; iptables-nft -N OWN-2; iptables-nft -N X; iptables-nft -N Y; iptables-nft -A X -p tcp -g OWN-1; iptables-nft -A OWN-1 -j OWN-2; iptables-nft -A Y -j X",
			func(s *ir.Scope) { s.WantGlob(ir.TableKey{Family: ir.IPv4, Name: "filter"}, "OWN-*") },
			`*ipv4 filter partial=true 
:INPUT read ACCEPT refs=0
:FORWARD read ACCEPT refs=0
:OUTPUT read ACCEPT refs=0
:OWN-1 read  refs=1
  -j OWN-2
:OWN-2 read  refs=1
:X read  refs=1
  -p tcp -g OWN-1
:Y
`,
		},
		{
			"references to a chain that is not owned",
			"ip6tables-nft -N T; ip6tables-nft -N X; ip6tables-nft -A X -j T; ip6tables-nft -A OUTPUT -j X",
			func(s *ir.Scope) {
				s.Tables = map[ir.TableKey]*ir.TableScope{{Family: ir.IPv6, Name: "filter"}: {Refs: true, RefsTo: []string{"T", "GONE"}}}
			},
			`*ipv6 filter partial=true 
:INPUT read ACCEPT refs=0
:FORWARD read ACCEPT refs=0
:OUTPUT
:T
:X read  refs=1
  -j T
`,
		},
		{
			"a verdict map refers to an owned chain",
			"iptables-nft -N OWN-1; iptables-nft -A FORWARD -s 1.1.1.1 -j ACCEPT; nft add rule ip filter FORWARD ip saddr vmap '{ 1.1.1.1 : jump OWN-1 }'; iptables-nft -A INPUT -j ACCEPT",
			func(s *ir.Scope) { s.WantGlob(ir.TableKey{Family: ir.IPv4, Name: "filter"}, "OWN-*") },
			`*ipv4 filter partial=true 
:INPUT
:FORWARD read ACCEPT refs=0
  -s 1.1.1.1/32 -j ACCEPT
  native saddr @__map0 ""
:OUTPUT read ACCEPT refs=0
:OWN-1 read  refs=1
warning: chain ipv4 filter OWN-1 is referred to by a verdict map of a native nft rule
`,
		},
		{
			"comments with newlines, quotes and odd names",
			`iptables-nft -N 'a"b'; iptables-nft -A 'a"b' -m comment --comment 'two
-A a"b lines'; iptables-nft -A 'a"b' -m comment --comment 'x "y" \z' -j ACCEPT; iptables-nft -N log; iptables-nft -A log; iptables-nft -N fwd; iptables-nft -A fwd -j log; iptables-nft -A fwd -m comment --comment "-N zz
-N log"; iptables-nft -N zz; iptables-nft -A zz -j RETURN; iptables-nft -N yy; iptables-nft -A yy -m comment --comment "two
-A yy rules or one"`,
			func(s *ir.Scope) {
				s.Tables = map[ir.TableKey]*ir.TableScope{{Family: ir.IPv4, Name: "filter"}: {Globs: []string{"*"}}}
			},
			`*ipv4 filter partial=true 
:INPUT read ACCEPT refs=0
:FORWARD read ACCEPT refs=0
:OUTPUT read ACCEPT refs=0
:a"b read  refs=0
  -m comment --comment "two
-A a\"b lines"
  -m comment --comment "x \"y\" \\z" -j ACCEPT
:fwd read  refs=0
  -j log
  -m comment --comment "-N zz
-N log"
:log read  refs=1
  
:yy unreadable: iptables prints another number of rules than the kernel has
:zz read  refs=0
  -j RETURN
`,
		},
		{
			"native rules stand among the others, and only their chain is doubted",
			`iptables-nft -A INPUT -s 1.1.1.1 -j ACCEPT; iptables-nft -A FORWARD -s 1.1.1.1 -j ACCEPT; nft add rule ip filter INPUT ip saddr '{ 2.2.2.2, 3.3.3.3 }' accept comment '"mine"'; iptables-nft -A INPUT -s 4.4.4.4 -j ACCEPT`,
			func(s *ir.Scope) { s.All = true },
			`*ipv4 filter partial=false 
:INPUT read ACCEPT refs=0
  -s 1.1.1.1/32 -j ACCEPT
  native saddr @__set0 "mine"
  -s 4.4.4.4/32 -j ACCEPT
:FORWARD read ACCEPT refs=0
  -s 1.1.1.1/32 -j ACCEPT
:OUTPUT read ACCEPT refs=0
`,
		},
		{
			"a base chain that is none of iptables' own",
			`nft add table ip nat; nft add chain ip nat PREROUTING '{ type nat hook prerouting priority -5; }'; nft add rule ip nat PREROUTING counter accept; nft add chain ip nat mine '{ type nat hook output priority -100; }'; iptables-nft -t nat -N U; iptables-nft -t nat -A U -j RETURN`,
			func(s *ir.Scope) { s.All = true },
			`*ipv4 nat partial=false 
:PREROUTING unreadable: it is a base chain with a type, hook or priority that iptables does not use
:INPUT read ACCEPT refs=0
:OUTPUT read ACCEPT refs=0
:POSTROUTING read ACCEPT refs=0
:U read  refs=0
  -j RETURN
:mine unreadable: it is a base chain with a type, hook or priority that iptables does not use
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := netns.ForTest(t)
			if c.setup != "" {
				shell(t, ns, c.setup)
			}
			var scope ir.Scope
			c.scope(&scope)
			before := shell(t, ns, "nft list ruleset")
			snap := snapshot(t, open(t, ns, ir.IptablesNFT), scope)
			got := print(snap.State)
			for _, w := range snap.Warnings {
				got += "warning: " + w + "\n"
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("state mismatch (-want +got):\n%s", d)
			}
			if d := cmp.Diff(before, shell(t, ns, "nft list ruleset")); d != "" {
				t.Errorf("reading changed the host (-before +after):\n%s", d)
			}
		})
	}
}

// TestChainThatIptablesRefuses: beside a native rule that iptables cannot print,
// the chain's other rules are still told, each at its place.
func TestChainThatIptablesRefuses(t *testing.T) {
	for _, c := range []struct{ name, family, native, expr string }{
		{"an expression that it does not know", "ip", "ct state established accept", "ct state"},
		{"one on which its parser fails", "ip", "meta skuid 0 accept", "meta skuid"},
		{"IPv6", "ip6", "ct state established accept", "ct state"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := netns.ForTest(t)
			tool, f, src, icmp := "iptables-nft", ir.IPv4, "1.1.1.1/32", "-p icmp -m icmp --icmp-type 8"
			if c.family == "ip6" {
				tool, f, src, icmp = "ip6tables-nft", ir.IPv6, "fe80::1/128", "-p ipv6-icmp -m icmp6 --icmpv6-type 128"
			}
			before := []string{
				"-s " + src + " -m comment --comment \"two words\" -j ACCEPT", "-m conntrack --ctstate NEW -m addrtype --dst-type LOCAL -j J",
				"-p tcp -m multiport --dports 80,443 -j J", icmp + " -j ACCEPT", "-p tcp -m tcp --tcp-option 3 -j DROP",
			}
			after := []string{
				"-i wt0 -j ACCEPT", "-p tcp -m tcp --dport 80 -g J", "-m mark --mark 0x1/0xff", "-m limit --limit 5/min -j LOG --log-prefix \"a b\"",
				"-m recent --set --name r --mask " + map[string]string{"ip": "255.255.255.255", "ip6": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}[c.family] + " --rsource",
				"-j J",
			}
			script := tool + " -N J\n"
			for _, r := range before {
				script += tool + " -A FORWARD " + r + "\n"
			}
			script += "nft 'add rule " + c.family + " filter FORWARD " + c.native + "'\n"
			for _, r := range after {
				script += tool + " -A FORWARD " + r + "\n"
			}
			shell(t, ns, script)
			snap := snapshot(t, open(t, ns, ir.IptablesNFT), ir.Scope{All: true})
			chain, err := snap.State.Lookup(ir.ChainKey{Family: f, Table: "filter", Chain: "FORWARD"})
			if err != nil {
				t.Fatalf("%v; warnings %q", err, snap.Warnings)
			}
			var got []string
			for _, r := range chain.Rules {
				if r.Native != nil {
					got = append(got, "native "+r.Native.Expr)
				} else {
					got = append(got, r.Text)
				}
			}
			want := append(append(append([]string(nil), before...), "native "+c.expr), after...)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("rules mismatch (-want +got):\n%s", d)
			}
		})
	}
	t.Run("a rule that cannot be copied", func(t *testing.T) {
		ns := netns.ForTest(t)
		shell(t, ns, "ipset create s hash:net; iptables-nft -A FORWARD -m set --match-set s src -j ACCEPT; nft add rule ip filter FORWARD ct state new accept; iptables-nft -A INPUT -j ACCEPT")
		snap := snapshot(t, open(t, ns, ir.IptablesNFT), ir.Scope{All: true})
		_, err := snap.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "FORWARD"})
		if err == nil || !strings.Contains(err.Error(), "was not read: chain `FORWARD' in table `filter' is incompatible") {
			t.Errorf("FORWARD: %v, want an error that says it was not read", err)
		}
		if n := snap.State.Table(ir.IPv4, "filter").Chain("FORWARD").Natives; len(n) != 1 || n[0].Index != 1 || n[0].String() != "[ct state new] accept" {
			t.Errorf("native rules of the unreadable chain: %+v", n)
		}
		if c, err := snap.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}); err != nil || len(c.Rules) != 1 {
			t.Errorf("INPUT: %v, %v; want its rule: one unreadable chain must not hide the others", c, err)
		}
	})
}
