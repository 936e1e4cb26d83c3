package differential

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/nftables"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/netns"
)

// refusedRulesets are the shipped rulesets that nft cannot say, and why: what of
// them is refused, each sentence with how often it is said.
var refusedRulesets = map[string]map[string]int{
	"docker-host": {
		"DOCKER-USER is a chain in another program's table of iptables":                                               1,
		"nft cannot say this rule: -m physdev has no equal: a table of ip packets does not see the ports of a bridge": 1,
		"this rule says nothing for nft": 3,
		"{text: -j ACCEPT, target: ACCEPT} chooses single rules of iptables, among which nft has no place":                               2,
		"{text: -m conntrack --ctstate *DNAT* -j ACCEPT, target: ACCEPT} chooses single rules of iptables, among which nft has no place": 1,
	},
	"flannel":     {"adopt places a jump in a chain of iptables, and nft has no such chain": 2},
	"harvester":   {"adopt places a jump in a chain of iptables, and nft has no such chain": 1},
	"k3s-netbird": {"this rule says nothing for nft": 1, "{in: wt0} chooses single rules of iptables, among which nft has no place": 2},
	"rke2": {
		"adopt places a jump in a chain of iptables, and nft has no such chain":                      1,
		"{target: ACCEPT, set: ovn*} chooses single rules of iptables, among which nft has no place": 1,
	},
}

// nftTables compiles a file of rulesets, with the values beside it, for nft.
func nftTables(t *testing.T, path string, change ...func(d *dsl.Document)) ([]*nftables.Table, *diag.List) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	docs, list := dsl.Parse(diag.NewFile(path, string(text)))
	opt := compiler.CompileOptions{Backend: "nft", WithoutFacts: true}
	if v, err := os.ReadFile(filepath.Join(filepath.Dir(path), "values.yaml")); err == nil {
		entries, l := dsl.ParseValues(diag.NewFile("values.yaml", string(v)))
		list.Append(l)
		opt.Values = append(opt.Values, entries)
	}
	if list.HasErrors() {
		return nil, list
	}
	var programs []*compiler.Program
	for _, d := range docs {
		for _, f := range change {
			f(d)
		}
		p, l := compiler.Compile(d, opt)
		list.Append(l)
		programs = append(programs, p)
	}
	if list.HasErrors() {
		return nil, list
	}
	tables, l := compiler.NFTables(programs)
	list.Append(l)
	return tables, list
}

// TestShippedRulesets: each one loads and reads back, or is refused at lines of its
// own for the reasons that are known.
func TestShippedRulesets(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "rulesets", "*", "ruleset.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no rulesets: %v", err)
	}
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			tables, list := nftTables(t, path)
			got := map[string]int{}
			for _, d := range list.All() {
				if d.Severity != diag.Error {
					continue
				}
				got[d.Message]++
				if d.Span.IsZero() || d.Code != diag.UnsupportedBackend && d.Code != diag.RuleDialect {
					t.Errorf("%s: %s [%s] is not about a line that nft cannot say", d.Span, d.Message, d.Code)
				}
			}
			if diff := cmp.Diff(refusedRulesets[name], got); diff != "" && len(refusedRulesets[name])+len(got) > 0 {
				t.Errorf("what is refused (-want +got):\n%s", diff)
			}
			if !list.HasErrors() {
				readsBack(t, netns.ForTest(t), tables)
			}
		})
	}
}

// rulesOnly leaves out of a ruleset what is about chains of iptables and ports of
// bridges, and takes the
// texts that are for iptables alone for texts to translate.
func rulesOnly(d *dsl.Document) {
	for _, t := range d.Tables {
		t.Adopts, t.Collect = nil, nil
		t.Chains = slices.DeleteFunc(t.Chains, func(c *dsl.Chain) bool { return c.Name.Literal() == "DOCKER-USER" })
		for _, c := range t.Chains {
			c.Rules = slices.DeleteFunc(c.Rules, func(r *dsl.Rule) bool { return r.String != nil && strings.Contains(r.String.Value, "physdev") })
			for _, r := range c.Rules {
				if r.Iptables != nil {
					r.String, r.Iptables = r.Iptables, nil
				}
			}
		}
		for _, a := range t.Anchors {
			isGlob := func(r *dsl.Ref) bool { return r.Glob != nil }
			a.After, a.Before = slices.DeleteFunc(a.After, isGlob), slices.DeleteFunc(a.Before, isGlob)
		}
	}
}

// TestShippedRules: what the shipped rulesets have in chains of their own loads and
// reads back, all of it, whatever else of them has no place in nft.
func TestShippedRules(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "rulesets", "*", "ruleset.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, path := range paths {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			tables, list := nftTables(t, path, rulesOnly)
			if list.HasErrors() {
				t.Fatal(findings(list))
			}
			readsBack(t, netns.ForTest(t), tables)
			for _, c := range tables[0].Chains {
				rules += len(c.Rules)
			}
		})
	}
	if rules < 60 {
		t.Errorf("only %d rules were loaded", rules)
	}
}

// TestScenarioRulesets: the rulesets of the scenarios that compile for nft load,
// and read back as they were compiled.
func TestScenarioRulesets(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "scenarios", "*", "ruleset.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	loaded, reasons := 0, map[string]int{}
	for _, path := range paths {
		tables, list := nftTables(t, path)
		for _, d := range list.All() {
			if d.Severity == diag.Error {
				reasons[string(d.Code)]++
			}
		}
		rules := 0
		for _, x := range tables {
			for _, c := range x.Chains {
				rules += len(c.Rules)
			}
		}
		if list.HasErrors() || rules == 0 {
			continue
		}
		loaded++
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) { readsBack(t, netns.ForTest(t), tables) })
	}
	words := slices.Sorted(maps.Keys(reasons))
	t.Logf("%d of %d rulesets load; the others are refused with %s", loaded, len(paths), strings.Join(words, ", "))
	if loaded < 15 {
		t.Errorf("only %d of %d rulesets of the scenarios compile for nft", loaded, len(paths))
	}
}
