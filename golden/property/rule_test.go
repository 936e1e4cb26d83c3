package property

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// action picks an action that is valid at the place and for the match, which it
// may give a protocol.
func (m *match) action(pl place, jumps []string) string {
	actions := []string{
		"accept", "", "", "log", "{log: {prefix: " + m.quote(m.pick("HV ", "say \"x\" ", "it's: ", "ünï ")) + ", level: " + m.pick("debug", "4", "warning", "emerg") + "}}",
		fmt.Sprintf("{nflog: {group: %d, prefix: %s}}", m.IntN(9), m.quote(m.pick("nf", "two words", `q"q`))), "{nflog: {group: 3}}",
		"{mark: {set: " + m.bits() + "}}", "{connmark: {set: " + m.bits() + "}}", "{connmark: {save: " + m.pick("true", "0xff") + "}}", "{connmark: {restore: " + m.pick("true", "0xff00") + "}}",
	}
	// return and goto are refused where a rule needs a helper chain, as with these.
	simple := len(m.not) == 0 && !m.has("limit") && !m.has("hashlimit") || m.one(100)
	if simple {
		actions = append(actions, "return", "return")
	}
	for _, j := range jumps {
		actions = append(actions, "{jump: "+m.quote(j)+"}")
		if simple {
			actions = append(actions, "{goto: "+m.quote(j)+"}")
		}
	}
	ports := len(m.protocols) > 0 && !slices.Contains(m.protocols, "udplite")
	tcp := len(m.protocols) == 1 && m.protocols[0] == "tcp"
	proxied := len(m.protocols) > 0 && !slices.ContainsFunc(m.protocols, func(s string) bool { return s != "tcp" && s != "udp" })
	if pl.table != "nat" {
		actions = append(actions, "drop", "drop")
	}
	switch pl.table {
	case "filter":
		if pl.within("INPUT", "FORWARD", "OUTPUT") {
			actions = append(actions, "reject", "{reject: {with: "+m.pick("admin-prohibited", "port-unreachable", "no-route", "host-unreachable")+"}}")
			if tcp {
				actions = append(actions, "{reject: {with: tcp-reset}}", "{reject: {with: tcp-reset}}")
			}
		}
	case "nat":
		actions = append(actions, m.natActions(pl, ports)...)
	case "mangle":
		actions = append(actions, "{dscp: {set: "+m.pick("ef", "10", "af21", "cs3")+"}}")
		if tcp && !m.has("tcpFlags") {
			m.is("tcpFlags", m.pick("syn", `"SYN,RST SYN"`))
			actions = append(actions, "{tcpmss: {set: 1360}}", "{tcpmss: {set: 1200}}")
			if pl.within("FORWARD", "OUTPUT", "POSTROUTING") {
				actions = append(actions, "{tcpmss: {clampToPMTU: true}}", "{tcpmss: {clampToPMTU: true}}")
			}
		}
		if proxied && pl.within("PREROUTING") {
			address := map[string]string{only4: ", address: 127.0.0.1", only6: `, address: "::1"`}[m.families]
			actions = append(actions, "{tproxy: {port: 3128}}", "{tproxy: {port: 3128, mark: \"0x1/0x1\""+address+"}}")
		}
	case "raw":
		actions = append(actions, "{ct: {notrack: true}}", fmt.Sprintf("{ct: {zone: %d}}", 1+m.IntN(60)))
		if tcp {
			actions = append(actions, "{ct: {helper: ftp}}")
		}
	}
	return m.pick(actions...)
}

