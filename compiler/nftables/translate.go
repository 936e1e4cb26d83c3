package nftables

import (
	"fmt"
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// Env is what a translation has to know around a rule.
type Env struct {
	// Kind is the kind of our table, Family the packets that the rule is for.
	Kind   Kind
	Family ir.Family
	// Table and Chain are those of iptables that the rule is written for.
	Table, Chain string
	// Counters tells that every rule counts.
	Counters bool
	// Set finds a set of our table by the name that a rule of iptables has for it; nil:
	// there is none. The problem says why a rule cannot ask for it, as a whole clause.
	Set func(name string, f ir.Family) (set *ir.OwnSet, problem string)
}

// Body is one rule of nft: its statements in order, without what says the family.
type Body struct {
	statements []string
	// implied tells that the statements match one family only.
	implied bool
	// at is where the statement that says the family stands.
	at int
	// asks tells that the rule takes from a limit or counts when it is asked: the
	// rules of two families must not share it.
	asks bool
}

// Shared tells that the same text may serve packets of both families.
func (b Body) Shared() bool { return !b.asks && !b.implied }

// Text are the statements as they serve both families.
func (b Body) Text() string { return strings.Join(b.statements, " ") }

// For is the text in a table for packets of a family alone.
func (b Body) For(k Kind, f ir.Family) string {
	if k != Inet || b.implied {
		return b.Text()
	}
	return strings.Join(slices.Insert(slices.Clone(b.statements), b.at, "meta nfproto "+f.String()), " ")
}

// maxAlternatives is how many rules one rule of iptables may become.
const maxAlternatives = 64

// Translate says a rule in nft: normally in one rule, in several that exclude each
// other where one cannot say it, and, for what nft does not do at all, not: then
// there are reasons, all of them, each a part of a sentence.
func Translate(s *ir.Spec, env Env) (bodies []Body, reasons []string) {
	t := &translation{env: env, spec: s}
	t.core()
	for _, m := range s.Matches {
		t.match(m)
	}
	if p := s.Protocol; p != nil && !t.protocolSaid {
		t.sayProtocol(p)
	}
	t.target(s.Target)
	if len(t.reasons) > 0 {
		return nil, t.reasons
	}
	return t.bodies()
}

// condition is what has to hold: every statement of one of its alternatives, which
// exclude each other.
type condition struct {
	alternatives [][]string
}

// translation is the work on one rule.
type translation struct {
	env     Env
	spec    *ir.Spec
	reasons []string

	conditions []condition
	asks       bool
	// protocolSaid tells that a condition looks at the protocol by itself.
	protocolSaid bool

	// last are the action's statements, behind the counter. otherwise, if it is set, is
	// the action of a second rule, for packets that the first one did not take.
	last, otherwise []string
	// counts tells that the rule counts whatever Env says.
	counts bool
}

// refuse gives a reason why the rule cannot be said.
func (t *translation) refuse(format string, args ...any) {
	t.reasons = append(t.reasons, fmt.Sprintf(format, args...))
}

// must adds a statement that has to match.
func (t *translation) must(statement string) { t.either([]string{statement}) }

// either adds alternatives, each of some statements.
func (t *translation) either(alternatives ...[]string) {
	if t.asks {
		t.refuse("a limit stands ahead of other conditions: nft may ask for those first; write the limit last")
	}
	t.conditions = append(t.conditions, condition{alternatives: alternatives})
}

// ask adds a statement that does something when it is asked.
func (t *translation) ask(statement string) {
	t.conditions = append(t.conditions, condition{alternatives: [][]string{{statement}}})
	t.asks = true
}

// bodies puts the parts together.
func (t *translation) bodies() ([]Body, []string) {
	product := [][]string{nil}
	for _, c := range t.conditions {
		var next [][]string
		for _, head := range product {
			for _, a := range c.alternatives {
				next = append(next, slices.Concat(head, a))
			}
		}
		if product = next; len(product) > maxAlternatives {
			return nil, []string{fmt.Sprintf("it needs more than %d rules of nft", maxAlternatives)}
		}
	}
	actions := [][]string{t.action(t.last)}
	if t.otherwise != nil {
		actions = append(actions, t.action(t.otherwise))
	}
	if t.asks && len(product)*len(actions) > 1 {
		return nil, []string{"it needs several rules of nft, and each would have a limit of its own"}
	}
	var out []Body
	for _, conditions := range product {
		conditions = apart(conditions)
		implied := slices.ContainsFunc(conditions, oneFamily)
		for _, action := range actions {
			b := Body{statements: slices.Concat(conditions, action), implied: implied, asks: t.asks}
			b.at = familyAt(conditions, t.env.Family)
			if len(b.statements) == 0 {
				return nil, []string{"a rule without conditions, action and counter says nothing"}
			}
			out = append(out, b)
		}
	}
	return out, nil
}

func (t *translation) action(statements []string) []string {
	if t.env.Counters || t.counts || t.spec.Target == nil {
		return append([]string{"counter"}, statements...)
	}
	return statements
}

// oneFamily tells that a condition looks at the header of one family, and so
// matches this one only.
func oneFamily(condition string) bool {
	word, _, _ := strings.Cut(condition, " ")
	return slices.Contains([]string{"ip", "ip6", "icmp", "icmpv6"}, word)
}

// familyAt is where a look at the family stands: in front, but behind a look at a
// protocol that only this family has, and behind one at the protocol of a
// connection. In front of those nft does not list it, and the rule would read as
// one for both families.
func familyAt(conditions []string, f ir.Family) int {
	own := map[ir.Family]string{ir.IPv4: "meta l4proto icmp", ir.IPv6: "meta l4proto ipv6-icmp"}[f]
	for i := len(conditions) - 1; i >= 0; i-- {
		if c := conditions[i]; c == own || strings.HasPrefix(c, "ct protocol ") {
			return i + 1
		}
	}
	return 0
}
