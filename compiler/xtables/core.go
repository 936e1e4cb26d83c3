package xtables

import (
	"net/netip"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// coreOption is one of iptables' own options.
type coreOption struct {
	short byte
	long  []string
	words int
	not   bool
	seen  coreSeen
	set   func(p *parser, a *arg) *Error
	// refused says why the option cannot stand in rule text, if it cannot.
	refused, help string
}

const (
	placeElsewhere = "rule text has no command: the place of the rule in the ruleset says the chain"
	tableElsewhere = "the place of the rule in the ruleset says the table"
)

// coreOptions is filled in init, because the setters refer to it.
var coreOptions []coreOption

func init() {
	coreOptions = []coreOption{
		{short: 's', long: []string{"source", "src"}, words: 1, not: true, seen: seenSource, set: setSource},
		{short: 'd', long: []string{"destination", "dst"}, words: 1, not: true, seen: seenDest, set: setDestination},
		{short: 'i', long: []string{"in-interface"}, words: 1, not: true, seen: seenIn, set: setIn},
		{short: 'o', long: []string{"out-interface"}, words: 1, not: true, seen: seenOut, set: setOut},
		{short: 'p', long: []string{"protocol"}, words: 1, not: true, seen: seenProtocol, set: setProtocol},
		{short: 'f', long: []string{"fragments"}, not: true, seen: seenFragment, set: setFragment},
		{short: 'm', long: []string{"match"}, words: 1, set: setMatch},
		{short: 'j', long: []string{"jump"}, words: 1, seen: seenTarget, set: setJump},
		{short: 'g', long: []string{"goto"}, words: 1, seen: seenTarget, set: setGoto},
		{short: 'A', long: []string{"append"}, refused: placeElsewhere},
		{short: 'I', long: []string{"insert"}, refused: placeElsewhere},
		{short: 'D', long: []string{"delete"}, refused: placeElsewhere},
		{short: 'R', long: []string{"replace"}, refused: placeElsewhere},
		{short: 'C', long: []string{"check"}, refused: placeElsewhere},
		{short: 'L', long: []string{"list"}, refused: placeElsewhere},
		{short: 'S', long: []string{"list-rules"}, refused: placeElsewhere},
		{short: 'F', long: []string{"flush"}, refused: placeElsewhere},
		{short: 'Z', long: []string{"zero"}, refused: placeElsewhere},
		{short: 'N', long: []string{"new-chain"}, refused: placeElsewhere},
		{short: 'X', long: []string{"delete-chain"}, refused: placeElsewhere},
		{short: 'E', long: []string{"rename-chain"}, refused: placeElsewhere},
		{short: 'P', long: []string{"policy"}, refused: placeElsewhere},
		{short: 't', long: []string{"table"}, refused: tableElsewhere},
		{short: 'c', long: []string{"set-counters"}, refused: "counters belong to the host"},
		{short: 'w', long: []string{"wait"}, refused: "rule text has no options for the tool itself"},
		{short: 'W', long: []string{"wait-interval"}, refused: "rule text has no options for the tool itself"},
		{long: []string{"modprobe"}, refused: "rule text has no options for the tool itself"},
		{short: 'v', long: []string{"verbose"}, refused: "rule text has no options for the tool itself"},
		{short: 'n', long: []string{"numeric"}, refused: "rule text has no options for the tool itself"},
		{short: 'x', long: []string{"exact"}, refused: "rule text has no options for the tool itself"},
		{short: 'h', long: []string{"help"}, refused: "rule text has no options for the tool itself"},
		{short: 'V', long: []string{"version"}, refused: "rule text has no options for the tool itself"},
		{short: 'M', refused: "rule text has no options for the tool itself"},
		{long: []string{"line-numbers"}, refused: "rule text has no options for the tool itself"},
		{short: '4', long: []string{"ipv4"}, refused: "the family of a rule stands beside its text", help: "write families: [ipv4]"},
		{short: '6', long: []string{"ipv6"}, refused: "the family of a rule stands beside its text", help: "write families: [ipv6]"},
	}
	for i := range coreOptions {
		o := &coreOptions[i]
		if o.short != 0 {
			coreByShort[o.short] = o
		}
	}
}

// coreByShort is coreOptions by their letter.
var coreByShort [128]*coreOption

func coreShort(c byte) *coreOption {
	if c >= 128 {
		return nil
	}
	return coreByShort[c]
}

func coreLong(name string) *coreOption {
	for i := range coreOptions {
		if slices.Contains(coreOptions[i].long, name) {
			return &coreOptions[i]
		}
	}
	return nil
}

// core reads one of iptables' own options.
func (p *parser) core(o *coreOption, w Word, not bool) *Error {
	if o.refused != "" {
		e := errorAt(w, diag.RuleText, "%s cannot stand in rule text: %s", w.Text, o.refused)
		if o.refused == placeElsewhere && p.pos < len(p.words) && !strings.HasPrefix(p.words[p.pos].Text, "-") {
			e.End = max(e.End, p.words[p.pos].End)
		}
		e.Help = o.help
		return e
	}
	a := &p.arg
	*a = arg{at: w, not: not}
	if o.words > 0 {
		if err := p.firstValue(a, o.not); err != nil {
			return err
		}
	}
	if a.not && !o.not {
		return errorAt(w, diag.RuleText, "%s cannot be negated", w.Text)
	}
	if o.seen != 0 && p.seen&o.seen != 0 {
		if o.seen == seenTarget {
			return errorAt(w, diag.RuleText, "a rule has only one target, and this one has -j or -g already")
		}
		return errorAt(w, diag.RuleText, "%s is given twice", w.Text)
	}
	p.seen |= o.seen
	return o.set(p, a)
}

func setFragment(p *parser, a *arg) *Error {
	if p.opt.Family == ir.IPv6 {
		return errorAt(a.at, diag.FamilyMismatch, "-f is for IPv4 only").withHelp("IPv6 has -m frag")
	}
	p.spec.Fragment = 1
	if a.not {
		p.spec.Fragment = -1
	}
	return nil
}

func setIn(p *parser, a *arg) (err *Error)  { p.spec.In, err = p.iface(a); return err }
func setOut(p *parser, a *arg) (err *Error) { p.spec.Out, err = p.iface(a); return err }

// iface reads -i or -o. `-i +` matches everything and is not printed.
func (p *parser) iface(a *arg) (*ir.Interface, *Error) {
	if err := checkIface(a.v); err != nil && !p.decoding {
		return nil, err
	}
	if a.v.Text == "+" && !a.not {
		return nil, nil
	}
	return &ir.Interface{Not: a.not, Name: a.v.Text}, nil
}

// checkIface holds the kernel's rules for the names of interfaces.
func checkIface(w Word) *Error {
	switch {
	case w.Text == "":
		return errorAt(w, diag.InvalidValue, "an interface name cannot be empty")
	case len(w.Text) > maxIface:
		return errorAt(w, diag.TooLong, "an interface name has at most %d bytes", maxIface)
	case w.Text[0] == '-' || w.Text[0] == '!' || strings.ContainsAny(w.Text, "/ \t\"\\'"):
		return errorAt(w, diag.InvalidValue, "%s is no name of an interface", Quote(w.Text))
	}
	return nil
}

// maxIface is IFNAMSIZ without the final NUL.
const maxIface = 15

func setProtocol(p *parser, a *arg) *Error {
	p.protocol = a.v
	if p.decoding && !a.not {
		switch a.v.Text { // the common ones, in the usual spelling
		case "tcp":
			p.spec.Protocol = &ir.Protocol{Number: 6}
			return nil
		case "udp":
			p.spec.Protocol = &ir.Protocol{Number: 17}
			return nil
		}
	}
	n, ok := protocolNumber(a.v.Text)
	if !ok {
		e := errorAt(a.v, diag.InvalidValue, "unknown protocol %s", Quote(a.v.Text))
		if near := nearest(strings.ToLower(a.v.Text), protocolNames()); near != "" {
			return e.withHelp("did you mean %s", near)
		}
		return e.withHelp("give its number")
	}
	if n == 0 {
		if a.not {
			return errorAt(a.at, diag.NothingMatches, "a rule for no protocol never matches")
		}
		return nil
	}
	pr := &ir.Protocol{Not: a.not, Number: n}
	if p.decoding && a.v.Text != protocolName(n) {
		pr.Spelling = a.v.Text
	}
	p.spec.Protocol = pr
	return nil
}

func setSource(p *parser, a *arg) (err *Error) {
	p.srcs, p.spec.Source, err = p.hosts(a)
	return err
}

func setDestination(p *parser, a *arg) (err *Error) {
	p.dsts, p.spec.Destination, err = p.hosts(a)
	return err
}

// hosts reads the argument of -s or -d: one address, or a list of them.
func (p *parser) hosts(a *arg) ([]ir.Address, *ir.Address, *Error) {
	if !strings.Contains(a.v.Text, ",") {
		one, err := p.address(a.v)
		if err != nil {
			return nil, nil, err
		}
		one.Not = a.not
		if anyAddress(*one) {
			return nil, nil, nil
		}
		return nil, one, nil
	}
	if a.v.Literal {
		return nil, nil, errorAt(a.v, diag.InvalidValue, "a value is one address here, not a list")
	}
	if a.not {
		return nil, nil, errorAt(a.v, diag.RuleText, "a list of addresses cannot be negated").
			withHelp("each address would get a rule of its own, and together they match everything")
	}
	var list []ir.Address
	at := a.v.Start
	for part := range strings.SplitSeq(a.v.Text, ",") {
		w := Word{Text: part, Start: a.v.Start, End: a.v.End}
		if a.v.End-a.v.Start == len(a.v.Text) {
			w.Start, w.End = at, at+len(part)
		}
		at += len(part) + 1
		one, err := p.address(w)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, *one)
	}
	return list, nil, nil
}

