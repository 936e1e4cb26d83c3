package packets

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/participant"
	"hookline/compiler/recognize"
	"hookline/compiler/timeline"
	"hookline/dsl"
	"hookline/dsl/diag"
)

// guest is a machine with one neighbour, which sends it datagrams.
type guest struct {
	*machine
	from *machine
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	g := &guest{newMachine(t, "host"), newMachine(t, "peer")}
	g.link("eth0", g.from, "eth0")
	g.addr("eth0", "10.7.0.1/24")
	g.from.addr("eth0", "10.7.0.2/24")
	return g
}

// datagrams is how many the neighbour sends to a port, each from a port of its own:
// each is a connection of its own.
const datagrams = 3

func (g *guest) send(port int) {
	g.t.Helper()
	err := g.from.ns.Do(func() error {
		for range datagrams {
			c, err := net.Dial("udp", fmt.Sprintf("10.7.0.1:%d", port))
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			c.Close()
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// counted is what the rule with a comment has counted.
func (g *guest) counted(comment string) int {
	g.t.Helper()
	for line := range strings.Lines(g.run("", "nft", "list", "ruleset")) {
		if !strings.Contains(line, `comment "`+comment+`"`) {
			continue
		}
		_, rest, ok := strings.Cut(line, "counter packets ")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if !ok || err != nil {
			g.t.Fatalf("no counter in %q", line)
		}
		return n
	}
	g.t.Fatalf("there is no rule %s", comment)
	return 0
}

// counts waits until the rules have counted what they must have, and checks that no
// more came. A rule that must count nothing is asked last, when the others are
// through.
func (g *guest) counts(want map[string]int) {
	g.t.Helper()
	until := time.Now().Add(patience)
	for {
		got, fine := map[string]int{}, true
		for comment, n := range want {
			got[comment] = g.counted(comment)
			fine = fine && got[comment] == n
		}
		if fine {
			return
		}
		if time.Now().After(until) {
			g.t.Fatalf("counted %v, want %v\n%s", got, want, g.run("", "nft", "list", "ruleset"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// read is the host as a file of it tells: its base chains, and the rules of
// iptables.
func (g *guest) read() *ir.Snapshot {
	g.t.Helper()
	dir := g.t.TempDir()
	for file, argv := range map[string][]string{
		"nft-list-ruleset.json": {"nft", "-j", "list", "ruleset"}, "iptables-nft-save.txt": {"iptables-nft-save", "-c"}, "ip6tables-nft-save.txt": {"ip6tables-nft-save", "-c"},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(g.run("", argv...)), 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
	snap, list, err := recorded.Load(dir, ir.IptablesNFT)
	if err == nil {
		err = list.Err()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return snap
}

// place gives the base chains of a ruleset's table the priorities that its bounds
// ask for on the host, loads the table, and returns the priorities by chain.
func (g *guest) place(text string) map[string]int {
	g.t.Helper()
	docs, list := dsl.Parse(diag.NewFile("r.yaml", text))
	if err := list.Err(); err != nil || len(docs) != 1 {
		g.t.Fatal(len(docs), err)
	}
	prog, list := compiler.Compile(docs[0], compiler.CompileOptions{Backend: string(ir.NFT)})
	if err := list.Err(); err != nil {
		g.t.Fatal(err)
	}
	tables, list := compiler.NFTables([]*compiler.Program{prog})
	if err := list.Err(); err != nil {
		g.t.Fatal(err)
	}
	cat, err := participant.Builtin()
	if err != nil {
		g.t.Fatal(err)
	}
	snap := g.read()
	host := &timeline.Host{
		Tables: snap.Host.NFTTables, Catalogue: cat, State: snap.State, Attribution: recognize.New(cat, compiler.Fields).State(snap.State),
		Ours: func(_, table string) bool { return table == tables[0].Name },
	}
	var wanted []*timeline.Wanted
	for _, table := range ir.TableNames {
		for _, hook := range ir.BuiltinChains(table) {
			c := tables[0].Chain(nftables.ChainName(table, hook))
			if c == nil || c.Base == nil {
				continue
			}
			w := &timeline.Wanted{Ruleset: prog.Name, Table: tables[0], Chain: c, IPTable: table, Hook: hook, Base: *c.Base}
			for _, a := range prog.Anchors {
				if a.Key.Table == table && a.Key.Chain == hook {
					w.Anchors = append(w.Anchors, timeline.Anchor{Name: a.Name, Span: a.Span, Family: a.Key.Family, Target: a.Target, After: refsOf(a.After), Before: refsOf(a.Before)})
				}
			}
			wanted = append(wanted, w)
		}
	}
	places, list := timeline.Place(host, wanted)
	if err := list.Err(); err != nil {
		g.t.Fatal(err)
	}
	out := map[string]int{}
	for i, w := range wanted {
		b := w.Base
		b.Priority = places[i].Priority
		w.Chain.Base = &b
		out[w.Chain.Name] = b.Priority
	}
	key := string(tables[0].Kind) + " " + tables[0].Name
	g.run("add table "+key+"\ndelete table "+key+"\n"+nftables.Text(nftables.Script(tables)), "nft", "-f", "-")
	return out
}

func refsOf(list []compiler.Ref) []timeline.Ref {
	var out []timeline.Ref
	for _, r := range list {
		out = append(out, timeline.Ref{Label: r.Label, Span: r.Span, Participant: r.Participant, Chain: r.Chain, IfMissing: r.IfMissing})
	}
	return out
}

// counting is a ruleset that counts two kinds of datagrams in filter INPUT.
const counting = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: edge, version: 1.0.0}
spec:
  families: [ipv4]
  owns: {chains: ["EDGE-*"]}
  tables:
    filter:
      chains:
        EDGE-IN:
          rules:
            - {name: closed, match: {protocol: udp, dport: "1001"}}
            - {name: open, match: {protocol: udp, dport: "1002"}}
      anchors:
        - {hook: INPUT, jump: EDGE-IN, BOUNDS}
`

// TestT18PriorityIsWhatPacketsMeet: a chain of ours behind a participant's counts
// only what that lets pass, and one ahead of it counts everything: for a base chain
// of the participant's own, and for its rules in a table of iptables.
func TestT18PriorityIsWhatPacketsMeet(t *testing.T) {
	hosts := map[string]struct {
		who   string
		setup func(g *guest)
	}{
		"own table": {"calico", func(g *guest) {
			g.run("table ip calico {\n chain filter-INPUT {\n type filter hook input priority 0; policy accept;\n udp dport 1001 drop\n }\n}\n", "nft", "-f", "-")
		}},
		"iptables": {"kubelet", func(g *guest) {
			g.run("", "iptables-nft", "-N", "KUBE-FIREWALL")
			g.run("", "iptables-nft", "-A", "KUBE-FIREWALL", "-p", "udp", "--dport", "1001", "-j", "DROP")
			g.run("", "iptables-nft", "-A", "INPUT", "-j", "KUBE-FIREWALL")
		}},
	}
	for name, h := range hosts {
		for side, want := range map[string]struct{ priority, closed int }{"after": {1, 0}, "before": {-1, datagrams}} {
			t.Run(name+" "+side, func(t *testing.T) {
				t.Parallel()
				g := newGuest(t)
				h.setup(g)
				at := g.place(strings.Replace(counting, "BOUNDS", side+": ["+h.who+"]", 1))
				if at["filter-INPUT"] != want.priority {
					t.Fatalf("placed at %v, want %d", at, want.priority)
				}
				g.send(1001)
				g.send(1002)
				g.counts(map[string]int{"open": datagrams, "closed": want.closed})
			})
		}
	}
}

// rewriting is a ruleset that sends datagrams for port 2000 to port 2002.
const rewriting = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: edge, version: 1.0.0}
spec:
  families: [ipv4]
  owns: {chains: ["EDGE-*"]}
  tables:
    nat:
      chains:
        EDGE-PRE:
          rules: [{name: ours, match: {protocol: udp, dport: "2000"}, action: {redirect: {to: "2002"}}}]
      anchors:
        - {hook: PREROUTING, jump: EDGE-PRE, BOUNDS}
`

// proxied is a host on which kube-proxy's table sends port 2000 to 2001, and on
// which it is counted to which port datagrams go, ahead of the rewriting and behind.
const proxied = `table ip kube-proxy {
 chain nat-prerouting {
  type nat hook prerouting priority PRIORITY; policy accept;
  udp dport 2000 counter redirect to :2001 comment "theirs"
 }
}
table ip counts {
 chain ahead {
  type filter hook prerouting priority -120; policy accept;
  udp dport 2000 counter comment "ahead"
 }
 chain behind {
  type filter hook input priority 20; policy accept;
  udp dport 2001 counter comment "to 2001"
  udp dport 2002 counter comment "to 2002"
 }
}
`

// TestT18NatChainsAreOrderedAmongThemselves (FIELD M-55): ahead of kube-proxy's chain ours
// rewrites the address, behind it kube-proxy's does; and a chain of type nat with a
// lower priority than a filter chain of the same hook does not run before it.
func TestT18NatChainsAreOrderedAmongThemselves(t *testing.T) {
	for _, c := range []struct {
		bounds           string
		theirs, priority int
		want             map[string]int
	}{
		{"before: [kube-proxy]", -100, -101, map[string]int{"ahead": datagrams, "ours": datagrams, "theirs": 0, "to 2002": datagrams, "to 2001": 0}},
		{"after: [kube-proxy]", -100, -99, map[string]int{"ahead": datagrams, "theirs": datagrams, "ours": 0, "to 2001": datagrams, "to 2002": 0}},
		// Both are ahead of the filter chain by number, which sees the packets first.
		{"before: [kube-proxy]", -180, -181, map[string]int{"ahead": datagrams, "ours": datagrams, "theirs": 0, "to 2002": datagrams, "to 2001": 0}},
	} {
		t.Run(fmt.Sprintf("%s %d", c.bounds, c.theirs), func(t *testing.T) {
			t.Parallel()
			g := newGuest(t)
			g.run(strings.Replace(proxied, "PRIORITY", fmt.Sprint(c.theirs), 1), "nft", "-f", "-")
			if at := g.place(strings.Replace(rewriting, "BOUNDS", c.bounds, 1)); at["nat-PREROUTING"] != c.priority {
				t.Fatalf("placed at %v, want %d", at, c.priority)
			}
			g.send(2000)
			g.counts(c.want)
		})
	}
	t.Run("no nat at -200", func(t *testing.T) {
		t.Parallel()
		g := newGuest(t)
		res := g.try("add table ip x\nadd chain ip x y { type nat hook prerouting priority -200; }\n", "nft", "-f", "-")
		if res.Exit == 0 {
			t.Error("the kernel takes a chain of type nat at -200")
		}
	})
}

// TestT18EqualPrioritiesRunNewestFirst: of two base chains with one priority the one
// that was made last runs first, which is why no priority is ever shared.
func TestT18EqualPrioritiesRunNewestFirst(t *testing.T) {
	chain := func(table, rule string) string {
		return fmt.Sprintf("table ip %s {\n chain c {\n type filter hook input priority 5; policy accept;\n udp dport 1001 counter %s\n }\n}\n", table, rule)
	}
	counts, drops := chain("one", `comment "counts"`), chain("two", `drop comment "drops"`)
	for name, c := range map[string]struct {
		order []string
		seen  int
	}{"the drop is newer": {[]string{counts, drops}, 0}, "the drop is older": {[]string{drops, counts}, datagrams}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuest(t)
			for _, s := range c.order {
				g.run(s, "nft", "-f", "-")
			}
			g.send(1001)
			g.counts(map[string]int{"drops": datagrams, "counts": c.seen})
		})
	}
}
