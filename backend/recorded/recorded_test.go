package recorded

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// snapshots is the folder of recorded hosts beside the module.
func snapshots(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("HOOKLINE_SHARED"), "../../../shared"} {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "snapshots")); err == nil {
			return filepath.Join(dir, "snapshots")
		}
	}
	t.Skip("SKIPPED: the recorded hosts are not there (HOOKLINE_SHARED, or ../shared beside the module)")
	return ""
}

// hosts lists every recorded host: a folder, or a folder and a prefix.
func hosts(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(snapshots(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if prefix, k, ok := kindOf(d.Name()); ok && k.other == "" {
			host := filepath.Join(filepath.Dir(path), prefix)
			if !slices.Contains(out, host) {
				out = append(out, host)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 60 {
		t.Fatalf("only %d recorded hosts found", len(out))
	}
	return out
}

func load(t *testing.T, path string, v ir.Variant) *ir.Snapshot {
	t.Helper()
	s, list, err := Load(path, v)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.All() {
		t.Errorf("%s: %s", d.Span, d.Message)
	}
	return s
}

// same compares snapshots but for where they were read from.
var same = cmp.Options{
	cmpopts.IgnoreTypes(diag.Span{}), cmpopts.IgnoreFields(ir.Snapshot{}, "Source", "ValuesName", "FactsName"), cmpopts.EquateEmpty(),
}

func TestWriteLoadFixpoint(t *testing.T) {
	for _, host := range hosts(t) {
		for _, v := range []ir.Variant{"", ir.IptablesNFT, ir.IptablesLegacy} {
			t.Run(filepath.Base(filepath.Dir(host))+"/"+filepath.Base(host)+"/"+string(v), func(t *testing.T) {
				first := load(t, host, v)
				if auto := load(t, host, ""); v == auto.Variant {
					return // the same as without asking
				}
				text, err := Write(first, WriteOptions{Counters: true})
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "host.txtar")
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
				second := load(t, path, "")
				// Comparing ten thousand rules one by one takes seconds; for them the bytes
				// below have to do.
				if v == "" && ruleCount(first.State) < 500 {
					if d := cmp.Diff(first, second, same); d != "" {
						t.Errorf("what was written comes back changed (-first +second):\n%.3000s", d)
					}
				}
				again, err := Write(second, WriteOptions{Counters: true})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(text), string(again)); d != "" {
					t.Errorf("writing again gives other bytes (-first +second):\n%.3000s", d)
				}
				checkPlaces(t, second)
			})
		}
	}
}

// checkPlaces: every rule's place in the file shows the rule.
func checkPlaces(t *testing.T, s *ir.Snapshot) {
	t.Helper()
	for _, table := range s.State.Tables {
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				if r.Native != nil || r.Origin.IsZero() {
					continue
				}
				if !strings.Contains(r.Origin.File.Line(r.Origin.Position().Line), strings.TrimSpace("-A "+c.Name+" "+firstLine(r.Text))) {
					t.Fatalf("%s is not the place of %q", r.Origin, r.Text)
				}
			}
		}
	}
}

// natives lists the native rules of a state: chain, position, handle, text.
func natives(s *ir.State) []string {
	var out []string
	for _, t := range s.Tables {
		for _, c := range t.Chains {
			for _, n := range c.NativeRules() {
				out = append(out, fmt.Sprintf("%s %s %s %d handle %d %s", t.Family, t.Name, c.Name, n.Index, n.Handle, n))
			}
		}
	}
	return out
}

func unreadable(s *ir.State) []string {
	var out []string
	for _, t := range s.Tables {
		if t.Unreadable != "" {
			out = append(out, t.Key().String()+": "+t.Unreadable)
		}
	}
	return out
}

