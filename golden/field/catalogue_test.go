package field

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/compiler/participant"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// The lints that rest on the catalogue are shown for every entry of it, so that a
// program which is added has them too.

func catalogue(t *testing.T) *participant.Catalogue {
	t.Helper()
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// compiled are the findings about a ruleset without a host.
func compiled(t *testing.T, text string) *diag.List {
	t.Helper()
	docs, list := dsl.Parse(diag.NewFile("ruleset.yaml", text))
	for _, d := range docs {
		_, more := compiler.Compile(d, compiler.CompileOptions{})
		list.Append(more)
	}
	return list
}

// found are the findings of one code.
func found(l *diag.List, code diag.Code) []*diag.Diagnostic {
	var out []*diag.Diagnostic
	for _, d := range l.All() {
		if d.Code == code {
			out = append(out, d)
		}
	}
	return out
}

// placed is a ruleset with one jump in a hook.
func placed(table, hook, bound string) string {
	return fmt.Sprintf(`apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  owns: {chains: ["SITE_*"]}
  tables:
    %s:
      chains: {SITE_X: {rules: ["-p tcp -j RETURN"]}}
      anchors: [{hook: %s, jump: SITE_X, %s}]
`, table, hook, bound)
}

// T-6: whoever puts its rules back to one end of a chain undoes a place beyond
// them. Each is told with what it does and under which setting.
func TestT6EveryReassertionIsTold(t *testing.T) {
	checked := 0
	for _, e := range catalogue(t).Entries() {
		for _, b := range e.Behaviours {
			side := map[participant.Kind]string{participant.ReassertsTop: "before", participant.ReassertsBottom: "after"}[b.Kind]
			if side == "" || b.NotByDefault {
				continue
			}
			ref := e.Name
			if b.Tail {
				ref += "/tail"
			}
			for _, table := range b.Tables {
				hooks := b.Hooks
				if len(hooks) == 0 {
					hooks = ir.BuiltinChains(table)
				}
				for _, hook := range hooks {
					checked++
					bound := side + ": [" + ref + "]"
					list := compiled(t, placed(table, hook, bound))
					told := found(list, diag.UnstablePlacement)
					if len(told) == 0 || told[0].Severity != diag.Error || !strings.Contains(told[0].Message, b.Sentence(e.Name)) {
						t.Errorf("%s %s %s: findings, want an error with %q:\n%s", table, hook, bound, b.Sentence(e.Name), findings(list))
					}
					forced := found(compiled(t, placed(table, hook, bound+", force: true")), diag.UnstablePlacement)
					if len(forced) == 0 || forced[0].Severity != diag.Warning {
						t.Errorf("%s %s %s, forced: want a warning", table, hook, bound)
					}
					other := map[string]string{"before": "after", "after": "before"}[side]
					if list := compiled(t, placed(table, hook, other+": ["+ref+"]")); list.HasErrors() {
						t.Errorf("%s %s %s: %s lasts, but: %s", table, hook, ref, other, findings(list))
					}
				}
			}
		}
	}
	if checked < 15 {
		t.Errorf("only %d hooks were checked", checked)
	}
}

// T-10: names and texts that belong to programs of the catalogue, or get a rule
// deleted, are refused in every place where a ruleset could have them.
func TestT10EveryReservedNameIsRefused(t *testing.T) {
	const form = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: %s, version: 1.0.0}
spec:
  tables:
    filter:
      chains: {%q: {rules: ["-p tcp%s -j RETURN"]}}
      anchors: [{hook: INPUT, jump: %q, comment: %q}]
`
	check := func(code diag.Code, severity diag.Severity, what, text, say string) {
		t.Helper()
		list := compiled(t, text)
		if told := found(list, code); !slices.ContainsFunc(told, func(d *diag.Diagnostic) bool {
			return d.Severity == severity && strings.Contains(d.Message+d.Help, say)
		}) {
			t.Errorf("%s: findings, want %s with %q:\n%s", what, code, say, findings(list))
		}
	}
	names, strs := 0, 0
	for _, e := range catalogue(t).Entries() {
		for _, p := range e.Reserved {
			names++
			chain := p + "0X"
			check(diag.ReservedName, diag.Error, "chain "+chain, fmt.Sprintf(form, "site", chain, "", chain, "x"), e.Name)
		}
		for _, k := range e.Killed {
			strs++
			exact := append(k.Exact, k.Substring)[0]
			check(diag.ReservedSubstring, diag.Error, "chain", fmt.Sprintf(form, "site", "SITE"+k.Substring, "", "SITE"+k.Substring, "x"), k.By)
			check(diag.ReservedSubstring, diag.Error, "jump's comment", fmt.Sprintf(form, "site", "SITE", "", "SITE", "x "+exact), k.By)
			check(diag.ReservedSubstring, diag.Warning, "rule's comment", fmt.Sprintf(form, "site", "SITE", ` -m comment --comment x`+exact, "SITE", "x"), k.By)
			if name := strings.ToLower(k.Substring); name == k.Substring || k.AnyCase {
				check(diag.ReservedSubstring, diag.Error, "name", fmt.Sprintf(form, "site-"+strings.Trim(name, "-"), "SITE", "", "SITE", "x"), k.By)
			}
		}
	}
	if list := compiled(t, fmt.Sprintf(form, "site", "SITE", " -m comment --comment fine", "SITE", "x")); list.Len() > 0 {
		t.Errorf("a name of nobody: %s", findings(list))
	}
	if names < 40 || strs < 5 {
		t.Errorf("only %d names and %d strings were checked", names, strs)
	}
}

// The filters of k3s-killall.sh and rke2-killall.sh, of which ours must come out
// whole.
var killers = map[string]string{
	"k3s":  `grep -v KUBE- | grep -v CNI- | grep -iv flannel`,
	"rke2": `grep -v KUBE- | grep -v CNI- | grep -v cali- | grep -v cali: | grep -v CILIUM_ | grep -v flannel`,
}

// T-10, R-4: what a ruleset writes survives both clean-up scripts, and what the
// lint warns of does not.
func TestT10OursSurvivesTheCleanUp(t *testing.T) {
	for name, filter := range killers {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, n *node) {
				n.recorded("harvester-healthy")
				text := strings.Replace(siteInput(", after: [calico], before: [kubelet]"), `            - "-j DROP"`,
					`            - "-p udp -m udp --dport 8472 -m comment --comment \"VXLAN of flannel\" -j ACCEPT"
            - "-j DROP"`, 1)
				if told := found(compiled(t, text), diag.ReservedSubstring); len(told) == 0 || told[0].Severity != diag.Warning {
					t.Errorf("findings, want a warning %s", diag.ReservedSubstring)
				}
				n.must(n.apply(text), converge.Done)
				before := map[ir.Family][]string{}
				for _, f := range ir.Families {
					before[f] = ours(n.save(f))
				}
				for _, f := range ir.Families {
					n.run("", "sh", "-c", n.tool(f, "-save")+" | "+filter+" | "+n.tool(f, "-restore"))
					if s := n.save(f); strings.Contains(s, "KUBE-SERVICES") {
						t.Fatalf("the script left the node's rules: it shows nothing\n%s", s)
					}
					want := slices.DeleteFunc(slices.Clone(before[f]), func(line string) bool { return strings.Contains(line, "VXLAN of flannel") })
					if len(want) != len(before[f])-1 {
						t.Fatalf("%s: the rule that the lint warns of was not written", f)
					}
					if d := cmp.Diff(want, ours(n.save(f))); d != "" {
						t.Errorf("%s: our lines (-before +after):\n%s", f, d)
					}
				}
			})
		})
	}
}

// ours are the lines of a save that speak of the site's chains, without counters.
func ours(save string) []string {
	var out []string
	for line := range strings.Lines(save) {
		if strings.Contains(line, "SITE_") {
			if strings.HasPrefix(line, "[") {
				_, line, _ = strings.Cut(line, " ")
			}
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}

// T-11: setting or clearing a bit that a program of the catalogue uses is told
// with whose it is; a bit of nobody's is not.
func TestT11EveryMarkIsTold(t *testing.T) {
	const form = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  owns: {chains: ["SITE_*"]}
  tables:
    mangle:
      chains: {SITE_MARK: {rules: [{action: {mark: {set: "0x%x/0x%x"}}}]}}
      anchors: [{hook: PREROUTING, jump: SITE_MARK}]
`
	used, checked := uint32(0), 0
	for _, e := range catalogue(t).Entries() {
		for _, m := range e.Marks {
			used |= uint32(m.Mask)
			for bit := uint32(1); bit != 0; bit <<= 1 {
				if uint32(m.Mask)&bit == 0 {
					continue
				}
				checked++
				for _, value := range []uint32{bit, 0} {
					told := found(compiled(t, fmt.Sprintf(form, value, bit)), diag.MarkCollision)
					if len(told) == 0 || !slices.ContainsFunc(told[0].Notes, func(n diag.Note) bool { return strings.HasPrefix(n.Message, e.Name+" ") }) {
						t.Errorf("mark 0x%x/0x%x: nothing is said of %s, which uses it", value, bit, e.Name)
					}
				}
			}
		}
	}
	free := 0
	for bit := uint32(1); bit != 0; bit <<= 1 {
		if used&bit == 0 {
			free++
			if list := compiled(t, fmt.Sprintf(form, bit, bit)); list.Len() > 0 {
				t.Errorf("mark 0x%x is nobody's, but: %s", bit, findings(list))
			}
		}
	}
	if checked < 40 || free == 0 {
		t.Errorf("%d used bits and %d free ones were checked", checked, free)
	}
}