// anyAddress tells that an address stands for all and is not printed.
func anyAddress(a ir.Address) bool {
	return !a.Not && !a.Mask.IsValid() && a.Prefix.Bits() == 0
}

// address reads an address with a prefix or a mask; host bits are cleared as the
// tool does.
func (p *parser) address(w Word) (*ir.Address, *Error) {
	text, mask, hasMask := strings.Cut(w.Text, "/")
	addr, err := p.ip(w, text)
	if err != nil {
		return nil, err
	}
	bits := addr.BitLen()
	if hasMask {
		n, ok := decimal(mask)
		switch {
		case ok && n <= uint64(bits):
			bits = int(n)
		case ok:
			return nil, errorAt(w, diag.InvalidValue, "a prefix of %s has at most %d bits", p.opt.Family, bits)
		default:
			m, merr := netip.ParseAddr(mask)
			if merr != nil || m.BitLen() != bits || m.Zone() != "" {
				return nil, errorAt(w, diag.InvalidValue, "%s is neither a prefix length nor a mask", Quote(mask))
			}
			if bits = prefixLength(m); bits < 0 {
				masked := maskAddr(addr, m)
				return &ir.Address{Prefix: netip.PrefixFrom(masked, masked.BitLen()), Mask: m}, nil
			}
		}
	}
	return &ir.Address{Prefix: netip.PrefixFrom(addr, bits).Masked()}, nil
}