func (m *match) natActions(pl place, ports bool) []string {
	var out []string
	place := func(port string) string {
		switch m.families {
		case only4:
			return m.quote("10.9.8.7" + port)
		case only6:
			if port == "" {
				return m.quote("fd00::9")
			}
			return m.quote("[fd00::9]" + port)
		}
		if port == "" {
			return `["10.9.8.1-10.9.8.7", "fd00::9"]`
		}
		return `["10.9.8.7` + port + `", "[fd00::9]` + port + `"]`
	}
	if pl.within("PREROUTING", "OUTPUT") {
		out = append(out, "{dnat: {to: "+place("")+"}}", "redirect")
		if ports {
			out = append(out, "{dnat: {to: "+place(":8080")+"}}", "{dnat: {to: "+place(":8080-8090")+"}}", `{redirect: {to: 8080}}`, `{redirect: {to: "8080-8090"}}`)
		}
	}
	if pl.within("POSTROUTING") {
		out = append(out, "masquerade", "{masquerade: {randomFully: true}}", "{masquerade: {randomFully: false}}")
	}
	if pl.within("POSTROUTING", "INPUT") {
		out = append(out, "{snat: {to: "+place("")+"}}")
		if ports {
			out = append(out, "{snat: {to: "+place(":1024-65535")+"}}")
		}
	}
	return out
}

// structured makes a rule with match and action. n numbers the rule in its chain.
func structured(p *params, families string, pl place, jumps []string, n int) []string {
	own := families
	if families == both {
		own = p.pick(only4, only6, both, both)
	}
	m := newMatch(p, own, pl)
	act := m.action(pl, jumps)
	var keys []string
	if p.one(3) {
		keys = append(keys, "name: "+p.quote(fmt.Sprintf("r%d%s", n, p.pick("", "-x", " y", ".z", ":1", "/a", "@b", "+c"))))
	}
	if own != both && (p.one(2) || !saysFamily(m, own)) {
		keys = append(keys, "families: "+familyList(own))
	}
	switch p.IntN(12) {
	case 0:
		keys = append(keys, "when: "+p.declare("bool", p.pick("true", "false")))
	case 1:
		keys = append(keys, `when: '"lo" in facts.interfaces'`)
	case 2:
		keys = append(keys, "when: 'size(facts.hostname) >= 0'")
	}
	keys = append(keys, loop(m)...)
	if s := m.String(); s != "" {
		keys = append(keys, "match: "+s)
	}
	if act != "" {
		keys = append(keys, "action: "+act)
	}
	if p.one(3) {
		keys = append(keys, "comment: "+p.remarkScalar())
	}
	if len(keys) == 0 || len(keys) == 1 && strings.HasPrefix(keys[0], "name: ") {
		keys = append(keys, "match: {in: lo}")
	}
	return keys
}

// saysFamily tells that a match holds something of one family only, so that the
// rule need not say so itself.
func saysFamily(m *match, families string) bool {
	return slices.ContainsFunc(m.keys, func(s string) bool {
		return strings.HasPrefix(s, "icmp") || (strings.HasPrefix(s, "source: ") || strings.HasPrefix(s, "destination: ")) && !strings.Contains(s, "set:") && !strings.Contains(s, "params.")
	}) && families != both
}

// loop turns one more condition into a forEach now and then.
func loop(m *match) []string {
	if !m.one(6) || m.has("mark") {
		return nil
	}
	values := m.some(1+m.IntN(3), []string{"0x10", "17", `"0x100/0xf00"`, "0x7"})
	list := "[" + strings.Join(values, ", ") + "]"
	name := m.pick("x", "item", "m1")
	m.is("mark", `"${`+name+`}"`)
	switch m.IntN(4) {
	case 0:
		return []string{"forEach: {" + name + ": " + list + "}"}
	case 1:
		return []string{"forEach: {" + name + ": " + m.declare("list(mark)", list) + "}"}
	case 2:
		m.keys[len(m.keys)-1] = `mark: "${` + name + `.value}"`
		return []string{"forEach: {" + name + ": '" + m.declare("map(mark)", `{one: 1, "2": "0x2/0x2"}`) + "'}"}
	}
	return []string{"forEach: {" + name + ": \"${" + m.declare("list(mark)", list) + "}\"}"}
}

