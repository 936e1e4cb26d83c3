package backendtest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// spellings are rules as other programs leave them (FIELD M-36, M-38).
const spellings = `*filter
:INPUT ACCEPT [5:300]
:FORWARD DROP [6:360]
:OUTPUT ACCEPT [0:0]
:AGENT - [0:0]
[1:60] -A INPUT -m comment --comment "a \"quoted\" word, an apostrophe\'s and a \\" -j AGENT
[2:120] -A INPUT -m comment --comment one -m comment --comment "and two" -j ACCEPT
[3:180] -A INPUT -s 10.0.0.0/8 ! -d 224.0.0.0/4 -p tcp -m tcp --dport 80:90 -m mark ! --mark 0x4000/0x4000
[4:240] -A INPUT -p tcp -m comment --comment "" -m multiport --dports 80,443 -j RETURN
[5:300] -A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m limit --limit 5/min -j LOG --log-prefix "agent: "
[6:360] -A FORWARD ! -i lo -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[7:420] -A FORWARD -m comment --comment "-j AGENT is not the target" -g AGENT
[8:480] -A AGENT -m comment --comment "-A INPUT -j DROP"
COMMIT
`

// foreignRules changes the chains in which others' rules stand, and looks at
// every byte of those.
func foreignRules(t *testing.T, h Host) {
	b := start(t, h, spellings, "")
	before := foreignLines(h.Dump(t, ir.IPv4))
	if len(before) != 8 {
		t.Fatalf("the host holds %d rules of the 8 that were loaded:\n%s", len(before), strings.Join(before, "\n"))
	}
	b.apply(tx(block("filter",
		ensure("SITE-IN"), appendRule("SITE-IN", "-j DROP"),
		insertRule("INPUT", 1, "-i eth9 -j SITE-IN"), insertRule("INPUT", 4, "-i eth8 -j SITE-IN"),
		insertRule("FORWARD", 2, "-i eth9 -j SITE-IN"), appendRule("FORWARD", "-j SITE-IN"))))
	b.apply(tx(block("filter",
		deleteRule("INPUT", "-i eth9 -j SITE-IN"), insertRule("INPUT", 2, "-i eth9 -j SITE-IN"),
		ensure("SITE-IN"), appendRule("SITE-IN", "-j RETURN"))))
	after := foreignLines(h.Dump(t, ir.IPv4))
	if !slices.Equal(before, after) {
		t.Errorf("foreign rules have changed:\n%s\nthey were:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	if c, err := b.everything().Lookup(key("filter", "FORWARD")); err != nil || c.Policy != "DROP" {
		t.Errorf("the policy of FORWARD: %+v, %v", c, err)
	}
}

// foreignLines are the rules of a save text that are not ours, with counters.
func foreignLines(save string) []string {
	var out []string
	for line := range strings.Lines(save) {
		if strings.HasPrefix(line, "[") && !strings.Contains(line, "SITE-") {
			out = append(out, line)
		}
	}
	return out
}

func bothFamilies(t *testing.T, h Host) {
	v6 := strings.ReplaceAll(node, "10.43.0.1/32", "fd43::1/128")
	if h.IgnoresCounters6 {
		v6 = withoutCounters(v6)
	}
	b := start(t, h, node, v6)
	var blocks []ir.Block
	for _, f := range []ir.Family{ir.IPv6, ir.IPv4} { // IPv4 goes first all the same
		x := guarded
		x.Family = f
		blocks = append(blocks, x)
	}
	scripts, err := b.Backend.Render(tx(blocks...))
	if err != nil || len(scripts) != 2 || scripts[0].Family != ir.IPv4 || scripts[1].Family != ir.IPv6 {
		t.Fatalf("want a script for each family, IPv4 first: %+v, %v", scripts, err)
	}
	b.apply(tx(blocks...))
	for _, f := range ir.Families {
		b.wantRules(b.everything(), ir.ChainKey{Family: f, Table: "nat", Chain: "PREROUTING"}, calico, ours, kubeServices, portmap)
	}
	only := b.snapshot(ir.Scope{All: true, Families: []ir.Family{ir.IPv6}}).State
	if _, err := only.Lookup(key("nat", "PREROUTING")); err == nil {
		t.Error("IPv4 is known although only IPv6 was asked for")
	}
	b.wantRules(only, ir.ChainKey{Family: ir.IPv6, Table: "nat", Chain: "PREROUTING"}, calico, ours, kubeServices, portmap)
}

// everyTable writes into each built-in chain of each table of both families.
func everyTable(t *testing.T, h Host) {
	b := start(t, h, "", "")
	var blocks []ir.Block
	for _, f := range ir.Families {
		for _, table := range ir.TableNames {
			ops := []ir.Op{ensure("SITE")}
			for _, chain := range ir.BuiltinChains(table) {
				ops = append(ops, insertRule(chain, 1, "-j SITE"))
			}
			blocks = append(blocks, ir.Block{Family: f, Table: table, NoFlush: true, Ops: ops})
		}
	}
	b.apply(tx(blocks...))
}

// withoutCounters sets the counters of rules to 0.
func withoutCounters(save string) string {
	var out strings.Builder
	for line := range strings.Lines(save) {
		if strings.HasPrefix(line, "[") {
			_, rest, _ := strings.Cut(line, "] ")
			line = "[0:0] " + rest
		}
		out.WriteString(line)
	}
	return out.String()
}

// oddNames has chains in it whose names a shell would stumble over (FIELD M-39).
func oddNames(t *testing.T, h Host) {
	b := start(t, h, `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:1 - [0:0]
:log - [0:0]
:sl/ash:colon - [0:0]
:twenty-eight-bytes-are-the-m - [0:0]
:umläut - [0:0]
[1:60] -A INPUT -j umläut
[2:120] -A 1 -j log
[3:180] -A sl/ash:colon -j ACCEPT
COMMIT
`, "")
	b.apply(tx(block("filter",
		ensure("SITE-IN"), insertRule("INPUT", 2, "-j SITE-IN"), appendRule("SITE-IN", "-j umläut"),
		insertRule("1", 1, "-j SITE-IN"), insertRule("sl/ash:colon", 2, "-j SITE-IN"), insertRule("log", 1, "-j twenty-eight-bytes-are-the-m"))))
	b.wantRules(b.everything(), key("filter", "1"), "-j SITE-IN", "-j log")
	b.apply(tx(block("filter", ensure(`SITE"Q`), appendRule(`SITE"Q`, "-j DROP"), ensure("SITE'S"), insertRule("SITE'S", 1, "-j log"))))
	b.apply(tx(block("filter", insertRule(`SITE"Q`, 1, "-j SITE-IN"), deleteRule(`SITE"Q`, "-j DROP"))))
	b.wantRules(b.everything(), key("filter", `SITE"Q`), "-j SITE-IN")
}

func unreadIsNotAbsent(t *testing.T, h Host) {
	b := start(t, h, node, "")
	var scope ir.Scope
	scope.Want(key("nat", "PREROUTING"))
	s := b.snapshot(scope).State
	b.wantRules(s, key("nat", "PREROUTING"), calico, kubeServices, portmap)
	c, err := s.Lookup(key("nat", "KUBE-SERVICES"))
	var unread *ir.NotReadError
	switch {
	case errors.As(err, &unread): // it was not asked for
	case err != nil:
		t.Errorf("looking at a chain that was not asked for: %v", err)
	case c == nil || len(c.Rules) != 1:
		t.Errorf("a chain that was not asked for looks absent or empty: %+v", c)
	}
	if c, err := s.Lookup(key("nat", "SITE-PRE")); c != nil || err != nil {
		t.Errorf("a chain that is not there: %+v, %v", c, err)
	}
}

func referencesAreFound(t *testing.T, h Host) {
	b := start(t, h, stale, "")
	var scope ir.Scope
	scope.WantGlob(ir.TableKey{Family: ir.IPv4, Name: "filter"}, "SITE-*")
	s := b.snapshot(scope).State
	b.wantRules(s, key("filter", "INPUT"), "-i lo -j ACCEPT", "-j SITE-OLD")
	b.wantRules(s, key("filter", "FORWARD"), "-j SITE-OLD")
	b.wantRules(s, key("filter", "SITE-OLD"), "-j SITE-SUB")
	if c := s.Table(ir.IPv4, "filter").Chain("SITE-OLD"); c.Refs != 2 {
		t.Errorf("SITE-OLD has %d references, want 2", c.Refs)
	}
	// What was read is enough to predict the chains' removal.
	removal := tx(block("filter", append(unhook[:len(unhook):len(unhook)], drop("SITE-OLD"), drop("SITE-SUB"))...))
	predicted, err := s.Apply(removal)
	if err != nil {
		t.Fatalf("predicting from a part of the table: %v", err)
	}
	if err := b.send(removal); err != nil {
		t.Fatal(err)
	}
	for _, d := range ir.Compare(predicted, b.snapshot(scope).State, ir.CompareOptions{Scope: &scope}) {
		t.Errorf("read back: %s", d)
	}
}
