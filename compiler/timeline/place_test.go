package timeline_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/compiler/nftables"
	"hookline/compiler/participant"
	"hookline/compiler/place"
	"hookline/compiler/recognize"
	"hookline/compiler/timeline"
	"hookline/compiler/xtables"
	"hookline/dsl/diag"
)

func catalogue(t testing.TB) *participant.Catalogue {
	t.Helper()
	cat, err := participant.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// base is one base chain: "ip kube-proxy filter-input filter input -110".
func base(t testing.TB, text string) ir.NFTTable {
	t.Helper()
	var family, table, policy string
	c := ir.NFTBaseChain{Rules: 1}
	if _, err := fmt.Sscan(text+" accept", &family, &table, &c.Name, &c.Type, &c.Hook, &c.Priority, &policy); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	c.Policy = policy
	return ir.NFTTable{Family: family, Name: table, Chains: []ir.NFTBaseChain{c}}
}

// host is a host with base chains, and with rules of IPv4 in chains of iptables:
// "filter INPUT -j KUBE-FIREWALL".
func host(t testing.TB, bases []string, rules ...string) *timeline.Host {
	t.Helper()
	h := &timeline.Host{
		Catalogue: catalogue(t), State: &ir.State{Families: ir.Families},
		Ours: func(_, table string) bool { _, ours := nftables.RulesetOf(table); return ours },
	}
	for _, b := range bases {
		h.Tables = append(h.Tables, base(t, b))
	}
	for _, r := range rules {
		words := strings.SplitN(r, " ", 3)
		table := h.State.Table(ir.IPv4, words[0])
		if table == nil {
			table = &ir.Table{Family: ir.IPv4, Name: words[0]}
			h.State.Tables = append(h.State.Tables, table)
		}
		c := table.Chain(words[1])
		if c == nil {
			c = &ir.Chain{Name: words[1], Policy: "ACCEPT", Read: true}
			table.Chains = append(table.Chains, c)
		}
		rule := &ir.Rule{Text: words[2]}
		if to := rule.JumpTarget(); to != "" && table.Chain(to) == nil {
			table.Chains = append(table.Chains, &ir.Chain{Name: to})
		}
		c.Rules = append(c.Rules, rule)
	}
	fields := func(f ir.Family, r *ir.Rule) recognize.Fields {
		return recognize.FromSpec(xtables.DecodeRule(r, f), r.Text)
	}
	h.Attribution = recognize.New(h.Catalogue, fields).State(h.State)
	return h
}

var source = diag.NewFile("r.yaml", strings.Repeat("x", 400))

// span is a place of its own for each name.
func span(n int) diag.Span { return source.Span(n, n+1) }

// want is a base chain of a ruleset with one anchor for both families.
// "kube-proxy,chain:X?hold" are references; rules are the rules in it.
func want(t testing.TB, ruleset, table, hook, after, before string, rules ...string) *timeline.Wanted {
	t.Helper()
	b := *nftables.BaseOf(table, hook)
	c := &ir.OwnChain{Name: nftables.ChainName(table, hook), Base: &b}
	for i, r := range rules {
		c.Rules = append(c.Rules, ir.OwnRule{Text: r, Origin: span(200 + i)})
	}
	w := &timeline.Wanted{
		Ruleset: ruleset, IPTable: table, Hook: hook, Base: b, Chain: c,
		Table: &ir.OwnTable{Kind: ir.Inet, Name: nftables.TableName(ruleset), Chains: []*ir.OwnChain{c}},
	}
	at := 0
	refs := func(text string) []timeline.Ref {
		var out []timeline.Ref
		for _, s := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
			at++
			r := timeline.Ref{Span: span(at)}
			s, missing, _ := strings.Cut(s, "?")
			r.IfMissing = map[string]place.Missing{"hold": place.Hold, "fail": place.Fail, "": place.Ignore}[missing]
			if name, ok := strings.CutPrefix(s, "chain:"); ok {
				r.Label, r.Chain = name, name
			} else {
				r.Label = s
				r.Participant, r.Tail = strings.CutSuffix(s, "/tail")
			}
			out = append(out, r)
		}
		return out
	}
	a := timeline.Anchor{Name: strings.ToUpper(ruleset), Span: span(100), Target: strings.ToUpper(ruleset), After: refs(after), Before: refs(before)}
	for _, f := range ir.Families {
		a.Family = f
		w.Anchors = append(w.Anchors, a)
	}
	return w
}

