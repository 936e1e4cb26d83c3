package recorded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/netns"
)

// ownScript makes a table of ours with every kind of set that a ruleset declares,
// one that none does, and tables that are not ours.
const ownScript = `
add table inet hookline-site
add set inet hookline-site nets { type ipv4_addr; flags interval,timeout; timeout 1h; }
add element inet hookline-site nets { 10.0.0.0/8 timeout 5m comment "x y", 1.1.1.1, 5.6.7.8-5.6.7.20 }
add set inet hookline-site ports { type inet_service; flags interval; }
add element inet hookline-site ports { 22, 80-90 }
add set inet hookline-site pairs { type ipv6_addr . inet_proto . inet_service; flags interval; }
add element inet hookline-site pairs { fd00::/8 . tcp . 80-90, fe80::1 . udp . 53 comment "hey" }
add set inet hookline-site names { type ifname; }
add element inet hookline-site names { "eth0", "wt0" }
add set inet hookline-site macs { type ether_addr; }
add element inet hookline-site macs { aa:bb:cc:dd:ee:ff }
add set inet hookline-site marks { type mark; }
add element inet hookline-site marks { 0x10, 5 }
add set inet hookline-site globs { type ifname; flags interval; }
add element inet hookline-site globs { "eth*" }
add set inet hookline-site vm { type ipv4_addr . mark . mark; flags constant; }
add map inet hookline-site m { type ipv4_addr : verdict; }
add chain inet hookline-site filter-SITE
add chain inet hookline-site filter-INPUT { type filter hook input priority 5; }
add chain inet hookline-site filter-OUTPUT { type filter hook output priority -3; policy drop; }
add rule inet hookline-site filter-INPUT iifname "eth0" counter packets 5 bytes 7 jump filter-SITE comment "hookline:site"
add rule inet hookline-site filter-SITE ip saddr @nets counter accept comment "admins of node-17"
add rule inet hookline-site filter-SITE log prefix "to node-17 "
add rule inet hookline-site filter-SITE ip saddr 8.8.4.4 accept
add table ip6 hookline-site-v6
add table arp hookline-arp
add table inet other-hookline-x
add table ip hookline-
`

// listed is what nft lists of a script, with its rule counts.
func listed(t *testing.T, script string) string {
	t.Helper()
	ns := netns.ForTest(t)
	run := func(stdin string, argv ...string) string {
		res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
		if err != nil || res.Exit != 0 {
			t.Fatalf("%v: %v %s", argv, err, res.Stderr)
		}
		return res.Stdout
	}
	run(script, "nft", "-f", "-")
	return run("", "nft", "-j", "list", "ruleset")
}

func save(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A listing gives our tables whole, and says of every other table that it stands.
func TestListingHoldsOwnTables(t *testing.T) {
	snap := load(t, save(t, t.TempDir(), "x.json", listed(t, ownScript)), ir.NFT)
	if snap.Variant != ir.NFT || len(snap.Warnings) > 0 || len(snap.State.Families) != 2 || snap.Others != nil {
		t.Errorf("variant %s, families %v, warnings %q, others %v", snap.Variant, snap.State.Families, snap.Warnings, snap.Others)
	}
	if c, err := snap.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}); err != nil || len(c.Rules) > 0 {
		t.Errorf("a table that no listing names: %v %v, want an empty chain", c, err)
	}
	var keys []string
	for _, x := range snap.State.Own {
		keys = append(keys, x.Key())
	}
	if d := cmp.Diff([]string{"inet hookline-site", "ip6 hookline-site-v6"}, keys); d != "" {
		t.Errorf("our tables (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"hookline-site", "hookline-site-v6"}, OwnNames(snap.State.NFTTables)); d != "" {
		t.Errorf("names of our tables (-want +got):\n%s", d)
	}
	site := snap.State.OwnTable(ir.Inet, "hookline-site")
	want := []*ir.OwnChain{
		{Name: "filter-SITE", Rules: []ir.OwnRule{
			{Text: "ip saddr @nets counter accept", Comment: "admins of node-17"},
			{Text: `log prefix "to node-17 "`},
			{Text: "ip saddr 8.8.4.4 accept"},
		}},
		{Name: "filter-INPUT", Base: &ir.BaseChain{Type: "filter", Hook: "input", Priority: 5}, Rules: []ir.OwnRule{
			{Text: `iifname "eth0" counter jump filter-SITE`, Comment: "hookline:site", Packets: 5, Bytes: 7},
		}},
		{Name: "filter-OUTPUT", Base: &ir.BaseChain{Type: "filter", Hook: "output", Priority: -3, Policy: "drop"}},
	}
	opt := cmp.Options{cmpopts.IgnoreFields(ir.OwnRule{}, "Handle"), cmpopts.IgnoreTypes(diag.Span{})}
	if d := cmp.Diff(want, site.Chains, opt); d != "" {
		t.Errorf("chains (-want +got):\n%s", d)
	}
	for _, c := range site.Chains {
		for _, r := range c.Rules {
			if r.Handle == 0 {
				t.Errorf("%s: %s has no handle", c.Name, r)
			}
		}
	}
	texts := map[string]string{}
	for _, s := range site.Sets {
		m := writeOwnSet(s)
		texts[s.Name] = strings.Join(append([]string{m.Type, m.Family, m.Foreign}, m.Elements...), "|")
	}
	if d := cmp.Diff(map[string]string{
		"nets":  `cidr|ipv4||1.1.1.1|5.6.7.8-5.6.7.20|10.0.0.0/8 timeout 300 comment "x y"`,
		"ports": `port|||22|80-90`,
		"pairs": `cidr . port|ipv6||fd00::/8 . tcp:80-90|fe80::1 . udp:53 comment "hey"`,
		"names": `interface|||eth0|wt0`,
		"macs":  `mac|||aa:bb:cc:dd:ee:ff`,
		"marks": `mark|||0x5|0x10`,
		"globs": `||type ifname; flags interval with elements that a ruleset cannot declare`,
		"vm":    `||type ipv4_addr . mark . mark; flags constant`,
		"m":     `||type ipv4_addr : verdict`,
	}, texts); d != "" {
		t.Errorf("sets (-want +got):\n%s", d)
	}
}

