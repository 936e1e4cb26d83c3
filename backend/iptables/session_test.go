package iptables

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/netns"
)

var variants = []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy}

// tool is the program that a test calls for a variant and family.
func tool(v ir.Variant, f ir.Family) string { return familyName(f) + "-" + suffix(v) }

// TestSnapshotIsTheSave: a snapshot of everything holds what the save prints.
func TestSnapshotIsTheSave(t *testing.T) {
	for _, v := range variants {
		t.Run(string(v), func(t *testing.T) {
			ns := netns.ForTest(t)
			for _, f := range ir.Families {
				i, src := tool(v, f), map[ir.Family]string{ir.IPv4: "10.1.2.0/24", ir.IPv6: "fd00::/64"}[f]
				shell(t, ns, strings.ReplaceAll(`
					I -N OWN; I -N 'x"y'; I -P FORWARD DROP; I -A INPUT -s `+src+` -m comment --comment 'a "q" \ b' -j OWN
					I -A OWN -m conntrack --ctstate NEW -j RETURN; I -A OWN; I -A OWN -g 'x"y'
					I -t nat -N EMPTY; I -t nat -A PREROUTING -m comment --comment 'line
-A PREROUTING break' -j EMPTY; I -t mangle -A PREROUTING -j MARK --set-mark 1
					ip link set lo up; ping -c 1 `+map[ir.Family]string{ir.IPv4: "127.0.0.1", ir.IPv6: "::1"}[f]+` >/dev/null || true`, "I ", i+" "))
			}
			snap := snapshot(t, open(t, ns, v), ir.Scope{All: true})
			for _, f := range ir.Families {
				want := shell(t, ns, tool(v, f)+"-save -c")
				text, found := ParseSaveText(diag.NewFile("save", want), f, ParseOptions{Counters: true})
				if err := found.Err(); err != nil {
					t.Fatal(err)
				}
				for _, wt := range text.State.Tables {
					gt := snap.State.Table(f, wt.Name)
					if gt == nil || gt.Partial || gt.Unreadable != "" {
						t.Fatalf("%s %s = %+v, want it whole", f, wt.Name, gt)
					}
					one := func(tb *ir.Table) string {
						return WriteSave(&ir.State{Tables: []*ir.Table{tb}}, f, WriteOptions{Counters: true})
					}
					if d := cmp.Diff(one(wt), one(gt)); d != "" {
						t.Errorf("%s %s mismatch (-save +snapshot):\n%s", f, wt.Name, d)
					}
				}
			}
			own, err := snap.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "OWN"})
			if err != nil || own.Refs != 1 {
				t.Errorf("OWN has %v references (%v), want 1", own, err)
			}
		})
	}
}

func legacyNames(t *testing.T, ns *netns.NS) string {
	t.Helper()
	return shell(t, ns, "cat /proc/self/net/ip_tables_names /proc/self/net/ip6_tables_names")
}

// TestReadingMakesNothing: FIELD M-30.
func TestReadingMakesNothing(t *testing.T) {
	for _, v := range variants {
		t.Run(string(v), func(t *testing.T) {
			ns := netns.ForTest(t)
			shell(t, ns, "iptables-legacy -t nat -N X")
			names, rules := legacyNames(t, ns), shell(t, ns, "nft list ruleset")
			s := open(t, ns, v)
			snap := snapshot(t, s, ir.Scope{})
			if d := cmp.Diff(names, legacyNames(t, ns)); d != "" {
				t.Errorf("reading made legacy tables (-before +after):\n%s", d)
			}
			if d := cmp.Diff(rules, shell(t, ns, "nft list ruleset")); d != "" {
				t.Errorf("reading wrote (-before +after):\n%s", d)
			}
			if got, err := s.kernel.Generation(); err != nil || v == ir.IptablesNFT && got != snap.Generation {
				t.Errorf("generation %d after the read, %d in the snapshot (%v)", got, snap.Generation, err)
			}
			if d := cmp.Diff(ir.Families, snap.State.Families); d != "" {
				t.Errorf("families mismatch (-want +got):\n%s", d)
			}
		})
	}
}

