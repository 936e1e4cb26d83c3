package recorded

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"hookline/compiler/ir"
)

// whole is a snapshot with everything in it.
func whole() *ir.Snapshot {
	return &ir.Snapshot{
		Variant: ir.IptablesNFT, Why: "rules stand in it", Generation: 7, Scope: ir.Scope{All: true, AllSets: true, Whole: true},
		Tools: map[string]string{"nft": "nftables v1.0.6"},
		Facts: map[string]any{
			"hostname": "db-17", "kernel": "6.1.0",
			"interfaces": map[string]any{"eth0": map[string]any{"addresses": []any{"10.42.0.7/24", "fd00:42::7/64"}, "mac": "52:54:00:12:34:56"}},
		},
		Warnings: []string{"db-17 said something of 10.42.0.7"},
		State: &ir.State{
			Families: []ir.Family{ir.IPv4, ir.IPv6}, SetsRead: true,
			Sets: []*ir.Set{
				{Name: "big", Type: "hash:net", Family: ir.IPv6, Counted: 12},
				{Name: "ips", Type: "hash:ip", Family: ir.IPv4, Elements: []string{"10.42.0.7", "10.42.0.9 timeout 5"}, Counted: -1},
			},
			Tables: []*ir.Table{{Family: ir.IPv4, Name: "filter", Chains: []*ir.Chain{
				{Name: "INPUT", Policy: "ACCEPT", Packets: 3, Bytes: 300, Read: true, Refs: -1, Rules: []*ir.Rule{
					{Text: `-s 10.42.0.9/32 -m comment --comment "peer 10.42.0.9 of db-17, 52:54:00:12:34:56" -j DB`, Packets: 1, Bytes: 60},
					{Native: &ir.Native{Handle: 9, Expr: "ct state", Text: "ip saddr 10.42.0.7 ct state new counter", Start: 19, End: 31, Comment: "of 10.42.0.7"}},
				}},
				{Name: "DB", Read: true, Refs: -1},
			}}},
		},
		Others: &ir.State{Families: []ir.Family{ir.IPv4}, Tables: []*ir.Table{{Family: ir.IPv4, Name: "nat", Chains: []*ir.Chain{
			{Name: "PREROUTING", Policy: "ACCEPT", Read: true, Refs: -1, Rules: []*ir.Rule{{Text: "-d 10.42.0.7/32 -j DNAT --to-destination 10.42.0.9:80"}}},
		}}}},
		Host: &ir.Host{
			NFTTables: []ir.NFTTable{
				{Family: "ip", Name: "filter", Rules: 2, Others: 1, Dormant: true, Chains: []ir.NFTBaseChain{{Name: "INPUT", Type: "filter", Hook: "input", Policy: "accept", Rules: 2}}},
				{Family: "netdev", Name: "edge", Chains: []ir.NFTBaseChain{
					{Name: "in", Type: "filter", Hook: "ingress", Priority: -500, Policy: "drop", Device: "eth0", Tags: []string{"from 10.42.0.9"}},
				}},
			},
			Binaries: []ir.Binary{{Path: "/usr/sbin/iptables", Version: "iptables v1.8.9", Target: "/usr/sbin/xtables-nft-multi"}},
			Settings: []ir.Setting{{Name: ir.SettingFlushRuleset, File: "/etc/nftables.conf", Line: 3, Text: "flush ruleset"}},
			Rulesets: []ir.RecordedRuleset{{Name: "site", Version: "1.0.0", Status: "applied", Variant: ir.IptablesNFT}},
		},
	}
}