const (
	kubeProxyIn = "ip kube-proxy filter-input filter input -110"
	calicoIn    = "ip calico filter-INPUT filter input 0"
	calicoIn6   = "ip6 calico filter-INPUT filter input 0"
	netbirdIn   = "ip netbird netbird-acl-input-filter filter input 0"
	firewalldIn = "inet firewalld filter_INPUT filter input 10"
	iptablesIn  = "ip filter INPUT filter input 0"
	iptablesIn6 = "ip6 filter INPUT filter input 0"
	proxyPost   = "ip kube-proxy nat-postrouting nat postrouting 100"
	netbirdPost = "ip netbird netbird-rt-postrouting nat postrouting 99"
	calicoPost  = "ip calico nat-POSTROUTING nat postrouting 110"
)

// TestPlace: one wanted chain, and where it goes. A number is a priority, anything
// else the codes of the findings.
func TestPlace(t *testing.T) {
	for _, c := range []struct {
		name         string
		bases, rules []string
		want         *timeline.Wanted
		is           string
	}{
		{"nobody else", nil, nil, want(t, "site", "filter", "INPUT", "", ""), "0"},
		{"the usual place is taken", []string{iptablesIn}, nil, want(t, "site", "filter", "INPUT", "", ""), "1"},
		{"two places are taken", []string{iptablesIn, "ip6 x in filter input 1"}, nil, want(t, "site", "filter", "INPUT", "", ""), "2"},
		{"directly behind", []string{calicoIn, firewalldIn}, nil, want(t, "site", "filter", "INPUT", "calico", "firewalld"), "1"},
		{"directly ahead", []string{netbirdIn, firewalldIn}, nil, want(t, "site", "filter", "INPUT", "", "firewalld,netbird"), "-1"},
		{"ahead of one, behind another", []string{netbirdIn, firewalldIn}, nil, want(t, "site", "filter", "INPUT", "netbird", ""), "1"},
		{"ahead, where one is taken", []string{firewalldIn, "ip x in filter input 9"}, nil, want(t, "site", "filter", "INPUT", "", "firewalld"), "8"},
		{"the other family's chain counts", []string{calicoIn6}, nil, want(t, "site", "filter", "INPUT", "calico", ""), "1"},
		{"a chain of another class counts where it can be passed", []string{kubeProxyIn}, nil, want(t, "site", "filter", "INPUT", "", "kube-proxy"), "-111"},
		{"and says no place", []string{kubeProxyIn}, nil, want(t, "site", "filter", "INPUT", "kube-proxy", ""), "0"},
		{"not where it cannot be passed", []string{"ip kube-proxy filter-output filter output -110"}, nil, want(t, "site", "filter", "OUTPUT", "", "kube-proxy"), "no-priority from -99 to"},
		{"it is passed anyway", []string{"ip kube-proxy filter-output filter output -110", "ip6 kube-proxy filter-output filter output -110"}, nil, want(t, "site", "filter", "OUTPUT", "kube-proxy?fail", ""), "0"},
		{"behind what is past the end", []string{"ip kube-proxy filter-input filter input 150"}, nil, want(t, "site", "filter", "INPUT", "kube-proxy", ""), "no-priority kube-proxy is ip kube-proxy filter-input, type filter, priority 150"},
		{"and it is not missing", []string{"ip kube-proxy filter-input filter input 150", "ip6 kube-proxy filter-input filter input 150"}, nil, want(t, "site", "filter", "INPUT", "kube-proxy?fail", ""), "no-priority from -199 to 99"},
		{"nor held", []string{"ip kube-proxy filter-input filter input 150", "ip6 kube-proxy filter-input filter input 150"}, nil, want(t, "site", "filter", "INPUT", "kube-proxy?hold", ""), "no-priority source addresses"},
		{"ahead of what is past the end", []string{"ip kube-proxy filter-input filter input 150"}, nil, want(t, "site", "filter", "INPUT", "", "kube-proxy"), "0"},
		{"ahead of what is past the beginning", []string{"ip kube-proxy filter-input filter input -250"}, nil, want(t, "site", "filter", "INPUT", "", "kube-proxy"), "no-priority drop the bound"},
		{"behind what is past the beginning", []string{"ip kube-proxy filter-input filter input -250"}, nil, want(t, "site", "filter", "INPUT", "kube-proxy", ""), "0"},
		{"past the end, and another one nearer", []string{kubeProxyIn, "ip kube-proxy late filter input 150"}, nil, want(t, "site", "filter", "INPUT", "kube-proxy", ""), "no-priority priority 150"},
		{"past the end, and one of the class", []string{"ip kube-proxy in filter input 5", "ip kube-proxy late filter input 150"}, nil, want(t, "site", "filter", "INPUT", "kube-proxy", ""), "6"},
		{"the last number", []string{"ip kube-proxy forward filter forward 2147483647"}, nil, want(t, "site", "filter", "FORWARD", "kube-proxy", ""), "no-priority above 2147483646"},
		{"the last but one", []string{"ip kube-proxy forward filter forward 2147483646"}, nil, want(t, "site", "filter", "FORWARD", "kube-proxy", ""), "no-priority site filter FORWARD: no chain of ours has a priority above 2147483646"},
		{"the first number", []string{"ip kube-proxy forward filter forward -2147483648"}, nil, want(t, "site", "filter", "FORWARD", "", "kube-proxy"), "no-priority -2147483648"},
		{"the first number, for what keeps from tracking", []string{"ip kube-proxy forward filter forward -2147483647"}, nil, want(t, "site", "filter", "FORWARD", "", "kube-proxy", "notrack"), "no-priority below -2147483647"},
		{"the class decides", []string{"ip calico mangle-INPUT filter input -150", calicoIn}, nil, want(t, "site", "filter", "INPUT", "", "calico"), "-1"},
		{"and of mangle too", []string{"ip calico mangle-INPUT filter input -150", calicoIn}, nil, want(t, "site", "mangle", "INPUT", "calico", ""), "-149"},
		{"rules in iptables", []string{iptablesIn}, []string{"filter INPUT -j KUBE-FIREWALL"}, want(t, "site", "filter", "INPUT", "", "kubelet"), "-1"},
		{"a chain of iptables", []string{iptablesIn}, []string{"filter INPUT -j KUBE-FIREWALL"}, want(t, "site", "filter", "INPUT", "chain:KUBE-FIREWALL", ""), "1"},
		{"nobody jumps to the chain: its program's table", []string{iptablesIn, proxyPost, "ip nat POSTROUTING nat postrouting 100"}, nil, want(t, "site", "nat", "POSTROUTING", "", "chain:KUBE-POSTROUTING"), "99"},
		{"both in one chain", []string{iptablesIn}, []string{"filter INPUT -j KUBE-ROUTER-INPUT", "filter INPUT -j KUBE-FIREWALL"}, want(t, "site", "filter", "INPUT", "kube-router", "kubelet"), "crossing-bounds use iptables-nft"},
		{"in the wrong order", []string{calicoIn, firewalldIn}, nil, want(t, "site", "filter", "INPUT", "firewalld", "calico"), "crossing-bounds runs behind"},
		{"at one priority", []string{calicoIn, netbirdIn}, nil, want(t, "site", "filter", "INPUT", "calico", "netbird"), "crossing-bounds both are at priority 0"},
		{"a participant and its tail", []string{calicoIn}, nil, want(t, "site", "filter", "INPUT", "calico", "calico/tail"), "crossing-bounds on nft a tail has no place of its own: calico/tail is all that calico has there use iptables-nft"},
		{"a participant and its tail, in two chains", []string{calicoIn, "ip calico filter-late filter input 5"}, nil, want(t, "site", "filter", "INPUT", "calico", "calico/tail"), "crossing-bounds has no place of its own"},
		{"no integer between", []string{netbirdPost, proxyPost}, nil, want(t, "site", "nat", "POSTROUTING", "netbird", "kube-proxy"), "crossing-bounds no priority between 99 and 100"},
		{"nat among nat only", []string{"ip calico mangle-POSTROUTING filter postrouting 105", netbirdPost, calicoPost}, nil, want(t, "site", "nat", "POSTROUTING", "netbird", "calico"), "100"},
		{"nat and the limit of the kernel", []string{"ip kube-proxy nat-prerouting nat prerouting -199"}, nil, want(t, "site", "nat", "PREROUTING", "", "kube-proxy"), "no-priority -200"},
		{"notrack stays ahead", []string{"ip docker-bridges raw-PREROUTING filter prerouting -201"}, nil, want(t, "site", "raw", "PREROUTING", "docker", "", "notrack"), "no-priority has to be so before -200"},
		{"raw ahead", []string{"ip docker-bridges raw-PREROUTING filter prerouting -300"}, nil, want(t, "site", "raw", "PREROUTING", "", "docker", "notrack"), "-301"},
		{"raw that asks", nil, nil, want(t, "site", "raw", "PREROUTING", "", "", "ct state established accept"), "-199"},
		{"raw that sets a zone", nil, nil, want(t, "site", "raw", "PREROUTING", "", "", "ct state ! untracked ct original zone set 5"), "-300"},
		{"asks and keeps out", nil, nil, want(t, "site", "raw", "PREROUTING", "", "", "ct state new accept", "notrack"), "no-priority mean what they say"},
		{"output, behind the rewriting", []string{"ip kube-proxy filter-output-post-dnat filter output -90"}, nil, want(t, "site", "filter", "OUTPUT", "", "kube-proxy"), "-91"},
		{"missing, and held", nil, nil, want(t, "site", "filter", "INPUT", "calico?hold", ""), "held"},
		{"missing, and an error", nil, nil, want(t, "site", "filter", "INPUT", "calico?fail", ""), "missing-reference ifMissing is fail"},
		{"present, not held", []string{calicoIn, calicoIn6}, nil, want(t, "site", "filter", "INPUT", "calico?hold", ""), "1"},
		{"a standing chain in bounds stays", []string{calicoIn, firewalldIn, "inet hookline-site filter-INPUT filter input 7"}, nil, want(t, "site", "filter", "INPUT", "calico", "firewalld"), "7"},
		{"out of bounds it moves", []string{calicoIn, firewalldIn, "inet hookline-site filter-INPUT filter input 17"}, nil, want(t, "site", "filter", "INPUT", "calico", "firewalld"), "1"},
		{"one that shares stays, and is told", []string{calicoIn, "inet hookline-site filter-INPUT filter input 0"}, nil, want(t, "site", "filter", "INPUT", "", ""), "0 shared-priority"},
		{"shared and bounded moves", []string{calicoIn, "inet hookline-site filter-INPUT filter input 0"}, nil, want(t, "site", "filter", "INPUT", "calico", ""), "1"},
		{"another kind of table of ours is no neighbour", []string{"ip hookline-site filter-INPUT filter input 0"}, nil, want(t, "site", "filter", "INPUT", "", ""), "0"},
		{"the extreme priorities leave none", []string{"ip calico raw-PREROUTING filter prerouting -400"}, nil, want(t, "site", "raw", "PREROUTING", "", "calico", "notrack"), "no-priority fragments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := host(t, c.bases, c.rules...)
			places, list := timeline.Place(h, []*timeline.Wanted{c.want})
			got := report(places[0], list)
			number, words, _ := strings.Cut(c.is, " ")
			if !strings.HasPrefix(got+" ", number+" ") || !strings.Contains(got, words) {
				t.Errorf("got %q, want %q", got, c.is)
			}
			if list.HasErrors() == places[0].OK {
				t.Errorf("placed is %v with %v", places[0].OK, list.Err())
			}
		})
	}
}

