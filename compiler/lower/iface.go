package lower

import (
	"slices"
	"strings"
	"unicode"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// pattern is an interface name, or with a trailing + a prefix of names.
type pattern struct {
	name string
	span diag.Span
}

// covers tells that every interface of q is one of p.
func (p pattern) covers(q pattern) bool {
	if head, ok := strings.CutSuffix(p.name, "+"); ok {
		return strings.HasPrefix(strings.TrimSuffix(q.name, "+"), head)
	}
	return p.name == q.name
}

// disjointPatterns leaves out what another pattern of the list covers.
func disjointPatterns(all []pattern) []pattern {
	heads := map[string]bool{}
	for _, p := range all {
		if head, ok := strings.CutSuffix(p.name, "+"); ok {
			heads[head] = true
		}
	}
	var out []pattern
	seen := map[string]bool{}
	for _, p := range all {
		name, open := strings.CutSuffix(p.name, "+")
		covered := seen[p.name] || heads[name] && !open
		for i := range name {
			covered = covered || heads[name[:i]]
		}
		if seen[p.name] = true; !covered {
			out = append(out, p)
		}
	}
	return out
}

// readPatterns reads interface names and drops those that others cover, so that
// the rest is disjoint: prefixes are nested or apart. every tells that one of
// them is "+".
func (l *lowering) readPatterns(k Key, not bool) (list []pattern, every bool) {
	var all []pattern
	for _, v := range items(k.Value) {
		s, ok := l.scalar(v, "an interface")
		if !ok {
			continue
		}
		if msg := interfaceName(s); msg != "" {
			l.diags.Errorf(diag.InvalidValue, v.Span, "%q is not an interface: %s", s, msg)
			continue
		}
		if s == "+" {
			every = true
			if not {
				l.diags.Errorf(diag.Inverted, v.Span, "not %s with every interface can never hold", k.Name)
			}
		}
		all = append(all, pattern{s, v.Span})
	}
	return disjointPatterns(all), every
}

// interfaceName says what is wrong with an interface name, or "".
func interfaceName(s string) string {
	switch {
	case len(s) > 15:
		return "a name has at most 15 bytes"
	case s[0] == '-' || s[0] == '!':
		return "a name does not start with - or !"
	case s == "." || s == "..":
		return "the kernel refuses this name"
	case strings.Contains(strings.TrimSuffix(s, "+"), "+"):
		return "a + stands at the end only"
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`/:"'\*`, r) }):
		return "a name holds no spaces, quotes, colons, slashes or asterisks"
	}
	return ""
}

// readInterfaces reads in or out. -i and -o can stand once in a rule, so that
// what is asked under match and under not is settled together, here for the key
// under match.
func (l *lowering) readInterfaces(k Key, not bool) {
	if not && l.givenPlain(k.Name) {
		l.readPatterns(k, true)
		return
	}
	list, every := l.readPatterns(k, not)
	if not {
		l.addFixed(true, interfaceChoice(k, list, true))
		return
	}
	if every {
		list = []pattern{{"+", k.Value.Span}}
	}
	var inside []pattern
	for _, n := range l.rule.Not {
		if n.Name != k.Name || n.Value == nil {
			continue
		}
		quiet := &lowering{diags: &diag.List{}}
		negated, _ := quiet.readPatterns(n, true)
		before := len(list)
		for _, x := range negated {
			list = slices.DeleteFunc(list, func(p pattern) bool { return x.covers(p) })
			if slices.ContainsFunc(list, func(p pattern) bool { return p.covers(x) }) {
				inside = append(inside, x)
			}
		}
		if before > 0 && len(list) == 0 {
			l.addFixed(false, choice{absent: &absence{reason: "not " + k.Name + " excludes every interface of " + k.Name, span: n.Value.Span}})
			return
		}
		if len(inside) > 0 {
			// "+" takes no option: one negated name has -i (-o) for itself.
			l.addFixed(true, interfaceChoice(n, inside, every))
		}
	}
	l.addFixed(false, interfaceChoice(k, list, false))
}

// interfaceChoice is the choice of some interfaces; slot tells that -i (-o) is
// free for a negated one.
func interfaceChoice(k Key, list []pattern, slot bool) choice {
	if len(list) == 0 {
		return nothing(k.Name, k.Value.Span)
	}
	c := choice{disjoint: true}
	for _, p := range list {
		if p.name == "+" {
			return choice{always: true, alts: []alternative{{holds: &ir.Spec{}}}, disjoint: true}
		}
		alt := alternative{holds: interfaceSpec(k.Name, p.name, false)}
		if slot && len(list) == 1 {
			alt.fails = interfaceSpec(k.Name, p.name, true)
		}
		c.alts = append(c.alts, alt)
	}
	return c
}

func interfaceSpec(key, name string, not bool) *ir.Spec {
	i := &ir.Interface{Not: not, Name: name}
	if key == "out" {
		return &ir.Spec{Out: i}
	}
	return &ir.Spec{In: i}
}

// readPhysdevs reads physdev's in or out, or bridged: true.
func (l *lowering) readPhysdevs(k Key, not bool) {
	if k.Name == "bridged" {
		if yes, ok := l.boolean(k.Value, "bridged"); ok && !yes {
			l.diags.Errorf(diag.InvalidValue, k.Value.Span, "bridged: false is said as not: {physdev: {bridged: true}}")
		}
		l.addFixed(not, choice{disjoint: true, alts: []alternative{{
			holds: matching(&ir.Physdev{IsBridged: true}), fails: matching(&ir.Physdev{NotIsBridged: true}),
		}}})
		return
	}
	list, every := l.readPatterns(k, not)
	switch {
	case len(items(k.Value)) == 0:
		l.addFixed(not, nothing("physdev "+k.Name, k.Value.Span))
		return
	case every:
		l.diags.Errorf(diag.InvalidValue, k.Value.Span, "physdev %s needs a bridge port, not every one", k.Name)
		return
	}
	c := choice{disjoint: true}
	for _, p := range list {
		c.alts = append(c.alts, alternative{
			holds: matching(physdev(k.Name, p.name, false)),
			fails: matching(physdev(k.Name, p.name, true)),
		})
	}
	l.addFixed(not, c)
}

func physdev(key, name string, not bool) *ir.Physdev {
	i := &ir.Interface{Not: not, Name: name}
	if key == "out" {
		return &ir.Physdev{Out: i}
	}
	return &ir.Physdev{In: i}
}
