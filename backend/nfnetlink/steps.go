package nfnetlink

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
)

// StepError is a step that the kernel refused. Nothing of the transaction has been
// done.
type StepError struct {
	// Step is its index, or -1 if the kernel refused the transaction as a whole.
	Step int
	Err  error
}

func (e *StepError) Error() string { return e.Err.Error() }

func (e *StepError) Unwrap() error { return e.Err }

// CommitSteps does steps on tables of ours as one transaction: all of them or, with
// an error, none. rules has, for each step that brings a rule, the rule as the
// kernel takes it.
func (k *Conn) CommitSteps(ops []ir.NFTOp, rules map[int]*RawRule) error {
	w := setWriter{}
	for i := range ops {
		done, err := w.ruleStep(i, &ops[i], rules[i])
		if err == nil && !done {
			err = w.step(i, &ops[i])
		}
		if err != nil {
			return err
		}
	}
	if len(w.pieces) == 0 {
		return nil
	}
	at, err := k.commitBatch(w.messages)
	switch {
	case err == nil:
		return nil
	case at >= 0 && at < len(w.pieces):
		return &StepError{Step: w.pieces[at].step, Err: err}
	}
	return &StepError{Step: -1, Err: err}
}

// ruleStep appends the messages of a step on a table, a chain or a rule; done is false
// for another one.
func (w *setWriter) ruleStep(i int, o *ir.NFTOp, rule *RawRule) (done bool, err error) {
	add := func(typ uint16, flags netlink.HeaderFlags, attrs []byte) {
		w.message(piece{step: i}, typ, flags, o.Kind, func(b []byte) []byte { return append(b, attrs...) })
	}
	// Tables, chains and rules number their attributes alike: the table is the first.
	attrs := AppendAttr(nil, unix.NFTA_RULE_TABLE, CString(o.Table))
	switch o.Do {
	case ir.NFTDeleteTable:
		add(unix.NFT_MSG_DELTABLE, 0, attrs)
	case ir.NFTAddChain:
		attrs = AppendAttr(attrs, unix.NFTA_CHAIN_NAME, CString(o.Chain))
		if o.Base != nil {
			if attrs, err = appendBase(attrs, o.Base); err != nil {
				return false, err
			}
		}
		add(unix.NFT_MSG_NEWCHAIN, netlink.Create|netlink.Excl, attrs)
	case ir.NFTDeleteChain:
		add(unix.NFT_MSG_DELCHAIN, 0, AppendAttr(attrs, unix.NFTA_CHAIN_NAME, CString(o.Chain)))
	case ir.NFTFlushChain:
		add(unix.NFT_MSG_DELRULE, 0, AppendAttr(attrs, unix.NFTA_RULE_CHAIN, CString(o.Chain)))
	case ir.NFTDeleteRule:
		attrs = AppendAttr(attrs, unix.NFTA_RULE_CHAIN, CString(o.Chain))
		add(unix.NFT_MSG_DELRULE, 0, AppendAttr(attrs, unix.NFTA_RULE_HANDLE, binary.BigEndian.AppendUint64(nil, o.Handle)))
	case ir.NFTAddRule, ir.NFTInsertRule:
		if rule == nil {
			return false, fmt.Errorf("step %d has no rule", i+1)
		}
		exprs := w.sets(i, o, rule)
		attrs = AppendAttr(attrs, unix.NFTA_RULE_CHAIN, CString(o.Chain))
		attrs = AppendAttr(attrs, unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, exprs)
		if len(rule.UserData) > 0 {
			attrs = AppendAttr(attrs, unix.NFTA_RULE_USERDATA, rule.UserData)
		}
		flags := netlink.Create | netlink.Append
		if o.Do == ir.NFTInsertRule {
			flags = netlink.Create // ahead of the rule at the position
			attrs = AppendAttr(attrs, unix.NFTA_RULE_POSITION, binary.BigEndian.AppendUint64(nil, o.Handle))
		}
		add(unix.NFT_MSG_NEWRULE, flags, attrs)
	default:
		return false, nil
	}
	return true, nil
}

