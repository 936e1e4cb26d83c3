package check

import (
	"slices"
	"strings"

	"github.com/google/cel-go/common/types/ref"

	"hookline/compiler/ir"
)

// Attribution says whose rules are. Indexes count a chain's rules from 0.
type Attribution interface {
	// Participant is the participant that a rule belongs to, or "".
	Participant(k ir.ChainKey, index int) string
	// Tail tells that the rule is one that its participant's entry marks as tail.
	Tail(k ir.ChainKey, index int) bool
	// Owned tells that the rule is the ruleset's own.
	Owned(k ir.ChainKey, index int) bool
	// Participants lists everybody found in the state, sorted.
	Participants() []string
}

// Fields is what expressions can ask of a rule besides its text; "" is absent.
type Fields struct {
	// Target is the word behind -j or -g.
	Target string
	// Comment is the first of Comments.
	Comment             string
	Comments            []string
	Protocol            string
	Source, Destination string
	Iface, Oface        string
	Sport, Dport        string
	Mark                string
}

// RuleFields decodes a rule. It must be a function of its arguments.
type RuleFields func(f ir.Family, r *ir.Rule) Fields

// Host is a state as expressions see it, read or predicted. It decodes rules when
// they are asked for and keeps the result: one goroutine at a time.
type Host struct {
	state   *ir.State
	backend string
	who     Attribution
	fields  RuleFields
	chains  map[ir.ChainKey]*chainData
	// names index each table's chains, made when a table is first asked about.
	names  map[ir.TableKey]map[string]*ir.Chain
	native map[ir.TableKey]bool
	hidden map[ir.ChainKey]bool
	found  ref.Val // participants
}

// NewHost wraps a state, which must not change afterwards. The backend is the
// name that expressions see.
func NewHost(state *ir.State, backend string, who Attribution, fields RuleFields) *Host {
	return &Host{
		state: state, backend: backend, who: who, fields: fields,
		chains: map[ir.ChainKey]*chainData{},
		names:  map[ir.TableKey]map[string]*ir.Chain{},
		native: map[ir.TableKey]bool{},
	}
}

// Hide makes chains unknown where the state does not hold them: they stand
// somewhere else than where expressions look, and must not seem absent. What is
// asked of their tables as a whole does not count them.
func (h *Host) Hide(chains map[ir.ChainKey]bool) *Host {
	h.hidden = chains
	return h
}

// Rule is the rule at an index of a chain, for expressions that choose rules.
// It is nil if there is no such rule or the chain was not read.
func (h *Host) Rule(k ir.ChainKey, index int) *Rule {
	d := h.chain(k)
	if d == nil || index < 0 || index >= len(d.rules()) {
		return nil
	}
	return d.rule(index)
}

// chain gives the data of a chain, present or absent; nil if it was not read. It
// answers as ir.State.Lookup does, and takes the same time for every chain.
func (h *Host) chain(k ir.ChainKey) *chainData {
	if d, known := h.chains[k]; known {
		return d
	}
	c := h.index(k.TableKey())[k.Chain]
	if c == nil && (ir.IsBuiltin(k.Table, k.Chain) || !slices.Contains(h.state.Families, k.Family)) {
		var err error
		if c, err = h.state.Lookup(k); err != nil {
			return nil
		}
	}
	if c != nil && !c.Read || c == nil && h.hidden[k] {
		return nil
	}
	d := &chainData{host: h, key: k, chain: c}
	h.chains[k] = d
	return d
}

func (h *Host) index(k ir.TableKey) map[string]*ir.Chain {
	if names, known := h.names[k]; known {
		return names
	}
	names := map[string]*ir.Chain{}
	if t := h.state.Table(k.Family, k.Name); t != nil && t.Unreadable == "" {
		for _, c := range t.Chains {
			names[c.Name] = c
		}
	}
	h.names[k] = names
	return names
}

// chainData is a chain of a host, absent or read.
type chainData struct {
	host  *Host
	key   ir.ChainKey
	chain *ir.Chain // nil if absent
	all   []*Rule
	// What expressions see of all and of jumps, kept because a loop may ask often.
	rulesVal, jumpsVal ref.Val
}

func (d *chainData) rules() []*ir.Rule {
	if d.chain == nil {
		return nil
	}
	return d.chain.Rules
}

func (d *chainData) rule(i int) *Rule {
	if d.all == nil {
		d.all = make([]*Rule, len(d.rules()))
	}
	if d.all[i] == nil {
		d.all[i] = &Rule{chain: d, index: i, rule: d.chain.Rules[i]}
	}
	return d.all[i]
}

