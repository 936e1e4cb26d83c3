package iptables

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// TestWholeReadsNftables: the tables of every family, with their base chains,
// without any tool's help.
func TestWholeReadsNftables(t *testing.T) {
	for _, v := range variants {
		t.Run(string(v), func(t *testing.T) {
			ns := netns.ForTest(t)
			shell(t, ns, `
				ip link set lo up
				nft -f - <<'X'
					add table inet site
					add chain inet site in { type filter hook input priority -5; policy drop; }
					add chain inet site more
					add rule inet site in iifname "lo" accept comment "one"
					add rule inet site in ct state new drop comment "one"
					add rule inet site in jump more
					add rule inet site more accept
					add table ip nat2
					add chain ip nat2 post { type nat hook postrouting priority 99; }
					add chain ip nat2 pre { type nat hook prerouting priority -100; }
					add table netdev edge
					add chain netdev edge ingress { type filter hook ingress device lo priority -500; }
					add table arp a
					add chain arp a out { type filter hook output priority 0; }
					add table bridge b
X
				iptables-nft -A INPUT -j ACCEPT`)
			s := open(t, ns, v)
			snap := snapshot(t, s, ir.Scope{All: true, Whole: true})
			want := []ir.NFTTable{
				{Family: "ip", Name: "filter", Rules: 1, Chains: []ir.NFTBaseChain{{Name: "INPUT", Type: "filter", Hook: "input", Policy: "accept", Rules: 1}}},
				{Family: "ip", Name: "nat2", Chains: []ir.NFTBaseChain{
					{Name: "pre", Type: "nat", Hook: "prerouting", Priority: -100, Policy: "accept"},
					{Name: "post", Type: "nat", Hook: "postrouting", Priority: 99, Policy: "accept"},
				}},
				{Family: "inet", Name: "site", Rules: 4, Others: 1, Chains: []ir.NFTBaseChain{
					{Name: "in", Type: "filter", Hook: "input", Priority: -5, Policy: "drop", Rules: 3, Tags: []string{"one"}},
				}},
				{Family: "arp", Name: "a", Chains: []ir.NFTBaseChain{{Name: "out", Type: "filter", Hook: "output", Policy: "accept"}}},
				{Family: "bridge", Name: "b"},
				{Family: "netdev", Name: "edge", Chains: []ir.NFTBaseChain{
					{Name: "ingress", Type: "filter", Hook: "ingress", Priority: -500, Policy: "accept", Device: "lo"},
				}},
			}
			if snap.Host == nil {
				t.Fatal("nothing was read beyond the tables of iptables")
			}
			if d := cmp.Diff(want, snap.Host.NFTTables); d != "" {
				t.Errorf("tables of nftables mismatch (-want +got):\n%s", d)
			}
			if small := snapshot(t, s, ir.Scope{All: true}); small.Host != nil {
				t.Errorf("a plan's snapshot has %+v: nobody asked for it", small.Host)
			}
		})
	}
}

// TestWholeReadsBothVariants: each variant's session sees the rules of the other,
// native ones too.
func TestWholeReadsBothVariants(t *testing.T) {
	ns := netns.ForTest(t)
	shell(t, ns, `
		iptables-legacy -N OLD; iptables-legacy -A INPUT -s 10.0.0.0/8 -j OLD
		iptables-nft -N NEW; iptables-nft -A INPUT -j NEW; nft add rule ip filter INPUT ct state new counter`)
	legacy, nft := snapshot(t, open(t, ns, ir.IptablesLegacy), ir.Scope{All: true, Whole: true}),
		snapshot(t, open(t, ns, ir.IptablesNFT), ir.Scope{All: true, Whole: true})
	for name, states := range map[string][2]*ir.State{
		"legacy": {legacy.State, nft.Others}, "nft": {nft.State, legacy.Others},
	} {
		input := ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}
		var got [2][]string
		for i, s := range states {
			c, err := s.Lookup(input)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, r := range c.Rules {
				text := r.Text
				if r.Native != nil {
					text = "native " + r.Native.Expr
				}
				got[i] = append(got[i], text)
			}
		}
		want := map[string][]string{"legacy": {"-s 10.0.0.0/8 -j OLD"}, "nft": {"-j NEW", "native ct state"}}[name]
		if d := cmp.Diff([2][]string{want, want}, got); d != "" {
			t.Errorf("%s: rules of INPUT by its own session and by the other one (-want +got):\n%s", name, d)
		}
	}
}

// TestT9LookingMakesNoLegacyTable: neither variant's whole snapshot makes a table.
func TestT9LookingMakesNoLegacyTable(t *testing.T) {
	for _, v := range variants {
		t.Run(string(v), func(t *testing.T) {
			ns := netns.ForTest(t)
			shell(t, ns, `iptables-nft -A INPUT -j ACCEPT; iptables-legacy -t raw -A PREROUTING -j ACCEPT`)
			names := func() string {
				return shell(t, ns, `cat /proc/thread-self/net/ip_tables_names /proc/thread-self/net/ip6_tables_names`)
			}
			before := names()
			snapshot(t, open(t, ns, v), ir.Scope{All: true, Whole: true})
			if after := names(); after != before || strings.TrimSpace(after) != "raw" {
				t.Errorf("legacy tables before = %q, after = %q, want raw only", before, after)
			}
		})
	}
}

// TestWholeWithoutNftTools: what the kernel says of chains has to do.
func TestWholeWithoutNftTools(t *testing.T) {
	ns := netns.ForTest(t)
	shell(t, ns, `iptables-nft -N NEW; iptables-nft -A INPUT -j NEW; iptables-legacy -A INPUT -j ACCEPT`)
	opt := Options{Variant: ir.IptablesLegacy, Runner: withoutNFT{ns.Runner()}, Families: ir.Families, NetNS: ns.Do}
	s := &session{b: &Backend{opt: opt, around: ns.Do, run: opt.Runner}}
	var err error
	if s.kernel, err = dialKernel(ns.Do); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	state, err := s.others(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	c := state.Table(ir.IPv4, "filter").Chain("NEW")
	if c == nil || c.Read {
		t.Errorf("chain NEW = %+v, want its name only", c)
	}
	if !slices.ContainsFunc(s.warnings, func(w string) bool { return strings.Contains(w, "cannot be read") }) {
		t.Errorf("warnings = %q, want one that says why", s.warnings)
	}
}

// withoutNFT is a machine on which no tool of the nft variant is installed.
type withoutNFT struct{ backend.Runner }

func (r withoutNFT) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	if !strings.Contains(c.Argv[0], "legacy") {
		return backend.Result{}, exec.ErrNotFound
	}
	return r.Runner.Run(ctx, c)
}
