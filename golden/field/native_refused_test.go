package field

import (
	"strings"
	"testing"

	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// H-9: where nft refuses several rules, each is told at its own line, with what nft
// says of that one.
func TestH9EachRefusedNativeRuleIsToldAtItsLine(t *testing.T) {
	n := nativeNode(t, "mixed-all-native-nftables-nft")
	out := n.must(n.native(peersWith("tolerate", `            - {name: rest, action: drop}`,
		`            - {name: one, nft: "tcp dport 70000 drop"}`+"\n"+
			`            - {name: two, nft: "counter accept"}`+"\n"+
			`            - {name: three, nft: "ct state nosuchstate drop"}`)), converge.Refused)
	told := map[int]string{}
	for _, d := range out.Diags.All() {
		if d.Code == diag.ToolRefused {
			told[d.Span.Position().Line] += d.Message
		}
	}
	if len(told) != 2 || !strings.Contains(told[13], "out of range") || !strings.Contains(told[15], "conntrack state") {
		t.Errorf("told at lines %v:\n%s", told, findings(out.Diags))
	}
}
