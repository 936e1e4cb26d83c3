package compiler_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend/recorded"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

var update = flag.Bool("update", false, "rewrite the wanted texts and fail, so that the difference gets read")

// recordedNode is one of the recorded nodes, with its tables of nftables as a
// backend for nft reads them.
func recordedNode(t testing.TB, name string) *ir.Snapshot {
	t.Helper()
	snap, list, err := recorded.Load(filepath.Join("..", "golden", "nodes", name), ir.IptablesNFT)
	if err == nil {
		err = list.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	snap.Source = name
	snap.Variant = ir.NFT
	snap.State.NFTTables = snap.Host.NFTTables
	return snap
}

// edge is a ruleset with a base chain at many hooks, each with bounds. It accepts
// and drops.
const edge = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: edge, version: 1.0.0}
spec:
  owns: {chains: ["EDGE-*"]}
  tables:
    raw:
      chains:
        EDGE-RAW: {rules: [{match: {protocol: udp, dport: "4789"}, action: {ct: {notrack: true}}}]}
      anchors:
        - {hook: PREROUTING, jump: EDGE-RAW, before: [calico, netbird, docker]}
    mangle:
      chains:
        EDGE-MARK: {rules: [{match: {in: eth1}, action: {mark: {set: "0x1/0x1"}}}]}
      anchors:
        - {hook: PREROUTING, jump: EDGE-MARK, after: [calico], before: [kube-proxy]}
    nat:
      chains:
        EDGE-SNAT: {rules: [{match: {out: eth1}, action: masquerade}]}
      anchors:
        - {hook: POSTROUTING, jump: EDGE-SNAT, before: [netbird, kube-proxy, flannel]}
    filter:
      chains:
        EDGE-IN:
          rules:
            - {match: {state: [established, related]}, action: accept}
            - {match: {protocol: tcp, dport: "22", source: 10.0.0.0/8}, action: accept}
            - {match: {protocol: tcp, dport: "22"}, action: drop}
        EDGE-FWD:
          rules:
            - {match: {in: eth1, out: eth2}, action: accept}
            - {match: {in: eth1}, action: drop}
      anchors:
        - {hook: INPUT, jump: EDGE-IN, after: [kube-proxy, calico], before: [netbird, firewalld]}
        - {hook: FORWARD, jump: EDGE-FWD, after: [calico], before: [flannel, netbird, firewalld]}
`

// TestTimelines: what a plan shows of each hook on recorded nodes whose programs
// write nftables. testdata/timelines/NODE.txt is what an operator reads, with the
// findings below; NODE.md what a pull request shows.
func TestTimelines(t *testing.T) {
	wants, err := filepath.Glob("testdata/timelines/*.txt")
	if err != nil || len(wants) < 7 {
		t.Fatalf("texts: %v, %v", wants, err)
	}
	for _, want := range wants {
		node := strings.TrimSuffix(filepath.Base(want), ".txt")
		t.Run(node, func(t *testing.T) {
			prog, _ := compile(t, edge, compiler.CompileOptions{})
			plan := compiler.NewPlan([]*compiler.Program{prog}, recordedNode(t, node), compiler.PlanOptions{})
			var text, md bytes.Buffer
			if err := plan.WriteText(&text, compiler.TextOptions{}); err != nil {
				t.Fatal(err)
			}
			text.WriteString("\n")
			plan.Diags.Sort()
			if err := diag.WriteText(&text, plan.Diags, diag.TextOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := compiler.WriteMarkdown(&md, []*compiler.Plan{plan}, 0); err != nil {
				t.Fatal(err)
			}
			same(t, want, text.Bytes())
			same(t, strings.TrimSuffix(want, ".txt")+".md", md.Bytes())
		})
	}
}

// same compares a text with a wanted one, or rewrites that.
func same(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s was rewritten: read the difference, then run again without -update", file)
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s mismatch (-want +got):\n%s", file, d)
	}
}
