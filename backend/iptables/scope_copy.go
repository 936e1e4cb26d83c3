package iptables

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

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
	table := t.reader.key.Name
	batch := []message{{unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, encodeAttr(nil, unix.NFTA_TABLE_NAME, cstring(table))}}
	made := []string{""}
	for _, r := range t.rules {
		if !slices.Contains(made, r.jump) {
			made = append(made, r.jump)
			batch = append(batch, newChain(table, r.jump))
		}
	}
	if !slices.Contains(made, t.chain.Name) {
		batch = append(batch, newChain(table, t.chain.Name))
	}
	for _, r := range t.rules {
		if r.native != "" {
			continue
		}
		if len(batch) >= copyChunk {
			if err := k.commit(f, batch); err != nil {
				return err
			}
			batch = nil
		}
		attrs := encodeAttr(nil, unix.NFTA_RULE_TABLE, cstring(table))
		attrs = encodeAttr(attrs, unix.NFTA_RULE_CHAIN, cstring(t.chain.Name))
		attrs = encodeAttr(attrs, unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, r.exprs)
		if r.proto != 0 {
			// The kernel does not give back what an xt match was told of the protocol.
			compat := encodeAttr(nil, unix.NFTA_RULE_COMPAT_PROTO, be32Bytes(uint32(r.proto)))
			compat = encodeAttr(compat, unix.NFTA_RULE_COMPAT_FLAGS, be32Bytes(0))
			attrs = encodeAttr(attrs, unix.NFTA_RULE_COMPAT|unix.NLA_F_NESTED, compat)
		}
		batch = append(batch, message{unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE | unix.NLM_F_APPEND, attrs})
	}
	return k.commit(f, batch)
}

// newChain makes a chain; one of iptables' own base chains with its hook.
func newChain(table, name string) message {
	attrs := encodeAttr(nil, unix.NFTA_CHAIN_TABLE, cstring(table))
	attrs = encodeAttr(attrs, unix.NFTA_CHAIN_NAME, cstring(name))
	if at, ok := basePlaces[table][name]; ok {
		hook := encodeAttr(nil, unix.NFTA_HOOK_HOOKNUM, be32Bytes(at.hook))
		hook = encodeAttr(hook, unix.NFTA_HOOK_PRIORITY, be32Bytes(uint32(at.priority)))
		attrs = encodeAttr(attrs, unix.NFTA_CHAIN_HOOK|unix.NLA_F_NESTED, hook)
		attrs = encodeAttr(attrs, unix.NFTA_CHAIN_TYPE, cstring(at.typ))
	}
	return message{unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, attrs}
}

// message is one change of nf_tables in a batch.
type message struct {
	typ   uint16
	flags netlink.HeaderFlags
	attrs []byte
}

// commit sends changes as one transaction and waits for the answers.
func (k *kernel) commit(f ir.Family, changes []message) error {
	batch := []netlink.Message{batchEdge(unix.NFNL_MSG_BATCH_BEGIN)}
	for _, c := range changes {
		batch = append(batch, netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | c.typ), Flags: netlink.Request | netlink.Acknowledge | c.flags},
			Data:   append([]byte{nfproto(f), unix.NFNETLINK_V0, 0, 0}, c.attrs...),
		})
	}
	batch = append(batch, batchEdge(unix.NFNL_MSG_BATCH_END))
	if _, err := k.conn.SendMessages(batch); err != nil {
		return err
	}
	for range changes {
		if _, err := k.conn.Receive(); err != nil {
			return err
		}
	}
	return nil
}

// batchEdge is the message before or behind a batch's changes.
func batchEdge(typ uint16) netlink.Message {
	data := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: netlink.Request},
		Data:   binary.BigEndian.AppendUint16(data, unix.NFNL_SUBSYS_NFTABLES),
	}
}

func be32Bytes(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
