package converge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hookline/backend"
	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

// crowd is a filter table with n foreign rules in chains of a hundred, as
// kube-proxy writes them.
func crowd(n int) string {
	var b strings.Builder
	b.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n")
	for c := range n / 100 {
		fmt.Fprintf(&b, ":KUBE-SVC-%06d - [0:0]\n", c)
	}
	b.WriteString("-A INPUT -j KUBE-SVC-000000\n")
	for i := range n {
		fmt.Fprintf(&b, "-A KUBE-SVC-%06d -p tcp -m comment --comment \"ns/svc-%d:http\" -m tcp --dport %d -j ACCEPT\n", i/100, i, i%60000+1)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

func tool(b *testing.B, ns *netns.NS, stdin string, argv ...string) {
	b.Helper()
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
	if err != nil || res.Exit != 0 {
		b.Fatalf("%v: %v %s", argv, err, res.Stderr)
	}
}

// best is the shortest of a few runs, so that another program's burst does not
// count.
func best(f func()) time.Duration {
	out := time.Duration(1<<63 - 1)
	for range 5 {
		start := time.Now()
		f()
		out = min(out, time.Since(start))
	}
	return out
}

// BenchmarkBeside measures a plan and an apply that has nothing to do beside 100
// and 100,000 foreign rules, against the raw reads that the ruleset needs in the
// same run: on the nft variant one `iptables-nft -S CHAIN` for each chain, on
// legacy one save and one restore of the table.
func BenchmarkBeside(b *testing.B) {
	for _, v := range []ir.Variant{ir.IptablesNFT, ir.IptablesLegacy} {
		for _, n := range []int{100, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", v, n), func(b *testing.B) { beside(b, v, n) })
		}
	}
}

func beside(b *testing.B, v ir.Variant, n int) {
	ctx := context.Background()
	ns := netns.ForTest(b)
	kind := strings.TrimPrefix(string(v), "iptables-")
	tool(b, ns, crowd(n), "iptables-"+kind+"-restore")
	host, err := iptables.New(iptables.Options{Variant: v, Runner: ns.Runner(), NetNS: ns.Do, LockFile: ns.LockFile()})
	if err != nil {
		b.Fatal(err)
	}
	opt := converge.Options{Backend: host, Programs: programs(b, site)}
	if out, err := converge.Apply(ctx, opt); err != nil || out.Status != converge.Done {
		b.Fatalf("apply: %v %v", out, err)
	}
	raw := best(func() {
		if v == ir.IptablesLegacy {
			res, err := ns.Runner().Run(ctx, backend.Cmd{Argv: []string{"iptables-legacy-save", "-t", "filter"}})
			if err != nil {
				b.Fatal(err)
			}
			tool(b, ns, res.Stdout, "iptables-legacy-restore")
			return
		}
		for _, p := range opt.Programs {
			for _, k := range reads(p) {
				name := map[ir.Family]string{ir.IPv4: "iptables-nft", ir.IPv6: "ip6tables-nft"}[k.Family]
				tool(b, ns, "", name, "-t", k.Table, "-S", k.Chain)
			}
		}
	})
	plan := best(func() {
		p, err := converge.Plan(ctx, opt)
		if err != nil || !p.Empty() {
			b.Fatalf("plan: %v", err)
		}
	})
	noop := best(func() {
		out, err := converge.Apply(ctx, opt)
		if err != nil || out.Wrote {
			b.Fatalf("apply: %v", err)
		}
	})
	for b.Loop() {
		if _, err := converge.Plan(ctx, opt); err != nil {
			b.Fatal(err)
		}
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(raw), "raw-ms")
	b.ReportMetric(ms(plan), "plan-ms")
	b.ReportMetric(ms(noop), "noop-ms")
	b.ReportMetric(ms(plan)/ms(raw), "plan/raw")
}

// reads are the chains that a ruleset needs: its own, and those it places jumps
// in.
func reads(p *compiler.Program) []ir.ChainKey {
	var out []ir.ChainKey
	for _, c := range p.Chains {
		out = append(out, c.Key)
	}
	for _, a := range p.Anchors {
		out = append(out, a.Key)
	}
	return out
}
