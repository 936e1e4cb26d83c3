package iptables

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"hookline/backend/nfttext"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// counts are what a listing says of a rule besides its text.
var counts = regexp.MustCompile(`counter packets \d+ bytes \d+`)

// spelled are the ways in which our text differs from nft's own on purpose: nft
// knows the names of what is kept by number, and writes out what a set without a
// name holds.
var spelled = map[string]string{
	"tcp dport { 80, 443 } accept":                 "tcp dport @__set accept",
	"ip saddr { 1.1.1.1, 2.2.2.2 } accept":         "ip saddr @__set accept",
	"iifname { \"a\", \"b\" } accept":              "iifname @__set accept",
	"meta l4proto { tcp, udp } accept":             "meta l4proto @__set accept",
	"ip saddr vmap { 1.1.1.1 : jump Y }":           "ip saddr vmap @__map",
	"ip saddr . tcp dport { 1.2.3.4 . 80 } accept": "ip saddr . tcp dport @__set accept",
	"iif \"lo\" accept":                            "iif 1 accept",
}

// TestNativeText writes rules with nft and compares what is said of them, by
// netlink and by `nft -j`, with what nft lists.
func TestNativeText(t *testing.T) {
	text, err := os.ReadFile("testdata/native-rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	ns := netns.ForTest(t)
	k := dial(t, ns)
	shell(t, ns, `for t in filter nat mangle; do iptables-nft -t $t -N Y; ip6tables-nft -t $t -N Y; done
		nft 'add set ip filter s { type ipv4_addr; }'; nft 'add set ip filter cc { type ipv4_addr . inet_service; }'`)
	rules := map[[2]string][]string{} // by family and table
	for line := range strings.Lines(string(text)) {
		if words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3); len(words) == 3 && line[0] != '#' {
			table := [2]string{words[0], words[1]}
			rules[table] = append(rules[table], words[2])
		}
	}
	for table, written := range rules {
		f := ir.IPv4
		if table[0] == "ip6" {
			f = ir.IPv6
		}
		chain := table[0] + " " + table[1] + " Z"
		// The last rule is native, so that the expressions of the others are kept.
		script := "add chain " + chain + "\n"
		for _, r := range append(written, "ct mark 1") {
			script += "add rule " + chain + " " + r + "\n"
		}
		shell(t, ns, "nft -f - <<'END'\n"+script+"END\n")
		_, listed, _ := strings.Cut(shell(t, ns, "nft list chain "+chain), "chain Z {\n")
		lines := strings.Split(counts.ReplaceAllString(listed, "counter"), "\n")
		texts := jsonTexts(t, shell(t, ns, "nft -j list chain "+chain))
		kernel, err := k.rules(f, table[1], "Z")
		if err != nil || len(kernel) != len(written)+1 || len(texts) != len(kernel) || len(lines) < len(kernel) {
			t.Fatalf("%s: %d rules by netlink, %d by JSON, error %v; want %d", chain, len(kernel), len(texts), err, len(written)+1)
		}
		for i, rule := range written {
			want := strings.TrimSpace(lines[i])
			if texts[i] != want {
				t.Errorf("%s %s: by JSON %q, want %q", chain, rule, texts[i], want)
			}
			if s, ok := spelled[want]; ok {
				want = s
			}
			n := &ir.Native{}
			if err := describe(n, f, kernel[i].exprs, kernel[i].nativeAt); err != nil {
				t.Fatal(err)
			}
			if got := anonymous.ReplaceAllString(n.Text, "@__$1"); got != want {
				t.Errorf("%s %s: by netlink %q, want %q", chain, rule, got, want)
			}
		}
	}
}

var anonymous = regexp.MustCompile(`@__(set|map)\d+`)

// jsonTexts says the rules of a listing.
func jsonTexts(t *testing.T, listing string) []string {
	t.Helper()
	var doc struct {
		Nftables []struct {
			Rule *struct{ Expr []nfttext.Statement }
		}
	}
	if err := json.Unmarshal([]byte(listing), &doc); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range doc.Nftables {
		if o.Rule == nil {
			continue
		}
		var words []string
		for _, s := range o.Rule.Expr {
			words = append(words, s.Text())
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

// TestNativeStatementIsMarked: the statement that iptables cannot read is in
// brackets, and what is not understood is a bare name.
func TestNativeStatementIsMarked(t *testing.T) {
	ns := netns.ForTest(t)
	k := dial(t, ns)
	shell(t, ns, `iptables-nft -N Z; iptables-nft -N Y; nft 'add set ip filter s { type ipv4_addr; }'`)
	for _, c := range []struct{ rule, want, comment string }{
		{`oifname "wt0" ct state established,related counter accept comment "hello"`, `oifname "wt0" [ct state established,related] counter accept`, "hello"},
		{`iifname "wt0" ip saddr @s tcp dport 22 accept`, `iifname "wt0" [ip saddr @s] tcp dport 22 accept`, ""},
		{"udp length 3 accept", "[udp length 3] accept", ""},
		{"tcp dport < 80 accept", "[tcp dport < 80] accept", ""},
		{"ip saddr 10.0.0.0/8 ip saddr != 10.1.2.3 accept", "ip saddr 10.0.0.0/8 [ip saddr != 10.1.2.3] accept", ""},
		{"ip saddr 1.1.1.1-2.2.2.2 accept", "[ip saddr 1.1.1.1-2.2.2.2] accept", ""},
		{"counter ip saddr 1.2.3.4 accept", "counter [ip saddr 1.2.3.4] accept", ""},
		{"log group 3 accept", "log group 3 [accept]", ""},
		{"meta mark set ct mark and 0xff0000", "[meta mark set ct mark & 0x00ff0000]", ""},
		{"tcp dport 80 reject with tcp reset", "tcp dport 80 [reject with tcp reset]", ""},
		{"tcp dport 80 numgen inc mod 2 == 0 accept", "tcp dport 80 [numgen inc mod 2 0] accept", ""},
		{"tcp dport 80 synproxy mss 1460 wscale 7", "tcp dport 80 [synproxy(...)]", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			shell(t, ns, "nft flush chain ip filter Z; nft 'add rule ip filter Z "+c.rule+"'")
			rules, err := k.rules(ir.IPv4, "filter", "Z")
			if err != nil || len(rules) != 1 {
				t.Fatalf("%d rules, error %v; want one", len(rules), err)
			}
			n := rules[0].described
			if n == nil || n.String() != c.want || n.Comment != c.comment || n.Handle == 0 {
				t.Errorf("%+v says %q, want %q", n, n, c.want)
			}
		})
	}
}
