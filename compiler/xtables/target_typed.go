package xtables

import (
	"math"
	"slices"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// typedTargets are the targets that fill a type of package ir.
var typedTargets = slices.Concat(simpleTargets(), natTargets(), markTargets())

// maxLogPrefix and maxNFLogPrefix are the bytes that the kernel keeps; the tool
// cuts the rest without a word.
const (
	maxLogPrefix   = 29
	maxNFLogPrefix = 63
)

func simpleTargets() []*module {
	log := func() any { return &ir.Log{Level: 4} }
	return []*module{
		{
			name: "REJECT", family: ir.IPv4, fresh: func() any { return &ir.Reject{With: "icmp-port-unreachable"} }, finish: finishReject,
			options: []option{{name: "reject-with", words: 1, set: setReject}},
		},
		{
			name: "REJECT", family: ir.IPv6, fresh: func() any { return &ir.Reject{With: "icmp6-port-unreachable"} }, finish: finishReject,
			options: []option{{name: "reject-with", words: 1, set: setReject}},
		},
		{
			name: "LOG", fresh: log,
			options: []option{
				{name: "log-level", words: 1, set: setLogLevel},
				{name: "log-prefix", words: 1, set: setLogPrefix},
				{name: "log-tcp-sequence", set: setLogFlag},
				{name: "log-tcp-options", set: setLogFlag},
				{name: "log-ip-options", set: setLogFlag},
				{name: "log-uid", set: setLogFlag},
				{name: "log-macdecode", set: setLogFlag},
			},
		},
		{
			name: "NFLOG", fresh: func() any { return &ir.NFLog{Size: -1, Threshold: nflogThreshold} },
			options: []option{
				{name: "nflog-group", words: 1, set: setNFLog},
				{name: "nflog-prefix", words: 1, set: setNFLog},
				{name: "nflog-range", words: 1, group: 's', set: setNFLog},
				{name: "nflog-size", words: 1, group: 's', set: setNFLog},
				{name: "nflog-threshold", words: 1, set: setNFLog},
			},
		},
		{
			name: "TCPMSS", protocols: []uint8{protoTCP}, fresh: func() any { return &ir.TCPMSS{} }, finish: finishTCPMSS,
			options: []option{
				{name: "set-mss", words: 1, group: 'm', set: setTCPMSS},
				{name: "clamp-mss-to-pmtu", group: 'm', set: setTCPMSS},
			},
		},
		{
			name: "DSCP", fresh: func() any { return &ir.SetDSCP{} }, finish: finishDSCP,
			options: []option{
				{name: "set-dscp", words: 1, group: 'd', set: setDSCP},
				{name: "set-dscp-class", words: 1, group: 'd', set: setDSCP},
			},
		},
	}
}

// rejectTypes are the names of --reject-with by family, each with its short
// spelling.
var rejectTypes = map[ir.Family][][2]string{
	ir.IPv4: {
		{"icmp-net-unreachable", "net-unreach"},
		{"icmp-host-unreachable", "host-unreach"},
		{"icmp-proto-unreachable", "proto-unreach"},
		{"icmp-port-unreachable", "port-unreach"},
		{"icmp-net-prohibited", "net-prohib"},
		{"icmp-host-prohibited", "host-prohib"},
		{"tcp-reset", "tcp-rst"},
		{"icmp-admin-prohibited", "admin-prohib"},
	},
	ir.IPv6: {
		{"icmp6-no-route", "no-route"},
		{"icmp6-adm-prohibited", "adm-prohibited"},
		{"icmp6-addr-unreachable", "addr-unreach"},
		{"icmp6-port-unreachable", "port-unreach"},
		{"tcp-reset", "tcp-reset"},
		{"icmp6-policy-fail", "policy-fail"},
		{"icmp6-reject-route", "reject-route"},
	},
}

func setReject(p *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.Reject)
	var all []string
	for _, names := range rejectTypes[p.opt.Family] {
		for _, n := range names {
			if a.v.Text != "" && len(a.v.Text) <= len(n) && strings.EqualFold(n[:len(a.v.Text)], a.v.Text) {
				t.With = names[0]
				return nil
			}
			all = append(all, n)
		}
	}
	e := errorAt(a.v, diag.InvalidValue, "%s is no way to reject for %s", Quote(a.v.Text), p.opt.Family)
	other := ir.IPv4 + ir.IPv6 - p.opt.Family
	for _, names := range rejectTypes[other] {
		if names[0] == a.v.Text {
			e.Code = diag.FamilyMismatch
			return e.withHelp("it belongs to %s", other)
		}
	}
	if near := nearest(a.v.Text, all); near != "" {
		return e.withHelp("did you mean %s", near)
	}
	return e
}

func finishReject(p *parser, x *instance) *Error {
	if pr := p.spec.Protocol; x.value.(*ir.Reject).With == tcpReset && (pr == nil || pr.Not || pr.Number != protoTCP) {
		return errorAt(x.at, diag.RuleText, "--reject-with tcp-reset needs -p tcp")
	}
	return nil
}

