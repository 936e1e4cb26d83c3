package ir

import (
	"fmt"
	"strings"
)

// CheckTransaction says in what a transaction breaks a promise that each of
// hookline's own keeps, or nil:
//
//   - nothing that it does not name changes (no block without NoFlush), and no
//     counters are written;
//   - only the first eight kinds of op, so no delete by index and no policy;
//   - no built-in chain is declared, flushed or dropped;
//   - a block's guards stand ahead of everything else in it, because behind a
//     delete of the same text a guard fails (FIELD M-49);
//   - a chain that a block declares is filled by appending, or from its top:
//     iptables-nft 1.8.9 still sees the rules that stood there before;
//   - whatever an op holds fits on its one line of restore text;
//   - a step of nft names a table of ours, and is one command on one line.
func CheckTransaction(tx Transaction) error {
	if len(tx.NFT) > 0 && len(tx.Blocks)+len(tx.SetsBefore)+len(tx.SetsAfter) > 0 {
		return fmt.Errorf("steps of nft stand beside others")
	}
	for i := range tx.NFT {
		if err := checkNFTOp(&tx.NFT[i]); err != nil {
			return fmt.Errorf("step %d (%s %s): %w", i, tx.NFT[i].Kind, tx.NFT[i].Table, err)
		}
	}
	for _, list := range [][]SetOp{tx.SetsBefore, tx.SetsAfter} {
		for i := range list {
			if err := checkSetOp(&list[i]); err != nil {
				return fmt.Errorf("set %q: %w", list[i].Name, err)
			}
		}
	}
	for i := range tx.Blocks {
		b := &tx.Blocks[i]
		if err := checkBlock(b); err != nil {
			return fmt.Errorf("block %d (%s): %w", i, TableKey{b.Family, b.Table}, err)
		}
	}
	return nil
}

// checkSetOp makes sure that no text can break out of its line.
func checkSetOp(o *SetOp) error {
	word := func(s string) bool {
		return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
	}
	switch {
	case !word(o.Name) || len(o.Name) > maxSetName:
		return fmt.Errorf("it is no name of a set")
	case o.Kind == SetWrite && (!word(o.Temp) || len(o.Temp) > maxSetName || o.Temp == o.Name || !word(o.Type)):
		return fmt.Errorf("it would be filled as %q, a %q", o.Temp, o.Type)
	case (o.Kind == SetAdd || o.Kind == SetDelete) && len(o.Elements) != 1:
		return fmt.Errorf("a single step takes one element, not %d", len(o.Elements))
	case strings.ContainsAny(o.Header, "\r\n\x00"):
		return fmt.Errorf("its header is no line")
	}
	for _, e := range o.Elements {
		if e == "" || strings.ContainsAny(e, "\r\n\x00") {
			return fmt.Errorf("the element %q is no line", e)
		}
	}
	return nil
}

// maxSetName is the length of the longest name of an ipset (IPSET_MAXNAMELEN less
// the NUL).
const maxSetName = 31

func checkBlock(b *Block) error {
	switch {
	case b.Family != IPv4 && b.Family != IPv6:
		return fmt.Errorf("there is no %s", b.Family)
	case BuiltinChains(b.Table) == nil:
		return fmt.Errorf("there is no table %q", b.Table)
	case !b.NoFlush:
		return fmt.Errorf("the block would replace the whole table")
	case b.Counters:
		return fmt.Errorf("the block would write counters")
	}
	guards := true
	declared := map[string]bool{}
	for i := range b.Ops {
		o := &b.Ops[i]
		if o.Kind == OpRequire && !guards {
			return fmt.Errorf("op %d: the guard stands behind another op", i)
		}
		guards = guards && o.Kind == OpRequire
		switch {
		case o.Kind == OpEnsure, o.Kind == OpNew:
			declared[o.Chain] = true
		case o.Kind == OpInsert && o.Index > 1 && declared[o.Chain], o.Kind == OpDelete && declared[o.Chain]:
			return fmt.Errorf("op %d: chain %s: the block declares the chain in which it looks for a place or a rule", i, o.Chain)
		}
		if err := checkOp(b.Table, o); err != nil {
			return fmt.Errorf("op %d: chain %s: %w", i, o.Chain, err)
		}
	}
	return nil
}

func checkOp(table string, o *Op) error {
	switch o.Kind {
	case OpEnsure, OpNew, OpFlush, OpDrop:
		if IsBuiltin(table, o.Chain) {
			return fmt.Errorf("a built-in chain is not for us to declare, flush or drop")
		}
	case OpRequire, OpAppend, OpInsert, OpDelete:
		if o.Rule == nil {
			return fmt.Errorf("the op has no rule")
		}
		if err := checkRuleText(o.Rule); err != nil {
			return err
		}
		if o.Kind == OpInsert && o.Index < 1 {
			return fmt.Errorf("there is no place %d to insert at", o.Index)
		}
	default:
		return fmt.Errorf("an op of kind %d is not ours to send", o.Kind)
	}
	return CheckChainName(o.Chain)
}

// checkRuleText makes sure that a rule's text stays on its line.
func checkRuleText(r *Rule) error {
	switch {
	case r.Native != nil:
		return fmt.Errorf("a native rule has no text to send")
	case strings.ContainsAny(r.Text, "\n\r\x00"):
		return fmt.Errorf("the rule holds a line end or a NUL: %q", r.Text)
	case r.Text != "" && r.Text[0] != '-' && r.Text[0] != '!':
		// `-D CHAIN 1` deletes by index.
		return fmt.Errorf("the rule does not start with an option: %q", r.Text)
	case strings.HasSuffix(r.Text, " "):
		return fmt.Errorf("the rule ends with a space: %q", r.Text)
	}
	return nil
}
