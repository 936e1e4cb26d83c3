package nft_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/backend/backendtest"
	"hookline/backend/nft"
	"hookline/backend/nfttext"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// run runs a program in a namespace and fails the test if it fails.
func run(t testing.TB, ns *netns.NS, stdin string, argv ...string) string {
	t.Helper()
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
	if err != nil || res.Exit != 0 {
		t.Fatalf("%s: exit %d, %v: %s", strings.Join(argv, " "), res.Exit, err, res.Stderr)
	}
	return res.Stdout
}

func newBackend(t testing.TB, ns *netns.NS) *nft.Backend {
	t.Helper()
	b, err := nft.New(nft.Options{Runner: ns.Runner(), NetNS: ns.Do})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestConformance runs the suite on the kernel, each subtest in a namespace of its
// own: with nft alone, and as on a host with so many rules that nft cannot be asked to
// put one at a place.
func TestConformance(t *testing.T) {
	for name, set := range map[string]func(*nft.Backend){"nft": func(*nft.Backend) {}, "netlink": nft.AlwaysByNetlink} {
		t.Run(name, func(t *testing.T) {
			backendtest.RunNFT(t, func(t *testing.T) backendtest.NFTHost {
				ns := netns.ForTest(t)
				b := newBackend(t, ns)
				set(b)
				return backendtest.NFTHost{
					Backend: b,
					Load: func(t *testing.T, tables []*ir.OwnTable) {
						run(t, ns, "flush ruleset\n"+backendtest.NFTScript(tables), "nft", "-f", "-")
					},
					Dump: func(t *testing.T) []*ir.OwnTable { return dump(t, ns) },
				}
			})
		})
	}
}

// dump is what `nft -j` says of a namespace.
func dump(t *testing.T, ns *netns.NS) []*ir.OwnTable {
	t.Helper()
	var doc struct {
		Nftables []struct {
			Table *struct{ Family, Name string }
			Chain *struct {
				Family, Table, Name, Type, Hook, Policy string
				Prio                                    *int
			}
			Rule *struct {
				Family, Table, Chain, Comment string
				Handle                        uint64
				Expr                          []nfttext.Statement
			}
		}
	}
	if err := json.Unmarshal([]byte(run(t, ns, "", "nft", "-j", "list", "ruleset")), &doc); err != nil {
		t.Fatal(err)
	}
	s := &ir.State{}
	for _, o := range doc.Nftables {
		switch {
		case o.Table != nil:
			s.Own = append(s.Own, &ir.OwnTable{Kind: ir.TableKind(o.Table.Family), Name: o.Table.Name})
		case o.Chain != nil:
			c := &ir.OwnChain{Name: o.Chain.Name}
			if o.Chain.Prio != nil {
				c.Base = &ir.BaseChain{Type: o.Chain.Type, Hook: o.Chain.Hook, Priority: *o.Chain.Prio, Policy: o.Chain.Policy}
			}
			table := s.OwnTable(ir.TableKind(o.Chain.Family), o.Chain.Table)
			table.Chains = append(table.Chains, c)
		case o.Rule != nil:
			r := ir.OwnRule{Comment: o.Rule.Comment, Handle: o.Rule.Handle}
			var words []string
			for _, e := range o.Rule.Expr {
				words = append(words, e.Text())
				var counter struct{ Packets, Bytes uint64 }
				if body, ok := e["counter"]; ok && json.Unmarshal(body, &counter) == nil {
					r.Packets, r.Bytes = counter.Packets, counter.Bytes
				}
			}
			r.Text = strings.Join(words, " ")
			c := s.OwnTable(ir.TableKind(o.Rule.Family), o.Rule.Table).Chain(o.Rule.Chain)
			c.Rules = append(c.Rules, r)
		}
	}
	return s.Own
}
