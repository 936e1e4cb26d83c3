package check

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
)

// testFields reads the few options that the tests use.
func testFields(_ ir.Family, r *ir.Rule) Fields {
	var f Fields
	words := strings.Fields(r.Text)
	for i := 0; i+1 < len(words); i++ {
		switch v := strings.Trim(words[i+1], `"`); words[i] {
		case "-j", "-g":
			f.Target = v
		case "--comment":
			f.Comments = append(f.Comments, v)
		case "-s":
			f.Source = v
		case "-i":
			f.Iface = v
		case "-p":
			f.Protocol = v
		case "--dport":
			f.Dport = v
		}
	}
	return f
}

// testWho recognises rules by their jump: cali-* is calico's (cali-tail its tail),
// KUBE-* is kube-proxy's, OWN-* ours.
type testWho struct{ state *ir.State }

func (w testWho) jump(k ir.ChainKey, i int) string {
	return w.state.Table(k.Family, k.Table).Chain(k.Chain).Rules[i].JumpTarget()
}

func (w testWho) Participant(k ir.ChainKey, i int) string {
	switch j := w.jump(k, i); {
	case strings.HasPrefix(j, "cali-"):
		return "calico"
	case strings.HasPrefix(j, "KUBE-"):
		return "kube-proxy"
	}
	return ""
}

func (w testWho) Tail(k ir.ChainKey, i int) bool { return w.jump(k, i) == "cali-tail" }

func (w testWho) Owned(k ir.ChainKey, i int) bool { return strings.HasPrefix(w.jump(k, i), "OWN-") }

func (w testWho) Participants() []string {
	found := map[string]bool{}
	for _, t := range w.state.Tables {
		for _, c := range t.Chains {
			for i := range c.Rules {
				if p := w.Participant(ir.ChainKey{Family: t.Family, Table: t.Name, Chain: c.Name}, i); p != "" {
					found[p] = true
				}
			}
		}
	}
	out := []string{}
	for _, p := range []string{"calico", "kube-proxy"} {
		if found[p] {
			out = append(out, p)
		}
	}
	return out
}

func testHost(s *ir.State) *Host { return NewHost(s, "iptables-nft", testWho{s}, testFields) }

func chain(name, policy string, rules ...string) *ir.Chain {
	c := &ir.Chain{Name: name, Policy: policy, Read: true}
	for _, r := range rules {
		rule := &ir.Rule{Text: r}
		if text, native := strings.CutPrefix(r, "native "); native {
			rule.Text, rule.Native = "", &ir.Native{Handle: 7, Expr: text, Comment: "theirs"}
		}
		c.Rules = append(c.Rules, rule)
	}
	return c
}

func unread(name string) *ir.Chain { return &ir.Chain{Name: name} }

// testState is a node with Calico, kube-proxy, a table that iptables cannot read
// (ipv6 mangle), and a chain of which only the name was read (ipv4 nat LATER).
func testState() *ir.State {
	return &ir.State{
		Families: []ir.Family{ir.IPv4, ir.IPv6},
		Tables: []*ir.Table{
			{Family: ir.IPv4, Name: "nat", Partial: true, Chains: []*ir.Chain{
				chain("PREROUTING", "ACCEPT",
					`-m comment --comment "cali:1" -j cali-PREROUTING`,
					`-s 10.0.0.0/8 -i eth0 -p tcp -m tcp --dport 80 -j OWN-PRE`,
					`-j KUBE-SERVICES`,
					`-j cali-fip`,
					`-j LOG`,
					`-m comment --comment "last" -j cali-tail`),
				chain("EMPTY", ""),
				chain("OWN-PRE", "", ""),
				unread("LATER"),
			}},
			{Family: ir.IPv4, Name: "filter", Chains: []*ir.Chain{
				chain("INPUT", "DROP", "-j OWN-IN", "native ct state", "-j KUBE-FIREWALL", "-j OWN-IN"),
			}},
			{Family: ir.IPv6, Name: "mangle", Unreadable: "Table `mangle' is incompatible, use 'nft' tool."},
			{Family: ir.IPv6, Name: "raw", Unreadable: "permission denied"},
		},
		Sets: []*ir.Set{
			{Family: ir.IPv4, Name: "hv-admins-4", Type: "hash:net", Elements: []string{"10.0.0.0/8"}, Counted: -1},
			{Family: ir.IPv6, Name: "hv-admins-6", Type: "hash:net", Elements: []string{"fd00::/8", "fe80::/10"}, Counted: -1},
			{Name: "macs", Type: "hash:mac", Counted: 3},
			{Family: ir.IPv6, Name: "only6", Type: "hash:net", Counted: -1},
		},
		SetsRead: true,
	}
}

