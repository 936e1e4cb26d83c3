package property

import (
	"fmt"
	"strings"

	"hookline/compiler/ir"
)

// Families that a rule can be for.
const (
	only4 = "4"
	only6 = "6"
	both  = "46"
)

var (
	pool4 = []string{"10.0.0.0/8", "10.1.2.3", "192.0.2.1", "192.0.2.0/24", "172.16.0.0/12", "198.51.100.7", "10.1.2.3/16", "10.0.0.1-10.0.0.9", "203.0.113.4/31", "127.0.0.0/8"}
	pool6 = []string{"fd00::/8", "fd00::1", "2001:db8::/32", "2001:db8::7", "fe80::1", "fd00::1-fd00::9", "fd00:1:2::/48", "::1", "2001:DB8:0:0::1:0"}
)

// params collects the declarations under spec.params.
type params struct {
	dice
	lines []string
}

// declare makes a param and returns the expression that reads it.
func (p *params) declare(typ, value string) string {
	name := fmt.Sprintf("p%d", len(p.lines))
	p.lines = append(p.lines, fmt.Sprintf("%s: {type: %s, default: %s}", name, typ, value))
	return "params." + name
}

// spread writes a match's values in one of the ways in which a ruleset can say
// them: as they are, as a list, or read from params.
func (p *params) spread(typ string, values []string) string {
	list := "[" + strings.Join(values, ", ") + "]"
	switch {
	case strings.Contains(list, "{") || !p.one(6):
		if len(values) == 1 && !p.one(4) {
			return values[0]
		}
		return list
	case len(values) == 1:
		return p.quoteExpr(p.declare(typ, values[0]))
	case p.one(3):
		m := p.declare("map(list("+typ+"))", "{some: "+list+", none: []}")
		return p.quoteExpr(m + p.pick(".some", `["some"]`, `[params.`+p.key()+`]`))
	case p.one(3):
		m := p.declare("list("+typ+")", list)
		return p.quoteExpr(m + `.filter(x, x != "nothing")`)
	}
	return p.quoteExpr(p.declare("list("+typ+")", list))
}

// key declares the param whose value is the key of spread's maps.
func (p *params) key() string {
	return strings.TrimPrefix(p.declare("string", "some"), "params.")
}

func (p *params) quoteExpr(expr string) string {
	if strings.Contains(expr, `"`) {
		return "'${" + expr + "}'"
	}
	return p.pick(`"`+"${"+expr+"}"+`"`, "'${ "+expr+" }'")
}

// values makes up to n values.
func (p *params) values(n int, value func() string) []string {
	out := []string{value()}
	for range p.IntN(n) {
		out = append(out, value())
	}
	return out
}

// addresses of the families that a rule is for.
func (p *params) addresses(families string) string {
	var out []string
	if families != only6 {
		out = append(out, p.some(1+p.IntN(3), pool4)...)
	}
	if families != only4 {
		out = append(out, p.some(1+p.IntN(3), pool6)...)
	}
	for i, s := range out {
		out[i] = p.quote(s)
	}
	if set := map[string]string{only4: "site4", only6: "site6"}[families]; set != "" && p.one(4) {
		ref := fmt.Sprintf("{set: %s}", set)
		if p.one(3) {
			ref = fmt.Sprintf("{set: %s, ifMissing: skip}", p.pick(set, "no-such-set"))
		}
		if p.one(2) {
			return ref
		}
		out = append(out, ref)
	}
	return p.spread("string", out)
}

func (p *params) port() string {
	low := 1 + p.IntN(65000)
	switch p.IntN(4) {
	case 0:
		return fmt.Sprintf(`"%d:%d"`, low, low+p.IntN(500))
	case 1:
		return fmt.Sprintf("%d-%d", low, low+1+p.IntN(500))
	}
	return fmt.Sprint(low)
}

func (p *params) ports() string {
	n := 4
	if p.one(8) {
		n = 30
	}
	return p.spread("port", p.values(n, p.port))
}

func (p *params) interfaces() string {
	return p.spread("interface", p.some(1+p.IntN(3), []string{"eth0", "eth1", "br-mgmt", "wl+", "lo", "bond0.100", "veth1+", "tun0"}))
}

func (p *params) bits() string {
	mask := []uint32{0xff, 0xff00, 0x1, 0x30000000, 0xffffffff}[p.IntN(5)]
	value := p.Uint32() & mask
	if mask == 0xffffffff {
		return p.pick(fmt.Sprintf("0x%x", value), fmt.Sprint(value))
	}
	return fmt.Sprintf(`"0x%x/0x%x"`, value, mask)
}

func (p *params) rate() string {
	return fmt.Sprintf("%d/%s", 1+p.IntN(60), p.pick("second", "minute", "hour", "sec", "min"))
}

// familiesOf is what `families` makes of a rule's families.
func familiesOf(families string) []ir.Family {
	switch families {
	case only4:
		return []ir.Family{ir.IPv4}
	case only6:
		return []ir.Family{ir.IPv6}
	}
	return ir.Families
}

func familyList(families string) string {
	return map[string]string{only4: "[ipv4]", only6: "[ipv6]", both: "[ipv4, ipv6]"}[families]
}