func TestRecordedHosts(t *testing.T) {
	root := snapshots(t)
	for _, c := range []struct {
		host       string
		ask, want  ir.Variant
		families   []ir.Family
		unreadable []string
		natives    []string
		sets       int // -1: unknown
		warning    string
	}{
		{
			host: "calico-felix/v3.29.1-nft-append", want: ir.IptablesNFT, families: ir.Families, sets: 9,
		},
		{
			host: "calico-felix/v3.29.1-legacy-append", want: ir.IptablesLegacy, families: ir.Families, sets: 9,
		},
		{
			host: "kube-vip/v0.8.4-egress", want: ir.IptablesNFT, families: []ir.Family{ir.IPv4}, sets: -1, warning: "ipv6 is unknown",
		},
		{
			host: "kube-vip/v0.8.4-egress", ask: ir.IptablesLegacy, want: ir.IptablesLegacy, families: []ir.Family{ir.IPv4}, sets: -1,
			warning: "ipv6 is unknown",
		},
		{
			host: "node-k3s-netbird/native-nft-unparsable-v0.77.1", want: ir.IptablesNFT, families: ir.Families,
			unreadable: []string{"ipv4 filter: Table `filter' is incompatible, use 'nft' tool."}, sets: 13,
			natives: []string{`ipv4 filter FORWARD 0 handle 97 oifname "wt0" [ct state established,related] counter accept`},
		},
		{
			host: "node-tailscale/nftables-mode", want: ir.IptablesNFT, families: ir.Families, sets: -1,
			unreadable: []string{
				"ipv4 filter: Table `filter' is incompatible, use 'nft' tool.", "ipv4 nat: Table `nat' is incompatible, use 'nft' tool.",
				"ipv6 filter: Table `filter' is incompatible, use 'nft' tool.", "ipv6 nat: Table `nat' is incompatible, use 'nft' tool.",
			},
			natives: []string{
				`ipv4 filter ts-forward 0 handle 37 iifname "tailscale0*" counter [meta mark set meta mark & 0xff04ffff | 0x00040000]`,
				`ipv4 filter ts-forward 3 handle 45 oifname "tailscale0*" [ct state & 0xffffffb9 != 0] counter drop`,
				"ipv4 nat ts-postrouting 0 handle 221 meta mark & 0x00ff0000 == 0x00040000 counter [masquerade]",
				`ipv6 filter ts-forward 0 handle 36 iifname "tailscale0*" counter [meta mark set meta mark & 0xff04ffff | 0x00040000]`,
				`ipv6 filter ts-forward 2 handle 41 oifname "tailscale0*" [ct state & 0xffffffb9 != 0] counter drop`,
				"ipv6 nat ts-postrouting 0 handle 204 meta mark & 0x00ff0000 == 0x00040000 counter [masquerade]",
			},
		},
		{
			host: "kube-proxy-iptables/svc2000", want: ir.IptablesNFT, families: []ir.Family{ir.IPv4}, sets: -1,
		},
		{
			host: "mixed/kube-proxy-nft+kube-vip-legacy+flannel-legacy", want: ir.IptablesNFT, families: ir.Families, sets: -1,
			warning: "ipsets are unknown",
		},
	} {
		t.Run(c.host+"/"+string(c.ask), func(t *testing.T) {
			s := load(t, filepath.Join(root, c.host), c.ask)
			sets := len(s.State.Sets)
			if !s.State.SetsRead {
				sets = -1
			}
			type result struct {
				Variant             ir.Variant
				Families            []ir.Family
				Unreadable, Natives []string
				Sets                int
			}
			want := result{c.want, c.families, c.unreadable, c.natives, c.sets}
			got := result{s.Variant, s.State.Families, unreadable(s.State), natives(s.State), sets}
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("mismatch (-want +got):\n%s\nwarnings: %q", d, s.Warnings)
			}
			if c.warning != "" && !slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.HasPrefix(w, c.warning) }) {
				t.Errorf("no warning %q in %q", c.warning, s.Warnings)
			}
		})
	}
}