// report is a place in words: its priority, or the first code; then the texts.
func report(p timeline.Placed, list *diag.List) string {
	var out []string
	if p.OK && len(p.Held) == 0 {
		out = append(out, fmt.Sprint(p.Priority))
	}
	for _, d := range list.All() {
		out = append(out, string(d.Code), d.Message)
		for _, n := range d.Notes {
			out = append(out, n.Message)
		}
		out = append(out, d.Help)
	}
	return strings.Join(out, " ")
}

// TestBothSidesAreShown: a crossing names both programs, both base chains, and both
// places in the ruleset.
func TestBothSidesAreShown(t *testing.T) {
	_, list := timeline.Place(host(t, []string{calicoIn, firewalldIn}), []*timeline.Wanted{want(t, "site", "filter", "INPUT", "firewalld", "calico")})
	if list.Len() != 1 {
		t.Fatalf("findings: %v", list.Err())
	}
	d := list.All()[0]
	var places []diag.Span
	for _, n := range d.Notes {
		places = append(places, n.Span)
	}
	text := report(timeline.Placed{}, list)
	for _, s := range []string{"SITE", "firewalld", "calico", "inet firewalld filter_INPUT", "ip calico filter-INPUT", "priority 10", "priority 0"} {
		if !strings.Contains(text, s) {
			t.Errorf("%q is not in %q", s, text)
		}
	}
	if d.Span != span(1) || !slices.Contains(places, span(2)) {
		t.Errorf("at %v, notes at %v", d.Span, places)
	}
}

