package recorded

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// ownName is the member that holds the tables of nftables that rulesets own.
const ownName = "own.json"

// ownTableMeta is one table of own.json.
type ownTableMeta struct {
	Family string         `json:"family"` // of the table: inet, ip or ip6
	Name   string         `json:"name"`
	Flags  string         `json:"flags,omitempty"`
	Sets   []ownSetMeta   `json:"sets,omitempty"`
	Chains []ownChainMeta `json:"chains"`
}

// ownSetMeta is one named set. Of one whose elements were not kept there is their
// number.
type ownSetMeta struct {
	Name     string   `json:"name"`
	Type     string   `json:"type,omitempty"`
	Family   string   `json:"family,omitempty"`
	Foreign  string   `json:"foreign,omitempty"` // what it is, if no ruleset can declare it
	Interval bool     `json:"interval,omitempty"`
	Timeouts bool     `json:"timeouts,omitempty"`
	Timeout  uint32   `json:"timeout,omitempty"` // seconds
	Count    *int     `json:"count,omitempty"`
	Elements []string `json:"elements,omitempty"`
}

// ownChainMeta is one chain; without a hook it is none that packets enter by
// themselves.
type ownChainMeta struct {
	Name     string        `json:"name"`
	Type     string        `json:"type,omitempty"`
	Hook     string        `json:"hook,omitempty"`
	Priority int           `json:"priority,omitempty"`
	Policy   string        `json:"policy,omitempty"` // if it is not accept
	Rules    []ownRuleMeta `json:"rules,omitempty"`
}

// ownRuleMeta is one rule in the spelling of nfttext.
type ownRuleMeta struct {
	Text    string `json:"text"`
	Comment string `json:"comment,omitempty"`
	Tag     string `json:"tag,omitempty"` // user data that is no comment
	Handle  uint64 `json:"handle"`
	Packets uint64 `json:"packets,omitempty"`
	Bytes   uint64 `json:"bytes,omitempty"`
}

// ownTables are the tables for own.json, by family and name: the order in which the
// kernel lists them is that in which they were made.
func ownTables(tables []*ir.OwnTable, opt WriteOptions) []ownTableMeta {
	var out []ownTableMeta
	for _, t := range tables {
		m := ownTableMeta{Family: string(t.Kind), Name: t.Name, Flags: t.Flags, Chains: []ownChainMeta{}}
		for _, s := range t.Sets {
			m.Sets = append(m.Sets, writeOwnSet(s))
		}
		for _, c := range t.Chains {
			m.Chains = append(m.Chains, writeOwnChain(c, opt))
		}
		slices.SortFunc(m.Sets, func(a, b ownSetMeta) int { return cmp.Compare(a.Name, b.Name) })
		slices.SortFunc(m.Chains, func(a, b ownChainMeta) int { return cmp.Compare(a.Name, b.Name) })
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b ownTableMeta) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Family, b.Family))
	})
	return out
}

func writeOwnChain(c *ir.OwnChain, opt WriteOptions) ownChainMeta {
	out := ownChainMeta{Name: c.Name}
	if b := c.Base; b != nil {
		out.Type, out.Hook, out.Priority, out.Policy = b.Type, b.Hook, b.Priority, b.Policy
	}
	for _, r := range c.Rules {
		x := ownRuleMeta{Text: r.Text, Comment: r.Comment, Tag: r.Tag, Handle: r.Handle}
		if opt.Counters {
			x.Packets, x.Bytes = r.Packets, r.Bytes
		}
		out.Rules = append(out.Rules, x)
	}
	return out
}

func writeOwnSet(s *ir.OwnSet) ownSetMeta {
	out := ownSetMeta{Name: s.Name, Foreign: s.Foreign, Interval: s.Interval, Timeouts: s.Timeouts, Timeout: s.Timeout}
	if s.Foreign == "" {
		out.Type = s.Type.String()
	}
	if s.Family != 0 {
		out.Family = s.Family.String()
	}
	if s.Counted >= 0 {
		n := s.Counted
		out.Count = &n
		return out
	}
	for _, e := range s.Elements {
		text := elementText(s, e)
		if o := e.Options; o != nil {
			if o.HasTimeout {
				text += fmt.Sprintf(" timeout %d", o.Timeout)
			}
			if o.Comment != "" {
				text += " comment " + strconv.Quote(o.Comment)
			}
		}
		out.Elements = append(out.Elements, text)
	}
	return out
}

