package converge_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
	"hookline/internal/netns"
)

// large is a ruleset whose set has its elements in a file.
const large = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: large, version: 1.0.0}
spec:
  families: [ipv4]
  sets: {blocked: {type: cidr, file: blocked.txt}}
  tables:
    filter:
      chains: {LARGE: {rules: [{match: {source: {set: blocked}}, action: drop}]}}
      anchors: [{hook: INPUT, jump: LARGE}]
`

// hosts are n addresses of which no two are neighbours, one a line behind prefix.
func hosts(n int, prefix string) string {
	var b strings.Builder
	for i := range n {
		a := 10<<24 + 2*i
		fmt.Fprintf(&b, "%s%d.%d.%d.%d\n", prefix, a>>24, a>>16&255, a>>8&255, a&255)
	}
	return b.String()
}

// fromFile compiles the ruleset with that text as its file.
func fromFile(b *testing.B, text string) []*compiler.Program {
	b.Helper()
	docs, list := dsl.Parse(diag.NewFile("large.yaml", large))
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
	p, list := compiler.Compile(docs[0], compiler.CompileOptions{
		ReadFile: func(*diag.File, string) (*diag.File, error) { return diag.NewFile("blocked.txt", text), nil },
	})
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
	return []*compiler.Program{p}
}

// peak is the largest amount of memory that this process had since the last call, in
// MiB (VmHWM of proc(5)).
func peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kb, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1024
}

// BenchmarkSets measures a set of a thousand and of a million elements from text to
// kernel and back: the first apply, one element more, and nothing to do, against
// `ipset restore` and `ipset save` of the same elements in the same run. Compiling is
// part of each.
func BenchmarkSets(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchSets(b, n) })
	}
}

func benchSets(b *testing.B, n int) {
	ctx := context.Background()
	ns := netns.ForTest(b)
	opt := converge.Options{Backend: kernelHost(b, ns, ir.IptablesNFT, ns.Runner()), Store: converge.OpenStore(b.TempDir())}
	text := hosts(n, "")
	metrics := map[string]float64{} // reported behind the loop, which forgets them
	ms := func(name string, f func()) {
		start := time.Now()
		f()
		metrics[name] = float64(time.Since(start)) / float64(time.Millisecond)
	}
	apply := func(text string, wrote bool) {
		opt.Programs = fromFile(b, text)
		out, err := converge.Apply(ctx, opt)
		if err != nil || out.Status != converge.Done || out.Wrote != wrote {
			b.Fatalf("apply: %v %+v", err, out)
		}
	}
	most := 1 << 16
	for most < n {
		most *= 2
	}
	restore := fmt.Sprintf("create raw hash:net family inet maxelem %d\n", most) + hosts(n, "add raw ")
	ms("raw-restore-ms", func() { tool(b, ns, restore, "ipset", "restore") })
	ms("raw-save-ms", func() {
		if _, err := ns.Runner().Run(ctx, backend.Cmd{Argv: []string{"ipset", "save", "raw"}}); err != nil {
			b.Fatal(err)
		}
	})
	tool(b, ns, "", "ipset", "destroy", "raw")
	restore = ""
	peak(b)
	ms("first-ms", func() { apply(text, true) })
	metrics["first-MiB"] = peak(b)
	ms("noop-ms", func() { apply(text, false) })
	metrics["noop-MiB"] = peak(b)
	ms("one-ms", func() { apply(text+"192.0.2.1\n", true) })
	metrics["one-MiB"] = peak(b)
	ms("two-ms", func() { apply(text+"192.0.2.3\n", true) })
	metrics["two-MiB"] = peak(b)
	ms("compile-ms", func() { fromFile(b, text) })
	for b.Loop() {
		if _, err := converge.Plan(ctx, opt); err != nil {
			b.Fatal(err)
		}
	}
	for name, v := range metrics {
		b.ReportMetric(v, name)
	}
}
