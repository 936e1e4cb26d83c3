package property

import (
	"strings"
	"testing"

	"hookline/dsl"
	"hookline/dsl/diag"
)

// TestGenerator holds without a kernel: the same seed makes the same ruleset, and
// together the rulesets say everything that the language knows for a rule.
func TestGenerator(t *testing.T) {
	const rulesets = 600
	var all strings.Builder
	refused := 0
	for i := range rulesets {
		r := newRuleset(newDice(7, uint64(i)), pool(t), true)
		if again := newRuleset(newDice(7, uint64(i)), pool(t), true); again.text != r.text {
			t.Fatalf("ruleset %d is another one the second time", i)
		}
		if _, list := dsl.Parse(diag.NewFile("ruleset.yaml", r.text)); list.HasErrors() {
			refused++
			t.Logf("ruleset %d: %v\n%s", i, list.Err(), r.text)
		}
		all.WriteString(r.text)
	}
	if refused > 0 {
		t.Errorf("%d of %d texts cannot be read", refused, rulesets)
	}
	for _, word := range []string{
		"protocol: ", "source: ", "destination: ", "sport: ", "dport: ", "in: ", "out: ", "state: ", "mark: ", "ctmark: ", "icmpType: ",
		"icmpv6Type: ", "tcpFlags: ", "addrtype: ", "limit: ", "hashlimit: ", "owner: {uid", "owner: {gid", "mac: ", "physdev: {in", "physdev: {out",
		"length: ", "ttl: ", "helper: ", "not: {", "{set: ",
		"action: accept", "action: drop", "action: return", "action: reject", "{reject: {with", "{jump: ", "{goto: ", "action: log", "{log: ", "{nflog: ",
		"{dnat: ", "{snat: ", "action: masquerade", "{masquerade: ", "action: redirect", "{redirect: ", "{mark: {set", "{connmark: {set",
		"{connmark: {save", "{connmark: {restore", "{ct: {zone", "{ct: {notrack", "{ct: {helper", "{tcpmss: {set", "{tcpmss: {clampToPMTU",
		"{tproxy: ", "{dscp: ",
		"params.", "forEach: ", "when: ", "facts.", "families: ", "comment: ", "name: ", "iptables: ", "anchors:", "adopt:", "after: ", "before: ",
		"at: first", "at: last", "ifMissing: hold", "ifMissing: fail", "ifMissing: skip", "duplicates: collapse", "duplicates: keep", "owns: ",
		"constraints:", "goto: \"", "hook: DOCKER-USER", "    raw:", "    security:",
	} {
		if !strings.Contains(all.String(), word) {
			t.Errorf("no ruleset has %q", word)
		}
	}
}
