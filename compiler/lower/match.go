package lower

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// matchKeys are the keys of match and not.
var matchKeys = []string{
	"protocol", "source", "destination", "sport", "dport", "in", "out", "state", "mark", "ctmark", "icmpType",
	"icmpv6Type", "tcpFlags", "addrtype", "limit", "hashlimit", "statistic", "owner", "mac", "physdev", "length", "ttl", "helper",
}

// readMatches reads every key of match and not and reports what is wrong.
func (l *lowering) readMatches() {
	for _, k := range l.rule.Match {
		l.readKey(k, false)
	}
	for _, k := range l.rule.Not {
		l.readKey(k, true)
	}
	l.layer4.check(l)
}

// given finds a key of match; nil if the rule does not have it.
func (l *lowering) given(name string) *Value {
	for _, k := range l.rule.Match {
		if k.Name == name {
			return k.Value
		}
	}
	return nil
}

// givenPlain tells that match has values of a key that are no sets.
func (l *lowering) givenPlain(name string) bool {
	v := l.given(name)
	if v == nil {
		return false
	}
	list := items(v)
	return len(list) == 0 || slices.ContainsFunc(list, func(x *Value) bool { return x != nil && !isSet(x) })
}

// readKey reads one key of match or not.
func (l *lowering) readKey(k Key, not bool) {
	if k.Value == nil {
		l.diags.Errorf(diag.InvalidValue, k.Span, "%s has no value", k.Name)
		return
	}
	if _, takesSets := setKeys[k.Name]; takesSets {
		var rest bool
		if k, rest = l.readSetKey(k, not); !rest {
			return
		}
	}
	switch k.Name {
	case "protocol", "sport", "dport", "tcpFlags", "icmpType", "icmpv6Type":
		l.layer4.read(l, k, not)
	case "source", "destination":
		l.readAddresses(k, not)
	case "in", "out":
		l.readInterfaces(k, not)
	case "state":
		l.readStates(k, not)
	case "mark", "ctmark":
		l.readMarks(k, not)
	case "addrtype":
		l.readNested(k, not, []string{"source", "destination"}, l.readAddrTypes)
	case "owner":
		l.readNested(k, not, []string{"uid", "gid"}, l.readOwners)
	case "physdev":
		l.readNested(k, not, []string{"in", "out", "bridged"}, l.readPhysdevs)
	case "limit":
		l.readLimit(k, not)
	case "hashlimit":
		l.readHashlimit(k, not)
	case "statistic":
		l.readStatistic(k, not)
	case "mac":
		l.readMACs(k, not)
	case "length":
		l.readLengths(k, not)
	case "ttl":
		l.readHops(k, not)
	case "helper":
		l.readHelpers(k, not)
	default:
		l.unknown(diag.UnknownKey, k.Span, "match key", k.Name, matchKeys)
	}
}

// readNested reads a key whose value is a mapping of keys. Each of them counts by
// itself, under not as well.
func (l *lowering) readNested(k Key, not bool, known []string, read func(k Key, not bool)) {
	m, ok := l.fields(k.Value, k.Name, known...)
	if !ok {
		return
	}
	if len(k.Value.Keys) == 0 {
		l.diags.Errorf(diag.InvalidValue, k.Value.Span, "%s says nothing", k.Name)
	}
	for _, inner := range k.Value.Keys {
		if v := m[inner.Name]; v != nil && v == inner.Value {
			read(inner, not)
		}
	}
}

// add records a key. A choice that does not differ between families is given as
// it is.
func (l *lowering) add(not bool, of func(f ir.Family) choice) {
	l.keys = append(l.keys, keyChoices{not, of})
}

func (l *lowering) addFixed(not bool, c choice) { l.add(not, func(ir.Family) choice { return c }) }

// readComments reads the comments that go to iptables: each at most the 255 bytes
// that the kernel keeps (it cuts the rest silently).
func (l *lowering) readComments() {
	for _, v := range items(l.rule.Comment) {
		if s, ok := l.text(v, "a comment", 255); ok && s != "" {
			l.comments = append(l.comments, &ir.Comment{Text: s})
		}
	}
}