// TestWhatIsNotKnownIsSaid: rules of iptables that nobody read, and programs of
// iptables-legacy, which are known by the names of their chains.
func TestWhatIsNotKnownIsSaid(t *testing.T) {
	h := host(t, []string{iptablesIn})
	h.State = nil
	p, list := timeline.Place(h, []*timeline.Wanted{want(t, "site", "filter", "INPUT", "", "kubelet")})
	if !list.Has(diag.NotInSnapshot) || list.HasErrors() || !p[0].OK {
		t.Errorf("unread: %+v, %v", p, list.Err())
	}
	h = host(t, nil)
	h.Legacy = &ir.State{Tables: []*ir.Table{{Family: ir.IPv4, Name: "filter", Chains: []*ir.Chain{{Name: "INPUT"}, {Name: "KUBE-FIREWALL"}}}}}
	for refs, want1 := range map[[2]string]int{{"", "kubelet"}: -1, {"kubelet", ""}: 1, {"chain:KUBE-FIREWALL", ""}: 1, {"", ""}: 1} {
		p, list := timeline.Place(h, []*timeline.Wanted{want(t, "site", "filter", "INPUT", refs[0], refs[1])})
		if p[0].Priority != want1 || list.Len() > 0 {
			t.Errorf("legacy, %v: %+v, %v", refs, p, list.Err())
		}
	}
}

