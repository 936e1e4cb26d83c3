package nft_test

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/backend/nft"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// without is a machine on which programs are missing: those that a word of their
// command begins with one of these.
type without struct {
	backend.Runner
	names []string
}

func (x without) Run(ctx context.Context, c backend.Cmd) (backend.Result, error) {
	for _, name := range x.names {
		if slices.ContainsFunc(c.Argv[:min(2, len(c.Argv))], func(w string) bool { return strings.HasPrefix(w, name) }) {
			return backend.Result{}, &exec.Error{Name: c.Argv[0], Err: exec.ErrNotFound}
		}
	}
	return x.Runner.Run(ctx, c)
}

// TestMissingTools: where the tools of one family are missing, the tables of that
// family are unknown, and no other.
func TestMissingTools(t *testing.T) {
	for name, c := range map[string]struct {
		missing []string
		unknown []ir.Family
	}{
		"none":      {nil, nil},
		"ip6tables": {[]string{"ip6tables"}, []ir.Family{ir.IPv6}},
		"iptables":  {[]string{"iptables"}, []ir.Family{ir.IPv4}},
		"all":       {[]string{"iptables", "ip6tables", "xtables"}, ir.Families},
	} {
		t.Run(name, func(t *testing.T) {
			ns := netns.ForTest(t)
			for _, tool := range []string{"iptables-nft", "ip6tables-nft"} {
				run(t, ns, "", tool, "-N", "THEIRS")
			}
			b, err := nft.New(nft.Options{Runner: without{ns.Runner(), c.missing}, NetNS: ns.Do})
			if err != nil {
				t.Fatal(err)
			}
			s, err := b.Session(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			tables := map[ir.TableKey]*ir.TableScope{}
			for _, f := range ir.Families {
				tables[ir.TableKey{Family: f, Name: "filter"}] = &ir.TableScope{All: true}
			}
			for _, scope := range []ir.Scope{{All: true}, {Tables: tables}} {
				snap, err := s.Snapshot(context.Background(), scope)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(snap.State.Families, ir.Families) || len(snap.State.Tables) != 2 {
					t.Fatalf("families %v, %d tables", snap.State.Families, len(snap.State.Tables))
				}
				for i, f := range ir.Families {
					x := snap.State.Tables[i]
					if unknown := slices.Contains(c.unknown, f); x.Family != f || (x.Unreadable != "") != unknown || x.Chain("THEIRS") == nil {
						t.Errorf("%s %s: unreadable %q", x.Family, x.Name, x.Unreadable)
					}
				}
				if len(snap.Warnings) != len(c.unknown) {
					t.Errorf("warnings %q", snap.Warnings)
				}
			}
			// Who does not ask for a family hears nothing of it.
			snap, err := s.Snapshot(context.Background(), ir.Scope{All: true, Families: []ir.Family{ir.IPv4}})
			if err != nil || len(snap.Warnings) > 0 != slices.Contains(c.unknown, ir.IPv4) {
				t.Errorf("warnings %q, %v", snap.Warnings, err)
			}
		})
	}
}
