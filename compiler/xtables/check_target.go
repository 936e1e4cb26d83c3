package xtables

import (
	"net/netip"
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

func (c *checker) target(t ir.Target) {
	switch t := t.(type) {
	case *ir.Verdict:
		c.verdict(t.Name)
	case *ir.Jump:
		c.jump(t)
	case *ir.Reject:
		c.knownTarget("REJECT")
		if t.With == tcpReset && !c.protocol(protoTCP) {
			c.report(diag.RuleText, "--reject-with tcp-reset needs -p tcp")
		}
		if !slices.ContainsFunc(rejectTypes[c.family], func(n [2]string) bool { return n[0] == t.With }) {
			c.report(diag.FamilyMismatch, "%s is no way to reject for %s", Quote(t.With), c.family)
		}
	case *ir.Log:
		c.add(fits(Word{Text: t.Prefix}, "a log prefix", maxLogPrefix))
	case *ir.NFLog:
		c.add(fits(Word{Text: t.Prefix}, "an nflog prefix", maxNFLogPrefix))
	case *ir.NAT:
		name := "SNAT"
		if t.Dest {
			name = "DNAT"
		}
		c.knownTarget(name)
		c.nat(name, t)
	case *ir.Masquerade:
		c.knownTarget("MASQUERADE")
		c.natPorts("MASQUERADE", t.HasPorts)
	case *ir.Redirect:
		c.knownTarget("REDIRECT")
		c.natPorts("REDIRECT", t.HasPorts)
		if t.HasBase {
			c.report(diag.InvalidValue, "the kernel's REDIRECT has no base port")
		}
	case *ir.SetMark, *ir.SetConnmark:
	case *ir.CT:
		c.knownTarget("CT")
		if p := c.spec.Protocol; !t.NoTrack && (t.Helper != "" || slices.Contains(t.Rest, "--timeout")) && (p == nil || p.Not) {
			c.report(diag.RuleText, "-j CT with a helper or a timeout policy needs -p")
		}
	case *ir.TCPMSS:
		c.tcpmss(t)
	case *ir.TProxy:
		c.knownTarget("TPROXY")
		c.ip(t.Addr)
	case *ir.SetDSCP:
		c.knownTarget("DSCP")
	case *ir.RawTarget:
		c.knownTarget(t.Name)
		c.words(t.Args)
	default:
		c.report(diag.RuleText, "the target %T is not known", t)
	}
}

func (c *checker) verdict(name string) {
	switch {
	case c.table == "nat" && slices.Contains(noFiltering, name):
		c.report(diag.BadTarget, "table nat does not filter: iptables refuses -j %s in it", name)
	case name == "QUEUE":
		c.report(diag.BadTarget, "-j QUEUE does not work on every backend")
		c.found[len(c.found)-1].Help = "write -j NFQUEUE"
	}
}

func (c *checker) jump(t *ir.Jump) {
	if e := checkChainName(Word{Text: t.Chain}); e != nil {
		c.add(e)
		return
	}
	if slices.Contains(builtin, t.Chain) && (c.table == "" || ir.IsBuiltin(c.table, t.Chain)) {
		c.report(diag.BadTarget, "a rule cannot jump to the built-in chain %s", t.Chain)
	}
	if IsExtensionTarget(t.Chain) {
		c.report(diag.BadTarget, "%s is a target, not a chain", t.Chain)
	}
}

// knownTarget checks what the table of modules says about a target.
func (c *checker) knownTarget(name string) {
	m, other := find(targetModules, name, c.family)
	if m == nil && other {
		c.report(diag.FamilyMismatch, "the target %s does not exist for %s", name, c.family)
	}
	c.needsProtocol("-j "+name, m)
	if p, ok := targetPlaces[name]; ok {
		c.place("-j "+name, p)
	}
}

func (c *checker) natPorts(name string, has bool) {
	if has && !c.protocol(portProtocols...) {
		c.report(diag.RuleText, "-j %s changes ports and needs -p tcp, udp, sctp or dccp", name)
	}
}

func (c *checker) nat(name string, t *ir.NAT) {
	c.natPorts(name, t.To.HasPorts)
	for _, a := range []netip.Addr{t.To.Low, t.To.High} {
		c.ip(a)
	}
	if !t.To.Low.IsValid() && !t.To.HasPorts {
		c.report(diag.RuleText, "-j %s needs an address or a port", name)
	}
	if t.To.High.IsValid() && t.To.High.Less(t.To.Low) {
		c.report(diag.InvalidValue, "the range %s-%s ends before it begins", t.To.Low, t.To.High)
	}
	if t.To.HasPorts && t.To.Ports.Low > t.To.Ports.High {
		c.report(diag.InvalidValue, "the ports %d-%d end before they begin", t.To.Ports.Low, t.To.Ports.High)
	}
	if t.To.HasBase && !t.Dest || t.RandomFully && t.Dest {
		c.report(diag.InvalidValue, "-j %s has no such option", name)
	}
}

// tcpmss asks for a rule that only sees SYN: the legacy variant does, the other
// would change packets that carry no such option.
func (c *checker) tcpmss(t *ir.TCPMSS) {
	c.knownTarget("TCPMSS")
	if t.Clamp {
		c.place("--clamp-mss-to-pmtu", place{chains: leaving})
	}
	for _, m := range c.spec.Matches {
		if l4, ok := m.(*ir.L4); ok && l4.Flags != nil && !l4.Flags.Not && l4.Flags.Comp&l4.Flags.Mask&flagSYN != 0 {
			return
		}
	}
	c.report(diag.RuleText, "-j TCPMSS works on SYN packets only")
	c.found[len(c.found)-1].Help = "add --syn"
}

// flagSYN is SYN in ir.TCPFlags.
const flagSYN = 2