// TestWhoIsGuessed: where rules were not read, the names of other chains say who may
// have some, and nothing is told of them as if it were known.
func TestWhoIsGuessed(t *testing.T) {
	for name, c := range map[string]struct {
		unread    string
		rules     []string
		who, what string
	}{
		"read":     {"", []string{"filter INPUT -j ACCEPT", "filter KUBE-X -j ACCEPT"}, "iptables: nobody known", ""},
		"not read": {"nft shows no matches", []string{"filter INPUT -j ACCEPT", "filter KUBE-X -j ACCEPT"}, "iptables: perhaps kube-proxy", "perhaps kube-proxy drops"},
		"known":    {"", []string{"filter INPUT -j KUBE-PROXY-FIREWALL"}, "iptables: kube-proxy", "kube-proxy drops"},
	} {
		h := host(t, []string{iptablesIn}, c.rules...)
		h.State.Table(ir.IPv4, "filter").Unreadable = c.unread
		x := h.Chains()[0]
		if got := x.Who(); got != c.who {
			t.Errorf("%s: of %q, want %q", name, got, c.who)
		}
		if got := h.CanDrop(x); !strings.HasPrefix(got, c.what) || c.what == "" && strings.Contains(got, "kube-proxy") {
			t.Errorf("%s: can drop: %q", name, got)
		}
	}
}

