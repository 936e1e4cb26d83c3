package integrations

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// units are the files of integrations/systemd, by their path there.
func units(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, glob := range []string{"*.service", "*.timer", "*.d/*.conf"} {
		found, err := filepath.Glob(filepath.Join("systemd", glob))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rel, err := filepath.Rel("systemd", f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, rel)
		}
	}
	if len(out) != 6 {
		t.Fatalf("%d files in integrations/systemd, want 6: %v", len(out), out)
	}
	return out
}

// unitsWith are the units in a folder, with a program that is there in place of
// /usr/local/bin/hookline.
func unitsWith(t *testing.T, program string) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	for _, u := range units(t) {
		text := strings.ReplaceAll(read(t, filepath.Join("systemd", u)), "/usr/local/bin/hookline", program)
		write(t, filepath.Join(dir, u), text, 0o644)
		if !strings.HasSuffix(u, ".conf") {
			files = append(files, filepath.Join(dir, u))
		}
	}
	return dir, files
}

// TestUnitsAreValid asks systemd-analyze.
func TestUnitsAreValid(t *testing.T) {
	need(t, "systemd-analyze")
	_, files := unitsWith(t, hookline(t))
	if out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, files...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

var exposure = regexp.MustCompile(`exposure level for (hookline-\w+\.service): (\d+\.\d)`)

// TestExposure compares what systemd-analyze says of the sandbox with the README,
// whose numbers are those of systemd 252; others count a little differently.
func TestExposure(t *testing.T) {
	need(t, "systemd-analyze")
	readme := read(t, "systemd/README.md")
	counted := strings.HasPrefix(output(t, "systemd-analyze", "--version"), "systemd 252 ")
	_, files := unitsWith(t, hookline(t))
	n := 0
	for _, f := range files {
		if !strings.HasSuffix(f, ".service") {
			continue
		}
		n++
		m := exposure.FindStringSubmatch(output(t, "systemd-analyze", "security", "--offline=yes", "--no-pager", f))
		if m == nil {
			t.Fatalf("systemd-analyze does not tell the exposure of %s", f)
		}
		if want := "| `" + m[1] + "` | " + m[2] + " |"; counted && !strings.Contains(readme, want) {
			t.Errorf("systemd/README.md lacks the row %q", want)
		}
		if m[2] > "3" {
			t.Errorf("the exposure of %s is %s: the sandbox is not in effect", m[1], m[2])
		}
	}
	if n != 3 {
		t.Errorf("%d services, want 3", n)
	}
}

// secondBoot is what happens on a node that boots from its disk, once the programs
// of Kubernetes come and later.
const secondBoot = `
keep order systemctl show --property=Id,Result,ActiveEnterTimestampMonotonic hookline-apply.service network-pre.target sysinit.target
keep boot-v4 iptables-nft-save
keep boot-v6 ip6tables-nft-save
keep timer systemctl show --property=Id,ActiveState,TimersMonotonic hookline-reapply.timer

# Calico, kube-proxy, Kube-OVN and the others put their rules in, behind ours.
ipset restore </shared/node/ipset-save.txt
ipset create site-allow hash:net
ipset add site-allow 192.0.2.0/24
iptables-nft-restore --noflush </shared/node/iptables-nft-save.txt
ip6tables-nft-restore --noflush </shared/node/ip6tables-nft-save.txt
keep came iptables-nft -S INPUT
keep reapply systemctl start hookline-reapply.service
keep mended iptables-nft -S INPUT
keep prerouting iptables-nft -t nat -S PREROUTING
keep site iptables-nft -S SITE_INPUT

state() {
	nft -a list ruleset
	iptables-nft-save -c | grep -v '^#'
	ip6tables-nft-save -c | grep -v '^#'
	cat /var/lib/hookline/rulesets/*
}
keep state-1 state
keep again systemctl start hookline-reapply.service
keep state-2 state
keep again-log journalctl --no-pager --output=cat --unit=hookline-reapply.service

keep verify systemctl start hookline-verify.service
iptables-nft -D INPUT -i mgmt-br -m comment --comment hookline:harvester-node -j HARVESTER_INPUT
keep drift systemctl start hookline-verify.service
keep drift-status systemctl show --property=Id,ExecMainStatus hookline-verify.service

# The timer, in seconds instead of minutes. What does not hold fails, says why, and is tried again.
mkdir -p /run/systemd/system/hookline-reapply.timer.d
cat >/run/systemd/system/hookline-reapply.timer.d/fast.conf <<'END'
[Timer]
OnActiveSec=
OnActiveSec=1s
OnUnitInactiveSec=3s
AccuracySec=100ms
RandomizedDelaySec=0
END
cp /shared/impossible.yaml /etc/hookline/rulesets/
systemctl daemon-reload
systemctl restart hookline-reapply.timer
failed_twice() { [ "$(journalctl --unit=hookline-reapply.service | grep -c 'status=3/')" -ge 2 ]; }
keep tried-again within 60 failed_twice
keep failed-log journalctl --no-pager --output=cat --unit=hookline-reapply.service
keep failed-rules iptables-nft -S INPUT
rm /etc/hookline/rulesets/impossible.yaml
keep back within 60 iptables-nft -C INPUT -i mgmt-br -m comment --comment hookline:harvester-node -j HARVESTER_INPUT
keep back-rules iptables-nft -S INPUT
systemctl stop hookline-reapply.timer
within 60 sh -c '! systemctl is-active --quiet hookline-reapply.service'

# The other variant, in the same sandbox.
keep removed hookline remove /etc/hookline/rulesets
echo 'HOOKLINE_ARGS="--backend iptables-legacy --set role=witness"' >/etc/hookline/hookline.env
keep legacy systemctl start hookline-reapply.service
legacy() { for f in iptables ip6tables; do $f-legacy-save -c | grep -v '^#'; done; }
keep legacy-1 legacy
keep legacy-again systemctl start hookline-reapply.service
keep legacy-2 legacy
keep lock ls -l /run/xtables.lock

keep analyze systemd-analyze verify --man=no hookline-apply.service hookline-reapply.timer hookline-verify.timer
keep sandbox systemctl show --property=Id,CapabilityBoundingSet,NoNewPrivileges,ProtectSystem,DropInPaths hookline-apply.service
`

// siteRuleset has a rule for a set that another program makes later, and impossible
// a constraint that never holds.
const (
	siteRuleset = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  families: [ipv4]
  owns: {chains: ["SITE_*"]}
  tables:
    filter:
      chains:
        SITE_INPUT: {rules: [{match: {source: {set: site-allow, ifMissing: skip}}, action: accept}, {action: return}]}
      anchors: [{hook: INPUT, jump: SITE_INPUT, after: [calico]}]
`
	impossible = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: impossible, version: 1.0.0}
spec:
  constraints:
    - name: never
      that: planned.chain("ipv4", "filter", "INPUT").policy == "DROP"
      message: INPUT must drop what nobody lets in
`
)

const ourJump = `-A INPUT -i mgmt-br -m comment --comment "hookline:harvester-node" -j HARVESTER_INPUT`

// secondBoot is the second boot of TestNodeBoots.
func (n *node) secondBoot(t *testing.T) {
	n.t = t
	if err := os.CopyFS(n.path("shared/node"), os.DirFS(duplicates)); err != nil {
		t.Fatal(err)
	}
	n.write("etc/hookline/rulesets/site.yaml", siteRuleset)
	n.write("shared/impossible.yaml", impossible)
	for _, u := range []string{"hookline-verify.service", "hookline-verify.timer"} { // not part of the user data
		copyFile(t, filepath.Join("systemd", u), n.path("etc/systemd/system", u), 0o644)
	}
	k := n.boot(secondBoot)

	// Before the network, without any of the programs that are named.
	if got := k.property("order", "hookline-apply.service", "Result"); got != "success" {
		t.Errorf("hookline-apply.service: %s", got)
	}
	if apply, network := k.since("order", "hookline-apply.service"), k.since("order", "network-pre.target"); apply > network {
		t.Errorf("applied at %d, and the network may come up at %d µs", apply, network)
	}
	k.has("boot-v4", ourJump, "-A HARVESTER_INPUT -j DROP", "-j SITE_INPUT")
	k.has("boot-v6", ourJump, "-A HARVESTER_INPUT -p ipv6-icmp -j ACCEPT")
	if strings.Contains(k.text("boot-v4"), "site-allow") {
		t.Error("a rule with a set that does not stand yet")
	}
	if got := k.property("timer", "hookline-reapply.timer", "ActiveState"); got != "active" {
		t.Errorf("the timer is %s", got)
	}

	// T-15: once the others are there, what is ours goes to its place behind them.
	k.order("came", ourJump, "-j cali-INPUT", "-j KUBE-FIREWALL")
	k.exit("reapply", 0)
	k.order("mended", "-j cali-INPUT", "-j KUBE-FIREWALL", ourJump)
	if n := strings.Count(k.text("prerouting"), "-j OVN-PREROUTING"); n != 1 {
		t.Errorf("%d jumps to OVN-PREROUTING:\n%s", n, k.text("prerouting"))
	}
	k.order("prerouting", "-j cali-PREROUTING", "-j OVN-PREROUTING", "-j KUBE-SERVICES", "-j CNI-HOSTPORT-DNAT")
	k.has("site", "-A SITE_INPUT -m set --match-set site-allow src -j ACCEPT")
	// And then nothing is written: the same handles, counters and record.
	k.exit("again", 0)
	if k.text("state-1") != k.text("state-2") || len(k.text("state-1")) < 1000 {
		t.Errorf("a second run writes:\n%s\n%s", k.text("state-1"), k.text("state-2"))
	}
	k.has("again-log", "applied and read back: the host is as declared", "nothing to do: the host is as declared")

	k.exit("verify", 0)
	k.exit("drift", 1)
	if got := k.property("drift-status", "hookline-verify.service", "ExecMainStatus"); got != "2" {
		t.Errorf("verify ended with %s, want 2", got)
	}

	// Exit code 3 changes nothing, says why in the journal, and is tried again until it holds.
	k.exit("tried-again", 0)
	k.has("failed-log", "never: INPUT must drop what nobody lets in", "[constraint]")
	if strings.Contains(k.text("failed-rules"), ourJump) {
		t.Error("a run that is refused has written")
	}
	k.exit("back", 0)
	k.order("back-rules", "-j cali-INPUT", "-j KUBE-FIREWALL", ourJump)

	k.exit("removed", 0)
	k.exit("legacy", 0)
	k.exit("legacy-again", 0)
	k.has("legacy-1", ourJump, "--dports 2379:2380,9345,9796,10250", "--match-set site-allow src")
	if k.text("legacy-1") != k.text("legacy-2") {
		t.Errorf("a second run on legacy writes:\n%s\n%s", k.text("legacy-1"), k.text("legacy-2"))
	}
	k.exit("lock", 0)
	k.exit("analyze", 0)
	if k.text("analyze") != "" {
		t.Errorf("systemd-analyze verify:\n%s", k.text("analyze"))
	}
	if got := k.property("sandbox", "hookline-apply.service", "CapabilityBoundingSet"); got != "cap_net_admin cap_net_raw" {
		t.Errorf("the capabilities are %q", got)
	}
}
