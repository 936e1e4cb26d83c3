package injector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// Rule is a rule as nft reads it, and the text that is left beside it.
type Rule struct{ Text, Tag string }

// The rules by hook, the first on top.
var (
	forward = []Rule{
		{`oifname "wt0" ct state established,related counter accept`, "frwacceptoif"},
		{`iifname "wt0" counter accept`, "frwacceptiif"},
	}
	input = []Rule{{`iifname "wt0" counter accept`, "inputaccept"}}
)

// delay between an event and what NetBird does about it.
const delay = 500 * time.Millisecond

// Insert puts rules on top of a chain of a table, in their order.
func Insert(ns *netns.NS, kind ir.TableKind, table, chain string, rules []Rule) error {
	if len(rules) == 0 {
		return nil
	}
	exprs, err := compile(rules)
	if err != nil {
		return err
	}
	conn, err := nfnetlink.Dial(ns.Do)
	if err != nil {
		return err
	}
	return errors.Join(insert(conn, kind, table, chain, rules, exprs), conn.Close())
}

// compile lets nft make the kernel's form of rules, in a namespace of its own.
func compile(rules []Rule) (exprs [][]byte, err error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	script := "add table inet x\nadd chain inet x x\n"
	for _, r := range rules {
		script += "add rule inet x x " + r.Text + "\n"
	}
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: []string{"nft", "-f", "-"}, Stdin: script})
	if err != nil || res.Exit != 0 {
		return nil, fmt.Errorf("compiling rules: %w %s", err, res.Stderr)
	}
	conn, err := nfnetlink.Dial(ns.Do)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	compiled, err := conn.Rules(unix.NFPROTO_INET, "inet", "x", "x")
	if err != nil {
		return nil, err
	}
	for _, r := range compiled {
		exprs = append(exprs, r.Exprs)
	}
	return exprs, nil
}

// protos are the families of nf_tables in which rules are put.
var protos = map[ir.TableKind]byte{ir.Inet: unix.NFPROTO_INET, ir.IP: unix.NFPROTO_IPV4, ir.IP6: unix.NFPROTO_IPV6}

func insert(conn *nfnetlink.Conn, kind ir.TableKind, table, chain string, rules []Rule, exprs [][]byte) error {
	var changes []nfnetlink.Change
	for i, r := range slices.Backward(rules) {
		attrs := nfnetlink.AppendAttr(nil, unix.NFTA_RULE_TABLE, nfnetlink.CString(table))
		attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_RULE_CHAIN, nfnetlink.CString(chain))
		attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, exprs[i])
		attrs = nfnetlink.AppendAttr(attrs, unix.NFTA_RULE_USERDATA, []byte(r.Tag))
		changes = append(changes, nfnetlink.Change{Type: unix.NFT_MSG_NEWRULE, Family: protos[kind], Flags: netlink.Create, Attrs: attrs})
	}
	if err := conn.Commit(changes); err != nil {
		return fmt.Errorf("putting rules into %s %s %s: %w", kind, table, chain, err)
	}
	return nil
}

// NetBird is the program at work in a namespace.
type NetBird struct {
	conn   *nfnetlink.Conn
	events *netlink.Conn
	exprs  map[string][][]byte // by hook
	wg     sync.WaitGroup
	stop   chan struct{}

	mu     sync.Mutex
	rounds int
	err    error
}

// Start puts the rules where they go, and from then on again behind every new table
// or chain, until Stop.
func Start(ns *netns.NS) (*NetBird, error) {
	n := &NetBird{exprs: map[string][][]byte{}, stop: make(chan struct{})}
	var err error
	for hook, rules := range map[string][]Rule{"input": input, "forward": forward} {
		if n.exprs[hook], err = compile(rules); err != nil {
			return nil, err
		}
	}
	if n.conn, err = nfnetlink.Dial(ns.Do); err != nil {
		return nil, err
	}
	err = ns.Do(func() error {
		var err error
		if n.events, err = netlink.Dial(unix.NETLINK_NETFILTER, nil); err != nil {
			return err
		}
		return n.events.JoinGroup(unix.NFNLGRP_NFTABLES)
	})
	if err == nil {
		err = n.Inject()
	}
	if err != nil {
		return nil, errors.Join(err, n.conn.Close())
	}
	n.wg.Go(n.watch)
	return n, nil
}

// watch waits for events. One that stands in the way of reading ends it.
func (n *NetBird) watch() {
	var due time.Time
	for {
		select {
		case <-n.stop:
			return
		default:
		}
		if err := n.events.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			n.fail(err)
			return
		}
		messages, err := n.events.Receive()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.ENOBUFS) {
			n.fail(err)
			return
		}
		for _, m := range messages {
			if t := uint16(m.Header.Type) & 0xff; t == unix.NFT_MSG_NEWTABLE || t == unix.NFT_MSG_NEWCHAIN {
				due = time.Now().Add(delay)
			}
		}
		if !due.IsZero() && time.Now().After(due) {
			due = time.Time{}
			if err := n.Inject(); err != nil {
				n.fail(err)
			}
		}
	}
}

func (n *NetBird) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = errors.Join(n.err, err)
}

// Stop ends the program, which leaves its rules. It tells how often rules were put
// somewhere.
func (n *NetBird) Stop() (rounds int, err error) {
	close(n.stop)
	n.wg.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rounds, errors.Join(n.err, n.events.Close(), n.conn.Close())
}

// Rounds is how often rules were put somewhere until now.
func (n *NetBird) Rounds() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rounds
}

// Inject puts the rules where they go and do not stand.
func (n *NetBird) Inject() error {
	tables, err := n.conn.Tables()
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	did := false
	for _, t := range tables {
		kind := ir.TableKind(t.Family)
		if protos[kind] == 0 || skips(t) {
			continue
		}
		for _, c := range t.Chains {
			rules := map[string][]Rule{"input": input, "forward": forward}[c.Hook]
			if c.Type != "filter" || rules == nil || slices.ContainsFunc(rules, func(r Rule) bool { return slices.Contains(c.Tags, r.Tag) }) {
				continue
			}
			if err := insert(n.conn, kind, t.Name, c.Name, rules, n.exprs[c.Hook]); err != nil {
				return err
			}
			did = true
		}
	}
	if did {
		n.rounds++
	}
	return nil
}

// skips tells of a table that NetBird puts nothing into.
func skips(t ir.NFTTable) bool {
	return t.Name == "firewalld" || t.Name == "netbird" || t.Family != "inet" && ir.BuiltinChains(t.Name) != nil
}