// evalOn evaluates an expression about live.
func evalOn(t *testing.T, s *ir.State, text string) (Result, string) {
	t.Helper()
	e := testEnv(t, EnvOptions{Live: true, Facts: true})
	x, list := e.Compile(in(text), WantAny)
	if x == nil {
		t.Fatalf("Compile(%q): %q", text, lines(list))
	}
	r, bad := x.Eval(context.Background(), Activation{Live: testHost(s), Planned: testHost(s)})
	if bad != nil {
		return r, string(bad.Code) + ": " + bad.Message
	}
	return r, ""
}

func key(f ir.Family, table, name string) ir.ChainKey {
	return ir.ChainKey{Family: f, Table: table, Chain: name}
}

func TestHost(t *testing.T) {
	const pre = `live.chain("ipv4", "nat", "PREROUTING")`
	const input = `live.chain("ipv4", "filter", "INPUT")`
	later := []ir.ChainKey{key(ir.IPv4, "nat", "LATER")}
	for _, tt := range []struct {
		in      string
		want    any
		unknown []ir.ChainKey
		sets    []string
		err     string
	}{
		{in: `live.backend`, want: "iptables-nft"},
		{in: `live.tables`, want: []any{"ipv4 nat", "ipv4 filter", "ipv6 mangle", "ipv6 raw"}},

		{in: pre + `.exists`, want: true},
		{in: pre + `.policy`, want: "ACCEPT"},
		{in: input + `.policy`, want: "DROP"},
		{in: pre + `.rules.size()`, want: int64(6)},
		{in: pre + `.jumps`, want: []any{"cali-PREROUTING", "OWN-PRE", "KUBE-SERVICES", "cali-fip", "cali-tail"}},
		{in: pre + `.position("OWN-PRE")`, want: int64(1)},
		{in: pre + `.position("kube-proxy")`, want: int64(2)},
		{in: pre + `.position("calico")`, want: int64(0)},
		{in: pre + `.position("calico/tail")`, want: int64(5)},
		{in: pre + `.position("cali-tail")`, want: int64(5)},
		{in: pre + `.position("nobody")`, want: int64(-1)},
		{in: pre + `.position("")`, want: int64(-1)},
		{in: pre + `.count("calico")`, want: int64(2)},
		{in: pre + `.count("calico/tail")`, want: int64(1)},
		{in: input + `.count("OWN-IN")`, want: int64(2)},
		{in: input + `.position("KUBE-FIREWALL")`, want: int64(2)},
		{in: pre + `.has(["calico", "OWN-PRE"])`, want: true},
		{in: pre + `.has(["calico", "KUBE-FIREWALL"])`, want: false},
		{in: pre + `.has([])`, want: true},
		{in: pre + `.ordered(["cali-PREROUTING", "OWN-PRE", "KUBE-SERVICES"])`, want: true},
		{in: pre + `.ordered(["cali-PREROUTING", "absent", "KUBE-SERVICES"])`, want: true},
		{in: pre + `.ordered(["OWN-PRE", "cali-PREROUTING"])`, want: false},
		{in: pre + `.ordered(["calico", "OWN-PRE"])`, want: false},
		{in: pre + `.ordered(["OWN-PRE", "calico/tail"])`, want: true},
		{in: pre + `.ordered(["calico", "cali-PREROUTING"])`, want: false},
		{in: input + `.ordered(["OWN-IN", "kube-proxy"])`, want: false},
		{in: pre + `.ordered([])`, want: true},

		{in: `live.chain("ipv4", "nat", "EMPTY").exists`, want: true},
		{in: `live.chain("ipv4", "nat", "EMPTY").rules.size()`, want: int64(0)},
		{in: `live.chain("ipv4", "nat", "GONE").exists`, want: false},
		{in: `live.chain("ipv4", "nat", "GONE").policy`, want: ""},
		{in: `live.chain("ipv4", "nat", "GONE").jumps`, want: []any{}},
		{in: `live.chain("ipv4", "nat", "GONE").rules.all(r, false)`, want: true},
		{in: `live.chain("ipv4", "nat", "GONE").position("x")`, want: int64(-1)},
		{in: `live.chain("ipv4", "nat", "GONE").ordered(["x"])`, want: true},
		{in: `live.chain("ipv4", "nat", "GONE").has(["x"])`, want: false},
		{in: `live.chain("ipv6", "security", "INPUT").policy`, want: "ACCEPT"},
		{in: `live.chain("ipv6", "security", "INPUT").exists`, want: true},
		{in: `live.chain("ipv6", "security", "OTHER").exists`, want: false},

		{in: pre + `.rules.map(r, r.index)`, want: []any{int64(0), int64(1), int64(2), int64(3), int64(4), int64(5)}},
		{in: pre + `.rules.filter(r, r.owned).map(r, r.target)`, want: []any{"OWN-PRE"}},
		{in: pre + `.rules.map(r, r.comment)`, want: []any{"cali:1", "", "", "", "", "last"}},
		{in: pre + `.rules.map(r, r.participant)`, want: []any{"calico", "", "kube-proxy", "calico", "", "calico"}},
		{in: pre + `.rules[1].source`, want: "10.0.0.0/8"},
		{
			in:   `[` + pre + `.rules[1]].map(r, [r.iface, r.oface, r.protocol, r.dport, r.sport, r.mark, r.destination])`,
			want: []any{[]any{"eth0", "", "tcp", "80", "", "", ""}},
		},
		{in: pre + `.rules[4].text`, want: "-j LOG"},
		{in: pre + `.rules[4].target`, want: "LOG"},
		{in: input + `.rules.filter(r, r.native).map(r, r.comments)`, want: []any{[]any{"theirs"}}},
		{in: input + `.rules[1].comment`, want: "theirs"},

		// Equality is by what is seen, not by identity.
		{in: pre + ` == planned.chain("ipv4", "nat", "PREROUTING")`, want: true},
		{in: pre + `.rules == planned.chain("ipv4", "nat", "PREROUTING").rules`, want: true},
		{in: pre + `.rules[0] in ` + pre + `.rules`, want: true},
		{in: pre + ` == ` + input, want: false},
		{in: `dyn(live).backend`, want: "iptables-nft"},
		{in: `dyn(live).backendd`, err: `cel-eval: a host has no field "backendd"`},

		// Unread.
		{in: `live.chain("ipv4", "nat", "LATER").exists`, unknown: later},
		{in: `live.chain("ipv4", "nat", "LATER").rules.all(r, r.owned)`, unknown: later},
		{in: `live.chain("ipv4", "nat", "LATER").count("x") > 0`, unknown: later},
		{in: `live.chain("ipv4", "nat", "LATER").exists || true`, want: true},
		{in: `live.chain("ipv4", "nat", "LATER").exists && false`, want: false},
		{in: `live.participants`, unknown: []ir.ChainKey{key(ir.IPv4, "nat", "")}, err: "any"},
		{in: `live.hasNativeRules("ipv4", "nat")`, unknown: []ir.ChainKey{key(ir.IPv4, "nat", "")}},

		// Unreadable.
		{
			in:  `live.chain("ipv6", "mangle", "INPUT").exists`,
			err: "unknown-state: chain ipv6 mangle INPUT cannot be read: Table `mangle' is incompatible, use 'nft' tool.",
		},
		{in: `live.chain("ipv6", "mangle", "INPUT").exists || true`, want: true},
		{in: `live.hasNativeRules("ipv6", "mangle")`, want: true},
		{in: `live.hasNativeRules("ipv4", "filter")`, want: true},
		{in: `live.hasNativeRules("ipv4", "raw")`, want: false},
		{in: `live.hasNativeRules("ipv6", "raw")`, err: "unknown-state: table ipv6 raw cannot be read: permission denied"},
		{in: `live.chain("ipv" + "5", "nat", "X").exists`, err: `cel-eval: unknown family "ipv5", did you mean "ipv4"?`},
		{in: `live.chain("ipv4", "fil" + "ter2", "X").exists`, err: `cel-eval: unknown table "filter2", did you mean "filter"?`},

		// Sets.
		{in: `live.set("ipv4", "hv-admins").elements`, want: []any{"10.0.0.0/8"}},
		{in: `live.set("ipv6", "hv-admins").size`, want: int64(2)},
		{in: `live.set("ipv6", "hv-admins-6").type`, want: "hash:net"},
		{in: `live.set("ipv6", "hv-admins-4").exists`, want: false},
		{in: `live.set("ipv4", "only6").exists`, want: false},
		{in: `live.set("ipv4", "nosuch").exists`, want: false},
		{in: `live.set("ipv4", "nosuch").elements`, want: []any{}},
		{in: `live.set("ipv4", "macs").size`, want: int64(3)},
		{in: `"aa" in live.set("ipv4", "macs").elements`, sets: []string{"macs"}},
		{in: `live.set("ipv4", "macs").elements[0] == "aa"`, sets: []string{"macs"}},
	} {
		r, bad := evalOn(t, testState(), tt.in)
		if tt.err == "any" { // participants: one table is unread, another cannot be read
			if bad == "" && r.Known() {
				t.Errorf("Eval(%q) = %v, want an error or unknown", tt.in, r.Value)
			}
			continue
		}
		if bad != tt.err {
			t.Errorf("Eval(%q) error = %q, want %q", tt.in, bad, tt.err)
			continue
		}
		got := Result{Value: r.Value, Unknown: r.Unknown, UnknownSets: r.UnknownSets}
		if diff := cmp.Diff(Result{Value: tt.want, Unknown: tt.unknown, UnknownSets: tt.sets}, got); diff != "" {
			t.Errorf("Eval(%q) mismatch (-want +got):\n%s", tt.in, diff)
		}
		for _, k := range tt.unknown {
			if !slices.Contains(r.Asked, k) {
				t.Errorf("Eval(%q) depends on %v but asked only for %v", tt.in, k, r.Asked)
			}
		}
	}
}