const tcpReset = "tcp-reset"

// logLevels are in the order of their numbers; iptables knows these names only.
var logLevels = []string{"emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"}

func setLogLevel(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.Log)
	if n, ok := decimal(a.v.Text); ok && n < uint64(len(logLevels)) {
		t.Level = uint8(n)
		return nil
	}
	name := strings.ToLower(a.v.Text)
	switch name { // spellings of syslog(3) and the like
	case "panic":
		name = "emerg"
	case "err":
		name = "error"
	case "warn":
		name = "warning"
	}
	i := slices.Index(logLevels, name)
	if i < 0 {
		return errorAt(a.v, diag.InvalidValue, "unknown log level %s", Quote(a.v.Text)).
			withHelp("levels are %s, or 0 to 7", strings.Join(logLevels, ", "))
	}
	t.Level = uint8(i)
	return nil
}

func setLogPrefix(p *parser, x *instance, a *arg) *Error {
	if err := nonEmpty(a.v, "a log prefix"); err != nil {
		return err
	}
	if !p.decoding {
		if err := fits(a.v, "a log prefix", maxLogPrefix); err != nil {
			return err
		}
	}
	x.value.(*ir.Log).Prefix = a.v.Text
	return nil
}

func setLogFlag(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.Log)
	switch a.opt.name {
	case "log-tcp-sequence":
		t.TCPSequence = true
	case "log-tcp-options":
		t.TCPOptions = true
	case "log-ip-options":
		t.IPOptions = true
	case "log-uid":
		t.UID = true
	default:
		t.MACDecode = true
	}
	return nil
}

// nflogThreshold is the kernel's default, which is not printed.
const nflogThreshold = 0

func setNFLog(p *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.NFLog)
	var n uint64
	var err *Error
	switch a.opt.name {
	case "nflog-prefix":
		if err := nonEmpty(a.v, "a log prefix"); err != nil {
			return err
		}
		t.Prefix = a.v.Text
		if !p.decoding {
			return fits(a.v, "an nflog prefix", maxNFLogPrefix)
		}
	case "nflog-group":
		n, err = number(a.v, a.v.Text, 0, math.MaxUint16)
		t.Group = uint16(n)
	case "nflog-range":
		// It never did anything. One variant prints it, the other does not: it is
		// kept if a tool printed it, and not written otherwise.
		if n, err = number(a.v, a.v.Text, 0, math.MaxUint32); p.decoding {
			t.Range = uint32(n)
		}
	case "nflog-size":
		n, err = number(a.v, a.v.Text, 0, math.MaxUint32)
		t.Size = int64(n)
	default:
		n, err = number(a.v, a.v.Text, 0, math.MaxUint16)
		t.Threshold = uint16(n)
	}
	return err
}

func setTCPMSS(_ *parser, x *instance, a *arg) *Error {
	t := x.value.(*ir.TCPMSS)
	if a.opt.words == 0 {
		t.Clamp = true
		return nil
	}
	n, err := number(a.v, a.v.Text, 0, math.MaxUint16-1)
	t.Set = uint16(n)
	return err
}

// finishTCPMSS wants a rule that only sees SYN, as the module does.
func finishTCPMSS(p *parser, x *instance) *Error {
	if x.seen == 0 {
		return errorAt(x.at, diag.RuleText, "-j TCPMSS needs --set-mss or --clamp-mss-to-pmtu")
	}
	return nil
}

// dscpClasses are the names of --set-dscp-class.
var dscpClasses = map[string]uint8{
	"CS0": 0x00, "CS1": 0x08, "CS2": 0x10, "CS3": 0x18, "CS4": 0x20, "CS5": 0x28, "CS6": 0x30, "CS7": 0x38,
	"BE": 0x00, "AF11": 0x0a, "AF12": 0x0c, "AF13": 0x0e, "AF21": 0x12, "AF22": 0x14, "AF23": 0x16,
	"AF31": 0x1a, "AF32": 0x1c, "AF33": 0x1e, "AF41": 0x22, "AF42": 0x24, "AF43": 0x26, "EF": 0x2e,
}

func dscp(a *arg) (uint8, *Error) {
	if strings.HasSuffix(a.opt.name, "class") {
		v, ok := dscpClasses[strings.ToUpper(a.v.Text)]
		if !ok {
			return 0, errorAt(a.v, diag.InvalidValue, "unknown DSCP class %s", Quote(a.v.Text))
		}
		return v, nil
	}
	n, err := number(a.v, a.v.Text, 0, 63)
	return uint8(n), err
}

func setDSCP(_ *parser, x *instance, a *arg) (err *Error) {
	x.value.(*ir.SetDSCP).Value, err = dscp(a)
	return err
}

func finishDSCP(_ *parser, x *instance) *Error {
	if x.seen == 0 {
		return errorAt(x.at, diag.RuleText, "-j DSCP needs --set-dscp or --set-dscp-class")
	}
	return nil
}
