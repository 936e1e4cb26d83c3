package nft_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hookline/backend/nfnetlink"
	"hookline/backend/nft"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// TestBusyHost reads our table while another program commits without pause: the
// generation never stands still, and what was asked for does.
func TestBusyHost(t *testing.T) {
	ns := netns.ForTest(t)
	run(t, ns, "add table inet hookline-t\nadd chain inet hookline-t a\nadd rule inet hookline-t a tcp dport 22 counter accept\nadd table ip busy\n", "nft", "-f", "-")
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		k, err := nfnetlink.Dial(ns.Do)
		chain := nfnetlink.AppendAttr(nfnetlink.AppendAttr(nil, unix.NFTA_CHAIN_TABLE, nfnetlink.CString("busy")), unix.NFTA_CHAIN_NAME, nfnetlink.CString("x"))
		for err == nil {
			select {
			case <-stop:
				done <- k.Close()
				return
			default:
			}
			if err = k.Commit([]nfnetlink.Change{{Type: unix.NFT_MSG_NEWCHAIN, Family: unix.NFPROTO_IPV4, Flags: unix.NLM_F_CREATE, Attrs: chain}}); err == nil {
				err = k.Commit([]nfnetlink.Change{{Type: unix.NFT_MSG_DELCHAIN, Family: unix.NFPROTO_IPV4, Attrs: chain}})
			}
		}
		done <- err
	}()
	s, err := newBackend(t, ns).Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		snap, err := s.Snapshot(context.Background(), ir.Scope{Own: []string{"hookline-t"}})
		if err != nil {
			t.Fatal(err)
		}
		if rules := snap.State.OwnTable(ir.Inet, "hookline-t").Chain("a").Rules; len(rules) != 1 || rules[0].Text != "tcp dport 22 counter accept" {
			t.Errorf("the rules are %+v", rules)
		}
	}
	close(stop)
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Error(err)
	}
}

// TestWithoutIptables: a host without any tool of iptables is fine as long as nobody
// asks for its chains; those that somebody asks for are unknown, and not empty.
func TestWithoutIptables(t *testing.T) {
	ns := netns.ForTest(t)
	run(t, ns, "", "iptables-nft", "-N", "KUBE-X")
	run(t, ns, "add table inet hookline-t\n", "nft", "-f", "-")
	b, err := nft.New(nft.Options{Runner: without{ns.Runner(), []string{"iptables", "ip6tables", "xtables"}}, NetNS: ns.Do})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	asked := ir.Scope{Own: []string{"hookline-t"}}
	asked.Want(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "KUBE-X"})
	for name, c := range map[string]struct {
		scope    ir.Scope
		warnings int
		want     string
	}{
		"not asked":  {ir.Scope{Own: []string{"hookline-t"}}, 0, "only the chain's name was read"},
		"asked":      {asked, 2, "no iptables-nft was found"},
		"everything": {ir.Scope{All: true, Whole: true}, 2, "no iptables-nft was found"},
	} {
		snap, err := s.Snapshot(context.Background(), c.scope)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(snap.Warnings) != c.warnings || snap.State.OwnTable(ir.Inet, "hookline-t") == nil {
			t.Errorf("%s: warnings %q, tables %v", name, snap.Warnings, snap.State.Own)
		}
		_, err = snap.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "KUBE-X"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: KUBE-X: %v, want %q", name, err, c.want)
		}
		if len(snap.Facts) == 0 || snap.Tools["nft"] == "" || snap.Generation == 0 {
			t.Errorf("%s: facts %v, tools %v, generation %d", name, snap.Facts, snap.Tools, snap.Generation)
		}
		if c.scope.Whole && (snap.Host == nil || len(snap.Host.NFTTables) != 2) {
			t.Errorf("%s: host %+v", name, snap.Host)
		}
	}
}
