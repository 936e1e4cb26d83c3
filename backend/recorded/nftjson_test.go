package recorded

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// TestListedNativeRules records a real host with nft and iptables-nft and checks
// which rules are told native.
func TestListedNativeRules(t *testing.T) {
	ns := netns.ForTest(t)
	sh := func(script string) string {
		t.Helper()
		res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: []string{"sh", "-ec", script}})
		if err != nil || res.Exit != 0 {
			t.Fatalf("%s: exit %d, %v: %s", script, res.Exit, err, res.Stderr)
		}
		return res.Stdout
	}
	rules := []struct{ rule, native string }{
		{"ip saddr 1.2.3.4 counter accept", ""},
		{"ip saddr != 10.0.0.0/9 accept", ""},
		{"ip daddr & 255.0.255.0 == 10.0.1.0 drop", ""},
		{`iifname "wt0" counter accept`, ""},
		{`oifname != "wt*" return`, ""},
		{"tcp dport 80 accept", ""},
		{"udp sport != 80-90 accept", ""},
		{"tcp flags & (syn|ack) == syn drop", ""},
		{"meta l4proto != tcp goto Y", ""},
		{"meta mark & 1 == 1 jump Y", ""},
		{"meta mark 1 meta mark != 3", ""},
		{"limit rate 5/minute accept", ""},
		{"meta nftrace set 1", ""},
		{"log group 3", ""},
		{"counter", ""},
		{"tcp dport { 80, 443 } accept", "tcp dport set"},
		{"ip saddr { 1.1.1.1, 2.2.2.2 } accept", "ip saddr set"},
		{"ip saddr vmap { 1.1.1.1 : jump Y }", "vmap"},
		{"ip saddr 1.1.1.1-2.2.2.2 accept", "ip saddr range"},
		{"ip saddr < 1.2.3.4 accept", "ip saddr <"},
		{"tcp dport > 80 accept", "tcp dport >"},
		{"tcp dport & 1 == 1 accept", "tcp dport mask"},
		{"ip saddr 10.0.0.0/8 ip saddr != 10.1.2.3 accept", "second saddr"},
		{"udp length 3 accept", "udp length"},
		{"log group 3 accept", "accept behind the action"},
		{"counter ip saddr 1.2.3.4 accept", "condition behind the counter"},
		{"icmp type echo-request accept comment \"ping\"", "icmp type"},
		{"ip ttl 3 accept", "ip ttl"},
	}
	script := "iptables-nft -N Y; iptables-nft -N Z\niptables-nft -A Z -p tcp -m tcp --tcp-flags SYN,ACK SYN -m comment --comment x -j MARK --set-mark 1 2>/dev/null || " +
		"iptables-nft -A Z -p tcp -m comment --comment x -j ACCEPT\n"
	var want []string
	for i, r := range rules {
		script += "nft 'add rule ip filter Z " + r.rule + "'\n"
		if r.native != "" {
			want = append(want, r.native)
		}
		_ = i
	}
	sh(script)
	dir := t.TempDir()
	for name, tool := range map[string]string{"iptables-nft-save.txt": "iptables-nft-save -c", "nft-list-ruleset.json": "nft -j list ruleset"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(sh(tool)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := load(t, dir, "")
	c, err := s.State.Lookup(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: "Z"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, r := range c.Rules {
		if r.Native != nil {
			got = append(got, r.Native.Expr)
			if strings.HasPrefix(rules[i-1].rule, "icmp") && r.Native.Comment != "ping" {
				t.Errorf("comment = %q, want ping", r.Native.Comment)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("native rules mismatch (-want +got):\n%s", d)
	}
	if len(c.Rules) != len(rules)+1 {
		t.Errorf("%d rules, want %d", len(c.Rules), len(rules)+1)
	}
}