// readOwn reads own.json; false if it is not what Write makes.
func (l *loader) readOwn(f *diag.File) ([]*ir.OwnTable, bool) {
	var tables []ownTableMeta
	if !l.decode(f, &tables) {
		return nil, false
	}
	out := []*ir.OwnTable{}
	for _, m := range tables {
		t := &ir.OwnTable{Kind: ir.TableKind(m.Family), Name: m.Name, Flags: m.Flags}
		problem := ""
		switch {
		case !isOwn(m.Family, m.Name):
			problem = "it is no table that a ruleset owns"
		case slices.ContainsFunc(out, func(o *ir.OwnTable) bool { return o.Kind == t.Kind && o.Name == t.Name }):
			problem = "it is there twice"
		}
		for _, s := range m.Sets {
			set, why := s.set()
			if why == "" && t.Set(s.Name) != nil {
				why = "it is there twice"
			}
			if why != "" {
				problem = fmt.Sprintf("set %s: %s", s.Name, why)
			}
			t.Sets = append(t.Sets, set)
		}
		for _, c := range m.Chains {
			chain, why := c.chain()
			if why == "" && t.Chain(c.Name) != nil {
				why = "it is there twice"
			}
			if why != "" {
				problem = fmt.Sprintf("chain %s: %s", c.Name, why)
			}
			t.Chains = append(t.Chains, chain)
		}
		if problem != "" {
			l.list.Errorf(diag.SnapshotText, start(f), "%s: table %s %s: %s", ownName, m.Family, m.Name, problem)
			return nil, false
		}
		out = append(out, t)
	}
	return out, true
}

func (c ownChainMeta) chain() (out *ir.OwnChain, problem string) {
	out = &ir.OwnChain{Name: c.Name}
	if c.Hook != "" {
		if ir.HookIndex(c.Hook) < 0 || c.Priority < math.MinInt32 || c.Priority > math.MaxInt32 {
			return out, "there is no such hook"
		}
		out.Base = &ir.BaseChain{Type: c.Type, Hook: c.Hook, Priority: c.Priority, Policy: c.Policy}
	}
	seen := map[uint64]bool{}
	for _, r := range c.Rules {
		if seen[r.Handle] {
			return out, fmt.Sprintf("two rules have the handle %d", r.Handle)
		}
		seen[r.Handle] = r.Handle != 0
		out.Rules = append(out.Rules, ir.OwnRule{Text: r.Text, Comment: r.Comment, Tag: r.Tag, Handle: r.Handle, Packets: r.Packets, Bytes: r.Bytes})
	}
	return out, ""
}

func (m ownSetMeta) set() (out *ir.OwnSet, problem string) {
	out = &ir.OwnSet{Name: m.Name, Foreign: m.Foreign, Interval: m.Interval, Timeouts: m.Timeouts, Timeout: m.Timeout, Counted: -1}
	if m.Foreign == "" {
		for w := range strings.SplitSeq(m.Type, " . ") {
			out.Type = append(out.Type, ir.SetField(w))
		}
	}
	if m.Family != "" {
		f, ok := ir.ParseFamily(m.Family)
		if !ok {
			return out, fmt.Sprintf("there is no family %q", m.Family)
		}
		out.Family = f
	}
	if m.Count != nil {
		out.Counted = max(0, *m.Count)
		return out, ""
	}
	for _, text := range m.Elements {
		fields, options, ok := cutOptions(text)
		var e ir.Element
		if ok {
			e, ok = parseElement(out, fields)
		}
		if !ok {
			return out, fmt.Sprintf("%q is no element of type %s", text, m.Type)
		}
		e.Options = options
		out.Elements = append(out.Elements, e)
	}
	slices.SortFunc(out.Elements, ir.Element.Compare)
	return out, ""
}

// cutOptions splits an element from what it says besides.
func cutOptions(text string) (fields string, o *ir.ElementOptions, ok bool) {
	fields, comment, commented := strings.Cut(text, " comment ")
	fields, timeout, timed := strings.Cut(fields, " timeout ")
	if !commented && !timed {
		return fields, nil, true
	}
	o = &ir.ElementOptions{HasTimeout: timed}
	var err error
	if commented {
		if o.Comment, err = strconv.Unquote(comment); err != nil {
			return "", nil, false
		}
	}
	if timed {
		n, err := strconv.ParseUint(timeout, 10, 32)
		if err != nil {
			return "", nil, false
		}
		o.Timeout = uint32(n)
	}
	return fields, o, true
}