// ip reads one address of the rule's family. IPv4 may leave out octets at the end
// (10/8), as iptables takes it; names are never looked up.
func (p *parser) ip(w Word, text string) (netip.Addr, *Error) {
	addr, err := netip.ParseAddr(text)
	if err != nil && p.opt.Family == ir.IPv4 {
		addr, err = shortIPv4(text)
	}
	if err != nil {
		e := errorAt(w, diag.InvalidValue, "%s is no %s address", Quote(text), p.opt.Family)
		if text != "" && strings.IndexFunc(text, isLetter) >= 0 && !strings.Contains(text, ":") {
			return addr, e.withHelp("host names are not looked up: give the address")
		}
		return addr, e
	}
	if addr.Zone() != "" {
		return addr, errorAt(w, diag.InvalidValue, "an address in a rule has no zone")
	}
	if addr.Is4() != (p.opt.Family == ir.IPv4) {
		return addr, errorAt(w, diag.FamilyMismatch, "%s is no %s address", text, p.opt.Family).
			withHelp("narrow the rule with families, or give an address of each family its own rule")
	}
	return addr, nil
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// shortIPv4 reads 10, 10.1 and 10.1.2 as 10.0.0.0, 10.1.0.0 and 10.1.2.0.
func shortIPv4(text string) (netip.Addr, error) {
	if text == "" || strings.Count(text, ".") > 2 {
		return netip.Addr{}, errNotIPv4
	}
	return netip.ParseAddr(text + strings.Repeat(".0", 3-strings.Count(text, ".")))
}

// maskAddr clears the bits that a mask leaves out.
func maskAddr(a, mask netip.Addr) netip.Addr {
	x, m := a.AsSlice(), mask.AsSlice()
	for i := range x {
		x[i] &= m[i]
	}
	out, _ := netip.AddrFromSlice(x)
	return out
}

// prefixLength is the number of leading ones of a mask, or -1 if it has a one
// behind a zero.
func prefixLength(mask netip.Addr) int {
	n, ended := 0, false
	for _, b := range mask.AsSlice() {
		for k := 7; k >= 0; k-- {
			one := b&(1<<k) != 0
			switch {
			case one && ended:
				return -1
			case one:
				n++
			default:
				ended = true
			}
		}
	}
	return n
}

// setMatch loads a match by name.
func setMatch(p *parser, a *arg) *Error {
	name := a.v.Text
	m, other := find(matchModules, name, p.opt.Family)
	switch {
	case m != nil:
		p.load(m, a.v)
		return nil
	case other:
		return errorAt(a.v, diag.FamilyMismatch, "the match %s does not exist for %s", name, p.opt.Family)
	case targetModules[name] != nil:
		return errorAt(a.v, diag.RuleText, "%s is a target, not a match", name).withHelp("write -j %s", name)
	}
	e := errorAt(a.v, diag.RuleText, "unknown match %s", Quote(name))
	if near := nearest(name, moduleNames(matchModules, p.opt.Family)); near != "" {
		return e.withHelp("did you mean %s", near)
	}
	return e
}

func setJump(p *parser, a *arg) *Error {
	name := a.v.Text
	p.jump = a.v
	if verdicts[name] {
		p.spec.Target = &ir.Verdict{Name: name}
		return nil
	}
	m, other := find(targetModules, name, p.opt.Family)
	switch {
	case m != nil:
		p.targetRoom = instance{mod: m, at: a.v, target: true}
		p.target = &p.targetRoom
		if m.fresh != nil {
			p.target.value = m.fresh()
		}
		return nil
	case other:
		return errorAt(a.v, diag.FamilyMismatch, "the target %s does not exist for %s", name, p.opt.Family)
	case extraTargets[name]:
		return p.openTarget(name)
	}
	if err := checkChainName(a.v); err != nil && !p.decoding {
		return err
	}
	p.spec.Target = &ir.Jump{Chain: name}
	return nil
}

// openTarget takes every word behind a target whose options are not known.
func (p *parser) openTarget(name string) *Error {
	t := &ir.RawTarget{Name: name}
	for _, w := range p.words[p.pos:] {
		if len(w.Text) == 2 && w.Text[0] == '-' && coreShort(w.Text[1]) != nil {
			return errorAt(w, diag.RuleText, "%s has to stand before -j %s", w.Text, name)
		}
		t.Args = append(t.Args, w.Text)
	}
	p.pos = len(p.words)
	p.spec.Target = t
	return nil
}

func setGoto(p *parser, a *arg) *Error {
	name := a.v.Text
	p.jump = a.v
	if IsExtensionTarget(name) && !p.decoding {
		return errorAt(a.v, diag.BadTarget, "-g goes to a chain, and %s is a target", name).withHelp("write -j %s", name)
	}
	if err := checkChainName(a.v); err != nil && !p.decoding {
		return err
	}
	p.spec.Target = &ir.Jump{Goto: true, Chain: name}
	return nil
}

// maxChain is XT_EXTENSION_MAXNAMELEN without the final NUL.
const maxChain = 28

// checkChainName holds what iptables asks of a chain's name.
func checkChainName(w Word) *Error {
	switch {
	case w.Text == "":
		return errorAt(w, diag.InvalidName, "a chain name cannot be empty")
	case len(w.Text) > maxChain:
		return errorAt(w, diag.TooLong, "a chain name has at most %d bytes", maxChain)
	case w.Text[0] == '-' || w.Text[0] == '!':
		return errorAt(w, diag.InvalidName, "a chain name cannot begin with %q", w.Text[:1])
	case !bare(w.Text):
		return errorAt(w, diag.InvalidName, "a chain name cannot hold blanks or quotes")
	}
	return nil
}