// appendBase appends where a chain hooks in.
func appendBase(attrs []byte, b *ir.BaseChain) ([]byte, error) {
	hook := slices.Index(inetHooks, b.Hook)
	if hook < 0 {
		return nil, fmt.Errorf("there is no hook %q", b.Hook)
	}
	at := AppendAttr(nil, unix.NFTA_HOOK_HOOKNUM, Bytes32(uint32(hook)))
	at = AppendAttr(at, unix.NFTA_HOOK_PRIORITY, Bytes32(uint32(int32(b.Priority))))
	policy := uint32(VerdictAccept)
	if b.Policy == "drop" {
		policy = VerdictDrop
	}
	attrs = AppendAttr(attrs, unix.NFTA_CHAIN_HOOK|unix.NLA_F_NESTED, at)
	attrs = AppendAttr(attrs, unix.NFTA_CHAIN_POLICY, Bytes32(policy))
	return AppendAttr(attrs, unix.NFTA_CHAIN_TYPE, CString(b.Type)), nil
}

// RawRule is a rule as a kernel holds it, to be given to another one.
type RawRule struct {
	Exprs, UserData []byte
	// Sets are those that are a part of the rule, by the names by which Exprs call them.
	Sets map[string]*RawSet
}

// RawSet is a set as a kernel holds it.
type RawSet struct {
	// Attrs without its table, name, number and what the kernel counts.
	Attrs []byte
	// Elements are the lists of elements of the answers.
	Elements [][]byte
}

// keptSetAttrs are the attributes of a set that say what it is.
var keptSetAttrs = []uint16{
	unix.NFTA_SET_FLAGS, unix.NFTA_SET_KEY_TYPE, unix.NFTA_SET_KEY_LEN, unix.NFTA_SET_DATA_TYPE, unix.NFTA_SET_DATA_LEN, unix.NFTA_SET_POLICY,
	unix.NFTA_SET_DESC, unix.NFTA_SET_TIMEOUT, unix.NFTA_SET_GC_INTERVAL, unix.NFTA_SET_USERDATA, unix.NFTA_SET_OBJ_TYPE, setExpr, setExpressions,
}

// RawSets reads the sets of a table; of those that are parts of rules with their
// elements.
func (k *Conn) RawSets(proto byte, table string) (map[string]*RawSet, error) {
	answers, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETSET, proto, netlink.Dump, AppendAttr(nil, unix.NFTA_SET_TABLE, CString(table)))
	if err != nil {
		return nil, fmt.Errorf("listing the sets of %s: %w", table, err)
	}
	out := map[string]*RawSet{}
	for _, a := range answers {
		info, err := readSet(a)
		if err != nil {
			return nil, fmt.Errorf("listing the sets of %s: %w", table, err)
		}
		if info.Table != table {
			continue
		}
		set := &RawSet{Attrs: keep(a, keptSetAttrs)}
		out[info.Name] = set
		if !info.Anonymous() {
			continue
		}
		lists, err := k.Ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETSETELEM, proto, netlink.Dump, elementsOf(table, info.Name))
		if err != nil {
			return nil, fmt.Errorf("listing the elements of %s %s: %w", table, info.Name, err)
		}
		for _, l := range lists {
			set.Elements = append(set.Elements, keep(l, []uint16{unix.NFTA_SET_ELEM_LIST_ELEMENTS}))
		}
	}
	return out, nil
}

// keep are some attributes of a list, as they came.
func keep(list []byte, types []uint16) []byte {
	var out []byte
	for b := list; len(b) >= 4; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		next := min(padded(n), len(b))
		if slices.Contains(types, binary.NativeEndian.Uint16(b[2:])&nlaTypeMask) {
			out = append(out, b[:next]...)
		}
		b = b[next:]
	}
	return out
}

// CopySets makes the sets of a table of one kernel, without elements, in another one's
// table, which has to stand.
func (k *Conn) CopySets(kind ir.TableKind, table string, sets map[string]*RawSet) error {
	w := setWriter{}
	for name, set := range sets {
		w.rawSet(0, kind, table, name, set)
	}
	if len(w.pieces) == 0 {
		return nil
	}
	if _, err := k.commitBatch(w.messages); err != nil {
		return fmt.Errorf("copying the sets of %s %s: %w", kind, table, err)
	}
	return nil
}

