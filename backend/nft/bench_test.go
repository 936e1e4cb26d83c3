package nft_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// foreignRules is how many rules of other programs stand on the host.
const foreignRules = 100_000

// crowded is a host with native rules of others, spread over a thousand chains as
// kube-proxy's are, and a table of ours.
func crowded(b *testing.B) *netns.NS {
	b.Helper()
	ns := netns.ForTest(b)
	var s strings.Builder
	s.WriteString("add table ip kube-proxy\nadd chain ip kube-proxy services { type filter hook input priority 0; }\n")
	for c := range 1000 {
		fmt.Fprintf(&s, "add chain ip kube-proxy service-%d\nadd rule ip kube-proxy services ip daddr 10.96.%d.%d jump service-%d\n", c, c>>8, c&255, c)
	}
	for i := range foreignRules {
		fmt.Fprintf(&s, "add rule ip kube-proxy service-%d ip saddr 10.%d.%d.%d tcp dport 80 counter accept comment \"rule number %d\"\n",
			i%1000, i>>16&255, i>>8&255, i&255, i)
	}
	s.WriteString("add table inet hookline-site\nadd chain inet hookline-site filter-SITE\nadd chain inet hookline-site filter-INPUT { type filter hook input priority -5; }\n")
	for i := range 50 {
		fmt.Fprintf(&s, "add rule inet hookline-site filter-SITE tcp dport %d counter accept comment \"hookline:site\"\n", i+1)
	}
	s.WriteString("add rule inet hookline-site filter-INPUT counter jump filter-SITE\n")
	run(b, ns, s.String(), "nft", "-f", "-")
	return ns
}

// best is the shortest of some runs: what the machine does when it does nothing else.
func best(n int, f func()) time.Duration {
	d := time.Hour
	for range n {
		start := time.Now()
		f()
		d = min(d, time.Since(start))
	}
	return d
}

var siteScope = ir.Scope{Own: []string{"hookline-site"}}

func openBench(b *testing.B, ns *netns.NS) backend.Session {
	b.Helper()
	s, err := newBackend(b, ns).Session(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func read(b *testing.B, s backend.Session) *ir.State {
	b.Helper()
	snap, err := s.Snapshot(context.Background(), siteScope)
	if err != nil {
		b.Fatal(err)
	}
	if t := snap.State.OwnTable(ir.Inet, "hookline-site"); t == nil || len(t.Chain("filter-SITE").Rules) < 50 {
		b.Fatal("our table was not read")
	}
	return snap.State
}

// BenchmarkSnapshotNFT reads what a plan needs beside a hundred thousand rules of
// others, and finds nothing to do. It is compared with one `nft list table` of our
// table.
func BenchmarkSnapshotNFT(b *testing.B) {
	ns := crowded(b)
	s := openBench(b, ns)
	read(b, s)
	raw := best(5, func() { run(b, ns, "", "nft", "list", "table", "inet", "hookline-site") })
	ours := best(5, func() { read(b, s) })
	for b.Loop() {
		read(b, s)
	}
	report(b, raw, ours)
}

// BenchmarkOneRuleNFT changes one rule: read, write, read back. It is compared with
// `nft -f` of the rule alone.
func BenchmarkOneRuleNFT(b *testing.B) {
	ns := crowded(b)
	s := openBench(b, ns)
	n := 0
	change := func() {
		n++
		state := read(b, s)
		rules := state.OwnTable(ir.Inet, "hookline-site").Chain("filter-SITE").Rules
		last := rules[len(rules)-1].Handle
		at := ir.NFTOp{Kind: ir.Inet, Table: "hookline-site", Chain: "filter-SITE", Handle: last}
		insert, remove := at, at
		insert.Do, insert.Rule, remove.Do = ir.NFTInsertRule, &ir.OwnRule{Text: fmt.Sprintf("udp dport %d counter accept", n%60000+1)}, ir.NFTDeleteRule
		tx := ir.Transaction{NFT: []ir.NFTOp{insert, remove}}
		predicted, err := state.Apply(tx)
		if err != nil {
			b.Fatal(err)
		}
		scripts, err := newBackend(b, ns).Render(tx)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Apply(context.Background(), scripts[0]); err != nil {
			b.Fatal(err)
		}
		want := predicted.OwnTable(ir.Inet, "hookline-site").Chain("filter-SITE").Rules
		got := read(b, s).OwnTable(ir.Inet, "hookline-site").Chain("filter-SITE").Rules
		if got[len(got)-1].Text != want[len(want)-1].Text {
			b.Fatalf("%q stands, want %q", got[len(got)-1].Text, want[len(want)-1].Text)
		}
	}
	change()
	raw := best(5, func() {
		n++
		run(b, ns, fmt.Sprintf("add rule inet hookline-site filter-INPUT udp dport %d counter accept\n", n%60000+1), "nft", "-f", "-")
	})
	ours := best(5, change)
	for b.Loop() {
		change()
	}
	report(b, raw, ours)
}

func report(b *testing.B, raw, ours time.Duration) {
	b.Helper()
	b.ReportMetric(float64(raw.Microseconds())/1000, "raw-ms")
	b.ReportMetric(float64(ours.Microseconds())/1000, "ours-ms")
}
