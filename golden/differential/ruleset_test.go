package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// dice are random choices.
type dice struct {
	*rand.Rand
	// sets are the names of sets that rulesets declare, and rules ask; nil: none.
	sets []string
	// family tells that the ruleset is for one family, whose sets have their plain names.
	family bool
}

func (d dice) pick(list ...string) string { return list[d.IntN(len(list))] }
func (d dice) one(n int) bool             { return d.IntN(n) == 0 }

// some are one to three of a list, as a YAML list or alone.
func (d dice) some(list ...string) string {
	if d.one(2) {
		return d.pick(list...)
	}
	var out []string
	for range 1 + d.IntN(3) {
		if s := d.pick(list...); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// chain is one of a random ruleset, with the hooks from which it is reached.
type chain struct {
	name  string
	hooks []string
	rules []string
}

// randomRuleset is the text of a ruleset for the router of a lab.
func randomRuleset(d dice) string {
	var b strings.Builder
	b.WriteString("apiVersion: hookline/v1\nkind: Ruleset\nmetadata: {name: t, version: 1.0.0}\nspec:\n")
	if d.one(4) {
		fmt.Fprintf(&b, "  families: [%s]\n", d.pick("ipv4", "ipv6"))
		d.family = true
	}
	if d.one(4) {
		b.WriteString("  counters: false\n")
	}
	if d.sets != nil {
		b.WriteString(randomSets(d))
	}
	b.WriteString("  tables:\n")
	tables := []string{"filter", "mangle", "nat", "raw"}
	d.Shuffle(len(tables), func(i, j int) { tables[i], tables[j] = tables[j], tables[i] })
	tables = tables[:1+d.IntN(3)]
	if !slices.Contains(tables, "filter") {
		tables = append(tables, "filter") // where most is decided
	}
	for _, t := range tables {
		d.table(&b, t)
	}
	return b.String()
}

func (d dice) table(b *strings.Builder, table string) {
	var chains []*chain
	for i := range 1 + d.IntN(3) {
		chains = append(chains, &chain{name: fmt.Sprintf("T-%s-%d", strings.ToUpper(table[:1]), i)})
	}
	var anchors []string
	for range 1 + d.IntN(3) {
		hook, c := d.pick(ir.BuiltinChains(table)...), chains[d.IntN(len(chains))]
		if slices.Contains(c.hooks, hook) {
			continue
		}
		c.hooks = append(c.hooks, hook)
		word := "jump"
		if d.one(6) {
			word = "goto"
		}
		a := fmt.Sprintf("{hook: %s, %s: %s", hook, word, c.name)
		if d.one(3) {
			a += ", match: {" + d.match(table, []string{hook}) + "}"
		}
		anchors = append(anchors, a+"}")
	}
	for i, c := range chains {
		for range 2 + d.IntN(5) {
			c.rules = append(c.rules, d.rule(table, c, chains[i+1:]))
		}
	}
	fmt.Fprintf(b, "    %s:\n      chains:\n", table)
	for _, c := range chains {
		fmt.Fprintf(b, "        %s:\n          rules:\n", c.name)
		for _, r := range c.rules {
			fmt.Fprintf(b, "            - %s\n", r)
		}
	}
	b.WriteString("      anchors:\n")
	for _, a := range anchors {
		fmt.Fprintf(b, "        - %s\n", a)
	}
}

func (d dice) rule(table string, c *chain, later []*chain) string {
	if d.sets != nil && d.one(6) {
		return d.setText()
	}
	if d.one(4) {
		if s := d.text(table, c.hooks); s != "" {
			return s
		}
	}
	action, needs := d.action(table, c, later)
	s := "{"
	if m := d.matchWith(table, c.hooks, needs); m != "" {
		s += "match: {" + m + "}, "
	}
	if action == "" {
		return s + "comment: it counts}"
	}
	return s + "action: " + action + "}"
}

// only tells whether a chain is reached from nothing but some hooks.
func only(hooks []string, of ...string) bool {
	return len(hooks) > 0 && !slices.ContainsFunc(hooks, func(h string) bool { return !slices.Contains(of, h) })
}

// action is what a rule does, and the protocol that it needs.
func (d dice) action(table string, c *chain, later []*chain) (action, protocol string) {
	if len(later) > 0 && d.one(4) {
		to := later[d.IntN(len(later))]
		for _, h := range c.hooks {
			if !slices.Contains(to.hooks, h) {
				to.hooks = append(to.hooks, h)
			}
		}
		return fmt.Sprintf("{%s: %s}", d.pick("jump", "jump", "goto"), to.name), ""
	}
	if table == "nat" && !d.one(3) {
		return d.nat(c)
	}
	switch d.IntN(4) {
	case 0:
		return d.pick("accept", "drop", "return", "return"), ""
	case 1:
		return fmt.Sprintf("{mark: {set: %s}}", d.pick("1", "2", "0x10/0xf0", "0x100/0xff00", "0x1/0x3", "0x80000000/0xc0000000")), ""
	case 2:
		return d.pick("", fmt.Sprintf("{connmark: {%s}}", d.pick("set: 1", "set: 2", "set: 0x20/0xf0", "save: true", "restore: true")),
			`{log: {prefix: "x "}}`, "{mark: {xor: 3}}"), ""
	}
	switch table {
	case "filter":
		if only(c.hooks, "INPUT", "FORWARD", "OUTPUT") {
			with := d.pick("port-unreachable", "admin-prohibited", "host-unreachable", "net-unreachable", "tcp-reset")
			if with == "tcp-reset" {
				return "{reject: {with: tcp-reset}}", "tcp"
			}
			return d.pick("drop", "accept", "{reject: {with: "+with+"}}", "{reject: {with: "+with+"}}"), ""
		}
	case "raw":
		return d.pick("{ct: {notrack: true}}", "{ct: {zone: 5}}"), ""
	case "mangle":
		if only(c.hooks, "FORWARD", "OUTPUT", "POSTROUTING") && d.one(2) {
			return d.pick("{tcpmss: {set: 1000}}", "{tcpmss: {clampToPMTU: true}}"), "syn"
		}
		return fmt.Sprintf("{dscp: {set: %d}}", []int{0, 1, 8, 10, 46, 5}[d.IntN(6)]), ""
	case "nat":
		return d.nat(c)
	}
	return "drop", ""
}

func (d dice) nat(c *chain) (action, protocol string) {
	switch {
	case only(c.hooks, "PREROUTING", "OUTPUT"):
		switch d.IntN(4) {
		case 0:
			return `{dnat: {to: [10.2.0.3, "fd02::3"]}}`, ""
		case 1:
			return `{dnat: {to: ["10.2.0.2:80", "[fd02::2]:80"]}}`, d.pick("tcp", "udp")
		case 2:
			return d.pick("redirect", "{redirect: {to: 80}}", "{redirect: {to: 8053}}"), d.pick("tcp", "udp")
		}
		return `{dnat: {to: "10.2.0.3-10.2.0.3"}}`, ""
	case only(c.hooks, "POSTROUTING"):
		return d.pick("masquerade", `{snat: {to: [10.2.0.1, "fd02::1"]}}`, `{snat: {to: 10.1.0.1}}`), ""
	case only(c.hooks, "INPUT"):
		return `{snat: {to: [10.1.0.3, "fd01::3"]}}`, ""
	}
	return "accept", ""
}

// match are the conditions of a rule.
func (d dice) match(table string, hooks []string) string { return d.matchWith(table, hooks, "") }

func (d dice) matchWith(table string, hooks []string, needs string) string {
	k := d.keys(table, hooks, needs)
	not := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(k)) {
		value := k[name]
		if name != "protocol" && name != "limit" && name != "statistic" && name != "owner" && needs != "syn" && d.one(5) {
			delete(k, name)
			not[name] = value
		}
	}
	join := func(m map[string]string) string {
		var out []string
		for name, value := range m {
			out = append(out, name+": "+value)
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	s := join(k)
	if n := join(not); n != "" {
		if s != "" {
			s += ", "
		}
		s += "not: {" + n + "}"
	}
	return s
}

var ports = []string{"22", "53", "80", "443", "8080", "8053", `"1-100"`, `"400-9000"`}

func (d dice) keys(table string, hooks []string, needs string) map[string]string {
	k := map[string]string{}
	switch {
	case needs == "syn":
		k["protocol"], k["tcpFlags"] = "tcp", d.pick("syn", `"SYN,RST SYN"`)
	case needs != "":
		k["protocol"] = needs
	case d.one(2):
		k["protocol"] = d.pick("tcp", "tcp", "udp", "udp", "[tcp, udp]", "icmp", "icmpv6", "47")
	}
	if d.sets != nil && d.one(2) {
		d.askSets(k, hooks)
	}
	withPorts := k["protocol"] == "tcp" || k["protocol"] == "udp" || k["protocol"] == "[tcp, udp]"
	for range d.IntN(3) {
		switch d.IntN(13) {
		case 0:
			k["source"] = d.some("10.1.0.2", "10.1.0.0/24", "10.2.0.0/16", `"fd01::/64"`, `"fd01::2"`, `"fd02::2"`, "10.1.0.3-10.2.0.2", `"fd01::2-fd02::2"`)
		case 1:
			k["destination"] = d.some("10.2.0.2", "10.2.0.0/24", "10.1.0.0/30", `"fd02::/64"`, `"fd01::1"`, `"fd02::2"`, "10.1.0.1")
		case 2:
			if withPorts {
				k["dport"] = d.some(ports...)
			}
		case 3:
			if withPorts {
				k["sport"] = d.some(`"1-20000"`, `"20001-40000"`, `"40001-65535"`, "53")
			}
		case 4:
			if only(hooks, "PREROUTING", "INPUT", "FORWARD") {
				k["in"] = d.some("r0", "r1", `"r+"`, "lo")
			}
		case 5:
			if only(hooks, "FORWARD", "OUTPUT", "POSTROUTING") {
				k["out"] = d.some("r0", "r1", `"r+"`)
			}
		case 6:
			if table != "raw" {
				k["state"] = d.some("new", "established", "related", "invalid", "untracked", "dnat", "snat")
			}
		case 7:
			k["mark"] = d.some("1", "2", "0", "0x10/0x10", "0x100/0xff00", "0x80000000/0x80000000", "0x1/0x3")
		case 8:
			if table != "raw" {
				k["ctmark"] = d.some("1", "2", "0x20/0xf0", "0x0/0x2")
			}
		case 9:
			d.less(k, hooks)
		case 10:
			if len(k) > 0 {
				k["limit"] = d.pick("{rate: 1/hour, burst: 2}", "{rate: 2/hour, burst: 1}", "{rate: 1/hour, burst: 4}")
			}
		case 11:
			if k["limit"] == "" {
				k["statistic"] = fmt.Sprintf("{every: %d, packet: %d}", 2+d.IntN(3), d.IntN(2))
			}
		case 12:
			if only(hooks, "OUTPUT") {
				k["owner"] = d.pick("{uid: 0}", `{uid: "0-5"}`, "{gid: 0}", "{uid: 7}")
			}
		}
	}
	return k
}

// less are keys that are used less often.
func (d dice) less(k map[string]string, hooks []string) {
	switch d.IntN(6) {
	case 0:
		if k["protocol"] == "icmp" {
			k["icmpType"] = d.some("echo-request", "echo-reply", `"3/3"`, "3")
		}
		if k["protocol"] == "icmpv6" {
			k["icmpv6Type"] = d.some("echo-request", "echo-reply", `"1/4"`)
		}
	case 1:
		if k["protocol"] == "tcp" {
			k["tcpFlags"] = d.pick("syn", `"SYN,ACK SYN"`, `"SYN,ACK,FIN,RST ACK"`, `"FIN,ACK FIN,ACK"`, `"RST RST"`)
		}
	case 2:
		k["addrtype"] = d.pick("{destination: LOCAL}", "{source: LOCAL}", "{destination: UNICAST}", "{destination: LOCAL, source: UNICAST}")
	case 3:
		k["length"] = d.pick(`"1-60"`, `"61-100"`, "48", `"50-2000"`)
	case 4:
		k["ttl"] = d.pick("64", `"<10"`, `">60"`, "5")
	case 5:
		if only(hooks, "PREROUTING", "INPUT", "FORWARD") {
			k["mac"] = d.pick(`"02:00:00:00:00:02"`, `"02:00:00:00:00:03"`)
		}
	}
}

// text is a rule in the words of iptables, with what the language has no word for.
func (d dice) text(table string, hooks []string) string {
	verdict := d.pick("-j ACCEPT", "-j DROP", "-j RETURN", "-j MARK --set-xmark 0x1/0x1", "-j MARK --set-xmark 0x3/0x5", "-j MARK --or-mark 2")
	var conditions []string
	if table != "raw" {
		conditions = append(conditions,
			"-m conntrack --ctstate NEW,DNAT", "-m conntrack ! --ctstate NEW,SNAT", "-m conntrack ! --ctstate DNAT", "-m conntrack --ctstate INVALID,SNAT",
			"-m conntrack --ctstatus SEEN_REPLY", "-m conntrack ! --ctstatus SEEN_REPLY,ASSURED", "-m conntrack --ctdir REPLY", "-m conntrack --ctdir ORIGINAL",
			"-m conntrack --ctproto tcp", "-m conntrack ! --ctproto udp", "-p udp -m conntrack --ctorigdstport 50:443", "-p tcp -m conntrack ! --ctorigdstport 80",
			"-m conntrack ! --ctstate ESTABLISHED,INVALID,UNTRACKED,DNAT", "-m state --state NEW", "-m connmark ! --mark 0x1", "-m connmark --mark 0x0/0x0")
	}
	conditions = append(conditions,
		"-p tcp -m multiport --ports 22,80:443", "-p udp -m multiport ! --ports 53,80", "-p udp -m multiport --sports 1:30000,40000:50000", "-p tcp -m multiport ! --dports 22,80",
		"-p tcp -m tcp --tcp-option 2", "-p tcp -m tcp ! --tcp-option 8", "-p tcp -m tcp ! --dport 80", "-p tcp -m tcp --tcp-flags ALL NONE", "-p tcp ! --syn",
		"-p tcp -m tcp --tcp-flags SYN,ACK NONE", "-p tcp -m tcp ! --tcp-flags SYN,ACK NONE", "-p udp -m udp", "-p udp --dport 0:65535",
		"-p icmp -m icmp ! --icmp-type 3/3", "-p icmp -m icmp --icmp-type any", "-p icmp ! -f", "-f", "! -f", "-p ipv6-icmp -m icmp6 ! --icmpv6-type 1/4", "! -p tcp",
		"-m pkttype --pkt-type unicast", "-m length ! --length 48:60", "-s 10.0.0.2/255.0.0.255", "! -d 10.0.0.1/255.0.0.255", "-m mark ! --mark 0x1/0x1",
		"-m mark --mark 0x0/0xf0000000", "! -s 10.1.0.0/24", "! -p 47", "-m statistic --mode nth ! --every 3 --packet 1")
	return `"` + d.pick(conditions...) + " " + verdict + `"`
}

// randomPackets are packets for a lab, some of them answers to others or parts of
// the same flow.
func randomPackets(d dice, n int, port *uint16, number *uint32) []*packet {
	var out []*packet
	for len(out) < n {
		*number++
		*port += 7
		if *port < 1024 || *port == 8053 {
			*port += 1031
		}
		if len(out) > 0 && d.one(3) {
			p := *out[d.IntN(len(out))]
			p.number = *number
			if d.one(3) && p.from != router {
				p = answerTo(p)
			}
			if p.proto == protoTCP {
				p.flags = []uint8{0x10, 0x11, 0x02, 0x04, 0x18}[d.IntN(5)]
			}
			out = append(out, &p)
			continue
		}
		out = append(out, d.packet(*port, *number))
	}
	return out
}

// answerTo turns a packet round.
func answerTo(p packet) packet {
	p.src, p.dst, p.sport, p.dport = p.dst, p.src, p.dport, p.sport
	if p.from = machineOf(p.src); p.proto == protoICMP {
		p.icmp, p.sport = 0, p.dport
	} else if p.proto == protoICMPv6 {
		p.icmp, p.sport = 129, p.dport
	}
	return p
}
