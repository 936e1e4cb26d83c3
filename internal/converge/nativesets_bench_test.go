package converge_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookline/backend/nft"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/netns"
)

// BenchmarkNativeSets measures a set of nft of a million elements from text to kernel
// and back: the first apply, one element more, one that somebody took out, and nothing
// to do, against `nft -f` of the same text in the same run. Compiling and the proof
// (reading again what was written) are part of each. Milliseconds, and MiB of this
// process at its peak; raw-MiB is nft's.
func BenchmarkNativeSets(b *testing.B) {
	for _, kind := range []string{"address", "cidr"} {
		for _, n := range []int{1000, 1_000_000} {
			b.Run(kind+"/"+strconv.Itoa(n), func(b *testing.B) { benchNativeSets(b, kind, n) })
		}
	}
}

// nativeLarge is the ruleset of large, for nft.
func nativeLarge(kind string) string {
	return strings.Replace(strings.Replace(large, "type: cidr", "type: "+kind, 1), "spec:\n", "spec:\n  backend: nft\n", 1)
}

func nativeProgram(b *testing.B, kind, text string) *compiler.Program {
	b.Helper()
	docs, list := dsl.Parse(diag.NewFile("large.yaml", nativeLarge(kind)))
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
	p, list := compiler.Compile(docs[0], compiler.CompileOptions{
		ReadFile: func(*diag.File, string) (*diag.File, error) { return diag.NewFile("blocked.txt", text), nil },
	})
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
	return p
}

// timedNFT runs nft with a script, and tells the largest amount of memory that it
// had, in MiB.
func timedNFT(b *testing.B, ns *netns.NS, script string) float64 {
	b.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := ns.Do(cmd.Start); err != nil {
		b.Fatal(err)
	}
	// What wait4(2) tells is at least what this process had when it forked: look at the
	// child itself while it runs.
	ended, most := make(chan error, 1), 0
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				b.Fatalf("nft: %v %.300s", err, stderr.String())
			}
			return float64(most) / 1024
		case <-time.After(5 * time.Millisecond):
			status, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
			if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok && bytes.HasPrefix(status, []byte("Name:\tnft\n")) {
				kb, _ := strconv.Atoi(string(bytes.Fields(rest)[0]))
				most = max(most, kb)
			}
		}
	}
}

func benchNativeSets(b *testing.B, kind string, n int) {
	ctx := context.Background()
	ns, raw := netns.ForTest(b), netns.ForTest(b)
	host, err := nft.New(nft.Options{Runner: ns.Runner(), NetNS: ns.Do})
	if err != nil {
		b.Fatal(err)
	}
	text := hosts(n, "")
	metrics := map[string]float64{} // reported behind the loop, which forgets them
	ms := func(name string, f func()) {
		start := time.Now()
		f()
		metrics[name+"-ms"] = float64(time.Since(start)) / float64(time.Millisecond)
		metrics[name+"-MiB"] = peak(b)
	}
	// The same text by nft alone, in a namespace of its own.
	ours := func(text string) []*nftables.Table {
		tables, list := compiler.NFTables([]*compiler.Program{nativeProgram(b, kind, text)})
		if err := list.Err(); err != nil {
			b.Fatal(err)
		}
		return tables
	}
	script := nftables.Text(nftables.Script(ours(text)))
	ms("raw-first", func() { metrics["raw-first-nft-MiB"] = timedNFT(b, raw, script) })
	ms("raw-one", func() {
		metrics["raw-one-nft-MiB"] = timedNFT(b, raw, "add element ip hookline-large blocked { 192.0.2.1 }\n")
	})
	script = ""
	peak(b)
	// cycle is one apply: compile, read, compare, write, and read again as a proof. It
	// returns the number of commits.
	cycle := func(text string) int {
		want := ours(text)[0]
		session, err := host.Session(ctx)
		if err != nil {
			b.Fatal(err)
		}
		defer session.Close()
		scope := ir.Scope{Own: []string{want.Name}, OwnSets: map[string][]*ir.OwnSet{want.Name: want.Sets}}
		read := func() *ir.OwnTable {
			snap, err := session.Snapshot(ctx, scope)
			if err != nil {
				b.Fatal(err)
			}
			return snap.State.OwnTable(want.Kind, want.Name)
		}
		scripts, err := host.Render(ir.Transaction{NFT: nativeSteps(read(), want)})
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range scripts {
			if err := session.Apply(ctx, s); err != nil {
				b.Fatal(err)
			}
		}
		if len(scripts) > 0 && len(nativeSteps(read(), want)) > 0 {
			b.Fatal("what was written does not stand")
		}
		return len(scripts)
	}
	apply := func(text string, commits int) {
		if got := cycle(text); got != commits {
			b.Fatalf("%d commits, want %d", got, commits)
		}
	}
	commits := 1
	if n >= nftables.Large {
		commits = 2
	}
	ms("first", func() { apply(text, commits) })
	ms("noop", func() { apply(text, 0) })
	ms("one", func() { apply(text+"192.0.2.1\n", 1) })
	tool(b, ns, "", "nft", "delete", "element", "ip", "hookline-large", "blocked", "{ 192.0.2.1 }")
	ms("drift", func() { apply(text+"192.0.2.1\n", 1) })
	if os.Getenv("HOOKLINE_LONG") == "1" {
		ms("less", func() { apply(text, 1) }) // what is too many has to be listed
		text = strings.TrimSuffix(text, "192.0.2.1\n")
	} else {
		text += "192.0.2.1\n"
	}
	ms("compile", func() { ours(text) })
	for b.Loop() {
		apply(text, 0)
	}
	for name, v := range metrics {
		b.ReportMetric(v, name)
	}
}

// nativeSteps are the steps from what stands to what is wanted, for a ruleset whose
// rules never change.
func nativeSteps(live, want *ir.OwnTable) []ir.NFTOp {
	d := nftables.DiffSets(live, want)
	if live != nil {
		return append(append(d.Before, d.Between...), d.After...)
	}
	ops := append([]ir.NFTOp{{Kind: want.Kind, Table: want.Name, Do: ir.NFTAddTable}}, d.Before...)
	for _, c := range want.Chains {
		ops = append(ops, ir.NFTOp{Kind: want.Kind, Table: want.Name, Do: ir.NFTAddChain, Chain: c.Name, Base: c.Base})
	}
	for _, c := range want.Chains {
		for i := range c.Rules {
			ops = append(ops, ir.NFTOp{Kind: want.Kind, Table: want.Name, Do: ir.NFTAddRule, Chain: c.Name, Rule: &c.Rules[i]})
		}
	}
	return ops
}