// nft lists one flag of a table, or several. (1.0.6 breaks off at them.)
func TestListedTableFlags(t *testing.T) {
	snap := load(t, save(t, t.TempDir(), "x.json", `{"nftables": [
{"metainfo": {"version": "1.1.1", "json_schema_version": 1}},
{"table": {"family": "inet", "name": "hookline-a", "handle": 1, "flags": "dormant"}},
{"table": {"family": "inet", "name": "hookline-b", "handle": 2, "flags": ["owner", "persist"]}},
{"table": {"family": "ip", "name": "theirs", "handle": 3, "flags": ["dormant", "owner"]}}]}`), ir.NFT)
	if a, b := snap.State.OwnTable(ir.Inet, "hookline-a"), snap.State.OwnTable(ir.Inet, "hookline-b"); a.Flags != "dormant" || b.Flags != "owner,persist" {
		t.Errorf("flags %q and %q", a.Flags, b.Flags)
	}
	for _, x := range snap.State.NFTTables {
		if x.Dormant != (x.Name != "hookline-b") {
			t.Errorf("%s: dormant is %v", x.Key(), x.Dormant)
		}
	}
}

// What is written comes back: for both variants of iptables, and for nft the same
// tables, whichever variant the file is of.
func TestOwnTablesComeBack(t *testing.T) {
	dir := t.TempDir()
	snap := load(t, save(t, dir, "x.json", listed(t, ownScript)), ir.NFT)
	snap.State.Own[0].Chains[0].Rules[1].Tag = "frwacceptiif"
	snap.State.Own[0].Flags = "dormant,owner"
	for _, v := range []ir.Variant{ir.NFT, ir.IptablesNFT, ir.IptablesLegacy} {
		host := *snap
		host.Variant = v
		if v == ir.IptablesLegacy {
			legacy := &ir.State{Families: ir.Families, Own: snap.State.Own}
			nft := *snap.State
			nft.Own = nil
			host.State, host.Others = legacy, &nft
		}
		text, err := Write(&host, WriteOptions{Counters: true})
		if err != nil {
			t.Fatal(err)
		}
		path := save(t, dir, "host.txtar", string(text))
		back := load(t, path, ir.NFT)
		if d := cmp.Diff(ownTables(snap.State.Own, WriteOptions{Counters: true}), ownTables(back.State.Own, WriteOptions{Counters: true})); d != "" {
			t.Errorf("%s: our tables (-want +got):\n%s", v, d)
		}
		if back.Variant != ir.NFT || len(back.State.NFTTables) == 0 {
			t.Errorf("%s: variant %s with %d tables of nftables", v, back.Variant, len(back.State.NFTTables))
		}
		if _, err := back.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"}); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		again, err := Write(load(t, path, ""), WriteOptions{Counters: true})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(text), string(again)); d != "" {
			t.Errorf("%s: written again (-want +got):\n%s", v, d)
		}
	}
}

// A redacted file holds no address and no name of the host in our tables, and its
// sets are in order still.
func TestRedactedOwnTables(t *testing.T) {
	dir := t.TempDir()
	snap := load(t, save(t, dir, "x.json", listed(t, ownScript)), ir.NFT)
	snap.Facts = map[string]any{"hostname": "node-17"}
	snap.State.Own[0].Chains[0].Rules[2].Tag = "from 8.8.4.4"
	text, err := Write(snap, WriteOptions{Redact: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"node-17", "aa:bb:cc:dd:ee:ff", "8.8.4.4", "1.1.1.1"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the file holds %s", secret)
		}
	}
	if strings.Count(string(text), "redacted") < 3 {
		t.Errorf("the host's name is hidden in fewer places than it stood in:\n%s", text)
	}
	back := load(t, save(t, dir, "r.txtar", string(text)), ir.NFT)
	nets := back.State.OwnTable(ir.Inet, "hookline-site").Set("nets")
	if len(nets.Elements) != 3 || nets.Elements[0].Options == nil || nets.Elements[0].Options.Comment != "x y" {
		t.Errorf("the set came back as %v", writeOwnSet(nets))
	}
}