// TestSharedPriorityIsTold: a chain of ours that shares a priority stays where it is,
// with a warning that names the other one; one that is placed anew never shares.
func TestSharedPriorityIsTold(t *testing.T) {
	h := host(t, []string{"inet site in filter input 3", "inet hookline-site filter-INPUT filter input 3"})
	_, list := timeline.Place(h, []*timeline.Wanted{want(t, "site", "filter", "INPUT", "", "")})
	if !list.Has(diag.SharedPriority) || list.HasErrors() || !strings.Contains(report(timeline.Placed{}, list), "inet site in") {
		t.Errorf("%v", report(timeline.Placed{}, list))
	}
	h = host(t, []string{"inet site in filter input 0"})
	if p, list := timeline.Place(h, []*timeline.Wanted{want(t, "site", "filter", "INPUT", "", "")}); list.Len() > 0 || p[0].Priority == 0 {
		t.Errorf("%+v, %v", p, report(timeline.Placed{}, list))
	}
	// The help says what can be done, whoever it is.
	const ours = "inet hookline-site filter-INPUT filter input 0"
	for _, c := range []struct {
		base, rule, help string
	}{
		{calicoIn, "", "name calico under after or before"},
		{iptablesIn, "filter INPUT -j KUBE-FIREWALL", "name kubelet under after or before"},
		{iptablesIn, "filter INPUT -j ACCEPT", "say under participants whose the rules in it are (chains, comments or rules)"},
		{"inet agent in filter input 0", "", `say under participants whose table it is (nftTables: ["inet agent"]), and name that participant`},
	} {
		var rules []string
		if c.rule != "" {
			rules = append(rules, c.rule)
		}
		_, list := timeline.Place(host(t, []string{c.base, ours}, rules...), []*timeline.Wanted{want(t, "site", "filter", "INPUT", "", "")})
		if !list.Has(diag.SharedPriority) || !strings.Contains(list.All()[0].Help, c.help) {
			t.Errorf("%s: %v", c.base, report(timeline.Placed{}, list))
		}
	}
	h = host(t, []string{"inet hookline-other filter-INPUT filter input 0", ours})
	h.Ours = func(_, table string) bool { return table == "hookline-site" }
	if _, list := timeline.Place(h, []*timeline.Wanted{want(t, "site", "filter", "INPUT", "", "")}); !list.Has(diag.SharedPriority) || !strings.Contains(list.All()[0].Help, "together with ruleset other") {
		t.Errorf("%v", report(timeline.Placed{}, list))
	}
	// A chain that packets of ours never enter is no neighbour.
	w := want(t, "site", "filter", "INPUT", "", "")
	w.Table.Kind = ir.IP6
	h = host(t, []string{"ip site in filter input 0"})
	if p, list := timeline.Place(h, []*timeline.Wanted{w}); list.Len() > 0 || p[0].Priority != 0 {
		t.Errorf("%+v, %v", p, report(timeline.Placed{}, list))
	}
}

// TestSeveral: our own chains at one hook stand as iptables orders its tables, also
// those of several rulesets, and references between rulesets hold.
func TestSeveral(t *testing.T) {
	h := host(t, []string{firewalldIn, "ip calico mangle-INPUT filter input -150"})
	wanted := []*timeline.Wanted{
		want(t, "b", "filter", "INPUT", "", "firewalld"),
		want(t, "a", "filter", "INPUT", "", "chain:B"),
		want(t, "a", "mangle", "INPUT", "calico", ""),
		want(t, "c", "security", "INPUT", "", ""),
	}
	places, list := timeline.Place(h, wanted)
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	got := []int{places[0].Priority, places[1].Priority, places[2].Priority, places[3].Priority}
	if !slices.Equal(got, []int{9, 0, -149, 50}) {
		t.Errorf("priorities %v", got)
	}
	// Two that name each other only stand where iptables' tables do.
	pair := []*timeline.Wanted{want(t, "a", "filter", "INPUT", "", ""), want(t, "b", "filter", "INPUT", "", "chain:A")}
	if both, list := timeline.Place(host(t, nil), pair); list.Err() != nil || both[1].Priority != 0 || both[0].Priority != 1 {
		t.Errorf("%+v, %v", both, list.Err())
	}
	wanted[0] = want(t, "b", "filter", "INPUT", "", "firewalld,chain:A")
	if _, list := timeline.Place(h, wanted); !list.Has(diag.PlacementCycle) {
		t.Errorf("a circle: %v", list.Err())
	}
	// Two chains, and room for one.
	tight := host(t, []string{"ip calico filter-INPUT filter input 8", firewalldIn})
	two := []*timeline.Wanted{want(t, "a", "filter", "INPUT", "calico", "firewalld"), want(t, "b", "filter", "INPUT", "calico", "firewalld")}
	if _, list := timeline.Place(tight, two); !list.Has(diag.CrossingBounds) || !list.HasErrors() {
		t.Errorf("room for one: %v", list.Err())
	}
	// A chain in bounds makes room if another one has none otherwise.
	moved := host(t, []string{firewalldIn, "inet hookline-a filter-INPUT filter input 9", "ip calico filter-INPUT filter input 7"})
	both := []*timeline.Wanted{want(t, "a", "filter", "INPUT", "calico", "firewalld"), want(t, "b", "filter", "INPUT", "chain:A", "firewalld")}
	places, list = timeline.Place(moved, both)
	if list.HasErrors() || places[0].Priority != 8 || places[1].Priority != 9 {
		t.Errorf("%+v: %v", places, list.Err())
	}
}

