package iptables

import (
	"fmt"

	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// kernel reads nf_tables and ipset state by netlink.
type kernel struct{ *nfnetlink.Conn }

// dialKernel opens the socket, inside the namespace that around enters.
func dialKernel(around func(func() error) error) (*kernel, error) {
	conn, err := nfnetlink.Dial(around)
	if err != nil {
		return nil, err
	}
	return &kernel{conn}, nil
}

// chains lists every chain of a family in every table.
func (k *kernel) chains(f ir.Family) ([]nfnetlink.Chain, error) {
	return k.Chains(nfnetlink.Proto(f), f.String())
}

// kernelRule is a rule as nf_tables has it: what iptables would print of it is
// not known, but whether iptables can print it is.
type kernelRule struct {
	chain          string
	handle         uint64
	packets, bytes uint64
	jump           string // the chain that the rule's verdict names
	native         string // the first expression that iptables would not write, or ""
	nativeAt       int    // and its number, from 0
	described      *ir.Native
	proto          uint8  // the transport protocol that the rule asks for, 0 if none
	exprs          []byte // the expressions as they came, in a listing with native rules
}

// rules lists the rules of one chain, or of the whole table if chain is "".
func (k *kernel) rules(f ir.Family, table, chain string) ([]kernelRule, error) {
	listed, err := k.Rules(nfnetlink.Proto(f), f.String(), table, chain)
	if err != nil {
		return nil, err
	}
	out := make([]kernelRule, len(listed))
	doubted := false
	for i, l := range listed {
		r := &out[i]
		*r = kernelRule{chain: l.Chain, handle: l.Handle, exprs: l.Exprs}
		if err := r.examine(f); err != nil {
			return nil, fmt.Errorf("listing the rules of %s %s: %w", f, table, err)
		}
		if r.native != "" {
			doubted = true
			r.described = &ir.Native{Handle: r.handle, Expr: r.native, Comment: nfnetlink.UserComment(l.UserData)}
			if err := describe(r.described, f, r.exprs, r.nativeAt); err != nil {
				return nil, fmt.Errorf("listing the rules of %s %s: %w", f, table, err)
			}
		}
	}
	if !doubted {
		// Only a chain with native rules is ever copied; the others' expressions would
		// keep the whole listing in memory.
		for i := range out {
			out[i].exprs = nil
		}
	}
	return out, nil
}

// describe says a rule in the words of nft, as far as its expressions are known.
// at is the number of the expression that makes the rule native.
func describe(n *ir.Native, f ir.Family, exprs []byte, at int) error {
	statements, err := nfnetlink.Describe(f, exprs)
	for _, s := range statements {
		n.Add(s.Text, s.First <= at && at <= s.Last)
	}
	return err
}
