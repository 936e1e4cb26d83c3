package iptables

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		name, setup string
		want        ir.Variant
		reason      string
	}{
		{"hint in nft", "iptables-nft -t mangle -N KUBE-IPTABLES-HINT; iptables-legacy -t mangle -N KUBE-KUBELET-CANARY", ir.IptablesNFT, "chain KUBE-IPTABLES-HINT stands in the nft table mangle (ipv4)"},
		{"canary in nft, IPv6 only", "ip6tables-nft -t mangle -N KUBE-KUBELET-CANARY", ir.IptablesNFT, "chain KUBE-KUBELET-CANARY stands in the nft table mangle (ipv6)"},
		{"canary in legacy", "iptables-legacy -t mangle -N KUBE-KUBELET-CANARY; iptables-nft -A INPUT; iptables-nft -A INPUT", ir.IptablesLegacy, "chain KUBE-KUBELET-CANARY stands in the legacy table mangle (ipv4)"},
		{"the chain's name in another table is no hint", "iptables-legacy -t nat -N KUBE-KUBELET-CANARY; iptables-nft -A INPUT", ir.IptablesNFT, "rules stand in the tables of nft"},
		{"more rules in legacy", "ip6tables-legacy -A INPUT; ip6tables-legacy -A INPUT; iptables-nft -A INPUT", ir.IptablesLegacy, "2 rules stand in legacy tables"},
		{"rules in nft only", "ip6tables-nft -A INPUT", ir.IptablesNFT, "rules stand in the tables of nft"},
		{"tables without rules say nothing", "iptables-legacy -t nat -N X", ir.IptablesNFT, "no rule stands anywhere, and iptables is iptables v"},
		{"native tables say nothing", "nft add table ip filter2; nft add chain ip filter2 x; nft add rule ip filter2 x accept", ir.IptablesNFT, "no rule stands anywhere"},
		{"nothing", "", ir.IptablesNFT, "no rule stands anywhere, and iptables is iptables v"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := netns.ForTest(t)
			if c.setup != "" {
				shell(t, ns, c.setup)
			}
			names, rules := legacyNames(t, ns), shell(t, ns, "nft list ruleset")
			got, reason, err := Detect(context.Background(), Options{Runner: ns.Runner(), NetNS: ns.Do})
			if err != nil || got != c.want || !strings.Contains(reason, c.reason) {
				t.Errorf("Detect = %s, %q, %v; want %s, %q", got, reason, err, c.want, c.reason)
			}
			if d := cmp.Diff(names+rules, legacyNames(t, ns)+shell(t, ns, "nft list ruleset")); d != "" {
				t.Errorf("looking changed the host (-before +after):\n%s", d)
			}
		})
	}
}

// Without any tool the reason does not speak of tools that are there.
func TestDetectWithoutTools(t *testing.T) {
	ns := netns.ForTest(t)
	_, _, err := Detect(context.Background(), Options{Runner: programs{}, NetNS: ns.Do})
	var missing *MissingToolError
	if !errors.As(err, &missing) || strings.Contains(err.Error(), "legacy tools are there") {
		t.Errorf("Detect error = %v, want a missing tool, and none that is there", err)
	}
}

// programs is a Runner on a machine on which these programs only are installed:
// name (with the first argument for multi-call programs) to version.
type programs map[string]string

func (p programs) Run(_ context.Context, c backend.Cmd) (backend.Result, error) {
	name := c.Argv[0]
	if strings.HasPrefix(name, "xtables-") {
		name += " " + c.Argv[1]
	}
	v, ok := p[name]
	if !ok {
		return backend.Result{}, &exec.Error{Name: name, Err: exec.ErrNotFound}
	}
	return backend.Result{Stdout: v + "\n"}, nil
}

func TestFindTools(t *testing.T) {
	const nft, legacy, old = "iptables v1.8.9 (nf_tables)", "iptables v1.8.9 (legacy)", "iptables v1.6.2"
	for _, c := range []struct {
		name    string
		there   programs
		variant ir.Variant
		restore string
		err     string
	}{
		{name: "by its own name", there: programs{"iptables": legacy, "iptables-nft": nft}, variant: ir.IptablesNFT, restore: "iptables-nft-restore"},
		{name: "iptables is nft", there: programs{"iptables": nft}, variant: ir.IptablesNFT, restore: "iptables-restore"},
		{name: "iptables is legacy", there: programs{"iptables": legacy}, variant: ir.IptablesLegacy, restore: "iptables-restore"},
		{name: "iptables is older than the variants", there: programs{"iptables": old}, variant: ir.IptablesLegacy, restore: "iptables-restore"},
		{name: "only the multi-call program", there: programs{"xtables-legacy-multi iptables": legacy}, variant: ir.IptablesLegacy, restore: "xtables-legacy-multi iptables-restore"},
		{
			name: "the other variant only", there: programs{"iptables": nft, "iptables-nft": nft}, variant: ir.IptablesLegacy,
			err: "no iptables-legacy was found in PATH or the sbin folders, and iptables is of the other variant (iptables v1.8.9 (nf_tables)): install iptables, name the other backend, or work on the other family alone with --family",
		},
		{
			name: "nothing", there: programs{"nft": "nftables v1.0.6"}, variant: ir.IptablesNFT,
			err: "no iptables-nft was found in PATH or the sbin folders: install iptables, name the other backend, or work on the other family alone with --family",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := findTools(context.Background(), c.there, ir.IPv4, c.variant)
			if c.err != "" {
				var missing *MissingToolError
				if !errors.As(err, &missing) || err.Error() != c.err {
					t.Errorf("error = %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || strings.Join(got.Restore, " ") != c.restore {
				t.Errorf("findTools = %v, %v; want %s", got.Restore, err, c.restore)
			}
		})
	}
	t.Run("Session says so", func(t *testing.T) {
		b, err := New(Options{Variant: ir.IptablesNFT, Runner: programs{}})
		if err != nil {
			t.Fatal(err)
		}
		var missing *MissingToolError
		if _, err := b.Session(context.Background()); !errors.As(err, &missing) {
			t.Errorf("Session = %v, want MissingToolError", err)
		}
	})
}

func TestVersions(t *testing.T) {
	there := programs{"iptables": "iptables v1.8.9 (nf_tables)", "nft": "nftables v1.0.6 (Lester Gooch #5)\nmore"}
	want := map[string]string{"iptables": "iptables v1.8.9 (nf_tables)", "nft": "nftables v1.0.6 (Lester Gooch #5)"}
	if d := cmp.Diff(want, Versions(context.Background(), there)); d != "" {
		t.Errorf("Versions mismatch (-want +got):\n%s", d)
	}
}