func (w *setWriter) rawSet(i int, kind ir.TableKind, table, name string, set *RawSet) (id uint32) {
	w.message(piece{step: i}, unix.NFT_MSG_NEWSET, netlink.Create|netlink.Excl, kind, func(b []byte) []byte {
		id = uint32(len(w.pieces))
		b = AppendAttr(b, unix.NFTA_SET_TABLE, CString(table))
		b = AppendAttr(b, unix.NFTA_SET_NAME, CString(name))
		b = append(b, set.Attrs...)
		return AppendAttr(b, unix.NFTA_SET_ID, Bytes32(id))
	})
	return id
}

// anonymousName is what a set is called that is a part of a rule: the kernel puts a
// number there.
const anonymousName = "__set%d"

// sets appends the sets that are a part of a rule, and returns its expressions with
// their numbers in them.
func (w *setWriter) sets(i int, o *ir.NFTOp, rule *RawRule) []byte {
	ids := map[string]uint32{}
	var exprs []byte
	_ = EachAttr(rule.Exprs, func(_ uint16, elem []byte) error {
		name, set := lookupOf(elem)
		raw := rule.Sets[set]
		if name == "exthdr" {
			elem = sendable(elem)
		}
		if raw == nil || name != "lookup" {
			exprs = AppendAttr(exprs, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, elem)
			return nil
		}
		if ids[set] == 0 {
			id := w.rawSet(i, o.Kind, o.Table, anonymousName, raw)
			ids[set] = id
			for _, list := range raw.Elements {
				w.message(piece{step: i}, unix.NFT_MSG_NEWSETELEM, netlink.Create, o.Kind, func(b []byte) []byte {
					b = AppendAttr(b, unix.NFTA_SET_ELEM_LIST_TABLE, CString(o.Table))
					b = AppendAttr(b, unix.NFTA_SET_ELEM_LIST_SET, CString(anonymousName))
					b = AppendAttr(b, unix.NFTA_SET_ELEM_LIST_SET_ID, Bytes32(id))
					return append(b, list...)
				})
			}
		}
		exprs = AppendAttr(exprs, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, withSet(elem, ids[set]))
		return nil
	})
	return exprs
}

// sendable is a write into a header as the kernel takes one: it lists its flags,
// which are none, and refuses them.
func sendable(elem []byte) []byte {
	all := []uint16{
		unix.NFTA_EXTHDR_TYPE, unix.NFTA_EXTHDR_OFFSET, unix.NFTA_EXTHDR_LEN, unix.NFTA_EXTHDR_OP, unix.NFTA_EXTHDR_SREG,
	}
	out := AppendAttr(nil, unix.NFTA_EXPR_NAME, CString("exthdr"))
	writes := false
	_ = EachAttr(elem, func(typ uint16, b []byte) error {
		if typ == unix.NFTA_EXPR_DATA {
			out = AppendAttr(out, unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, keep(b, all))
			writes = len(keep(b, []uint16{unix.NFTA_EXTHDR_SREG})) > 0
		}
		return nil
	})
	if !writes {
		return elem
	}
	return out
}

// lookupOf is an expression's name and, if it looks into a set, the name of that.
func lookupOf(elem []byte) (name, set string) {
	_ = EachAttr(elem, func(typ uint16, b []byte) error {
		switch typ {
		case unix.NFTA_EXPR_NAME:
			name = string(Cut(b))
		case unix.NFTA_EXPR_DATA:
			return EachAttr(b, func(typ uint16, b []byte) error {
				if typ == unix.NFTA_LOOKUP_SET {
					set = string(Cut(b))
				}
				return nil
			})
		}
		return nil
	})
	return name, set
}

// withSet is a look into a set with another set: the one of a number in the same
// transaction.
func withSet(elem []byte, id uint32) []byte {
	data := AppendAttr(nil, unix.NFTA_LOOKUP_SET, CString(anonymousName))
	_ = EachAttr(elem, func(typ uint16, b []byte) error {
		if typ == unix.NFTA_EXPR_DATA {
			data = append(data, keep(b, []uint16{unix.NFTA_LOOKUP_SREG, unix.NFTA_LOOKUP_DREG, unix.NFTA_LOOKUP_FLAGS})...)
		}
		return nil
	})
	data = AppendAttr(data, unix.NFTA_LOOKUP_SET_ID, Bytes32(id))
	out := AppendAttr(nil, unix.NFTA_EXPR_NAME, CString("lookup"))
	return AppendAttr(out, unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, data)
}
