package injector

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// What stands afterwards is what NetBird v0.77.1 was recorded to leave behind in the
// table of a site (FIELD 2.8).
func TestInjects(t *testing.T) {
	ns := netns.ForTest(t)
	run := func(stdin string, argv ...string) string {
		t.Helper()
		res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
		if err != nil || res.Exit != 0 {
			t.Fatalf("%v: %v %s", argv, err, res.Stderr)
		}
		return res.Stdout
	}
	run(`table inet site {
	chain fwd_hook { type filter hook forward priority 10; policy drop; ct state established,related accept; }
	chain in_hook { type filter hook input priority 10; iifname "eth0" tcp dport 111 drop; }
	chain pre { type filter hook prerouting priority 10; }
	chain out { type filter hook output priority 10; }
}
table ip filter { chain INPUT { type filter hook input priority 0; }; }
table inet firewalld { chain in { type filter hook input priority 10; }; }
`, "nft", "-f", "-")
	n, err := Start(ns)
	if err != nil {
		t.Fatal(err)
	}
	want := `	chain fwd_hook {
		type filter hook forward priority filter + 10; policy drop;
		oifname "wt0" ct state established,related counter packets 0 bytes 0 accept
		iifname "wt0" counter packets 0 bytes 0 accept
		ct state established,related accept
	}

	chain in_hook {
		type filter hook input priority filter + 10; policy accept;
		iifname "wt0" counter packets 0 bytes 0 accept
		iifname "eth0" tcp dport 111 drop
	}
`
	if got := run("", "nft", "list", "ruleset"); !strings.Contains(got, want) || strings.Count(got, "wt0") != 3 {
		t.Errorf("there stands\n%s\nwant in it\n%s", got, want)
	}
	// A rule raises no alarm, a chain does, half a second later.
	run("", "nft", "add", "rule", "inet", "site", "in_hook", "accept")
	run("add table inet late\nadd chain inet late in { type filter hook input priority -5; }\n", "nft", "-f", "-")
	if got := run("", "nft", "list", "table", "inet", "late"); strings.Contains(got, "wt0") {
		t.Errorf("the rules came at once:\n%s", got)
	}
	for end := time.Now().Add(5 * time.Second); n.Rounds() < 2 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if got := run("", "nft", "list", "table", "inet", "late"); !strings.Contains(got, `iifname "wt0" counter packets 0 bytes 0 accept`) {
		t.Errorf("the rules did not come:\n%s", got)
	}
	if rounds, err := n.Stop(); rounds != 2 || err != nil {
		t.Errorf("%d rounds, %v; want 2", rounds, err)
	}
	conn, err := nfnetlink.Dial(ns.Do)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tables, err := conn.Tables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		for _, c := range table.Chains {
			if table.Name == "late" && strings.Join(c.Tags, ",") != "inputaccept" {
				t.Errorf("%s has the tags %q", c.Name, c.Tags)
			}
		}
	}
}
