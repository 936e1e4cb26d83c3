package lower

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// setKeys are the keys besides the addresses that take {set: NAME}, with the field
// that such a set has.
var setKeys = map[string]ir.SetField{
	"sport": ir.PortField, "dport": ir.PortField, "in": ir.InterfaceField, "out": ir.InterfaceField,
	"mac": ir.MACField, "mark": ir.MarkField,
}

// setPort is a set of ports under sport or dport.
type setPort struct {
	key string
	at  diag.Span
}

// keySet is a {set: NAME} under one of setKeys.
type keySet struct {
	name string
	dirs []string
	span diag.Span
}

// readSetKey takes the sets out of a key's values. What is left is read as without
// sets; false if nothing is.
func (l *lowering) readSetKey(k Key, not bool) (Key, bool) {
	var sets []keySet
	var rest []*Value
	for _, v := range items(k.Value) {
		if v == nil || !isSet(v) {
			rest = append(rest, v)
			continue
		}
		if s, ok := l.readKeySet(v, k.Name); ok {
			sets = append(sets, s)
		}
	}
	if len(rest) == len(items(k.Value)) {
		return k, true
	}
	if len(rest) > 0 && !not {
		l.diags.Errorf(diag.RuleConflict, k.Value.Span, "%s has a set beside other values, which one rule cannot ask for", k.Name).
			WithHelp("put the values into the set, or write two rules")
		return k, false
	}
	if setKeys[k.Name] == ir.PortField {
		l.layer4.sets = append(l.layer4.sets, setPort{k.Name, k.Span})
	}
	if len(sets) > 0 {
		l.add(not, func(f ir.Family) choice { return setChoice(l.ctx, f, k, sets) })
	}
	k.Value = &Value{Kind: List, Span: k.Value.Span, Items: rest}
	return k, len(rest) > 0
}

// isSet tells whether a value is meant as {set: NAME}.
func isSet(v *Value) bool {
	return v.Kind == Map && slices.ContainsFunc(v.Keys, func(k Key) bool { return k.Name == "set" })
}

// readKeySet reads {set: NAME} under a key that is no address.
func (l *lowering) readKeySet(v *Value, key string) (keySet, bool) {
	m, ok := l.fields(v, key, "set")
	if !ok {
		return keySet{}, false
	}
	name, ok := l.word(m["set"], "a set name", "-_.:@/", 31)
	s := keySet{name: name, span: m["set"].Span}
	if !ok {
		return s, false
	}
	side, field := "src", setKeys[key]
	if key == "dport" || key == "out" {
		side = "dst"
	}
	s.dirs = []string{side}
	kind := l.ctx.setType(name)
	switch {
	case kind == nil && (field == ir.InterfaceField || field == ir.MarkField):
		l.diags.Errorf(diag.RuleConflict, s.span, "ipset has no sets of type %s alone, so that %q cannot be one", field, name).
			WithHelp("declare the set under sets, or say source: {set: %s, dirs: [src, src]} for one of several dimensions", name)
		return s, false
	case kind != nil && !slices.Equal(kind, ir.SetType{field}):
		l.diags.Errorf(diag.RuleConflict, s.span, "%s takes a set of type %s, and %q is of type %s", key, field, name, kind)
		return s, false
	case field == ir.InterfaceField:
		// A hash:net,iface whose network is the whole family.
		s.dirs = []string{"src", side}
	}
	return s, true
}

func (c Context) setType(name string) ir.SetType {
	if c.SetType == nil {
		return nil
	}
	return c.SetType(name)
}

// setChoice is the choice of some sets for one family.
func setChoice(ctx Context, f ir.Family, k Key, sets []keySet) choice {
	c := choice{depends: setElements}
	if k.Name == "mark" {
		c.depends |= packetMark
	}
	empty, byFamily := "", false
	for i, s := range sets {
		kernel, _, ok, isEmpty := ctx.SetName(s.name, f)
		switch {
		case !ok:
			byFamily = true
		case isEmpty:
			empty = s.name
		case slices.ContainsFunc(sets[:i], func(t keySet) bool { return t.name == s.name }):
		default:
			c.alts = append(c.alts, alternative{
				holds: matching(&ir.SetMatch{Name: kernel, Dirs: s.dirs}),
				fails: matching(&ir.SetMatch{Not: true, Name: kernel, Dirs: s.dirs}),
			})
		}
	}
	c.disjoint = len(c.alts) == 1
	switch {
	case len(c.alts) > 0:
	case empty != "":
		c.absent = &absence{reason: k.Name + ": set " + empty + " is empty", span: k.Value.Span}
	default:
		c.absent = &absence{reason: k.Name + " has no set for " + familyName(f), span: k.Value.Span, family: byFamily}
	}
	return c
}