// typed is a rule text as people type it, and where it was found to be valid.
type typed struct{ family, table, chain, text string }

// typedRules are the rule texts of package xtables, each of which both variants
// of iptables take.
var typedRules = sync.OnceValues(func() ([]typed, error) {
	data, err := os.ReadFile("../../compiler/xtables/testdata/typed.txt")
	if err != nil {
		return nil, err
	}
	var out []typed
	for line := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n") {
		if p := strings.SplitN(line, " ", 4); len(p) == 4 {
			out = append(out, typed{p[0], p[1], p[2], p[3]})
		}
	}
	return out, nil
})

// pool are the typed rules that the kernel takes here.
func pool(t testing.TB) []typed {
	t.Helper()
	all, err := typedRules()
	if err != nil {
		t.Fatal(err)
	}
	if allUsers() {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(x typed) bool { return strings.Contains(x.text, "-owner") })
}

// toChain finds rule texts that jump to a chain of the test that they come from.
var toChain = regexp.MustCompile(`\bCH\b`)

// ruleText makes a rule string, and says for which families it is.
func (r *ruleset) ruleText(families string, pl place, jumps []string) (text, own string) {
	if len(jumps) > 0 && r.one(4) {
		return r.quote(r.pick("-j ", "-p udp --dport 53 -g ", "-m comment --comment \"a b\" -j ") + r.pick(jumps...)), families
	}
	if r.one(3) {
		port, word := r.declare("port", r.port()), r.declare("string", r.quote(r.remark()))
		return r.pick(
			`"-p tcp -m tcp --dport ${`+port+`} -j ACCEPT"`,
			`'-p udp --sport ${`+port+`} -m comment --comment ${`+word+`} -j RETURN'`,
			`"-i ${`+r.declare("interface", "eth0")+`} -m comment --comment x${`+word+`} -m limit --limit 3/minute -j ACCEPT"`,
		), families
	}
	var fit []typed
	for _, x := range r.typed {
		if x.table == pl.table && pl.within(x.chain) && families != map[string]string{"4": only6, "6": only4}[x.family] && !toChain.MatchString(x.text) {
			fit = append(fit, x)
		}
	}
	if len(fit) == 0 || r.one(5) {
		text := r.pick(generic...)
		if pl.table == "nat" {
			text = strings.ReplaceAll(text, "-j DROP", "-j RETURN")
		}
		return r.quote(text), families
	}
	x := fit[r.IntN(len(fit))]
	return r.quote(strings.ReplaceAll(x.text, "${", "$${")), map[string]string{"4": only4, "6": only6}[x.family]
}

// generic rules are valid everywhere and in both families.
var generic = []string{
	"-p udp --dport :1023 -j ACCEPT", "-p tcp ! --dport :80 -j RETURN", "-p tcp --sport 1024: ! --dport 22 -j ACCEPT", "-j ACCEPT", "-j DROP", "-j RETURN", "-p tcp --dport 22:23 -j ACCEPT", "-p tcp -m multiport --dports 80,443,8000:8080 -j ACCEPT", "-p udp",
	"-m state --state ESTABLISHED,RELATED -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-p 47 -j DROP", "-m mark --mark 1/1 -j RETURN",
	`-m comment --comment "a \"b\" c" -m limit --limit 2/s -j RETURN`, "-m statistic --mode random --probability 0.3 -j RETURN", "-p tcp --syn -m connlimit --connlimit-above 20 -j DROP",
	"-p tcp --sport 67 --dport 68 -j ACCEPT", "-p udp -m udp --sport 67 --dport 68", "-m recent --name x --set", "-p tcp -m tcp --tcp-flags SYN,ACK SYN -j LOG --log-prefix \"a b\"",
	"-m pkttype --pkt-type broadcast -j DROP", "-m u32 --u32 0>>22=0x1 -j DROP", "-p tcp -m string --string hello --algo bm -j DROP", "-m length --length 100: -j ACCEPT",
}
