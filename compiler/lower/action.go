package lower

import (
	"maps"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// actionKinds are the actions of a rule.
var actionKinds = []string{
	"accept", "drop", "return", "reject", "jump", "goto", "log", "nflog", "dnat", "snat", "masquerade", "redirect", "mark",
	"connmark", "ct", "tcpmss", "tproxy", "dscp",
}

// action is what a rule does, as read: for each family either a reason why it
// cannot be, or a target.
type action struct {
	flow    flow
	changes effect
	// needsProtocol and needsSYN: see target.
	needsProtocol, needsSYN bool
	absent                  func(f ir.Family) *absence
	target                  func(f ir.Family) ir.Target // nil: none in this family, reported
}

// readAction reads the rule's action; a rule without one only counts.
func (l *lowering) readAction() *action {
	a := l.rule.Action
	if a == nil {
		return &action{target: func(ir.Family) ir.Target { return nil }}
	}
	read, ok := actionReaders[a.Kind]
	if !ok {
		l.unknown(diag.UnknownKey, a.Span, "action", a.Kind, actionKinds)
		return nil
	}
	if a.Args == nil && !slices.Contains([]string{"accept", "drop", "return", "reject", "masquerade", "redirect", "log"}, a.Kind) {
		l.diags.Errorf(diag.MissingKey, a.Span, "%s does not say what to do", a.Kind)
		return nil
	}
	return read(l, a)
}

var actionReaders = map[string]func(*lowering, *Action) *action{
	"accept": (*lowering).readVerdict, "drop": (*lowering).readVerdict, "return": (*lowering).readVerdict,
	"reject": (*lowering).readReject, "jump": (*lowering).readJump, "goto": (*lowering).readJump,
	"log": (*lowering).readLog, "nflog": (*lowering).readNFLog, "dnat": (*lowering).readNAT, "snat": (*lowering).readNAT,
	"masquerade": (*lowering).readMasquerade, "redirect": (*lowering).readRedirect, "mark": (*lowering).readSetMark,
	"connmark": (*lowering).readSetConnmark, "ct": (*lowering).readCT, "tcpmss": (*lowering).readTCPMSS,
	"tproxy": (*lowering).readTProxy, "dscp": (*lowering).readDSCP,
}

// always is an action with the same target in both families.
func always(t ir.Target, fl flow, changes effect) *action {
	return &action{flow: fl, changes: changes, target: func(ir.Family) ir.Target { return t }}
}

// absentIn says why the action cannot be in a family; nil if it can.
func (a *action) absentIn(f ir.Family) *absence {
	if a.absent == nil {
		return nil
	}
	return a.absent(f)
}

// forFamily is the target in a family in which the conditions can hold.
func (a *action) forFamily(f ir.Family, c *conditions) target {
	t := target{flow: a.flow, changes: a.changes, syn: a.needsSYN}
	if x := a.target(f); x != nil {
		t.spec = &ir.Spec{Target: x}
	}
	if a.needsProtocol {
		t.protocols = c.protocols
	}
	return t
}

// needProtocol asks that the rule matches nothing but the given protocols. what
// is the action or the part of it that needs them.
func (l *lowering) needProtocol(what string, at diag.Span, fit ...uint8) bool {
	names := map[uint8]string{protoTCP: "tcp", protoUDP: "udp", protoSCTP: "sctp", protoDCCP: "dccp"}
	var list []string
	for _, p := range fit {
		list = append(list, names[p])
	}
	x := &l.layer4.protocol
	if !x.given {
		d := l.diags.Errorf(diag.MissingKey, at, "%s needs a protocol", what)
		if len(list) > 0 {
			d.WithHelp("match protocol: %s", strings.Join(list, " or "))
		}
		return false
	}
	for _, p := range x.is {
		if len(fit) > 0 && !slices.Contains(fit, p.number) {
			l.diags.Errorf(diag.RuleConflict, at, "%s needs protocol %s, but the rule also matches %s", what, strings.Join(list, " or "), p.name).
				Note(p.span, "protocol %s", p.name)
			return false
		}
	}
	return true
}

// one finds the only key that a mapping may have; the others are alternatives.
func (l *lowering) one(a *Action, known ...string) (string, *Value) {
	m, ok := l.fields(a.Args, a.Kind, known...)
	if !ok {
		return "", nil
	}
	name := ""
	for _, k := range known {
		switch {
		case m[k] == nil:
		case name != "":
			l.diags.Errorf(diag.RuleConflict, a.Args.Span, "%s takes one of %s", a.Kind, strings.Join(known, ", "))
			return "", nil
		default:
			name = k
		}
	}
	if name == "" {
		l.diags.Errorf(diag.MissingKey, a.Span, "%s needs one of %s", a.Kind, strings.Join(known, ", "))
		return "", nil
	}
	return name, m[name]
}

func (l *lowering) readVerdict(a *Action) *action {
	if a.Args != nil {
		l.diags.Errorf(diag.WrongType, a.Args.Span, "%s takes no arguments", a.Kind)
		return nil
	}
	fl := ends
	if a.Kind == "return" {
		fl = escapes
	}
	return always(&ir.Verdict{Name: strings.ToUpper(a.Kind)}, fl, 0)
}

func (l *lowering) readJump(a *Action) *action {
	name, ok := l.scalar(a.Args, "a chain")
	switch {
	case !ok:
		return nil
	case ir.IsBuiltin(l.ctx.Table, name):
		l.diags.Errorf(diag.BadTarget, a.Args.Span, "%s is a built-in chain: no rule can %s there", name, a.Kind)
		return nil
	case !l.ctx.IsChain(name):
		d := l.diags.Errorf(diag.UnknownChain, a.Args.Span, "unknown chain %q", name)
		if near := diag.DidYouMean(name, l.ctx.Chains); near != "" {
			d.WithHelp("did you mean %q?", near)
		} else if slices.Contains([]string{"accept", "drop", "return", "reject"}, strings.ToLower(name)) {
			d.WithHelp("write action: %s", strings.ToLower(name))
		}
		return nil
	}
	if a.Kind == "goto" {
		return always(&ir.Jump{Goto: true, Chain: name}, escapes, anything)
	}
	return always(&ir.Jump{Chain: name}, goesOn, anything)
}

// rejectWith are the answers by family; "" where a family has no such answer.
var rejectWith = map[string][2]string{
	"port-unreachable":  {"icmp-port-unreachable", "icmp6-port-unreachable"},
	"host-unreachable":  {"icmp-host-unreachable", "icmp6-addr-unreachable"},
	"addr-unreachable":  {"icmp-host-unreachable", "icmp6-addr-unreachable"},
	"net-unreachable":   {"icmp-net-unreachable", "icmp6-no-route"},
	"no-route":          {"icmp-net-unreachable", "icmp6-no-route"},
	"admin-prohibited":  {"icmp-admin-prohibited", "icmp6-adm-prohibited"},
	"adm-prohibited":    {"icmp-admin-prohibited", "icmp6-adm-prohibited"},
	"tcp-reset":         {"tcp-reset", "tcp-reset"},
	"proto-unreachable": {"icmp-proto-unreachable", ""},
	"net-prohibited":    {"icmp-net-prohibited", ""},
	"host-prohibited":   {"icmp-host-prohibited", ""},
	"policy-fail":       {"", "icmp6-policy-fail"},
	"reject-route":      {"", "icmp6-reject-route"},
}

func (l *lowering) readReject(a *Action) *action {
	with, at := "port-unreachable", a.Span
	if a.Args != nil {
		m, ok := l.fields(a.Args, a.Kind, "with")
		if !ok {
			return nil
		}
		if v := m["with"]; v != nil {
			if with, ok = l.scalar(v, "an answer such as tcp-reset"); !ok {
				return nil
			}
			at = v.Span
		}
	}
	answers, ok := rejectWith[with]
	for _, pair := range rejectWith {
		for i, s := range pair {
			if !ok && s == with {
				answers, ok = [2]string{}, true
				answers[i] = s
			}
		}
	}
	if !ok {
		l.unknown(diag.InvalidValue, at, "answer", with, slices.Sorted(maps.Keys(rejectWith)))
		return nil
	}
	act := &action{flow: ends}
	if with == "tcp-reset" {
		act.needsProtocol = true
		l.needProtocol("reject with tcp-reset", at, protoTCP)
	}
	act.target = func(f ir.Family) ir.Target {
		s := answers[f-ir.IPv4]
		if s == "" {
			other := ir.IPv4 + ir.IPv6 - f
			l.diags.Errorf(diag.FamilyMismatch, at, "%s has no answer %s, and the rule is for %s too", familyName(f), with, familyName(f)).
				WithHelp("use an answer of both families such as admin-prohibited, or narrow the rule with families: [%s]", other)
			return nil
		}
		return &ir.Reject{With: s}
	}
	return act
}

func (l *lowering) readLog(a *Action) *action {
	t := &ir.Log{Level: 4}
	if a.Args == nil {
		return always(t, goesOn, 0)
	}
	m, ok := l.fields(a.Args, a.Kind, "prefix", "level")
	if !ok {
		return nil
	}
	if v := m["prefix"]; v != nil {
		t.Prefix, _ = l.text(v, "a log prefix", 29)
	}
	if v := m["level"]; v != nil {
		s, ok := l.scalar(v, "a log level")
		n, known := logLevels[strings.ToLower(s)]
		if d, isNumber := number(s, 7); isNumber {
			n, known = uint8(d), true
		}
		if ok && !known {
			l.unknown(diag.InvalidValue, v.Span, "log level", s, slices.Sorted(maps.Keys(logLevels)))
		}
		t.Level = n
	}
	return always(t, goesOn, 0)
}

func (l *lowering) readNFLog(a *Action) *action {
	m, ok := l.fields(a.Args, a.Kind, "group", "prefix")
	if !ok {
		return nil
	}
	t := &ir.NFLog{Size: -1}
	if v := m["group"]; v != nil {
		n, _ := l.number(v, "an nflog group", 65535)
		t.Group = uint16(n)
	}
	if v := m["prefix"]; v != nil {
		t.Prefix, _ = l.text(v, "an nflog prefix", 63)
	}
	return always(t, goesOn, 0)
}
