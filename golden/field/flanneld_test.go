package field

import (
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/coreos/go-iptables/iptables"
)

// flannel's rules, as flanneld v0.28 holds them (pkg/trafficmngr/iptables): a
// chain's own and the jump to it, in the order in which it asks for them.
type flannelRule struct{ table, chain, text string }

const flannelMasq, flannelForward = `-m comment --comment "flanneld masq"`, `-m comment --comment "flanneld forward"`

// flannelRules are those of one family on the recorded node.
func flannelRules(v6 bool) []flannelRule {
	network, subnet, multicast := "10.244.0.0/16", "10.244.1.0/24", "224.0.0.0/4"
	if v6 {
		network, subnet, multicast = "fd00:10:244::/48", "fd00:10:244:1::/64", "ff00::/8"
	}
	masq := func(match, target string) flannelRule {
		return flannelRule{"nat", "FLANNEL-POSTRTG", strings.TrimSpace(match + " " + flannelMasq + " -j " + target)}
	}
	return []flannelRule{
		{"nat", "POSTROUTING", flannelMasq + " -j FLANNEL-POSTRTG"},
		masq("-m mark --mark 0x4000/0x4000", "RETURN"),
		masq("-s "+subnet+" -d "+network, "RETURN"),
		masq("-s "+network+" -d "+subnet, "RETURN"),
		masq("! -s "+network+" -d "+subnet, "RETURN"),
		masq("-s "+network+" ! -d "+multicast, "MASQUERADE --random-fully"),
		masq("! -s "+network+" -d "+network, "MASQUERADE --random-fully"),
		{"filter", "FORWARD", flannelForward + " -j FLANNEL-FWD"},
		{"filter", "FLANNEL-FWD", "-s " + network + " " + flannelForward + " -j ACCEPT"},
		{"filter", "FLANNEL-FWD", "-d " + network + " " + flannelForward + " -j ACCEPT"},
	}
}

// words are the arguments of a rule: a comment is one of them.
func (r flannelRule) words() []string {
	var out []string
	for i, part := range strings.Split(r.text, `"`) {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// flanneld asks for each rule by itself, and if one of a table is not there sends a
// restore that deletes those that it found and appends all of them. A rule that
// is gone by then lets the whole table fail; it tries again with the next round.
func flanneld(ipt *iptables.IPTables, tool string) error {
	for _, table := range []string{"nat", "filter"} {
		var restore strings.Builder
		fmt.Fprintf(&restore, "*%s\n", table)
		missing := false
		for _, r := range flannelRules(ipt.Proto() == iptables.ProtocolIPv6) {
			if r.table != table {
				continue
			}
			there, err := ipt.Exists(r.table, r.chain, r.words()...)
			if err != nil {
				return fmt.Errorf("asking for %s in %s: %w", r.text, r.chain, err)
			}
			if there {
				fmt.Fprintf(&restore, "-D %s %s\n", r.chain, r.text)
			}
			missing = missing || !there
			fmt.Fprintf(&restore, "-A %s %s\n", r.chain, r.text)
		}
		if !missing {
			continue
		}
		restore.WriteString("COMMIT\n")
		cmd := exec.Command(tool+"-restore", "--noflush", "--wait")
		cmd.Stdin = strings.NewReader(restore.String())
		if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "Bad rule") {
			return fmt.Errorf("restoring: %w: %s", err, out)
		}
	}
	return nil
}

// flanneldLoses is flanneld on a node where somebody takes its jumps out, between
// two rounds of it.
func flanneldLoses(ipt *iptables.IPTables, tool string, n int) error {
	// Both would else write without a pause, and wait for each other only.
	time.Sleep(200 * time.Millisecond)
	for _, r := range flannelRules(ipt.Proto() == iptables.ProtocolIPv6) {
		if n%2 == 1 && r.chain == "POSTROUTING" || n%2 == 0 && r.chain == "FORWARD" {
			if err := ipt.DeleteIfExists(r.table, r.chain, r.words()...); err != nil && !gone(err) {
				return fmt.Errorf("taking out %s: %w", r.text, err)
			}
		}
	}
	return flanneld(ipt, tool)
}

// gone tells that a rule was not there any more when it was to be deleted.
func gone(err error) bool {
	return strings.Contains(err.Error(), "does a matching rule exist in that chain") || strings.Contains(err.Error(), "RULE_DELETE failed")
}
