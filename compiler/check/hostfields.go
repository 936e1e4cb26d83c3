package check

import (
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"hookline/compiler/ir"
)

// hostView is a host in one evaluation.
type hostView struct {
	*Host
	session *session
}

// The classes of a host's objects; they never change.
var (
	hostClass  = newHostClass()
	chainClass = newChainClass()
	ruleClass  = newRuleClass()
	setClass   = newSetClass()
)

var stringList = cel.ListType(cel.StringType)

func newHostClass() *class {
	c := newClass("host")
	define(c, "backend", cel.StringType, func(h hostView) ref.Val { return types.String(h.backend) })
	define(c, "tables", stringList, hostView.tables)
	define(c, "participants", stringList, hostView.participants)
	return c
}

func newChainClass() *class {
	c := newClass("chain")
	define(c, "exists", cel.BoolType, func(d chainView) ref.Val { return types.Bool(d.chain != nil) })
	define(c, "policy", cel.StringType, func(d chainView) ref.Val {
		if d.chain == nil {
			return types.String("")
		}
		return types.String(d.chain.Policy)
	})
	define(c, "rules", cel.ListType(ruleClass.typ), func(d chainView) ref.Val {
		if d.rulesVal == nil {
			out := make([]ref.Val, len(d.rules()))
			for i := range out {
				out[i] = ruleClass.object(d.rule(i))
			}
			d.rulesVal = types.NewRefValList(types.DefaultTypeAdapter, out)
		}
		return d.rulesVal
	})
	define(c, "jumps", stringList, func(d chainView) ref.Val {
		if d.jumpsVal == nil {
			d.jumpsVal = stringsVal(d.jumps())
		}
		return d.jumpsVal
	})
	return c
}

func newRuleClass() *class {
	c := newClass("rule")
	define(c, "index", cel.IntType, func(r *Rule) ref.Val { return types.Int(r.index) })
	define(c, "owned", cel.BoolType, func(r *Rule) ref.Val {
		return types.Bool(r.chain.host.who.Owned(r.chain.key, r.index))
	})
	define(c, "native", cel.BoolType, func(r *Rule) ref.Val { return types.Bool(r.rule.Native != nil) })
	define(c, "comments", stringList, func(r *Rule) ref.Val { return stringsVal(r.fields().Comments) })
	for name, get := range map[string]func(*Rule) string{
		"text":        func(r *Rule) string { return r.rule.Text },
		"participant": func(r *Rule) string { return r.chain.host.who.Participant(r.chain.key, r.index) },
		"target":      func(r *Rule) string { return r.fields().Target },
		"comment":     func(r *Rule) string { return r.fields().Comment },
		"protocol":    func(r *Rule) string { return r.fields().Protocol },
		"source":      func(r *Rule) string { return r.fields().Source },
		"destination": func(r *Rule) string { return r.fields().Destination },
		"iface":       func(r *Rule) string { return r.fields().Iface },
		"oface":       func(r *Rule) string { return r.fields().Oface },
		"sport":       func(r *Rule) string { return r.fields().Sport },
		"dport":       func(r *Rule) string { return r.fields().Dport },
		"mark":        func(r *Rule) string { return r.fields().Mark },
	} {
		define(c, name, cel.StringType, func(r *Rule) ref.Val { return types.String(get(r)) })
	}
	return c
}

func newSetClass() *class {
	c := newClass("set")
	define(c, "exists", cel.BoolType, func(d *setData) ref.Val { return types.Bool(d.set != nil) })
	define(c, "type", cel.StringType, func(d *setData) ref.Val {
		if d.set == nil {
			return types.String("")
		}
		return types.String(d.set.Type)
	})
	define(c, "size", cel.IntType, func(d *setData) ref.Val {
		switch {
		case d.set == nil:
			return types.IntZero
		case d.set.Counted >= 0 && len(d.set.Elements) == 0:
			return types.Int(d.set.Counted)
		}
		return types.Int(len(d.set.Elements))
	})
	define(c, "elements", stringList, func(d *setData) ref.Val {
		switch {
		case d.set == nil:
			return stringsVal(nil)
		case d.set.Counted > 0 && len(d.set.Elements) == 0:
			return d.session.unknown(d.set.Name)
		}
		return stringsVal(d.set.Elements)
	})
	return c
}

// hasUnread tells whether a table has a chain of which only the name is known.
func hasUnread(t *ir.Table) bool {
	return slices.ContainsFunc(t.Chains, func(c *ir.Chain) bool { return !c.Read })
}