// matches tells whether the rule at i is meant by x: it jumps to the chain x, or
// belongs to the participant x (without its tail, which is x/tail).
func (d *chainData) matches(x string, i int) bool {
	if x == "" {
		return false
	}
	r := d.chain.Rules[i]
	if r.Native == nil && r.JumpTarget() == x {
		return true
	}
	name, tail := strings.CutSuffix(x, "/tail")
	who := d.host.who
	return who.Participant(d.key, i) == name && who.Tail(d.key, i) == tail
}

// places lists the indexes of the rules that x means.
func (d *chainData) places(x string) []int {
	var out []int
	for i := range d.rules() {
		if d.matches(x, i) {
			out = append(out, i)
		}
	}
	return out
}

// ordered tells whether, of the xs that are present, every place of one is ahead
// of every place of the next.
func (d *chainData) ordered(xs []string) bool {
	last := -1
	for _, x := range xs {
		places := d.places(x)
		if len(places) == 0 {
			continue
		}
		if places[0] <= last {
			return false
		}
		last = places[len(places)-1]
	}
	return true
}

// jumps lists the chains that the rules jump to, in order.
func (d *chainData) jumps() []string {
	var out []string
	for _, r := range d.rules() {
		if r.Native != nil {
			continue
		}
		if to := r.JumpTarget(); to != "" {
			out = append(out, to)
		}
	}
	return out
}

// chainView is a chain in one evaluation.
type chainView struct {
	*chainData
	session *session
}

// name notes what an expression names in the chain, and tells whether all of it
// stands there. must tells that the expression is false unless it does.
func (d chainView) name(xs []string, must bool) bool {
	all := true
	for _, x := range xs {
		n := Named{Key: d.key, Name: x, Stands: len(d.places(x)) > 0, Must: must}
		if all = all && n.Stands; !slices.Contains(d.session.named, n) {
			d.session.named = append(d.session.named, n)
		}
	}
	return all
}

// equal implements comparer: chains are equal if they hold the same rules.
func (d chainView) equal(other any) bool {
	o, ok := other.(chainView)
	if !ok || (d.chain == nil) != (o.chain == nil) || len(d.rules()) != len(o.rules()) {
		return false
	}
	if d.chain != nil && d.chain.Policy != o.chain.Policy {
		return false
	}
	return slices.EqualFunc(d.rules(), o.rules(), sameRule)
}

// sameRule compares what expressions can see, so neither counters nor origin.
func sameRule(a, b *ir.Rule) bool {
	if (a.Native == nil) != (b.Native == nil) || a.Text != b.Text {
		return false
	}
	return a.Native == nil || *a.Native == *b.Native
}

// Rule is one rule of a host as expressions see it.
type Rule struct {
	chain  *chainData
	index  int
	rule   *ir.Rule
	decode *Fields
}

func (r *Rule) fields() *Fields {
	if r.decode == nil {
		f := r.chain.host.fields(r.chain.key.Family, r.rule)
		if r.rule.Native != nil && len(f.Comments) == 0 && r.rule.Native.Comment != "" {
			f.Comments = []string{r.rule.Native.Comment}
		}
		if f.Comment == "" && len(f.Comments) > 0 {
			f.Comment = f.Comments[0]
		}
		r.decode = &f
	}
	return r.decode
}

// equal implements comparer: rules are equal if they say the same.
func (r *Rule) equal(other any) bool {
	o, ok := other.(*Rule)
	return ok && sameRule(r.rule, o.rule)
}

// setData is a set of a host, absent or known.
type setData struct {
	session *session
	set     *ir.Set // nil if absent
}

// equal implements comparer.
func (d *setData) equal(other any) bool {
	o, ok := other.(*setData)
	return ok && d.set == o.set
}

// session is one evaluation: what it cost, and what it asked for that was not
// read.
type session struct {
	// cost so far, and its limit; see session.charge.
	cost, limit uint64

	chains []ir.ChainKey
	sets   []string
	named  []Named
	// ids number what was asked: chain keys and names of sets.
	ids map[any]int64
	// asked is the inverse of ids, from 1.
	asked []any
}

func (s *session) id(what any) int64 {
	if id, known := s.ids[what]; known {
		return id
	}
	if s.ids == nil {
		s.ids = map[any]int64{}
	}
	s.asked = append(s.asked, what)
	s.ids[what] = int64(len(s.asked))
	switch w := what.(type) {
	case ir.ChainKey:
		s.chains = append(s.chains, w)
	case string:
		s.sets = append(s.sets, w)
	}
	return s.ids[what]
}