// What is not known is not taken for empty.
func TestOwnTablesMissing(t *testing.T) {
	dir := t.TempDir()
	files := 0
	host := func(meta string, more ...string) string {
		files++
		return save(t, dir, fmt.Sprintf("h%d.txtar", files), "-- meta.json --\n"+meta+"\n"+strings.Join(more, ""))
	}
	const nothing = `{"formatVersion": 2, "variant": "iptables-nft", "scope": {}, "setsRead": true, "state": {"families": ["ipv4"], "tables": []}`
	one := `, "host": {"nftTables": [{"family": "inet", "name": "hookline-x", "rules": 0}, {"family": "ip6", "name": "nat", "rules": 3}]}}`
	for _, tt := range []struct{ name, path, want string }{
		{"no tables of nftables", host(nothing + "}"), "does not tell which tables of nftables stand"},
		{"a table that is only named", host(nothing + one), "names the table inet hookline-x of a ruleset, and does not hold"},
		{"a stranger", host(nothing+one, "-- own.json --\n[{\"family\": \"arp\", \"name\": \"hookline-x\", \"chains\": []}]\n"), "table arp hookline-x: it is no table"},
		{"twice", host(nothing+one, `-- own.json --`+"\n"+`[{"family": "inet", "name": "hookline-x", "chains": [{"name": "a"}, {"name": "a"}]}]`+"\n"), "chain a: it is there twice"},
		{"a hook", host(nothing+one, `-- own.json --`+"\n"+`[{"family": "inet", "name": "hookline-x", "chains": [{"name": "a", "hook": "b"}]}]`+"\n"), "there is no such hook"},
		{"handles", host(nothing+one, `-- own.json --`+"\n"+`[{"family": "inet", "name": "hookline-x", "chains": [{"name": "a", "rules": [{"text": "drop", "handle": 3}, {"text": "drop", "handle": 3}]}]}]`+"\n"), "two rules have the handle 3"},
		{"elements", host(nothing+one, `-- own.json --`+"\n"+`[{"family": "inet", "name": "hookline-x", "chains": [], "sets": [{"name": "s", "type": "cidr", "family": "ipv4", "elements": ["hello"]}]}]`+"\n"), `"hello" is no element of type cidr`},
	} {
		_, list, err := Load(tt.path, ir.NFT)
		if err == nil {
			err = list.Err()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzOwnTables: whatever a listing says of our tables, a file of ours keeps it, and
// gives it back the same.
func FuzzOwnTables(f *testing.F) {
	f.Add(`{"nftables": [{"table": {"family": "inet", "name": "hookline-a"}},
{"set": {"family": "inet", "name": "s", "table": "hookline-a", "type": ["ipv4_addr", "inet_proto", "inet_service"], "flags": ["interval"], "elem": [{"concat": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "tcp", {"range": [80, 90]}]}]}},
{"set": {"family": "inet", "name": "t", "table": "hookline-a", "type": "ipv6_addr", "flags": ["timeout"], "timeout": 9, "elem": [{"elem": {"val": "fd00::1", "timeout": 5, "comment": "a \" b"}}]}},
{"map": {"family": "inet", "name": "m", "table": "hookline-a", "type": "mark", "map": "verdict"}},
{"chain": {"family": "inet", "table": "hookline-a", "name": "c", "type": "filter", "hook": "input", "prio": -5, "policy": "drop"}},
{"rule": {"family": "inet", "table": "hookline-a", "chain": "c", "handle": 7, "comment": "x", "expr": [{"counter": {"packets": 1, "bytes": 2}}, {"accept": null}]}}]}`)
	f.Add(`{"nftables": [{"set": {"family": "ip", "name": "s", "table": "hookline-a", "type": "ether_addr", "elem": ["aa:bb:cc:dd:ee:ff", 5]}}, {"rule": {"family": "ip", "table": "hookline-a", "chain": "late", "expr": []}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		own, err := OwnTables(text)
		if err != nil {
			return
		}
		doc, err := indent(ownTables(own, WriteOptions{Counters: true}))
		if err != nil {
			t.Fatal(err)
		}
		l := &loader{snap: &ir.Snapshot{}, list: &diag.List{}}
		back, ok := l.readOwn(diag.NewFile("own.json", string(doc)))
		if !ok {
			// The same handle twice, or a hook that does not exist: no kernel lists that.
			if s := l.list.Err().Error(); !strings.Contains(s, "have the handle") && !strings.Contains(s, "no such hook") {
				t.Fatalf("%v in\n%s", l.list.Err(), doc)
			}
			return
		}
		again, err := indent(ownTables(back, WriteOptions{Counters: true}))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(doc), string(again)); d != "" {
			t.Errorf("written again (-want +got):\n%s", d)
		}
	})
}
