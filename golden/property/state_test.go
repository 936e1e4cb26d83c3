package property

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// hostSets are the ipsets that stand in every namespace; rulesets and states
// refer to them.
const hostSets = `create site4 hash:net family inet
create site6 hash:net family inet6
add site4 10.20.0.0/16
add site6 fd20::/64
`

// counters of a rule.
func (d dice) counters() string {
	if d.one(3) {
		return "[0:0] "
	}
	return fmt.Sprintf("[%d:%d] ", d.IntN(1000), d.IntN(100000))
}

// randomState makes what stands on a host in one family, without anything of the
// ruleset's.
func randomState(d dice, f ir.Family, typed []typed) save {
	var s save
	for _, name := range []string{"filter", "nat", "mangle", "raw", "security"} {
		if d.one(4) || name == "security" && !d.one(4) {
			continue
		}
		s = append(s, randomTable(d, f, name, typed))
	}
	return s
}

func randomTable(d dice, f ir.Family, name string, typed []typed) *block {
	b := &block{name: name}
	for _, c := range ir.BuiltinChains(name) {
		policy := "ACCEPT"
		if name == "filter" && d.one(4) {
			policy = "DROP"
		}
		b.decls = append(b.decls, fmt.Sprintf(":%s %s [%d:%d]", c, policy, d.IntN(50), d.IntN(5000)))
	}
	chains := d.some(d.IntN(7), foreignChains[name])
	if d.one(3) {
		chains = append(chains, d.pick("F|odd(", "F/é", "fwd", "F:x,y"))
	}
	for i, c := range chains {
		b.decls = append(b.decls, ":"+c+" - [0:0]")
		for range d.IntN(4) {
			b.rules = append(b.rules, d.counters()+"-A "+c+" "+d.foreignRule(f, chains[i+1:]))
		}
	}
	for _, hook := range ir.BuiltinChains(name) {
		var rules []string
		for range d.IntN(5) {
			rules = append(rules, d.foreignRule(f, nil))
		}
		for _, c := range chains {
			if d.one(3) {
				continue
			}
			jump := d.foreignJump(c)
			for range 1 + d.IntN(8)/6*d.IntN(4) {
				rules = append(rules, jump)
				if d.one(8) {
					rules = append(rules, "-p tcp "+jump)
				}
			}
		}
		if d.one(2) {
			rules = append(rules, typedForeign(d, f, name, hook, typed)...)
		}
		if len(rules) > 0 && d.one(4) {
			rules = append(rules, d.pick(rules...))
		}
		for _, x := range d.some(len(rules), rules) {
			b.rules = append(b.rules, d.counters()+"-A "+hook+" "+x)
		}
	}
	for i, line := range b.rules {
		if name == "nat" { // where the tools refuse DROP
			line = strings.ReplaceAll(line, "-j DROP", "-j RETURN")
		}
		b.rules[i] = strings.TrimRight(line, " ")
	}
	return b
}

// foreignRule is a rule of somebody else that is valid in every chain.
func (d dice) foreignRule(f ir.Family, chains []string) string {
	if len(chains) > 0 && d.one(3) {
		return d.foreignJump(d.pick(chains...))
	}
	a := map[ir.Family]string{ir.IPv4: d.pick("10.0.0.0/8", "192.0.2.1/32", "0.0.0.0/1"), ir.IPv6: d.pick("fd00::/8", "2001:db8::1/128", "fe80::/10")}[f]
	set := map[ir.Family]string{ir.IPv4: "site4", ir.IPv6: "site6"}[f]
	return d.pick(
		"-s "+a+" -j ACCEPT", "-d "+a+" -p tcp -m tcp --dport 22 -j ACCEPT", "! -s "+a+" -j DROP", "-p udp -m udp --dport 53", "",
		"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", `-m comment --comment "kubernetes: \"x\" it's" -m mark --mark 0x4000/0x4000 -j ACCEPT`,
		`-m comment --comment "cali:abcDEF0123456789" -j MARK --set-xmark 0x10000/0x10000`, "-m set --match-set "+set+" src -j RETURN",
		"-p tcp -m multiport --dports 80,443 -m comment --comment one -m comment --comment \"two words\" -j RETURN", "-m limit --limit 5/min -j LOG --log-prefix \"IN \"",
		"-s "+a+" -d "+a+" -p udp -m udp --sport 67 --dport 68 -j ACCEPT", "-j RETURN", "-p tcp -m tcp --sport 1 --dport 2", "-m statistic --mode nth --every 3 --packet 1 -j RETURN",
	)
}