// TestWrittenOrder: jumps of one base chain stand as they are written, and a
// reference that asks for another order is an error that says so.
func TestWrittenOrder(t *testing.T) {
	w := want(t, "site", "filter", "INPUT", "", "")
	first, second := w.Anchors[0], w.Anchors[0]
	first.Name, first.Target = "A", "A"
	second.Name, second.Target, second.Span = "B", "B", span(101)
	first.After = []timeline.Ref{{Label: "B", Span: span(1), Chain: "B"}}
	w.Anchors = []timeline.Anchor{first, second}
	if _, list := timeline.Place(host(t, nil), []*timeline.Wanted{w}); !list.Has(diag.CrossingBounds) {
		t.Errorf("A after B, written above it: %v", list.Err())
	}
	w.Anchors = []timeline.Anchor{second, first}
	if p, list := timeline.Place(host(t, nil), []*timeline.Wanted{w}); list.Len() > 0 || !p[0].OK {
		t.Errorf("written in order: %v", list.Err())
	}
}

// TestPlaceProperties: on random hosts a placement is in bounds and shares nothing;
// a second one on what then stands changes nothing; and the order in which a host
// lists its tables does not matter.
func TestPlaceProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	programs := []string{"calico", "firewalld", "netbird", "kube-proxy", "docker-bridges", "site"}
	names := []string{"calico", "firewalld", "netbird", "kube-proxy", "docker"}
	placed := 0
	for range 3000 {
		var bases []string
		for i, p := range programs {
			if r.IntN(3) > 0 {
				bases = append(bases, fmt.Sprintf("%s %s c%d filter input %d", []string{"ip", "inet"}[r.IntN(2)], p, i, r.IntN(24)-12))
			}
		}
		if r.IntN(2) == 0 {
			bases = append(bases, fmt.Sprintf("inet hookline-a filter-INPUT filter input %d", r.IntN(24)-12))
		}
		pick := func() string {
			if r.IntN(2) == 0 {
				return ""
			}
			return names[r.IntN(len(names))]
		}
		wanted := []*timeline.Wanted{want(t, "a", "filter", "INPUT", pick(), pick()), want(t, "a", "mangle", "INPUT", pick(), pick()), want(t, "b", "filter", "INPUT", pick(), pick())}
		places, list := timeline.Place(host(t, bases), wanted)
		if list.HasErrors() {
			continue
		}
		placed++
		shuffled := slices.Clone(bases)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		again, _ := timeline.Place(host(t, shuffled), wanted)
		then := slices.DeleteFunc(slices.Clone(bases), func(s string) bool { return strings.Contains(s, "hookline") })
		for i, w := range wanted {
			if again[i].Priority != places[i].Priority {
				t.Fatalf("%v: %d, and in another order %d", bases, places[i].Priority, again[i].Priority)
			}
			then = append(then, fmt.Sprintf("inet hookline-%s %s %s input %d", w.Ruleset, w.Chain.Name, w.Base.Type, places[i].Priority))
			inBounds(t, host(t, bases), w, places[i].Priority)
		}
		if places[0].Priority <= places[1].Priority || places[2].Priority <= places[1].Priority {
			t.Fatalf("%v: filter at %d and %d, mangle at %d", bases, places[0].Priority, places[2].Priority, places[1].Priority)
		}
		twice, list := timeline.Place(host(t, then), wanted)
		for i := range twice {
			if twice[i].Priority != places[i].Priority || list.HasErrors() {
				t.Fatalf("%v: placed at %d, then at %d: %v", then, places[i].Priority, twice[i].Priority, list.Err())
			}
		}
	}
	if placed < 500 {
		t.Errorf("only %d of the random hosts had a place", placed)
	}
}

func inBounds(t *testing.T, h *timeline.Host, w *timeline.Wanted, at int) {
	t.Helper()
	alone := true
	for _, c := range h.Chains() {
		for _, r := range w.Anchors[0].After {
			if c.Program == r.Participant && at <= c.Priority {
				t.Fatalf("%d is not behind %s", at, c.Title())
			}
		}
		for _, r := range w.Anchors[0].Before {
			if c.Program == r.Participant && at >= c.Priority && c.Priority > -199 {
				t.Fatalf("%d is not ahead of %s", at, c.Title())
			}
		}
		if !c.Ours && c.Priority == at {
			alone = false
		}
		if c.Ours && c.Priority == at {
			alone = true // it stood there
			break
		}
	}
	if !alone {
		t.Fatalf("%d is shared", at)
	}
}
