package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/backend/nft"
	"hookline/backend/nfttext"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/xtables"
	"hookline/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// run runs a tool in a namespace; the text says what it complains about.
func run(t testing.TB, ns *netns.NS, stdin string, argv ...string) (stdout, complaint string) {
	t.Helper()
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv, Stdin: stdin})
	if err != nil {
		t.Fatal(err)
	}
	if res.Exit != 0 {
		return res.Stdout, fmt.Sprintf("%s: exit %d: %s", strings.Join(argv, " "), res.Exit, res.Stderr)
	}
	return res.Stdout, ""
}

// listing are the rules of the tables of a namespace as nfttext says them, by
// table and chain, with their comments behind them as a script has them.
func listing(t testing.TB, ns *netns.NS) map[string][]string {
	t.Helper()
	out, complaint := run(t, ns, "", "nft", "-j", "list", "ruleset")
	if complaint != "" {
		t.Fatal(complaint)
	}
	var doc struct {
		Nftables []struct {
			Rule *struct {
				Family, Table, Chain, Comment string
				Expr                          []nfttext.Statement
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	rules := map[string][]string{}
	for _, o := range doc.Nftables {
		if r := o.Rule; r != nil {
			var words []string
			for _, s := range r.Expr {
				words = append(words, s.Text())
			}
			key := r.Family + " " + r.Table + " " + r.Chain
			rules[key] = append(rules[key], nftables.Rule{Text: strings.Join(words, " "), Comment: r.Comment}.String())
		}
	}
	return rules
}

// readsBack loads tables and compares what stands there with what was meant.
func readsBack(t *testing.T, ns *netns.NS, tables []*nftables.Table) {
	t.Helper()
	lines := nftables.Script(tables)
	if _, complaint := run(t, ns, nftables.Text(lines), "nft", "-f", "-"); complaint != "" {
		t.Errorf("%s\nin\n%s", complaint, numbered(lines, complaint))
		return
	}
	bothReadBack(t, tables, map[string]map[string][]string{"nft -j": listing(t, ns), "netlink": netlinkListing(t, ns, tables)})
}

// netlinkListing are the same rules as backend/nft reads them.
func netlinkListing(t testing.TB, ns *netns.NS, tables []*nftables.Table) map[string][]string {
	t.Helper()
	b, err := nft.New(nft.Options{Runner: ns.Runner(), NetNS: ns.Do})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Session(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var scope ir.Scope
	for _, table := range tables {
		scope.Own = append(scope.Own, table.Name)
	}
	snap, err := s.Snapshot(context.Background(), scope)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string][]string{}
	for _, table := range snap.State.Own {
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				key := table.Key() + " " + c.Name
				rules[key] = append(rules[key], r.String())
			}
		}
	}
	return rules
}

// bothReadBack compares what was sent with what each reader says.
func bothReadBack(t *testing.T, tables []*nftables.Table, by map[string]map[string][]string) {
	t.Helper()
	for reader, got := range by {
		sameAsSent(t, tables, reader, got)
	}
}

func sameAsSent(t *testing.T, tables []*nftables.Table, reader string, got map[string][]string) {
	t.Helper()
	for _, table := range tables {
		for _, c := range table.Chains {
			var want []string
			for _, r := range c.Rules {
				want = append(want, r.String())
			}
			have := got[string(table.Kind)+" "+table.Name+" "+c.Name]
			for i := range max(len(want), len(have)) {
				switch {
				case i >= len(have):
					t.Errorf("by %s: %s %s: lost: %s", reader, table.Kind, c.Name, want[i])
				case i >= len(want):
					t.Errorf("by %s: %s %s: more than was sent: %s", reader, table.Kind, c.Name, have[i])
				case want[i] != have[i]:
					t.Errorf("by %s: %s %s %s: sent, and read back:\n%s\n%s", reader, table.Kind, c.Name, c.Rules[i].Origin, want[i], have[i])
				}
			}
		}
	}
}

var complainedOf = regexp.MustCompile(`/dev/stdin:(\d+):`)

// numbered are the lines of a script that nft complains about.
func numbered(lines []nftables.Line, complaint string) string {
	var b strings.Builder
	for _, m := range complainedOf.FindAllStringSubmatch(complaint, -1) {
		var n int
		if _, err := fmt.Sscan(m[1], &n); err == nil && n <= len(lines) {
			fmt.Fprintf(&b, "%d: %s\n", n, lines[n-1].Text)
		}
	}
	return b.String()
}

// written is a rule of a file of testdata.
type written struct {
	family             ir.Family
	table, chain, text string
}

// typedRules are the rules that compiler/xtables is tested with.
func typedRules(t *testing.T) []written {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "compiler", "xtables", "testdata", "typed.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var out []written
	for line := range strings.Lines(string(data)) {
		p := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if os.Geteuid() != 0 && strings.Contains(p[3], "-m owner") {
			continue // a user namespace of ours knows user 0 only
		}
		w := written{ir.IPv4, p[1], p[2], p[3]}
		if p[0] == "6" {
			w.family = ir.IPv6
		}
		out = append(out, w)
	}
	return out
}

// specs are the rules that a text means.
func (w written) specs(t *testing.T) []*ir.Spec {
	t.Helper()
	specs, err := xtables.Parse(w.text, xtables.Options{Family: w.family, Table: w.table, Chain: w.chain})
	if err != nil {
		t.Fatalf("%s: %v", w.text, err)
	}
	return specs
}

// tableOf puts the translations of rules into one table, in chains at the hooks
// that they are written for. refused are the reasons for those that have none.
func tableOf(t *testing.T, kind nftables.Kind, counters bool, rules []written) (table *nftables.Table, refused map[string][]string, translated int) {
	t.Helper()
	table = &nftables.Table{Kind: kind, Name: "hookline-t"}
	items := map[[2]string]map[ir.Family][]nftables.Item{}
	refused = map[string][]string{}
	targets := map[string]bool{}
	for i, w := range rules {
		if kind != nftables.Inet && kind != nftables.KindOf([]ir.Family{w.family}) {
			continue
		}
		for _, s := range w.specs(t) {
			bodies, why := nftables.Translate(s, nftables.Env{Kind: kind, Family: w.family, Table: w.table, Chain: w.chain, Counters: counters})
			if len(why) > 0 {
				for _, r := range why {
					refused[r] = append(refused[r], w.text)
				}
				continue
			}
			translated++
			if j := s.JumpTarget(); j != "" {
				targets[nftables.ChainName(w.table, j)] = true
			}
			key := [2]string{w.table, w.chain}
			if items[key] == nil {
				items[key] = map[ir.Family][]nftables.Item{}
			}
			for _, b := range bodies {
				items[key][w.family] = append(items[key][w.family], nftables.Item{Body: b, Group: fmt.Sprint(i)})
			}
		}
	}
	for name := range targets {
		table.Chains = append(table.Chains, &nftables.Chain{Name: name})
	}
	for key, by := range items {
		table.Chains = append(table.Chains, &nftables.Chain{
			Name: nftables.ChainName(key[0], key[1]), Base: nftables.BaseOf(key[0], key[1]), Rules: nftables.Merge(kind, by[ir.IPv4], by[ir.IPv6]),
		})
	}
	slices.SortFunc(table.Chains, func(a, b *nftables.Chain) int { return strings.Compare(a.Name, b.Name) })
	table.Chains = slices.CompactFunc(table.Chains, func(a, b *nftables.Chain) bool { return a.Name == b.Name })
	return table, refused, translated
}

// TestTypedRulesReadBack: every form of a match and target that people type either
// loads and reads back as our text, in each kind of table, with and without
// counters, or is refused with a reason.
func TestTypedRulesReadBack(t *testing.T) {
	rules := typedRules(t)
	for _, kind := range []nftables.Kind{nftables.Inet, nftables.IP, nftables.IP6} {
		for _, counters := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s-%v", kind, counters), func(t *testing.T) {
				table, refused, translated := tableOf(t, kind, counters, rules)
				readsBack(t, netns.ForTest(t), []*nftables.Table{table})
				if kind != nftables.Inet {
					return
				}
				if !counters {
					return
				}
				var reasons []string
				for why, texts := range refused {
					reasons = append(reasons, fmt.Sprintf("%3d %s (%s)", len(texts), why, texts[0]))
				}
				slices.Sort(reasons)
				t.Logf("%d rules translated, %d reasons to refuse one:\n%s", translated, len(refused), strings.Join(reasons, "\n"))
				if translated < 300 {
					t.Errorf("only %d rules translate", translated)
				}
			})
		}
	}
}
