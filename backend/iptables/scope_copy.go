package iptables

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"hookline/backend/nfnetlink"
	"hookline/backend/run"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// printCopy prints a chain which iptables refuses because a native rule stands
// in it. The chain's other rules are copied, expression by expression as the
// kernel gave them, into a chain of the same name in a private network
// namespace, where the tool prints them. It says whether that worked; where
// there is no namespace to be had, or a rule refers to something that only the
// host has (an ipset), the chain stays unreadable.
func (s *session) printCopy(ctx context.Context, f ir.Family, t chainText) bool {
	texts, err := s.copyAndPrint(ctx, f, t)
	if err != nil {
		s.warnings = append(s.warnings, fmt.Sprintf("chain %s %s %s holds native rules, and the others could not be read: %v",
			f, t.reader.key.Name, t.chain.Name, err))
		return false
	}
	return t.assign(texts)
}

// copyAndPrint returns a text for each rule of the chain, "" for native ones.
func (s *session) copyAndPrint(ctx context.Context, f ir.Family, t chainText) (texts []string, err error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	k, err := dialKernel(ns.Do)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	if err := k.copyChain(f, t); err != nil {
		return nil, fmt.Errorf("copying its rules: %w", err)
	}
	there := &session{b: &Backend{run: &run.Exec{Around: ns.Do}}}
	res, err := there.exec(ctx, s.tools(f).Command, "", "-t", t.reader.key.Name, "-S", t.chain.Name)
	if err != nil {
		return nil, err
	}
	if res.Exit != 0 {
		return nil, errors.New(refusalMessage(res.Stderr))
	}
	printed, rest, ok := cutChain(res.Stdout, t.chain.Name, "")
	if !ok || rest != "" {
		return nil, errors.New("iptables prints something else")
	}
	texts = make([]string, len(t.rules))
	for i, r := range t.rules {
		if r.native != "" {
			continue
		}
		if len(printed) == 0 {
			return nil, errors.New("iptables prints fewer rules")
		}
		texts[i], printed = printed[0], printed[1:]
	}
	if len(printed) > 0 {
		return nil, errors.New("iptables prints more rules")
	}
	return texts, nil
}

// copyChunk is how many rules go into one transaction: a process that is root of
// its own user namespace only may not send big ones (FIELD M-3).
const copyChunk = 100

// copyChain makes the chain, the chains that it jumps to, and its rules without
// the native ones.
func (k *kernel) copyChain(f ir.Family, t chainText) error {
	table, proto := t.reader.key.Name, nfnetlink.Proto(f)
	batch := []nfnetlink.Change{{
		Type: unix.NFT_MSG_NEWTABLE, Family: proto, Flags: unix.NLM_F_CREATE, Attrs: nfnetlink.AppendAttr(nil, unix.NFTA_TABLE_NAME, nfnetlink.CString(table)),
	}}
	made := []string{""}
	for _, r := range t.rules {
		if !slices.Contains(made, r.jump) {
			made = append(made, r.jump)
			batch = append(batch, newChain(proto, table, r.jump))
		}
	}
	if !slices.Contains(made, t.chain.Name) {
		batch = append(batch, newChain(proto, table, t.chain.Name))
	}
	for _, r := range t.rules {
		if r.native != "" {
			continue
		}
		if len(batch) >= copyChunk {
			if err := k.Commit(batch); err != nil {
				return err
			}
			batch = nil
		}
		attrs := nfnetlink.AppendAttr(nil, unix.NFTA_RULE_TABLE, nfnetlink.CString(table))
		attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_RULE_CHAIN, nfnetlink.CString(t.chain.Name))
		attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, r.exprs)
		if r.proto != 0 {
			// The kernel does not give back what an xt match was told of the protocol.
			compat := nfnetlink.AppendAttr(nil, unix.NFTA_RULE_COMPAT_PROTO, nfnetlink.Bytes32(uint32(r.proto)))
			compat = nfnetlink.AppendAttr(compat, unix.NFTA_RULE_COMPAT_FLAGS, nfnetlink.Bytes32(0))
			attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_RULE_COMPAT|unix.NLA_F_NESTED, compat)
		}
		batch = append(batch, nfnetlink.Change{Type: unix.NFT_MSG_NEWRULE, Family: proto, Flags: unix.NLM_F_CREATE | unix.NLM_F_APPEND, Attrs: attrs})
	}
	return k.Commit(batch)
}

// newChain makes a chain; one of iptables' own base chains with its hook.
func newChain(proto byte, table, name string) nfnetlink.Change {
	attrs := nfnetlink.AppendAttr(nil, unix.NFTA_CHAIN_TABLE, nfnetlink.CString(table))
	attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_CHAIN_NAME, nfnetlink.CString(name))
	if at, ok := basePlaces[table][name]; ok {
		hook := nfnetlink.AppendAttr(nil, unix.NFTA_HOOK_HOOKNUM, nfnetlink.Bytes32(at.hook))
		hook = nfnetlink.AppendAttr(hook, unix.NFTA_HOOK_PRIORITY, nfnetlink.Bytes32(uint32(at.priority)))
		attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_CHAIN_HOOK|unix.NLA_F_NESTED, hook)
		attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_CHAIN_TYPE, nfnetlink.CString(at.typ))
	}
	return nfnetlink.Change{Type: unix.NFT_MSG_NEWCHAIN, Family: proto, Flags: unix.NLM_F_CREATE, Attrs: attrs}
}