func (d dice) foreignJump(chain string) string {
	switch d.IntN(4) {
	case 0:
		return "-j " + chain
	case 1:
		return `-m comment --comment "` + d.pick("kube-ovn prerouting rules", "kubernetes service portals", "cali:6gwbT8clXdHdC1b1", "a \\\"quoted\\\" one", "ünï") + `" -j ` + chain
	case 2:
		return "-m addrtype --dst-type LOCAL -j " + chain
	}
	return "-m comment --comment word -g " + chain
}

// typedForeign are rules as people type them: others do not spell canonically
// either when they write, and what the tool makes of it may be anything.
func typedForeign(d dice, f ir.Family, table, hook string, typed []typed) []string {
	family := map[ir.Family]string{ir.IPv4: "4", ir.IPv6: "6"}[f]
	var fit, out []string
	for _, x := range typed {
		if x.family == family && x.table == table && x.chain == hook && !toChain.MatchString(x.text) {
			fit = append(fit, x.text)
		}
	}
	for range min(len(fit), 3) {
		out = append(out, d.pick(fit...))
	}
	return out
}

// litter puts what a ruleset owns into a state: chains of other times, with and
// without jumps to them, and copies of its jumps.
func litter(d dice, s save, r *ruleset) save {
	for _, t := range r.tables {
		b := s.table(t.name)
		if b == nil {
			b = emptyBlock(t.name)
			s = append(s, b)
		}
		var names []string
		for _, c := range t.chains {
			if d.one(2) {
				names = append(names, c.name)
			}
			if c.name != given && d.one(5) {
				names = append(names, clip(c.name[:min(19, len(c.name))]+".0a1b2c3d"))
			}
		}
		for _, g := range r.globs {
			if d.one(2) {
				names = append(names, clip(strings.ReplaceAll(g, "*", d.pick("old", "OLD-2", "x"))))
			}
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			litterChain(d, b, r, t, name)
		}
	}
	return s
}

func litterChain(d dice, b *block, r *ruleset, t *table, name string) {
	if name == given || slices.ContainsFunc(b.decls, func(s string) bool { return chainOf(s) == name }) {
		return
	}
	b.decls = append(b.decls, ":"+name+" - [0:0]")
	drop := map[bool]string{true: "-j ACCEPT", false: "-j DROP"}[b.name == "nat"]
	for range d.IntN(4) {
		b.rules = append(b.rules, d.counters()+"-A "+name+" "+d.pick(drop, "-j RETURN", "-p tcp -m tcp --dport 22 -j ACCEPT", "-i lo", `-m comment --comment "old \"one\"" -j ACCEPT`))
	}
	owner := r.name
	if d.one(120) {
		owner = "somebody-else"
	}
	for range d.IntN(4) {
		hook := d.pick(ir.BuiltinChains(b.name)...)
		if len(t.anchors) > 0 && d.one(2) {
			hook = t.anchors[d.IntN(len(t.anchors))].hook
		}
		if !slices.ContainsFunc(b.decls, func(s string) bool { return chainOf(s) == hook }) {
			continue // Docker's chain does not stand
		}
		jump := d.pick("", `-m comment --comment "hookline:`+owner+`" `, "-m comment --comment hookline:"+owner+" ", "-p tcp ", `-m comment --comment "by hand" `) + d.pick("-j ", "-j ", "-g ") + name
		for range 1 + d.IntN(8)/7*d.IntN(5) {
			at := d.IntN(len(b.rules) + 1)
			b.rules = slices.Insert(b.rules, at, d.counters()+"-A "+hook+" "+jump)
		}
	}
	// A rule of somebody else may lead to a chain of ours from any hook, which the
	// rules of declared chains are not made for.
	bare := !slices.ContainsFunc(t.chains, func(c *chain) bool { return c.name == name && len(c.rules) > 0 })
	if bare && d.one(40) && slices.ContainsFunc(b.decls, func(s string) bool { return chainOf(s) == "F-one" }) {
		b.rules = append(b.rules, "[0:0] -A F-one -j "+name)
	}
}