func write(t *testing.T, s *ir.Snapshot, opt WriteOptions) string {
	t.Helper()
	text, err := Write(s, opt)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func loadText(t *testing.T, text string) *ir.Snapshot {
	t.Helper()
	path := filepath.Join(t.TempDir(), "host.txtar")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, list, err := Load(path, "")
	if err == nil {
		err = list.Err()
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// TestWholeRoundTrip: write, load, write gives the same bytes, whatever is kept,
// and nothing of the host is lost on the way.
func TestWholeRoundTrip(t *testing.T) {
	for _, opt := range []WriteOptions{{}, {Counters: true}, {Redact: true}, {Counters: true, Redact: true}} {
		first := write(t, whole(), opt)
		back := loadText(t, first)
		if d := cmp.Diff(first, write(t, back, WriteOptions{Counters: opt.Counters})); d != "" {
			t.Errorf("%+v: what was written comes back changed (-first +second):\n%s", opt, d)
		}
		if opt.Redact {
			continue
		}
		if d := cmp.Diff(whole().Host, back.Host); d != "" {
			t.Errorf("the host comes back changed (-want +got):\n%s", d)
		}
		if want := whole(); back.Why != want.Why || !back.Scope.Whole || back.Others == nil {
			t.Errorf("why %q, scope %+v, others %v", back.Why, back.Scope, back.Others)
		}
	}
	if s := write(t, whole(), WriteOptions{}); strings.Contains(s, "[1:60]") || strings.Contains(s, "[3:300]") || strings.Contains(s, "generation") {
		t.Errorf("numbers that change from one moment to the next:\n%s", s)
	}
	if s := write(t, whole(), WriteOptions{Counters: true}); !strings.Contains(s, "[1:60] -A INPUT") || !strings.Contains(s, "[3:300]") || !strings.Contains(s, `"generation": 7`) {
		t.Errorf("counters were asked for:\n%s", s)
	}
}

// TestNobodyLooked: a part that was not looked at stays apart from an empty one.
func TestNobodyLooked(t *testing.T) {
	s := whole()
	s.Host = &ir.Host{NFTTables: []ir.NFTTable{}, Rulesets: []ir.RecordedRuleset{}}
	back := loadText(t, write(t, s, WriteOptions{})).Host
	if back.NFTTables == nil || back.Rulesets == nil || back.Binaries != nil || back.Settings != nil {
		t.Errorf("host = %+v, want empty tables and rulesets, and tools and settings not looked at", back)
	}
	s.Host = nil
	if back := loadText(t, write(t, s, WriteOptions{})).Host; back != nil {
		t.Errorf("host = %+v, want nil: nobody looked", back)
	}
}

// TestVersion1: what version 0.1 wrote still loads, and says nothing of what it did
// not look at.
func TestVersion1(t *testing.T) {
	s, list, err := Load("testdata/version-0.1.txtar", "")
	if err == nil {
		err = list.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"})
	if err != nil || len(c.Rules) != 2 || c.Rules[1].Native == nil || c.Rules[0].Packets != 7 {
		t.Errorf("INPUT = %+v, %v", c, err)
	}
	if s.Host != nil || s.Others == nil || s.Generation != 3 || s.Redacted {
		t.Errorf("host %v, others %v, generation %d", s.Host, s.Others, s.Generation)
	}
}

// TestRedacted: nothing of the host's addresses and name is left, in any part, and
// what stays says the same.
func TestRedacted(t *testing.T) {
	text := write(t, whole(), WriteOptions{Redact: true})
	for _, word := range []string{"10.42.0.", "fd00:42", "52:54:00", "db-17"} {
		if i := strings.Index(text, word); i >= 0 {
			t.Errorf("%s is left: %s", word, text[max(0, i-40):min(len(text), i+40)])
		}
	}
	s := loadText(t, text)
	if !s.Redacted || s.Facts["hostname"] != hiddenHost {
		t.Errorf("redacted = %v, hostname %v", s.Redacted, s.Facts["hostname"])
	}
	c := s.State.Table(ir.IPv4, "filter").Chain("INPUT")
	n := c.Rules[1].Native
	if got := n.Text[n.Start:n.End]; got != "ct state new" {
		t.Errorf("the native rule's statement is %q in %q, want ct state new", got, n.Text)
	}
	// The peer is the same in the rule, in its comment, in the set and in the other variant.
	peer := regexp.MustCompile(`-s (\S+)/32`).FindStringSubmatch(c.Rules[0].Text)[1]
	for _, where := range []string{c.Rules[0].Text[10:], s.State.Sets[1].Elements[1], s.Others.Tables[0].Chains[0].Rules[0].Text, s.Host.NFTTables[1].Chains[0].Tags[0]} {
		if !strings.Contains(where, peer) {
			t.Errorf("%q does not hold %s", where, peer)
		}
	}
	own := s.Facts["interfaces"].(map[string]any)["eth0"].(map[string]any)["addresses"].([]any)[0].(string)
	if p, err := netip.ParsePrefix(own); err != nil || !p.Contains(netip.MustParseAddr(peer)) {
		t.Errorf("%s does not hold %s any more (%v)", own, peer, err)
	}
}

// TestRedactedNodes: of no recorded node an address is left, and each rule is the
// same but for them.
func TestRedactedNodes(t *testing.T) {
	nodes, err := filepath.Glob("../../golden/nodes/*")
	if err != nil || len(nodes) == 0 {
		t.Fatalf("nodes: %v, %v", nodes, err)
	}
	private := regexp.MustCompile(`\b(10|192\.168|172\.(1[6-9]|2\d|3[01]))(\.\d+)+\b`)
	for _, node := range nodes {
		s, list, err := Load(node, "")
		if err == nil {
			err = list.Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		plain, hidden := write(t, s, WriteOptions{}), write(t, s, WriteOptions{Redact: true})
		left := map[string]bool{}
		for _, a := range private.FindAllString(hidden, -1) {
			left[a] = true
		}
		for _, a := range private.FindAllString(plain, -1) {
			if left[a] && a != "10.0.0.0" && a != "192.168.0.0" && a != "172.16.0.0" {
				t.Errorf("%s: %s is left", node, a)
			}
		}
		x, y := loadText(t, plain), loadText(t, hidden)
		for i, table := range x.State.Tables {
			for j, c := range table.Chains {
				other := y.State.Tables[i].Chains[j]
				if c.Name != other.Name || len(c.Rules) != len(other.Rules) || c.Unreadable != other.Unreadable {
					t.Fatalf("%s: chain %s became %s with %d rules", node, c.Name, other.Name, len(other.Rules))
				}
				for k, r := range c.Rules {
					if shape(r.Text) != shape(other.Rules[k].Text) {
						t.Errorf("%s: %q became %q", node, r.Text, other.Rules[k].Text)
					}
				}
			}
		}
	}
}

// shape is a rule without what could be an address.
func shape(text string) string {
	return regexp.MustCompile(`[0-9a-f:.]*[:.][0-9a-f:.]*`).ReplaceAllString(text, "A")
}

// TestRedactedWords: a host that is called like a word of the formats, or of a
// program, is hidden where people wrote its name, and nothing else changes.
func TestRedactedWords(t *testing.T) {
	for _, host := range []string{"host", "state", "tools", "name", "ACCEPT", "mark", "filter", "INPUT", "comment", "position", "hash", "create", "hookline", "inet", "node-1"} {
		rules := []string{
			`-p tcp -m mark --mark 0x1 -m state --state NEW -m comment --comment "of ` + host + ` here" -j ACCEPT`,
			`-m comment --comment ` + host + ` -j LOG --log-prefix "` + host + ` in "`, `-m comment --comment "hookline:site" -j ` + host,
		}
		s := whole()
		s.State.Tables[0].Chains[0].Rules = nil
		for _, r := range rules {
			s.State.Tables[0].Chains[0].Rules = append(s.State.Tables[0].Chains[0].Rules, &ir.Rule{Text: r})
		}
		s.Facts["hostname"], s.Warnings = host, []string{"said by " + host}
		s.Values = host + ": {mark: 1} # on " + host + "\n"
		text := write(t, s, WriteOptions{Redact: true})
		back := loadText(t, text)
		want := []string{
			`-p tcp -m mark --mark 0x1 -m state --state NEW -m comment --comment "of redacted here" -j ACCEPT`,
			`-m comment --comment redacted -j LOG --log-prefix "redacted in "`, rules[2],
		}
		var got []string
		for _, r := range back.State.Table(ir.IPv4, "filter").Chain("INPUT").Rules {
			got = append(got, r.Text)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: rules mismatch (-want +got):\n%s", host, d)
		}
		if back.Values != host+": {mark: 1} # on redacted\n" || back.Warnings[0] != "said by redacted" || back.Facts["hostname"] != hiddenHost {
			t.Errorf("%s: values %q, warnings %q, hostname %v", host, back.Values, back.Warnings, back.Facts["hostname"])
		}
		if s.Facts["hostname"] != host || s.State.Table(ir.IPv4, "filter").Chain("INPUT").Rules[1].Text != rules[1] {
			t.Errorf("%s: the snapshot that was written changed", host)
		}
		if d := cmp.Diff(text, write(t, back, WriteOptions{})); d != "" {
			t.Errorf("%s: what was written comes back changed (-first +second):\n%s", host, d)
		}
	}
}

// TestOddPositions: a position that no rule can have is refused where it stands.
func TestOddPositions(t *testing.T) {
	text := write(t, whole(), WriteOptions{})
	for _, position := range []string{"-1", "-9223372036854775808", "9223372036854775807"} {
		odd := regexp.MustCompile(`"position": \d+`).ReplaceAllString(text, `"position": `+position)
		if odd == text {
			t.Fatal("no native rule is written")
		}
		path := filepath.Join(t.TempDir(), "host.txtar")
		if err := os.WriteFile(path, []byte(odd), 0o600); err != nil {
			t.Fatal(err)
		}
		_, list, err := Load(path, "")
		if err != nil {
			t.Fatal(err)
		}
		if all := list.All(); len(all) != 1 || all[0].Span.File.Name() != path ||
			!strings.Contains(all[0].Message, "native.json: rule 1, of ipv4 filter INPUT, has position "+position) {
			t.Errorf("position %s: %+v", position, all)
		}
	}
}

// FuzzWhole: whatever stands in names, rules and texts of a host, what is written
// loads, and is written again to the same bytes; if not, it is refused.
func FuzzWhole(f *testing.F) {
	f.Add("-j ACCEPT", "db-17", "10.42.0.9", true)
	f.Add("-- x --", "a", "\x1b[31m", false)
	f.Fuzz(func(t *testing.T, rule, host, text string, hide bool) {
		s := whole()
		s.State.Tables[0].Chains[0].Rules = []*ir.Rule{{Text: "-m comment --comment \"" + strings.NewReplacer(`"`, "", `\`, "", "\n", "", "\r", "").Replace(rule) + "\" -j ACCEPT"}}
		s.Facts["hostname"], s.Warnings = host, []string{text}
		s.Host.Settings[0].Text, s.Host.Rulesets[0].Name = text, host
		s.Host.NFTTables[1].Chains[0].Tags = []string{text}
		first, err := Write(s, WriteOptions{Redact: hide})
		if err != nil {
			return
		}
		if a := txtar.Parse(first); len(a.Files) < 4 {
			t.Fatalf("members are lost: %s", first)
		}
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, first, 0o600); err != nil {
			t.Fatal(err)
		}
		back, list, err := Load(path, "")
		if err != nil || list.HasErrors() {
			return // a text that a save cannot hold
		}
		again, err := Write(back, WriteOptions{})
		if err != nil || string(again) != string(first) {
			t.Errorf("%v\n%s", err, cmp.Diff(string(first), string(again)))
		}
	})
}