func TestAskedWithoutNeed(t *testing.T) {
	r, bad := evalOn(t, testState(), `live.chain("ipv4", "nat", "LATER").exists || true`)
	if bad != "" || !r.Known() {
		t.Fatalf("Eval = %v, %s", r, bad)
	}
	if diff := cmp.Diff([]ir.ChainKey{key(ir.IPv4, "nat", "LATER")}, r.Asked); diff != "" {
		t.Errorf("Asked mismatch (-want +got):\n%s", diff)
	}
}

func TestHostScoped(t *testing.T) {
	s := testState()
	s.Families = []ir.Family{ir.IPv4}
	s.SetsRead = false
	s.Sets = s.Sets[:1]
	for _, tt := range []struct {
		in      string
		want    any
		unknown []ir.ChainKey
		sets    []string
	}{
		{in: `live.chain("ipv6", "filter", "INPUT").exists`, unknown: []ir.ChainKey{key(ir.IPv6, "filter", "INPUT")}},
		{in: `live.hasNativeRules("ipv6", "nat")`, unknown: []ir.ChainKey{key(ir.IPv6, "nat", "")}},
		{in: `live.set("ipv4", "hv-admins").exists`, want: true},
		{in: `live.set("ipv4", "other").exists`, sets: []string{"other", "other-4"}},
	} {
		r, bad := evalOn(t, s, tt.in)
		got := Result{Value: r.Value, Unknown: r.Unknown, UnknownSets: r.UnknownSets}
		if diff := cmp.Diff(Result{Value: tt.want, Unknown: tt.unknown, UnknownSets: tt.sets}, got); diff != "" || bad != "" {
			t.Errorf("Eval(%q) %s mismatch (-want +got):\n%s", tt.in, bad, diff)
		}
	}
}

