package nft_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/backend/nft"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// TestTableFlags: what somebody has marked a table as is read, of ours and of those of
// others.
func TestTableFlags(t *testing.T) {
	ns := netns.ForTest(t)
	run(t, ns, `add table inet hookline-t { flags dormant; }
add table inet hookline-u
add table ip theirs { flags dormant; }
add chain ip theirs a { type filter hook input priority 0; }
add table ip awake
`, "nft", "-f", "-")
	s, err := newBackend(t, ns).Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, scope := range []ir.Scope{{Own: []string{"hookline-t", "hookline-u"}}, {Own: []string{"hookline-t", "hookline-u"}, Whole: true}} {
		snap, err := s.Snapshot(context.Background(), scope)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"hookline-t": "dormant", "hookline-u": ""} {
			if got := snap.State.OwnTable(ir.Inet, name).Flags; got != want {
				t.Errorf("%s: flags %q, want %q", name, got, want)
			}
		}
		var dormant []string
		for _, x := range snap.State.NFTTables {
			if x.Dormant {
				dormant = append(dormant, x.Key())
			}
		}
		if got := strings.Join(dormant, ", "); got != "ip theirs, inet hookline-t" {
			t.Errorf("dormant: %s (whole: %v)", got, scope.Whole)
		}
	}
}

// TestOwnedTable: a table that belongs to another process is said to, once and not for
// each line, whichever way the steps go.
func TestOwnedTable(t *testing.T) {
	for name, set := range map[string]func(*nft.Backend){"nft": func(*nft.Backend) {}, "netlink": nft.AlwaysByNetlink} {
		t.Run(name, func(t *testing.T) {
			ns := netns.ForTest(t)
			owner, err := nfnetlink.Dial(ns.Do)
			if err != nil {
				t.Fatal(err)
			}
			defer owner.Close()
			attrs := nfnetlink.AppendAttr(nil, unix.NFTA_TABLE_NAME, nfnetlink.CString("hookline-t"))
			attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_TABLE_FLAGS, nfnetlink.Bytes32(2))
			chain := nfnetlink.AppendAttr(nil, unix.NFTA_CHAIN_TABLE, nfnetlink.CString("hookline-t"))
			chain = nfnetlink.AppendAttr(chain, unix.NFTA_CHAIN_NAME, nfnetlink.CString("a"))
			rule := nfnetlink.AppendAttr(nil, unix.NFTA_RULE_TABLE, nfnetlink.CString("hookline-t"))
			rule = nfnetlink.AppendAttr(rule, unix.NFTA_RULE_CHAIN, nfnetlink.CString("a"))
			if err := owner.Commit([]nfnetlink.Change{
				{Type: unix.NFT_MSG_NEWTABLE, Family: unix.NFPROTO_INET, Flags: netlink.Create, Attrs: attrs},
				{Type: unix.NFT_MSG_NEWCHAIN, Family: unix.NFPROTO_INET, Flags: netlink.Create, Attrs: chain},
				{Type: unix.NFT_MSG_NEWRULE, Family: unix.NFPROTO_INET, Flags: netlink.Create, Attrs: rule},
			}); err != nil {
				t.Fatal(err)
			}
			b := newBackend(t, ns)
			set(b)
			s, err := b.Session(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			snap, err := s.Snapshot(context.Background(), ir.Scope{Own: []string{"hookline-t"}})
			if err != nil {
				t.Fatal(err)
			}
			live := snap.State.Own[0]
			if live.Flags != "owner" {
				t.Errorf("flags %q", live.Flags)
			}
			op := ir.NFTOp{Kind: ir.Inet, Table: "hookline-t", Do: ir.NFTInsertRule, Chain: "a", Handle: live.Chain("a").Rules[0].Handle, Rule: &ir.OwnRule{Text: "counter accept"}}
			scripts, err := b.Render(ir.Transaction{NFT: []ir.NFTOp{op, op}})
			if err != nil {
				t.Fatal(err)
			}
			err = s.Apply(context.Background(), scripts[0])
			var refused *backend.ScriptError
			if !errors.As(err, &refused) || refused.Line() != nil || strings.Count(refused.Message, "flag owner") != 1 || !strings.Contains(refused.Message, "(netlink port ") || strings.Contains(refused.Message, notPermitted) {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

const notPermitted = "Operation not permitted"
