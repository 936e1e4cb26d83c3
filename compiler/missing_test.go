package compiler_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// naming is a ruleset that names other programs' rules in nat PREROUTING.
func naming(rest string) string {
	return head + `  families: [ipv4]
  owns: {chains: ["SITE-*"]}
  tables:
    nat:
      chains:
        SITE-PRE: {rules: ["-j RETURN"]}
` + rest
}

// anchored places a jump by bounds.
func anchoredBy(bounds string) string {
	return naming("      anchors:\n        - {hook: PREROUTING, jump: SITE-PRE, " + bounds + "}\n")
}

// save is a save text of tables, each "TABLE: CHAIN ..."; CHAIN<FROM is a chain with
// a jump to it in FROM.
func save(tables ...string) string {
	var b strings.Builder
	for _, t := range tables {
		name, rest, _ := strings.Cut(t, ": ")
		fmt.Fprintf(&b, "*%s\n", name)
		for _, c := range ir.BuiltinChains(name) {
			fmt.Fprintf(&b, ":%s ACCEPT [0:0]\n", c)
		}
		for _, c := range strings.Fields(rest) {
			chain, _, _ := strings.Cut(c, "<")
			fmt.Fprintf(&b, ":%s - [0:0]\n", chain)
		}
		for _, c := range strings.Fields(rest) {
			if chain, from, jumps := strings.Cut(c, "<"); jumps {
				fmt.Fprintf(&b, "-A %s -j %s\n", from, chain)
			}
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}

// What is lost, what may only not be there yet, and what is no news: the cases of
// docs/decisions/0015.
func TestMissing(t *testing.T) {
	const chains = "after: [cali-PREROUTING], before: [KUBE-SERVICES, CNI-HOSTPORT-DNAT]"
	const programs = "after: [calico], before: [kube-proxy, portmap]"
	tests := []struct {
		name    string
		ruleset string
		host    string
		seen    []string
		sets    []string
		others  string // what stands in the other variant's tables
		// want are the findings without their places, "info" for those that nothing is
		// known about; lost is what verify and watch go by.
		want []string
		lost bool
	}{
		{
			name: "all there", ruleset: anchoredBy(chains),
			host: save("nat: cali-PREROUTING<PREROUTING KUBE-SERVICES<PREROUTING CNI-HOSTPORT-DNAT<PREROUTING"),
		},
		{
			name: "flushed, the chains stand", ruleset: anchoredBy(chains),
			host: save("nat: cali-PREROUTING KUBE-SERVICES CNI-HOSTPORT-DNAT"),
			want: []string{
				"warning: no jump to cali-PREROUTING stands in ipv4 nat PREROUTING, although the chain itself stands",
				"warning: no jump to KUBE-SERVICES stands in ipv4 nat PREROUTING, although the chain itself stands",
				"warning: no jump to CNI-HOSTPORT-DNAT stands in ipv4 nat PREROUTING, although the chain itself stands",
			},
			lost: true,
		},
		{
			name: "flushed, by participants", ruleset: anchoredBy(programs),
			host: save("nat: cali-PREROUTING KUBE-SERVICES CNI-HOSTPORT-DNAT"),
			want: []string{
				"warning: no rule of calico stands in ipv4 nat PREROUTING, although chain cali-PREROUTING of calico stands in ipv4 nat",
				"warning: no rule of kube-proxy stands in ipv4 nat PREROUTING, although chain KUBE-SERVICES of kube-proxy stands in ipv4 nat",
				"warning: no rule of portmap stands in ipv4 nat PREROUTING, although chain CNI-HOSTPORT-DNAT of portmap stands in ipv4 nat",
			},
			lost: true,
		},
		{
			name: "the table was emptied, chains and all", ruleset: anchoredBy(chains),
			host: save("filter: cali-INPUT<INPUT KUBE-FORWARD<FORWARD"),
			want: []string{
				"warning: no jump to cali-PREROUTING stands in ipv4 nat PREROUTING, although chain cali-INPUT of calico stands in ipv4 filter",
				"warning: no jump to KUBE-SERVICES stands in ipv4 nat PREROUTING, although chain KUBE-FORWARD of kube-proxy stands in ipv4 filter",
				"info",
			},
			lost: true,
		},
		{
			name: "a program that is not on the host", ruleset: anchoredBy(programs),
			host: save("nat: KUBE-SERVICES<PREROUTING"),
			want: []string{"info", "info"},
		},
		{
			name: "kubelet alone is not kube-proxy", ruleset: anchoredBy("before: [kube-proxy, {comment: x}]"),
			host: save("nat: CNI-HOSTPORT-DNAT<PREROUTING", "filter: KUBE-FIREWALL<INPUT"),
			want: []string{"info", "info"},
		},
		{
			name: "a version that does without the chain", ruleset: anchoredBy("before: [{chain: KUBE-OLD}]"),
			host: save("nat: KUBE-SERVICES<PREROUTING"),
			want: []string{"info"},
		},
		{
			name: "a hook that the program does not write to", ruleset: anchoredBy("before: [kubelet, KUBE-SERVICES]"),
			host: save("nat: KUBE-SERVICES<PREROUTING", "filter: KUBE-FIREWALL<INPUT"),
			want: []string{"info"},
		},
		{
			name: "events that may not have been", ruleset: anchoredBy("before: [portmap, kube-proxy]"),
			host: save("nat: KUBE-SERVICES<PREROUTING", "filter: CNI-FORWARD<FORWARD"),
			want: []string{"info"},
		},
		{
			name: "nothing of anybody", ruleset: anchoredBy(programs), host: save("filter: AGENT<INPUT"),
			want: []string{"warning: nothing of calico, kube-proxy and portmap stands in this host's tables, nor of any other program: it has just started, or they were emptied"},
		},
		{
			name: "nothing but the program that emptied the tables", ruleset: anchoredBy("after: [calico]"),
			host: save("filter: IN_public_allow<INPUT"),
			want: []string{"warning: nothing of calico stands in this host's tables, nor of any other program: it has just started, or they were emptied"},
		},
		{
			name: "the ruleset says that it may be missing", ruleset: anchoredBy(programs + ", ifMissing: ignore"),
			host: save("nat: cali-PREROUTING KUBE-SERVICES CNI-HOSTPORT-DNAT"),
			want: []string{"info", "info", "info"},
		},
		{
			name: "or by name", ruleset: anchoredBy(programs + ", ifMissing: {portmap: ignore}"),
			host: save("nat: cali-PREROUTING<PREROUTING KUBE-SERVICES<PREROUTING CNI-HOSTPORT-DNAT"),
			want: []string{"info"},
		},
		{
			name: "held", ruleset: anchoredBy(chains + ", ifMissing: {cali-PREROUTING: hold}"),
			host: save("nat: cali-PREROUTING KUBE-SERVICES<PREROUTING CNI-HOSTPORT-DNAT<PREROUTING"),
		},
		{
			name: "seen before", ruleset: anchoredBy(programs + ", at: first"), host: save("filter: AGENT<INPUT"),
			seen: []string{"ipv4 nat PREROUTING calico", "ipv4 nat PREROUTING portmap"},
			want: []string{
				"warning: no rule of calico stands in ipv4 nat PREROUTING, although one stood there at an earlier apply since the host was started",
				"info",
				"warning: no rule of portmap stands in ipv4 nat PREROUTING, although one stood there at an earlier apply since the host was started",
			},
			lost: true,
		},
		{
			name:    "nothing to adopt, and the chain stands",
			ruleset: naming("      adopt:\n        - {hook: PREROUTING, jump: OVN-PREROUTING, before: [KUBE-SERVICES]}\n"),
			host:    save("nat: OVN-PREROUTING KUBE-SERVICES<PREROUTING"),
			want:    []string{"warning: no jump to OVN-PREROUTING stands in ipv4 nat PREROUTING, although the chain itself stands"},
			lost:    true,
		},
		{
			name:    "nothing to adopt",
			ruleset: naming("      adopt:\n        - {hook: PREROUTING, jump: OVN-PREROUTING, before: [KUBE-SERVICES]}\n"),
			host:    save("nat: KUBE-SERVICES<PREROUTING"),
			want:    []string{"info"},
		},
		{
			name: "named by a constraint",
			ruleset: naming("") + `  constraints:
    - name: a
      that: planned.chain("ipv4", "nat", "PREROUTING").ordered(["calico", "KUBE-SERVICES", "CNI-HOSTPORT-DNAT", "SITE-PRE"])
    - name: b
      severity: warning
      that: planned.chain("ipv4", "nat", "PREROUTING").count("OVN-PREROUTING") == 0
    - name: c
      that: '!planned.chain("ipv4", "nat", "PREROUTING").has(["FLANNEL-POSTRTG"])'
`,
			host: save("nat: cali-PREROUTING KUBE-SERVICES<PREROUTING OVN-PREROUTING FLANNEL-POSTRTG"),
			want: []string{"warning: no rule of calico stands in ipv4 nat PREROUTING, although chain cali-PREROUTING of calico stands in ipv4 nat"},
			lost: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, list := compile(t, tt.ruleset, compiler.CompileOptions{})
			if err := list.Err(); err != nil {
				t.Fatal(err)
			}
			snap := snapshot(t, ir.IptablesNFT, tt.host)
			for _, name := range tt.sets {
				f := map[bool]ir.Family{true: ir.IPv4, false: ir.IPv6}[strings.Contains(name, "40")]
				snap.State.Sets = append(snap.State.Sets, &ir.Set{Name: name, Family: f})
			}
			if tt.others != "" {
				snap.Others = snapshot(t, ir.IptablesLegacy, tt.others).State
			}
			plan := compiler.NewPlan([]*compiler.Program{p}, snap,
				compiler.PlanOptions{Recorded: []compiler.Recorded{{Name: "site", Seen: tt.seen}}})
			var got []string
			for _, d := range plan.Diags.All() {
				switch {
				case d.Code != diag.MissingReference:
				case d.Severity == diag.Info:
					got = append(got, "info")
				default:
					got = append(got, d.Severity.String()+": "+d.Message)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
			if plan.Lost() != tt.lost {
				t.Errorf("Lost() = %v, want %v", plan.Lost(), tt.lost)
			}
		})
	}
}

// How long it takes depends on the canary chain that stands, or not.
func TestMissingSaysWhen(t *testing.T) {
	tests := []struct{ name, host, want string }{
		{"the canary stands", save("nat: KUBE-SERVICES", "mangle: KUBE-PROXY-CANARY"), "up to 1 h later, or at once when it is restarted (its canary chain KUBE-PROXY-CANARY of mangle stands)"},
		{"the canary is gone", save("nat: KUBE-SERVICES"), "within 30 s (its canary chain KUBE-PROXY-CANARY of mangle is gone too)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := plan(t, ir.IptablesNFT, tt.host, anchoredBy("before: [KUBE-SERVICES]"))
			if len(p.Missing) != 1 || len(p.Missing[0].Returns) != 1 || !strings.Contains(p.Missing[0].Returns[0], tt.want) {
				t.Fatalf("missing %+v, want one that says %q", p.Missing, tt.want)
			}
			var text strings.Builder
			if err := p.WriteText(&text, compiler.TextOptions{}); err != nil {
				t.Fatal(err)
			}
			var md strings.Builder
			if err := compiler.WriteMarkdown(&md, []*compiler.Plan{p}, 0); err != nil {
				t.Fatal(err)
			}
			for name, s := range map[string]string{"text": text.String(), "Markdown": strings.ReplaceAll(md.String(), `\`, "")} {
				if !strings.Contains(s, "KUBE-SERVICES") || !strings.Contains(s, tt.want) {
					t.Errorf("the %s does not say %q:\n%s", name, tt.want, s)
				}
			}
		})
	}
}

// A name that stands is told, so that a record can keep it.
func TestSeen(t *testing.T) {
	p := plan(t, ir.IptablesNFT, save("nat: cali-PREROUTING<PREROUTING KUBE-SERVICES"), anchoredBy("after: [calico], before: [KUBE-SERVICES, {target: cali-*}]"))
	want := []string{"ipv4 nat PREROUTING calico", "ipv4 nat PREROUTING {target: cali-*}"}
	if d := cmp.Diff(want, p.Seen); d != "" {
		t.Errorf("Seen (-want +got):\n%s", d)
	}
}
