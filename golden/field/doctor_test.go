package field

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/compiler/survey"
)

// doctor has the command look at the node, on a machine with the given files. Text
// of a path is a file, empty text a folder.
func (n *node) doctor(files map[string]string, args ...string) (*survey.Report, int) {
	n.t.Helper()
	root := n.t.TempDir()
	for p, text := range files {
		p = filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			n.t.Fatal(err)
		}
		mode := os.FileMode(0o600)
		if strings.Contains(p, "bin/") {
			mode = 0o700
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			n.t.Fatal(err)
		}
	}
	argv := append([]string{command(n.t), "doctor", "-o", "json", "--state-dir", n.state, "--root", root}, args...)
	res := n.try("", argv...)
	var r survey.Report
	if err := json.Unmarshal([]byte(res.Stdout), &r); err != nil {
		n.t.Fatalf("exit %d: %v: %s", res.Exit, err, res.Stderr)
	}
	return &r, res.Exit
}

// finding is the first of a code; the test fails if there is none.
func finding(t *testing.T, r *survey.Report, code survey.Code) survey.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Code == code {
			return f
		}
	}
	t.Fatalf("no finding %s among %+v", code, r.Findings)
	return survey.Finding{}
}

// legacyTables are the legacy tables that the node has, both families.
func (n *node) legacyTables() string {
	n.t.Helper()
	return n.run("", "cat", "/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names")
}

// The variant in use is told as the iptables-wrappers tell it, and looking makes no
// legacy table.
func TestT9DoctorTellsTheVariantInUse(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		if r, exit := n.doctor(nil); r.Backend != ir.IptablesNFT || exit != 0 {
			t.Errorf("an empty node: backend %s, exit %d, want nft and 0", r.Backend, exit)
		}
		if tables := n.legacyTables(); strings.TrimSpace(tables) != "" {
			t.Errorf("looking at an empty node made the legacy tables %q", tables)
		}
		n.run("", n.tool(ir.IPv4, ""), "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")
		for range 3 {
			n.run("", n.tool(ir.IPv4, ""), "-A", "INPUT", "-j", "ACCEPT", "-i", "lo")
		}
		before := n.legacyTables()
		r, _ := n.doctor(nil)
		if r.Backend != n.variant || !strings.Contains(r.Why, "KUBE-IPTABLES-HINT") {
			t.Errorf("backend = %s because %q, want %s because of kubelet's chain", r.Backend, r.Why, n.variant)
		}
		if after := n.legacyTables(); after != before {
			t.Errorf("legacy tables before = %q, after = %q", before, after)
		}
	})
}

// Each copy of the tools is named, also those that k3s brings.
func TestT9DoctorNamesEveryCopyOfTheTools(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.run("", n.tool(ir.IPv4, ""), "-S")
	r, _ := n.doctor(map[string]string{"usr/sbin/iptables": "x", "var/lib/rancher/k3s/data/0123/bin/aux/iptables": "x"})
	var paths []string
	for _, tool := range r.Tools {
		paths = append(paths, tool.Path)
	}
	if want := []string{"/usr/sbin/iptables", "/var/lib/rancher/k3s/data/0123/bin/aux/iptables"}; !slices.Equal(paths, want) {
		t.Errorf("tools = %q, want %q", paths, want)
	}
}