func TestOtherVariant(t *testing.T) {
	const want = "*ipv4 nat\n:KUBE-X\n:PREROUTING\n"
	for _, v := range variants {
		t.Run(string(v), func(t *testing.T) {
			ns := netns.ForTest(t)
			other := ir.IptablesLegacy
			if v == other {
				other = ir.IptablesNFT
			}
			i := tool(other, ir.IPv4)
			shell(t, ns, i+" -t nat -N KUBE-X; "+i+" -t nat -A PREROUTING -j KUBE-X")
			snap := snapshot(t, open(t, ns, v), ir.Scope{})
			var got strings.Builder
			for _, table := range snap.Others.Tables {
				fmt.Fprintf(&got, "*%s\n", table.Key())
				for _, name := range []string{"KUBE-X", "PREROUTING", "OUTPUT"} {
					if c := table.Chain(name); c != nil && (name != "OUTPUT" || len(c.Rules) > 0) {
						fmt.Fprintf(&got, ":%s\n", name)
					}
				}
			}
			if d := cmp.Diff(want, got.String()); d != "" {
				t.Errorf("the other variant's chains mismatch (-want +got):\n%s", d)
			}
			if len(snap.State.Tables) > 0 {
				t.Errorf("the session's own variant has tables: %s", print(snap.State))
			}
		})
	}
}

// TestRefusals sends scripts that the real tools refuse, and checks which line
// is blamed.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, text  string
		nft, legacy int // the blamed line
		onlyApply   bool
	}{
		{"unknown option", "*filter\n:X - [0:0]\n-A X --nonsense\nCOMMIT\n", 3, 3, false},
		{"missing chain", "*filter\n:X - [0:0]\n-A NOPE -j ACCEPT\nCOMMIT\n", 3, 3, true},
		{"missing target", "*filter\n:X - [0:0]\n-A X -m comment --comment \" -j NOPE\" -j ACCEPT\n-A X -j NOPE\nCOMMIT\n", 4, 4, true},
		{"missing set", "*filter\n:X - [0:0]\n-A X -m set --match-set nosuch src\nCOMMIT\n", 3, 3, false},
		{"guard", "*filter\n-C INPUT -j DROP\n:X - [0:0]\nCOMMIT\n", 2, 2, true},
		{"delete", "*filter\n:X - [0:0]\n-D INPUT -j DROP\nCOMMIT\n", 3, 3, true},
		{"chain in use", "*filter\n:X - [0:0]\n-A INPUT -j X\n-X X\nCOMMIT\n", 4, 4, true},
		{"no commit", "*filter\n:X - [0:0]\n", 3, 3, false},
		{"table that does not exist", "*nosuch\nCOMMIT\n", 1, 1, false},
		{"second block", "*nat\n:N - [0:0]\nCOMMIT\n*filter\n-A NOPE -j ACCEPT\nCOMMIT\n", 5, 5, true},
		{"what only the kernel refuses", "*filter\n:X - [0:0]\n-A X -j MASQUERADE\n-A X -j ACCEPT\nCOMMIT\n", 3, 5, true},
	} {
		for _, v := range variants {
			t.Run(c.name+"/"+string(v), func(t *testing.T) {
				ns := netns.ForTest(t)
				s := open(t, ns, v)
				want := c.nft
				if v == ir.IptablesLegacy {
					want = c.legacy
				}
				script := backend.Script{Family: ir.IPv4, Text: c.text, Origin: make([]backend.Line, strings.Count(c.text, "\n"))}
				var refused *backend.ScriptError
				if !c.onlyApply {
					if err := s.Check(context.Background(), script); !errors.As(err, &refused) || refused.Number != want {
						t.Errorf("Check: %v, want line %d refused", err, want)
					}
				}
				if err := s.Apply(context.Background(), script); !errors.As(err, &refused) || refused.Number != want {
					t.Errorf("Apply: %v, want line %d refused", err, want)
				}
			})
		}
	}
}

func TestApply(t *testing.T) {
	for _, v := range variants {
		for _, f := range ir.Families {
			t.Run(string(v)+"/"+f.String(), func(t *testing.T) {
				ns := netns.ForTest(t)
				shell(t, ns, tool(v, f)+" -A INPUT -i lo -j ACCEPT")
				s := open(t, ns, v)
				script := backend.Script{Family: f, Text: "*filter\n-C INPUT -i lo -j ACCEPT\n:OWN - [0:0]\n-A OWN -j DROP\n-I INPUT 1 -j OWN\nCOMMIT\n"}
				if v == ir.IptablesLegacy {
					// --test looks at the real chains there.
					if err := s.Check(context.Background(), script); err != nil {
						t.Errorf("Check: %v", err)
					}
				}
				before := shell(t, ns, tool(v, f)+"-save")
				if strings.Contains(before, "OWN") {
					t.Errorf("Check wrote:\n%s", before)
				}
				if err := s.Apply(context.Background(), script); err != nil {
					t.Fatal(err)
				}
				got := print(snapshot(t, s, ir.Scope{Families: []ir.Family{f}}).State)
				for _, line := range []string{":INPUT read ACCEPT refs=0\n  -j OWN\n  -i lo -j ACCEPT\n", ":OWN read  refs=1\n  -j DROP\n"} {
					if !strings.Contains(got, line) {
						t.Errorf("after Apply:\n%s\nwant in it:\n%s", got, line)
					}
				}
			})
		}
	}
}