// What a listing says of a table that iptables does not show is the same, however
// the tool puts it (FIELD M-40), and whether it says anything at all.
func TestUnreadableWithoutTheToolsMessage(t *testing.T) {
	host := filepath.Join(snapshots(t), "node-k3s-netbird", "native-nft-unparsable-v0.77.1")
	want := load(t, host, "")
	for _, message := range []string{"", "# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.\n", "# not a word\n"} {
		dir := t.TempDir()
		for _, name := range []string{"iptables-nft-save.txt", "ip6tables-nft-save.txt", "ipset-save.txt", "nft-list-ruleset.json"} {
			text, err := os.ReadFile(filepath.Join(host, name))
			if err != nil {
				t.Fatal(err)
			}
			text = []byte(strings.Replace(string(text), "# Table `filter' is incompatible, use 'nft' tool.\n", message, 1))
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := load(t, dir, "")
		if d := cmp.Diff(natives(want.State), natives(got.State)); d != "" || len(natives(got.State)) == 0 {
			t.Errorf("%q: native rules (-want +got):\n%s", message, d)
		}
		table := got.State.Table(ir.IPv4, "filter")
		if table == nil || table.Unreadable == "" || table.Chain("KUBE-ROUTER-FORWARD") == nil {
			t.Errorf("%q: the table is told to be readable, or its chains are not named: %+v", message, table)
		}
	}
}

func TestPlainSaves(t *testing.T) {
	const v4, v6, none = "-A INPUT -s 1.2.3.4/32 -j ACCEPT\n", "-A INPUT -d fe80::1/128 -j ACCEPT\n", "-A INPUT -i lo -j ACCEPT\n"
	for _, c := range []struct {
		name, file, head, rules string
		family                  ir.Family
		variant                 ir.Variant
		note                    bool
	}{
		{"header", "x", "# Generated by ip6tables-nft-save v1.8.9 (nf_tables) on Sat Nov 21\n", v4, ir.IPv6, ir.IptablesNFT, false},
		{"header of legacy", "x", "# Generated by iptables-save v1.8.9 on Sat Nov 21\n", none, ir.IPv4, ir.IptablesLegacy, false},
		{"an address", "ip6tables-save", "", v4, ir.IPv4, ir.IptablesLegacy, false},
		{"an IPv6 address", "iptables-save", "", v6, ir.IPv6, ir.IptablesLegacy, false},
		{"icmpv6", "x", "", "-A INPUT -p ipv6-icmp -j ACCEPT\n", ir.IPv6, ir.IptablesLegacy, false},
		{"a comment is no address", "rules.v6", "", "-A INPUT -m comment --comment \"to 1.2.3.4\" -j ACCEPT\n", ir.IPv6, ir.IptablesLegacy, false},
		{"name", "rules.v6", "", none, ir.IPv6, ir.IptablesLegacy, false},
		{"name with a prefix", "h.legacy.v6.save", "", none, ir.IPv6, ir.IptablesLegacy, false},
		{"nothing tells", "dump.txt", "", none, ir.IPv4, ir.IptablesLegacy, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			text := c.head + "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" + c.rules + "COMMIT\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s := load(t, path, "")
			if d := cmp.Diff([]ir.Family{c.family}, s.State.Families); d != "" {
				t.Errorf("families mismatch (-want +got):\n%s", d)
			}
			if s.Variant != c.variant {
				t.Errorf("variant = %s, want %s", s.Variant, c.variant)
			}
			noted := slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.HasPrefix(w, "nothing in ") })
			if noted != c.note {
				t.Errorf("warnings = %q, note wanted: %v", s.Warnings, c.note)
			}
			if _, err := s.State.Lookup(ir.ChainKey{Family: ir.IPv4 + ir.IPv6 - c.family, Table: "filter", Chain: "INPUT"}); err == nil {
				t.Error("the family without a file is told empty, not unknown")
			}
		})
	}
}