// Rules in both variants are found before anybody writes, with who has how many.
func TestR8DoctorCountsBothVariants(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.recorded("mixed-backends")
	legacy := &node{t: t, ns: n.ns, variant: ir.IptablesLegacy, state: n.state, store: n.store}
	// The sets are there already: they belong to no variant.
	var saves [2]string
	for i, f := range ir.Families {
		text, err := os.ReadFile(filepath.Join("..", "nodes", "mixed-backends", legacy.tool(f, "-save.txt")))
		if err != nil {
			t.Fatal(err)
		}
		saves[i] = string(text)
	}
	legacy.load(saves[0], saves[1])
	r, exit := n.doctor(nil)
	f := finding(t, r, survey.MixedBackends)
	text := strings.Join(f.Details, "\n")
	for _, want := range []string{"iptables-legacy: kube-proxy 313, flannel 20", "iptables-nft: calico 109, portmap 13"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	if f.Severity != survey.Hurts || exit != 2 || r.Backend != ir.IptablesLegacy {
		t.Errorf("severity %s, exit %d, backend %s: want it to hurt, 2, and kube-proxy's variant", f.Severity, exit, r.Backend)
	}
}

// kube-vip's egress rules in legacy tables, while the node uses nft (kube-vip#502).
func TestV7DoctorFindsRulesOfTheWrongVariant(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.run("", "iptables-nft", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")
	n.run("", "iptables-nft", "-N", "KUBE-FIREWALL")
	n.run("", "iptables-nft", "-A", "INPUT", "-j", "KUBE-FIREWALL")
	n.run("", "iptables-legacy", "-t", "mangle", "-N", "KUBE-VIP-EGRESS")
	n.run("", "iptables-legacy", "-t", "mangle", "-A", "PREROUTING", "-m", "comment", "--comment", "a3ViZS12aXAK=kube-vip-kube-system", "-j", "KUBE-VIP-EGRESS")
	r, exit := n.doctor(nil)
	f := finding(t, r, survey.MixedBackends)
	if text := strings.Join(f.Details, "\n"); !strings.Contains(text, "iptables-legacy: kube-vip 1") || exit != 2 || r.Backend != ir.IptablesNFT {
		t.Errorf("backend %s, exit %d, details %q: want kube-vip's rule in legacy named", r.Backend, exit, text)
	}
}

// Without an iptables binary, others write native rules.
func TestN11DoctorWarnsOfAMissingTool(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.run("", n.tool(ir.IPv4, ""), "-S")
	r, exit := n.doctor(map[string]string{"usr/sbin/nft": "x"})
	f := finding(t, r, survey.MissingTool)
	if f.Severity != survey.Warning || exit != 0 || !strings.Contains(strings.Join(f.Effects, " "), "NetBird and Tailscale") {
		t.Errorf("exit %d, %+v: want a warning that names NetBird and Tailscale", exit, f)
	}
	if r, _ := n.doctor(map[string]string{"usr/sbin/iptables": "x", "usr/sbin/ip6tables": "x"}); slices.ContainsFunc(r.Findings, func(f survey.Finding) bool { return f.Code == survey.MissingTool }) {
		t.Errorf("with both tools: %+v", r.Findings)
	}
}

// A native rule in a table of iptables is told with chain, handle, expression and
// author, and what it does to whom.
func TestN1DoctorShowsNativeRules(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.run("", "iptables-nft", "-N", "KUBE-ROUTER-FORWARD")
	n.run("", "iptables-nft", "-A", "FORWARD", "-m", "comment", "--comment", "kube-router netpol - TEMCG2JMHZYE7H7T", "-j", "KUBE-ROUTER-FORWARD")
	n.run("", "nft", "insert rule ip filter FORWARD oifname wt0 ct state established,related counter accept")
	r, exit := n.doctor(nil)
	f := finding(t, r, survey.NativeRules)
	if len(r.Native) != 1 || exit != 2 {
		t.Fatalf("exit %d, native rules %+v, want one", exit, r.Native)
	}
	if x := r.Native[0]; x.Chain != "FORWARD" || x.Position != 1 || x.Handle == 0 || x.Expression != "ct state" || x.Author != "netbird" {
		t.Errorf("native rule = %+v", x)
	}
	if text := strings.Join(f.Effects, "\n"); !strings.Contains(text, "kube-router ends its process") {
		t.Errorf("effects = %q, want what kube-router does", text)
	}
}

// Duplicates of a program's jump are named, with their positions.
func TestF3DoctorFindsDuplicates(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.run("", n.tool(ir.IPv4, ""), "-t", "nat", "-N", "FLANNEL-POSTRTG")
		for range 2 {
			n.run("", n.tool(ir.IPv4, ""), "-t", "nat", "-A", "POSTROUTING", "-m", "comment", "--comment", "flanneld masq", "-j", "FLANNEL-POSTRTG")
		}
		r, exit := n.doctor(nil)
		f := finding(t, r, survey.Duplicates)
		if text := strings.Join(f.Details, "\n"); exit != 2 || !strings.Contains(text, "positions 1-2, of flannel") {
			t.Errorf("exit %d, details %q", exit, text)
		}
	})
}

// After somebody flushed nat, what is missing is named, and when its program puts
// it back.
func TestR3DoctorNamesLostJumps(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("harvester-healthy")
		n.run("", n.tool(ir.IPv4, ""), "-t", "nat", "-F", "PREROUTING")
		r, exit := n.doctor(nil)
		f := finding(t, r, survey.LostJumps)
		details, effects := strings.Join(f.Details, "\n"), strings.Join(f.Effects, "\n")
		for _, want := range []string{"cali-PREROUTING, of calico", "KUBE-SERVICES, of kube-proxy", "CNI-HOSTPORT-DNAT, of portmap", "OVN-PREROUTING, of kube-ovn"} {
			if !strings.Contains(details, want) {
				t.Errorf("details %q do not say %q", details, want)
			}
		}
		for _, want := range []string{"calico puts it back: within 180 s", "up to 1 h", "portmap puts it back: never", "kube-ovn puts it back: within 3 s"} {
			if !strings.Contains(effects, want) {
				t.Errorf("effects %q do not say %q", effects, want)
			}
		}
		if exit != 2 {
			t.Errorf("exit %d, want 2", exit)
		}
	})
}

// Settings by which everybody's tables are emptied: firewalld's reload.
func TestR2DoctorFindsWhatFlushes(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.run("", n.tool(ir.IPv4, ""), "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
		r, exit := n.doctor(map[string]string{
			"etc/systemd/system/multi-user.target.wants/firewalld.service": "[Unit]\n", "etc/firewalld/firewalld.conf": "FlushAllOnReload=yes\n",
			"etc/systemd/system/sysinit.target.wants/nftables.service": "[Unit]\n", "etc/nftables.conf": "flush ruleset\n",
		})
		for _, code := range []survey.Code{survey.FirewalldFlush, survey.FlushRuleset} {
			if f := finding(t, r, code); f.Severity != survey.Hurts || exit != 2 {
				t.Errorf("exit %d, %+v: want it to hurt", exit, f)
			}
		}
	})
}

// Accept rules that NetBird puts into a table of somebody else's are found by the
// text that it leaves with them.
func TestN7DoctorFindsInjectedRules(t *testing.T) {
	n := newNode(t, ir.IptablesNFT)
	n.run("", n.tool(ir.IPv4, ""), "-S")
	n.run("add table inet site\nadd chain inet site in { type filter hook input priority 10; policy drop; }\n"+
		"add rule inet site in iifname \"wt0\" accept comment \"inputaccept\"\n", "nft", "-f", "-")
	r, _ := n.doctor(nil)
	f := finding(t, r, survey.Injected)
	if text := strings.Join(f.Details, "\n"); !strings.Contains(text, "inet site in") || !strings.Contains(f.Message, "netbird") {
		t.Errorf("%q, details %q: want netbird and the chain named", f.Message, text)
	}
}
