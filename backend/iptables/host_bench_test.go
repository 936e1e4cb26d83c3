package iptables

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

// crowded makes a host with foreign rules, spread over a thousand chains as
// kube-proxy's are, and some of ours.
func crowded(b *testing.B, v ir.Variant) *netns.NS {
	b.Helper()
	ns := netns.ForTest(b)
	var s strings.Builder
	s.WriteString("*filter\n:OWN-IN - [0:0]\n:OWN-FWD - [0:0]\n")
	for c := range 1000 {
		fmt.Fprintf(&s, ":FOREIGN-%d - [0:0]\n", c)
	}
	for i := range foreignRules {
		fmt.Fprintf(&s, "-A FOREIGN-%d -s 10.%d.%d.%d/32 -p tcp -m tcp --dport 80 -m comment --comment \"rule number %d\" -j ACCEPT\n",
			i%1000, i>>16&255, i>>8&255, i&255, i)
	}
	for i := range 25 {
		fmt.Fprintf(&s, "-A OWN-IN -p tcp -m tcp --dport %d -j ACCEPT\n-A OWN-FWD -p udp -m udp --dport %d -j ACCEPT\n", i+1, i+1)
	}
	for i := range 5 {
		fmt.Fprintf(&s, "-A INPUT -j FOREIGN-%d\n-A FORWARD -j FOREIGN-%d\n", i, i+5)
	}
	s.WriteString("-A INPUT -j OWN-IN\n-A FORWARD -j OWN-FWD\nCOMMIT\n")
	must(b, ns, s.String(), tool(v, ir.IPv4)+"-restore", "--noflush")
	return ns
}

// must runs one tool in a namespace.
func must(b testing.TB, ns *netns.NS, stdin string, argv ...string) backend.Result {
	b.Helper()
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
	if err != nil || res.Exit != 0 {
		b.Fatalf("%v: exit %d, %v: %.500s", argv, res.Exit, err, res.Stderr)
	}
	return res
}

// best is the shortest of some runs: what the machine does when it does nothing
// else.
func best(n int, f func()) time.Duration {
	d := time.Hour
	for range n {
		start := time.Now()
		f()
		d = min(d, time.Since(start))
	}
	return d
}

// BenchmarkScopedSnapshotNFT reads what a plan needs beside a hundred thousand
// foreign rules. It is compared with the plainest way to read the same chains:
// one run of the tool for each.
func BenchmarkScopedSnapshotNFT(b *testing.B) {
	ns := crowded(b, ir.IptablesNFT)
	s := open(b, ns, ir.IptablesNFT)
	scope := ir.Scope{Families: []ir.Family{ir.IPv4}, Sets: []string{"none"}}
	filter := ir.TableKey{Family: ir.IPv4, Name: "filter"}
	scope.WantGlob(filter, "OWN-*")
	for _, c := range []string{"INPUT", "FORWARD"} {
		scope.Want(ir.ChainKey{Family: ir.IPv4, Table: "filter", Chain: c})
	}
	snapshot(b, s, scope)
	raw := best(5, func() {
		for _, c := range []string{"INPUT", "FORWARD", "OWN-IN", "OWN-FWD"} {
			must(b, ns, "", "iptables-nft", "-t", "filter", "-S", c)
		}
	})
	ours := best(5, func() { snapshot(b, s, scope) })
	for b.Loop() {
		snapshot(b, s, scope)
	}
	b.ReportMetric(float64(raw.Microseconds())/1000, "raw-ms")
	b.ReportMetric(float64(ours.Microseconds())/1000, "ours-ms")
}

// BenchmarkWidenedSnapshotNFT has one of our chains referred to from a foreign
// chain: the whole table must be searched for it.
func BenchmarkWidenedSnapshotNFT(b *testing.B) {
	ns := crowded(b, ir.IptablesNFT)
	must(b, ns, "", "iptables-nft", "-A", "FOREIGN-77", "-j", "OWN-IN")
	s := open(b, ns, ir.IptablesNFT)
	scope := ir.Scope{Families: []ir.Family{ir.IPv4}}
	scope.WantGlob(ir.TableKey{Family: ir.IPv4, Name: "filter"}, "OWN-*")
	raw := best(2, func() { must(b, ns, "", "iptables-nft-save", "-c", "-t", "filter") })
	for b.Loop() {
		snapshot(b, s, scope)
	}
	b.ReportMetric(float64(raw.Microseconds())/1000, "save-ms")
}

// BenchmarkWholeSnapshot reads everything, and compares with one raw save.
func BenchmarkWholeSnapshot(b *testing.B) {
	for _, v := range variants {
		b.Run(string(v), func(b *testing.B) {
			ns := crowded(b, v)
			s := open(b, ns, v)
			scope := ir.Scope{Families: []ir.Family{ir.IPv4}, All: true}
			raw := best(3, func() { must(b, ns, "", tool(v, ir.IPv4)+"-save", "-c", "-t", "filter") })
			ours := best(3, func() { snapshot(b, s, scope) })
			for b.Loop() {
				snapshot(b, s, scope)
			}
			b.ReportMetric(float64(ours)/float64(raw), "ours/raw")
		})
	}
}

// BenchmarkColdPlanNFT opens a session as a new process does, with nothing known
// of the machine, and reads twice, as a plan does.
func BenchmarkColdPlanNFT(b *testing.B) {
	ns := crowded(b, ir.IptablesNFT)
	scope := ir.Scope{Sets: []string{"none"}}
	for _, f := range ir.Families {
		for _, table := range ir.TableNames {
			scope.WantGlob(ir.TableKey{Family: f, Name: table}, "OWN-*")
		}
		for _, c := range []string{"INPUT", "FORWARD"} {
			scope.Want(ir.ChainKey{Family: f, Table: "filter", Chain: c})
		}
	}
	for b.Loop() {
		h, err := New(Options{Variant: ir.IptablesNFT, Runner: ns.Runner(), NetNS: ns.Do, LockFile: ns.LockFile()})
		if err != nil {
			b.Fatal(err)
		}
		s, err := h.Session(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		snapshot(b, s, scope)
		snapshot(b, s, scope)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