func stringsVal(s []string) ref.Val { return types.NewStringList(types.DefaultTypeAdapter, s) }

// unknown records that something was asked for that was not read.
func (s *session) unknown(what any) ref.Val { return types.NewUnknown(s.id(what), nil) }

// tables lists the tables that stand on the host, in the families that were
// read, as "FAMILY TABLE".
func (h hostView) tables() ref.Val {
	var out []string
	for _, t := range h.state.Tables {
		out = append(out, t.Key().String())
	}
	return stringsVal(out)
}

// participants is unknown as long as a chain is unread: a rule of anybody may
// stand there.
func (h hostView) participants() ref.Val {
	var unread *types.Unknown
	for _, t := range h.state.Tables {
		k := t.Key()
		switch {
		case t.Unreadable != "":
			return unreadable(ir.ChainKey{Family: k.Family, Table: k.Name}, t.Unreadable)
		case hasUnread(t):
			u := types.NewUnknown(h.session.id(ir.ChainKey{Family: k.Family, Table: k.Name}), nil)
			unread = types.MergeUnknowns(unread, u)
		}
	}
	if unread != nil {
		return unread
	}
	if h.found == nil {
		h.found = stringsVal(h.who.Participants())
	}
	return h.found
}

func unreadable(k ir.ChainKey, reason string) ref.Val {
	what := "table " + k.TableKey().String()
	if k.Chain != "" {
		what = "chain " + k.String()
	}
	return types.WrapErr(&unreadError{what, reason})
}

// chain is the chain of a host, an unknown if it was not read, and an error if it
// could not be read.
func (h hostView) chain(family, table, name string) ref.Val {
	k, bad := chainKey(family, table, name)
	if bad != nil {
		return bad
	}
	if t := h.state.Table(k.Family, k.Table); t != nil && t.Unreadable != "" {
		return unreadable(k, t.Unreadable)
	}
	d := h.Host.chain(k)
	if d == nil {
		return h.session.unknown(k)
	}
	return chainClass.object(chainView{d, h.session})
}

// hasNativeRules tells whether rules stand in a table that iptables did not
// write. A table that the tools refuse for that reason has them.
func (h hostView) hasNativeRules(family, table string) ref.Val {
	k, bad := chainKey(family, table, "")
	if bad != nil {
		return bad
	}
	if !slices.Contains(h.state.Families, k.Family) {
		return h.session.unknown(k)
	}
	t := h.state.Table(k.Family, k.Table)
	if t == nil {
		return types.False
	}
	has, known := h.native[t.Key()]
	if !known {
		has = slices.ContainsFunc(t.Chains, (*ir.Chain).HasNative)
		h.native[t.Key()] = has
	}
	switch {
	case has, strings.Contains(t.Unreadable, "incompatible"):
		// A save without a listing beside it has nothing but the tool's word for it.
		return types.True
	case t.Unreadable != "":
		return unreadable(k, t.Unreadable)
	}
	if hasUnread(t) {
		return h.session.unknown(k)
	}
	return types.False
}

// set finds a set by its name in the kernel, or by the name under which a ruleset
// declares it for both families.
func (h hostView) set(family, name string) ref.Val {
	f, known := ir.ParseFamily(family)
	if !known {
		return types.NewErr("%s", badFamily(family))
	}
	both := name + map[ir.Family]string{ir.IPv4: "-4", ir.IPv6: "-6"}[f]
	for _, n := range []string{name, both} {
		if s := h.state.Set(n); s != nil && (s.Family == 0 || s.Family == f) {
			return setClass.object(&setData{h.session, s})
		}
	}
	if h.state.SetsRead {
		return setClass.object(&setData{h.session, nil})
	}
	return types.MergeUnknowns(
		types.NewUnknown(h.session.id(name), nil),
		types.NewUnknown(h.session.id(both), nil))
}

// chainKey checks what names a chain or a table.
func chainKey(family, table, name string) (ir.ChainKey, ref.Val) {
	f, known := ir.ParseFamily(family)
	if !known {
		return ir.ChainKey{}, types.NewErr("%s", badFamily(family))
	}
	if ir.BuiltinChains(table) == nil {
		return ir.ChainKey{}, types.NewErr("%s", badTable(table))
	}
	return ir.ChainKey{Family: f, Table: table, Chain: name}, nil
}
