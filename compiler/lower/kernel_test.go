package lower

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
)

// inNamespace runs a shell script in a network namespace of its own. Where none
// can be had, the test says so, and fails if a kernel is required.
func inNamespace(t *testing.T, script string) (string, error) {
	t.Helper()
	args := []string{"-n"}
	if os.Geteuid() != 0 {
		args = []string{"-rn"}
	}
	if err := exec.Command("unshare", append(args, "true")...).Run(); err != nil {
		if os.Getenv("HOOKLINE_REQUIRE_KERNEL") == "1" {
			t.Fatalf("HOOKLINE_REQUIRE_KERNEL is set, but there is no network namespace: %v", err)
		}
		t.Skipf("SKIPPED: NO RULE WAS LOADED INTO A KERNEL: no network namespace can be had: %v", err)
	}
	cmd := exec.Command("unshare", append(args, "sh", "-c", script)...)
	cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+filepath.Join(t.TempDir(), "lock"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// allUsers tells whether the kernel of inNamespace knows every user number: in a
// namespace made by an ordinary user it knows one, and refuses -m owner for others.
func allUsers() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && os.Geteuid() == 0 && len(strings.Fields(string(b))) == 3 && strings.Fields(string(b))[2] != "1"
}

// kernelSets are the sets of testContext.
const kernelSets = `
ipset create both-4 hash:net family inet
ipset create both-6 hash:net family inet6
ipset create only4 hash:net family inet
ipset create only6 hash:net family inet6
ipset create pairs-4 hash:ip,port family inet
ipset create pairs-6 hash:ip,port family inet6
`

// TestKernelLoads loads every case of testdata with both variants of iptables and
// asks for it back: what was sent is what the tool prints.
func TestKernelLoads(t *testing.T) {
	type batch struct {
		chains, rules []string
		cases         []string // beside rules: the case that each comes from
	}
	// One batch for each topic, table and family: where the user is not root, the
	// kernel takes some 250 rules in one transaction.
	type batchKey struct {
		ir.TableKey
		topic string
	}
	batches := map[batchKey]*batch{}
	for _, path := range caseFiles(t) {
		for i, c := range readCases(t, path) {
			res, list := Lower(readRule(t, c.rule), testContext(c.table))
			if list.HasErrors() {
				continue
			}
			if strings.Contains(c.rule, "owner:") && !allUsers() {
				t.Logf("NOT LOADED, because user numbers need root: %s", c.name)
				continue
			}
			// Chains of the cases are told apart by a prefix.
			topic := strings.TrimSuffix(filepath.Base(path), ".txt")
			prefix := fmt.Sprintf("%s%d-", topic, i)
			for _, f := range ir.Families {
				key := batchKey{ir.TableKey{Family: f, Name: c.table}, topic}
				if batches[key] == nil {
					batches[key] = &batch{chains: []string{"OTHER"}}
				}
				b := batches[key]
				add := func(chain string, specs []*ir.Spec) {
					b.chains = append(b.chains, prefix+chain)
					for _, s := range specs {
						b.rules = append(b.rules, strings.TrimRight("-A "+prefix+chain+" "+xtables.Print(renamed(s, prefix), f), " "))
						b.cases = append(b.cases, topic+": "+c.name)
					}
				}
				add("OWNER", res.Rules[f])
				for _, h := range res.Chains[f] {
					add(h.Name, h.Specs)
				}
			}
		}
	}
	loaded := 0
	for _, variant := range []string{"nft", "legacy"} {
		for key, b := range batches {
			text := "*" + key.Name + "\n"
			for _, c := range b.chains {
				text += ":" + c + " - [0:0]\n"
			}
			text += strings.Join(b.rules, "\n") + "\nCOMMIT\n"
			tool := map[ir.Family]string{ir.IPv4: "iptables-", ir.IPv6: "ip6tables-"}[key.Family] + variant
			out, err := inNamespace(t, kernelSets+tool+"-restore <<'END' && "+tool+"-save -t "+key.Name+"\n"+text+"END\n")
			if err != nil {
				t.Errorf("%s refuses table %s: %v\n%s", tool, key.Name, err, located(out, text, b.rules, b.cases))
				continue
			}
			var got []string
			for _, line := range strings.Split(out, "\n") {
				if strings.HasPrefix(line, "-A ") {
					got = append(got, line)
				}
			}
			loaded += len(got)
			slices.Sort(got)
			for i, rule := range b.rules {
				if _, ok := slices.BinarySearch(got, rule); !ok {
					t.Errorf("%s, %s: sent, and not printed back:\n%s\nthe chain is\n%s", tool, b.cases[i], rule, chainOf(got, rule))
				}
			}
			if len(got) != len(b.rules) {
				t.Errorf("%s table %s: sent %d rules, got %d", tool, key.Name, len(b.rules), len(got))
			}
		}
	}
	t.Logf("%d rules loaded and printed back", loaded)
}

// renamed prefixes the helper chain that a rule jumps to.
func renamed(s *ir.Spec, prefix string) *ir.Spec {
	j, ok := s.Target.(*ir.Jump)
	if !ok || j.Chain == "OTHER" {
		return s
	}
	c := *s
	c.Target = &ir.Jump{Goto: j.Goto, Chain: prefix + j.Chain}
	return &c
}

// located adds the case to a tool's complaint about a line.
func located(out, text string, rules, cases []string) string {
	for i, line := range strings.Split(text, "\n") {
		if !strings.Contains(out, fmt.Sprintf("line %d ", i+1)) && !strings.Contains(out, fmt.Sprintf("line: %d\n", i+1)) &&
			!strings.Contains(out, fmt.Sprintf("line %d:", i+1)) {
			continue
		}
		if at := slices.Index(rules, line); at >= 0 {
			out += fmt.Sprintf("line %d is of %s: %s\n", i+1, cases[at], line)
		}
	}
	return out
}

// chainOf are the printed rules of a rule's chain.
func chainOf(list []string, rule string) string {
	head := strings.Join(strings.SplitN(rule, " ", 3)[:2], " ")
	var out []string
	for _, s := range list {
		if s == head || strings.HasPrefix(s, head+" ") {
			out = append(out, s)
		}
	}
	return strings.Join(out, "\n")
}