func TestParticipants(t *testing.T) {
	s := testState()
	s.Tables = s.Tables[:2]
	s.Tables[0].Chains = s.Tables[0].Chains[:3]
	r, bad := evalOn(t, s, `live.participants`)
	if diff := cmp.Diff([]any{"calico", "kube-proxy"}, r.Value); diff != "" || bad != "" {
		t.Errorf("participants %s mismatch (-want +got):\n%s", bad, diff)
	}
}

func TestHostRule(t *testing.T) {
	h := testHost(testState())
	e := testEnv(t, EnvOptions{Rule: true})
	x, list := e.Compile(in(`rule.comment == "last" && !(rule.source in params.keep)`), WantBool)
	if x == nil {
		t.Fatal(lines(list))
	}
	params := NewParams(map[string]Value{"keep": {ListOf(Type{Kind: String}), []any{"10.0.0.1"}}})
	var got []int
	for i := range 6 {
		r, bad := x.Eval(context.Background(), Activation{Params: params, Rule: h.Rule(key(ir.IPv4, "nat", "PREROUTING"), i)})
		if bad != nil {
			t.Fatal(bad.Message)
		}
		if r.Value == true {
			got = append(got, i)
		}
	}
	if diff := cmp.Diff([]int{5}, got); diff != "" {
		t.Errorf("chosen rules mismatch (-want +got):\n%s", diff)
	}
	for _, k := range []ir.ChainKey{key(ir.IPv4, "nat", "LATER"), key(ir.IPv4, "nat", "GONE"), key(ir.IPv4, "nat", "EMPTY")} {
		if r := h.Rule(k, 0); r != nil {
			t.Errorf("Rule(%v, 0) = %v, want nil", k, r)
		}
	}
}