// A folder may hold what `hookline snapshot` wrote, with the host's values and
// facts beside it: they win over those in the file.
func TestFolderWithArchive(t *testing.T) {
	dir, save := t.TempDir(), filepath.Join(t.TempDir(), "host.nft.v4.save")
	if err := os.WriteFile(save, []byte("*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	archive, err := Write(load(t, save, ""), WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"node-1.txtar": string(archive) + "-- values.yaml --\nrole: worker\n",
		"values.yaml":  "role: witness\n",
		"facts.yaml":   "hostname: node-1\n",
		"README.md":    "a node\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := load(t, dir, "")
	if s.Values != "role: witness\n" || s.ValuesName != filepath.Join(dir, "values.yaml") || s.FactsText != "hostname: node-1\n" {
		t.Errorf("values %q of %s, facts %q: want those beside the archive", s.Values, s.ValuesName, s.FactsText)
	}
	c, err := s.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "INPUT"})
	if err != nil || c.Policy != "DROP" || s.Source != dir {
		t.Errorf("INPUT is %+v (%v), read from %s: want what the archive in %s holds", c, err, s.Source, dir)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("two/a.nft.v4.save", "")
	write("two/b.nft.v4.save", "")
	write("twice/iptables-save", "*filter\nCOMMIT\n")
	write("twice/rules.v4", "*filter\nCOMMIT\n")
	write("none/README.md", "")
	write("archives/a.txtar", "")
	write("archives/b.txtar", "")
	write("beside/a.txtar", "-- meta.json --\n{\"formatVersion\": 1, \"variant\": \"iptables-nft\"}\n")
	write("beside/iptables-save", "*filter\nCOMMIT\n")
	write("stranger/a.txtar", "-- README --\nhello\n")
	for _, c := range []struct {
		name, path string
		variant    ir.Variant
		want       string
	}{
		{"missing", filepath.Join(dir, "nosuch"), "", "no such file"},
		{"several hosts", filepath.Join(dir, "two"), "", "holds several snapshots: name one, e.g. " + filepath.Join(dir, "two", "a")},
		{"twice the same", filepath.Join(dir, "twice"), "", "are a save of ipv4"},
		{"several archives", filepath.Join(dir, "archives"), "", "holds several snapshots: name one, e.g. " + filepath.Join(dir, "archives", "a")},
		{"an archive and a save", filepath.Join(dir, "beside"), "", "holds a whole snapshot, and other parts of one stand beside it"},
		{"another archive", filepath.Join(dir, "stranger"), "", "it has no meta.json, so it is no snapshot"},
		{"nothing in it", filepath.Join(dir, "none"), "", "no iptables-save in it"},
		{"saves alone", dir, ir.NFT, "of which only an nft listing tells"},
		{"a save alone", write("alone", "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), ir.NFT, "this is a save of iptables"},
		{"no kind of tables", dir, "ebtables", "is no kind of tables"},
		{"broken gzip", write("x.gz", "this is no gzip"), "", "gzip: invalid header"},
		{"no save", write("junk", "hello\n"), "", "junk:1:1"},
		{"JSON", write("x.json", `{"formatVersion": 1}`), "", "this is JSON, but no listing of nft"},
		{"a broken listing", write("y.json", `{"nftables": [}`), "", "y.json:1:15: reading an nft listing"},
		{"a listing for legacy", write("z.json", `{"nftables": []}`), ir.IptablesLegacy, "says nothing about legacy tables"},
		{"newer format", write("v9", "-- meta.json --\n{\"formatVersion\": 9}\n"), "", "v9:2:1"},
		{"broken meta", write("bad", "-- meta.json --\n{\"formatVersion\": \"x\"}\n"), "", "not what a snapshot holds here"},
		{"unknown key", write("key", "-- meta.json --\n{\"colour\": 1}\n"), "", "colour"},
		{
			"a rule in a member", write("rule", "-- meta.json --\n{\"formatVersion\": 1, \"variant\": \"iptables-nft\", \"state\": {\"families\": [\"ipv4\"]}}\n"+
				"-- iptables-save --\n*filter\nnonsense\nCOMMIT\n"), "", "rule:5:1",
		},
		{
			"of another variant", write("other", "-- meta.json --\n{\"formatVersion\": 1, \"variant\": \"iptables-nft\"}\n"), ir.IptablesLegacy,
			"the snapshot is of iptables-nft, not of iptables-legacy",
		},
		{
			"of no variant", write("escape", "-- meta.json --\n{\"formatVersion\": 1, \"variant\": \"\\u001b[31mnft\"}\n"), "",
			`"\x1b[31mnft" is no variant of iptables`,
		},
		{
			"a member twice", write("doubled", "-- meta.json --\n{\"formatVersion\": 1, \"variant\": \"iptables-nft\"}\n"+
				"-- iptables-save --\n-- iptables-save --\n"), "", "holds iptables-save twice",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, list, err := Load(c.path, c.variant)
			if err == nil {
				err = list.Err()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Load(%s) = %v, want an error with %q", c.path, err, c.want)
			}
		})
	}
}