// TestBusyHost reads one chain while another program writes into others without
// pause: the generation never stands still.
func TestBusyHost(t *testing.T) {
	ns := netns.ForTest(t)
	shell(t, ns, "iptables-nft -N MINE; iptables-nft -A MINE -s 1.2.3.4 -j ACCEPT; iptables-nft -A FORWARD -j MINE; nft add table ip busy; nft add chain ip busy c")
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		k, err := dialKernel(ns.Do)
		for err == nil {
			select {
			case <-stop:
				done <- k.Close()
				return
			default:
			}
			if err = k.Commit([]nfnetlink.Change{newChain(unix.NFPROTO_IPV4, "busy", "x")}); err == nil {
				err = k.Commit([]nfnetlink.Change{{Type: unix.NFT_MSG_DELCHAIN, Family: unix.NFPROTO_IPV4, Attrs: nfnetlink.AppendAttr(nfnetlink.AppendAttr(nil, 1, nfnetlink.CString("busy")), 3, nfnetlink.CString("x"))}})
			}
		}
		done <- err
	}()
	s := open(t, ns, ir.IptablesNFT)
	var scope ir.Scope
	scope.WantGlob(ir.TableKey{Family: ir.IPv4, Name: "filter"}, "MINE")
	for range 5 {
		got := print(snapshot(t, s, scope).State)
		want := "*ipv4 filter partial=true \n:INPUT read ACCEPT refs=0\n:FORWARD read ACCEPT refs=0\n  -j MINE\n:OUTPUT read ACCEPT refs=0\n:MINE read  refs=1\n  -s 1.2.3.4/32 -j ACCEPT\n"
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("state mismatch (-want +got):\n%s", d)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSets(t *testing.T) {
	ns := netns.ForTest(t)
	shell(t, ns, `ipset create b hash:net family inet6; ipset add b fd00::/8; ipset create a hash:ip; ipset add a 1.1.1.1; ipset add a 1.1.1.2
		ipset create p bitmap:port range 1-9; ipset create l list:set; ipset add l a; ipset create i bitmap:ip range 10.0.0.0/24`)
	for _, v := range variants {
		s := open(t, ns, v)
		all := []*ir.Set{
			{Family: ir.IPv4, Name: "a", Type: "hash:ip", Counted: 2, Refs: 1},
			{Family: ir.IPv6, Name: "b", Type: "hash:net", Counted: 1},
			{Family: ir.IPv4, Name: "i", Type: "bitmap:ip"},
			{Name: "l", Type: "list:set", Counted: 1},
			{Name: "p", Type: "bitmap:port"},
		}
		for _, c := range []struct {
			name  string
			scope ir.Scope
			want  []*ir.Set
			read  bool
		}{
			{"everything", ir.Scope{}, all, true},
			{"all sets", ir.Scope{AllSets: true}, all, true},
			{"by name", ir.Scope{Sets: []string{"b", "nosuch"}}, all[1:2], false},
			{"none", ir.Scope{Tables: map[ir.TableKey]*ir.TableScope{}}, nil, false},
		} {
			t.Run(string(v)+"/"+c.name, func(t *testing.T) {
				state := snapshot(t, s, c.scope).State
				if d := cmp.Diff(c.want, state.Sets); d != "" {
					t.Errorf("sets mismatch (-want +got):\n%s", d)
				}
				if state.SetsRead != c.read {
					t.Errorf("SetsRead = %v, want %v", state.SetsRead, c.read)
				}
			})
		}
	}
}

func TestFacts(t *testing.T) {
	ns := netns.ForTest(t)
	shell(t, ns, "ip link set lo up; ip addr add fd00::1/64 dev lo nodad; ip addr add 10.9.8.7/24 dev lo")
	snap := snapshot(t, open(t, ns, ir.IptablesNFT), ir.Scope{})
	want := map[string]any{"lo": map[string]any{
		"addresses": []any{"10.9.8.7/24", "127.0.0.1/8", "::1/128", "fd00::1/64"}, "mac": "", "mtu": int64(65536), "up": true,
	}}
	if d := cmp.Diff(want, snap.Facts["interfaces"]); d != "" {
		t.Errorf("interfaces mismatch (-want +got):\n%s", d)
	}
	if snap.Facts["kernel"] != strings.TrimSpace(shell(t, ns, "uname -r")) || snap.Facts["hostname"] != strings.TrimSpace(shell(t, ns, "hostname")) {
		t.Errorf("kernel, hostname = %v, %v", snap.Facts["kernel"], snap.Facts["hostname"])
	}
	if !strings.Contains(snap.Tools["iptables-nft"], "(nf_tables)") || snap.Tools["nft"] == "" {
		t.Errorf("tools = %v", snap.Tools)
	}
}

// TestSettleGivesUp: a snapshot ends with its context.
func TestSettleGivesUp(t *testing.T) {
	ns := netns.ForTest(t)
	s := open(t, ns, ir.IptablesNFT)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Snapshot(ctx, ir.Scope{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Snapshot = %v, want context.Canceled", err)
	}
}

// script writes an executable file and returns its path.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLock(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // where left over files would be
	ns := netns.ForTest(t)
	b, err := New(Options{Variant: ir.IptablesLegacy, Runner: ns.Runner(), NetNS: ns.Do, LockFile: ns.LockFile()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	first, err := b.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := first.Notes(); len(n) > 0 {
		t.Errorf("notes = %q, want none: this tool honours XTABLES_LOCKFILE", n)
	}
	// Another program waits for us; our own commands do not.
	res, err := ns.Runner().Run(ctx, backend.Cmd{Argv: []string{"iptables-legacy", "-w", "1", "-N", "THEIRS"}})
	if err != nil || res.Exit == 0 {
		t.Errorf("another program wrote while we hold the lock: exit %d, %v", res.Exit, err)
	}
	for _, f := range ir.Families {
		text := "*filter\n:OURS - [0:0]\nCOMMIT\n"
		if err := first.Apply(ctx, backend.Script{Family: f, Text: text}); err != nil {
			t.Errorf("Apply under our own lock: %v", err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	var held *LockHeldError
	if _, err := b.Session(short); !errors.As(err, &held) || held.Path != ns.LockFile() || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second session = %v, want LockHeldError", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	shell(t, ns, "iptables-legacy -w 1 -N THEIRS")
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "hookline-xtables-lock-*")); len(left) > 0 {
		t.Errorf("private lock files are left over: %v", left)
	}
}

// TestLockIgnored: a tool that knows one lock file only, whatever it is told.
func TestLockIgnored(t *testing.T) {
	ns := netns.ForTest(t)
	fixed := func(name string) []string {
		return []string{script(t, name, "XTABLES_LOCKFILE="+ns.LockFile()+" exec "+name+" \"$@\"")}
	}
	tools := Tools{Command: fixed("iptables-legacy"), Save: fixed("iptables-legacy-save"), Restore: fixed("iptables-legacy-restore"), Version: "iptables v1.6.0"}
	b, err := New(Options{
		Variant: ir.IptablesLegacy, Runner: ns.Runner(), NetNS: ns.Do, LockFile: ns.LockFile(),
		Families: []ir.Family{ir.IPv4}, Tools: map[ir.Family]Tools{ir.IPv4: tools},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := s.Notes(); len(n) != 1 || !strings.HasPrefix(n[0], "iptables v1.6.0 ignores XTABLES_LOCKFILE") {
		t.Errorf("notes = %q", n)
	}
	if err := s.Apply(context.Background(), backend.Script{Family: ir.IPv4, Text: "*filter\n:OURS - [0:0]\nCOMMIT\n"}); err != nil {
		t.Errorf("Apply: %v", err)
	}
	if got := shell(t, ns, "iptables-legacy -w 1 -S OURS"); got != "-N OURS\n" {
		t.Errorf("after Apply: %q", got)
	}
}

// TestLegacyTablesUnseen: where the list of tables is hidden, those that matter
// are asked for, and a warning says so (FIELD M-61).
func TestLegacyTablesUnseen(t *testing.T) {
	ns := netns.ForTest(t)
	shell(t, ns, "iptables-legacy -t nat -N X")
	s := open(t, ns, ir.IptablesLegacy)
	s.b.around = func(func() error) error {
		return &os.PathError{Op: "open", Path: "ip_tables_names", Err: os.ErrPermission}
	}
	var scope ir.Scope
	scope.WantAll(ir.TableKey{Family: ir.IPv4, Name: "nat"})
	state, err := s.readLegacy(context.Background(), scope)
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Tables) != 1 || state.Tables[0].Chain("X") == nil {
		t.Errorf("state = %s, want table nat with chain X", print(state))
	}
	if len(s.warnings) != 2 || !strings.Contains(s.warnings[0], "which ipv4 tables exist cannot be seen") {
		t.Errorf("warnings = %q", s.warnings)
	}
	s.b.around = ns.Do
	if got := legacyNames(t, ns); got != "nat\n" {
		t.Errorf("tables = %q, want nat only", got)
	}
}
