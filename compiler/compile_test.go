package compiler_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend/iptables"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
)

const head = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
`

// compile reads one ruleset and its values.
func compile(t testing.TB, text string, opt compiler.CompileOptions, sets ...string) (*compiler.Program, *diag.List) {
	t.Helper()
	list := &diag.List{}
	docs, l := dsl.Parse(diag.NewFile("r.yaml", text))
	list.Append(l)
	for _, s := range sets {
		key, v, l := dsl.ParseSet(s)
		list.Append(l)
		opt.Values = append(opt.Values, []*dsl.Entry{{Key: &dsl.Text{Value: key, Span: v.Span}, Value: v}})
	}
	if len(docs) != 1 {
		t.Fatalf("%d documents: %v", len(docs), list.Err())
	}
	p, l := compiler.Compile(docs[0], opt)
	list.Append(l)
	list.OncePerPlace()
	return p, list
}

// lines are the restore lines of a program on an empty host, by family.
func lines(t testing.TB, p *compiler.Program) map[ir.Family][]string {
	t.Helper()
	plan := compiler.EmptyHost([]*compiler.Program{p}, ir.IptablesNFT)
	if err := plan.Diags.Err(); err != nil {
		t.Fatal(err)
	}
	scripts, err := iptables.Render(plan.Transaction, plan.Variant)
	if err != nil {
		t.Fatal(err)
	}
	out := map[ir.Family][]string{}
	for _, s := range scripts {
		out[s.Family] = strings.Split(strings.TrimSpace(s.Text), "\n")
	}
	return out
}

func chain(rules ...string) string {
	s := "  tables:\n    filter:\n      chains:\n        SITE-IN:\n          rules:\n"
	for _, r := range rules {
		s += "            - " + r + "\n"
	}
	return s
}

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		sets       []string
		facts      map[string]any
		v4, v6     []string // of chain SITE-IN and its helpers, and anchors
	}{
		{
			name: "a value is one argument",
			spec: "  params: {who: {type: string, default: \"a b -j ACCEPT\"}}\n" + chain(`"-m comment --comment ${params.who} -j DROP"`),
			v4:   []string{`-A SITE-IN -m comment --comment "a b -j ACCEPT" -j DROP`},
			v6:   []string{`-A SITE-IN -m comment --comment "a b -j ACCEPT" -j DROP`},
		},
		{
			name: "a literal dollar",
			spec: chain(`"-m comment --comment $${x} -j DROP"`),
			v4:   []string{`-A SITE-IN -m comment --comment "${x}" -j DROP`},
			v6:   []string{`-A SITE-IN -m comment --comment "${x}" -j DROP`},
		},
		{
			name: "an address goes to its own family",
			spec: chain(`"-s 10.0.0.0/8 -j ACCEPT"`, `"-s fd00::/8 -j ACCEPT"`, `"-p icmp -j ACCEPT"`),
			v4:   []string{"-A SITE-IN -s 10.0.0.0/8 -j ACCEPT", "-A SITE-IN -p icmp -j ACCEPT"},
			v6:   []string{"-A SITE-IN -s fd00::/8 -j ACCEPT", "-A SITE-IN -p icmp -j ACCEPT"},
		},
		{
			name: "when and families",
			spec: "  params: {on: {type: bool, default: false}}\n" + chain(
				`{when: params.on, action: drop}`, `{when: "!params.on", action: accept}`, `{families: [ipv6], action: drop}`),
			v4: []string{"-A SITE-IN -j ACCEPT"},
			v6: []string{"-A SITE-IN -j ACCEPT", "-A SITE-IN -j DROP"},
		},
		{
			name: "set wins over default",
			spec: "  params: {port: {type: port, default: 22}}\n" + chain(`{match: {protocol: tcp, dport: "${params.port}"}, action: accept}`),
			sets: []string{"port=80-90"},
			v4:   []string{"-A SITE-IN -p tcp -m tcp --dport 80:90 -j ACCEPT"},
			v6:   []string{"-A SITE-IN -p tcp -m tcp --dport 80:90 -j ACCEPT"},
		},
		{
			name: "forEach over a map, by key",
			spec: "  params: {m: {type: map(port), default: {b: 2, a: 1}}}\n" + chain(
				`{name: p, forEach: {e: params.m}, match: {protocol: udp, dport: "${e.value}"}, action: accept, comment: "${e.key}"}`),
			v4: []string{
				"-A SITE-IN -p udp -m comment --comment a -m udp --dport 1 -j ACCEPT",
				"-A SITE-IN -p udp -m comment --comment b -m udp --dport 2 -j ACCEPT",
			},
			v6: []string{
				"-A SITE-IN -p udp -m comment --comment a -m udp --dport 1 -j ACCEPT",
				"-A SITE-IN -p udp -m comment --comment b -m udp --dport 2 -j ACCEPT",
			},
		},
		{
			name:  "facts",
			spec:  chain(`{match: {in: "${facts.hostname}"}, action: accept}`),
			facts: map[string]any{"hostname": "eth9"},
			v4:    []string{"-A SITE-IN -i eth9 -j ACCEPT"},
			v6:    []string{"-A SITE-IN -i eth9 -j ACCEPT"},
		},
		{
			name: "an empty list matches nothing, under not always",
			spec: "  params: {l: {type: list(cidr), default: []}}\n" + chain(
				`{match: {source: "${params.l}"}, action: drop}`, `{match: {not: {source: "${params.l}"}}, action: accept}`),
			v4: []string{"-A SITE-IN -j ACCEPT"},
			v6: []string{"-A SITE-IN -j ACCEPT"},
		},
		{
			name: "an anchor's comments and matches",
			spec: chain(`{action: accept}`) + "      anchors:\n        - {hook: INPUT, jump: SITE-IN, match: {in: eth0}, comment: \"say \\\"hi\\\"\"}\n",
			v4: []string{
				"-A SITE-IN -j ACCEPT",
				`-I INPUT 1 -i eth0 -m comment --comment "hookline:site" -m comment --comment "say \"hi\"" -j SITE-IN`,
			},
			v6: []string{
				"-A SITE-IN -j ACCEPT",
				`-I INPUT 1 -i eth0 -m comment --comment "hookline:site" -m comment --comment "say \"hi\"" -j SITE-IN`,
			},
		},
		{
			name: "anchors among themselves",
			spec: "  families: [ipv4]\n  tables:\n    filter:\n      chains:\n        SITE-A: {rules: [{action: accept}]}\n        SITE-B: {rules: [{action: accept}]}\n" +
				"      anchors:\n        - {hook: INPUT, jump: SITE-B, after: [SITE-A]}\n        - {hook: INPUT, jump: SITE-A}\n",
			v4: []string{
				"-A SITE-A -j ACCEPT", "-A SITE-B -j ACCEPT",
				`-I INPUT 1 -m comment --comment "hookline:site" -j SITE-A`, `-I INPUT 2 -m comment --comment "hookline:site" -j SITE-B`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, list := compile(t, head+c.spec, compiler.CompileOptions{Facts: c.facts}, c.sets...)
			if err := list.Err(); err != nil {
				t.Fatal(err)
			}
			got := lines(t, p)
			for f, want := range map[ir.Family][]string{ir.IPv4: c.v4, ir.IPv6: c.v6} {
				var rules []string
				for _, l := range got[f] {
					if strings.HasPrefix(l, "-") {
						rules = append(rules, l)
					}
				}
				if d := cmp.Diff(want, rules); d != "" {
					t.Errorf("%s (-want +got):\n%s", f, d)
				}
			}
		})
	}
}

func TestCompileMistakes(t *testing.T) {
	anchor := func(s string) string { return chain("{action: accept}") + "      anchors:\n        - " + s + "\n" }
	for _, c := range []struct {
		name, spec string
		sets       []string
		want       []string // line:col code
	}{
		{"reserved chain", "  tables: {filter: {chains: {KUBE-X: {rules: []}}}}\n", nil, []string{"5:30 reserved-name"}},
		{"replaced program", "  owns: {chains: [\"OVN-*\"], replaces: [kube-ovn]}\n  tables: {nat: {chains: {OVN-X: {rules: []}}}}\n", nil, nil},
		{"glob over everything", "  owns: {chains: [\"*\"]}\n", nil, []string{"5:19 reserved-name"}},
		{"target's name", "  tables: {filter: {chains: {LOG: {rules: []}}}}\n", nil, []string{"5:30 reserved-name"}},
		{"killall substring", "  tables: {filter: {chains: {my-flannel-x: {rules: []}}}}\n", nil, []string{"5:30 killall-substring"}},
		{"not owned", "  owns: {chains: [\"A-*\"]}\n  tables: {filter: {chains: {SITE-B: {rules: []}}}}\n", nil, []string{"6:30 not-owned"}},
		{"adopt of an own chain", "  tables: {nat: {chains: {SITE-A: {rules: []}}, adopt: [{hook: PREROUTING, jump: SITE-A}]}}\n", nil, []string{"5:82 adopt-owned"}},
		{"unknown reference", anchor("{hook: INPUT, jump: SITE-IN, after: [calicoo]}"), nil, []string{"12:48 unknown-reference"}},
		{"ifMissing of nobody", anchor("{hook: INPUT, jump: SITE-IN, after: [calico], ifMissing: {kubelet: fail}}"), nil, []string{"12:69 unknown-reference"}},
		{"no such base chain", anchor("{hook: PREROUTING, jump: SITE-IN}"), nil, []string{"12:18 invalid-value"}},
		{"jump to nowhere", anchor("{hook: INPUT, jump: SITE-INN}"), nil, []string{"12:31 unknown-chain"}},
		{"the same jump twice", anchor("{hook: INPUT, jump: SITE-IN}") + "        - {hook: INPUT, jump: SITE-IN, at: first}\n", nil, []string{"13:31 duplicate-name"}},
		{"unstable", anchor("{hook: INPUT, jump: SITE-IN, before: [calico]}"), nil, []string{"12:49 unstable-placement"}},
		{"unstable, forced", anchor("{hook: INPUT, jump: SITE-IN, before: [calico], force: true}"), nil, nil},
		{"jump into another program", chain(`"-j KUBE-SERVICES"`), nil, []string{"10:15 jump-foreign-chain"}},
		{"rule text, at its word", chain(`"-p tcp --dport 80 -j DRPO"`), nil, []string{"10:15 unknown-chain"}},
		{"rule text, at its option", chain(`"-p tcp --dprt 80 -j DROP"`), nil, []string{"10:23 rule-text"}},
		{"no family holds it", chain(`"-s 10.0.0.1 -d fd00::1 -j DROP"`), nil, []string{"10:19 family-mismatch", "10:31 family-mismatch"}},
		{"param without value", "  params: {x: {type: port}}\n", nil, []string{"5:12 param-value"}},
		{"param of a wrong type", "  params: {x: {type: port, default: 1}}\n", []string{"x=70000"}, []string{"1:3 param-value"}},
		{"typo in a param", "  params: {role: {type: string, default: a}}\n" + chain(`{when: "params.rol == 'a'", action: drop}`), nil, []string{"11:30 cel-type"}},
		{"facts without a host", chain(`{match: {in: "${facts.hostname}"}, action: accept}`), nil, []string{"10:31 facts-needed"}},
		{"drop without neighbour discovery", chain(`{action: drop}`) + "      anchors:\n        - {hook: INPUT, jump: SITE-IN}\n", nil, nil},
		{"inverted range", chain(`"-p tcp ! --dport 0:65535 -j DROP"`), nil, []string{"10:15 inverted-range"}},
		{"nat target in filter", chain(`"-j MASQUERADE"`), nil, []string{"10:15 bad-target"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, list := compile(t, head+c.spec, compiler.CompileOptions{}, c.sets...)
			var got []string
			for _, d := range list.All() {
				if d.Severity == diag.Error {
					pos := d.Span.Position()
					got = append(got, fmt.Sprintf("%d:%d %s", pos.Line, pos.Column, d.Code))
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("errors (-want +got):\n%s\n%v", d, list.Err())
			}
		})
	}
}

func TestCompileWarnings(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		code       diag.Code
	}{
		{"neighbour discovery", chain(`{action: drop}`) + "      anchors:\n        - {hook: INPUT, jump: SITE-IN}\n", diag.NeighbourDrop},
		{"marks", "  tables: {mangle: {chains: {SITE-M: {rules: [{action: {mark: {set: 0x4000/0x4000}}}]}}}}\n", diag.MarkCollision},
	} {
		_, list := compile(t, head+c.spec, compiler.CompileOptions{})
		if list.HasErrors() || !list.Has(c.code) {
			t.Errorf("%s: no warning %s: %v", c.name, c.code, list.Err())
		}
	}
	quiet := chain(`{families: [ipv6], match: {protocol: icmpv6}, action: accept}`, `{action: drop}`) + "      anchors:\n        - {hook: INPUT, jump: SITE-IN}\n"
	if _, list := compile(t, head+quiet, compiler.CompileOptions{}); list.Has(diag.NeighbourDrop) {
		t.Error("a warning although icmpv6 is accepted")
	}
}

// A program is the same bytes on every run: no map order, no clock.
func TestCompileIsDeterministic(t *testing.T) {
	spec := head + "  params: {m: {type: map(list(port)), default: {a: [1, 2], b: [3], c: [4, 5, 6]}}}\n" + chain(
		`{name: x, forEach: {e: params.m}, match: {source: [10.0.0.1, 10.0.0.2], protocol: [tcp, udp], dport: "${e.value}", limit: 5/minute}, action: {log: {prefix: x}}}`,
		`{match: {in: [a, b, c]}, action: accept}`)
	first := ""
	for range 20 {
		p, list := compile(t, spec, compiler.CompileOptions{})
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(lines(t, p))
		if first == "" {
			first = text
		}
		if text != first {
			t.Fatalf("two runs differ:\n%s\n%s", first, text)
		}
	}
}

func TestOverlaps(t *testing.T) {
	a, _ := compile(t, head+"  owns: {chains: [\"SITE-*\"]}\n", compiler.CompileOptions{})
	b, _ := compile(t, strings.Replace(head, "name: site", "name: other", 1)+"  tables: {filter: {chains: {SITE-X: {rules: []}}}}\n", compiler.CompileOptions{})
	list := &diag.List{}
	compiler.Overlaps([]*compiler.Program{a, b}, list)
	if !list.Has(diag.OwnershipOverlap) {
		t.Error("no finding although both own SITE-X")
	}
	list = &diag.List{}
	compiler.Overlaps([]*compiler.Program{a, a}, list)
	if !list.Has(diag.DuplicateName) {
		t.Error("no finding although both have the same name")
	}
}

func TestIntrusions(t *testing.T) {
	for _, tt := range []struct {
		spec string
		want compiler.Intrusions
	}{
		{"", compiler.TolerateIntrusions},
		{"  intrusions: tolerate\n", compiler.TolerateIntrusions},
		{"  intrusions: remove\n", compiler.RemoveIntrusions},
		{"  intrusions: fail\n", compiler.FailOnIntrusions},
		{"  intrusions: fail\n  backend: iptables-legacy\n", compiler.FailOnIntrusions}, // without effect, and no mistake
	} {
		p, list := compile(t, head+"  families: [ipv4]\n"+tt.spec, compiler.CompileOptions{})
		if err := list.Err(); err != nil || p.Intrusions != tt.want {
			t.Errorf("%q: intrusions are %q, want %q; %v", tt.spec, p.Intrusions, tt.want, err)
		}
	}
}
