package field

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"hookline/compiler/ir"
	"hookline/internal/converge"
)

// generation asks the kernel for the node's nf_tables generation: every commit
// of whoever counts it up (FIELD M-7).
func (n *node) generation() uint32 {
	n.t.Helper()
	var out uint32
	err := n.ns.Do(func() error {
		c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
		if err != nil {
			return err
		}
		defer c.Close()
		answers, err := c.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
			Data:   []byte{unix.AF_UNSPEC, 0, 0, 0},
		})
		if err != nil {
			return err
		}
		for _, a := range answers {
			if len(a.Data) < 4 {
				continue
			}
			attrs, err := netlink.UnmarshalAttributes(a.Data[4:])
			if err != nil {
				return err
			}
			for _, attr := range attrs {
				if attr.Type&^unix.NLA_F_NESTED == unix.NFTA_GEN_ID && len(attr.Data) == 4 {
					out = binary.BigEndian.Uint32(attr.Data)
				}
			}
		}
		return nil
	})
	if err != nil || out == 0 {
		n.t.Fatalf("asking for the generation: %d, %v", out, err)
	}
	return out
}

// traffic sends packets over the loopback of the node, so that counters count.
func (n *node) traffic() {
	n.t.Helper()
	n.run("", "ip", "link", "set", "lo", "up")
	for _, addr := range []string{"127.0.0.1:9", "[::1]:9"} {
		err := n.ns.Do(func() error {
			c, err := net.Dial("udp", addr)
			if err != nil {
				return err
			}
			defer c.Close()
			for range 10 {
				// The answer to an earlier packet may be that nobody listens.
				_, _ = c.Write([]byte("counted"))
			}
			return nil
		})
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

// unchanged fails the test if f wrote to the node: a generation, a counter, or
// any byte of what the tools print.
func (n *node) unchanged(f func()) {
	n.t.Helper()
	before, generation := n.saves(), n.generation()
	f()
	if now := n.generation(); now != generation {
		n.t.Errorf("the nf_tables generation went from %d to %d", generation, now)
	}
	if d := cmp.Diff(before, n.saves()); d != "" {
		n.t.Errorf("what the tools print, counters included (-before +after):\n%s", d)
	}
}

func TestH5SecondApplyWritesNothing(t *testing.T) {
	both(t, func(t *testing.T, n *node) {
		n.recorded("harvester-healthy")
		ruleset := siteInput(", after: [calico], before: [kubelet]")
		n.must(n.apply(ruleset), converge.Done)
		n.traffic()
		sent := len(n.sent)
		n.unchanged(func() {
			if out := n.must(n.apply(ruleset), converge.Done); out.Wrote {
				t.Error("the second apply says that it wrote")
			}
			if res := n.hookline(ruleset, "apply"); res.Exit != 0 {
				t.Errorf("exit %d: %s", res.Exit, res.Stderr)
			}
			if res := n.hookline(ruleset, "plan", "--detailed-exitcode"); res.Exit != 0 {
				t.Errorf("plan: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
			}
		})
		if len(n.sent) != sent {
			t.Errorf("a restore tool was run: %q", n.sent[sent:])
		}
	})
}

// Every way of writing a rule must come back from every tool as the same rule:
// else each apply would flush and fill the chain again.
func TestT7EverySpellingIsIdempotent(t *testing.T) {
	texts := []string{
		"-s 10.0.0.0/255.255.0.0 -j ACCEPT",
		"-s 10.1.2.3 -d 10.1.2.3/8 -j ACCEPT",
		"! -s 10.0.0.0/8 -d 224.0.0.0/4 -j RETURN",
		"-p 6 --syn -j DROP",
		"-p tcp --dport http -j ACCEPT",
		"-p tcp -m tcp ! --dport 1:1023 -j ACCEPT",
		"-p 47 -j ACCEPT",
		"-p icmp --icmp-type echo-request -j ACCEPT",
		"-p udp -m multiport --dports 53,67:68 -j ACCEPT",
		"-m state --state ESTABLISHED,RELATED -j ACCEPT",
		"-m conntrack --ctstate ESTABLISHED,NEW,RELATED -j ACCEPT",
		"-m mark --mark 0x4000 -j RETURN",
		"-m mark ! --mark 16384/0x4000 -j RETURN",
		"-m limit --limit 60/minute --limit-burst 5 -j LOG --log-prefix \"two words: \"",
		"-m limit --limit 2/s -j ACCEPT",
		"-m comment --comment \"a \\\"quoted\\\" word\" -j ACCEPT",
		"-m comment --comment one -m comment --comment two -j RETURN",
		"-i wt+ -j ACCEPT",
		"! -i lo -o eth0 -j DROP",
		"-p tcp -j REJECT --reject-with tcp-reset",
		"-j REJECT",
		"-m addrtype --dst-type LOCAL -j ACCEPT",
		"-m statistic --mode random --probability 0.3 -j RETURN",
		"-m hashlimit --hashlimit-above 10/second --hashlimit-mode srcip --hashlimit-name h -j DROP",
		"-m recent --name r --update --seconds 60 -j DROP",
		"-m u32 --u32 0>>22&0x3C=5 -j DROP",
		"-m length --length 0:64 -j DROP",
		"-m owner --uid-owner 0 -j ACCEPT",
		"-m time --timestart 08:00 --timestop 18:00 --weekdays Mon,Tue -j ACCEPT",
		"-m connlimit --connlimit-above 10 -j DROP",
		"-p tcp -m tcp --tcp-flags ALL NONE -j DROP",
		"-j NFLOG --nflog-group 3 --nflog-prefix x",
		"-s 192.0.2.1,192.0.2.2 -j ACCEPT",
	}
	out := `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  owns: {chains: ["SITE_*"]}
  tables:
    filter:
      chains:
        SITE_OUT:
          families: [ipv4]
          rules:
`
	for _, text := range texts {
		out += fmt.Sprintf("            - %q\n", text)
	}
	out += `        SITE_BOTH:
          rules:
            - {match: {protocol: tcp, dport: [22, "80:90", 443]}, action: accept}
            - {match: {source: [10.0.0.0/8, "fd00::/8", 192.0.2.7]}, action: accept}
            - {match: {protocol: [tcp, udp], dport: 53, not: {in: [lo, eth0]}}, action: drop}
            - {match: {state: [established, related], mark: 0x10/0xf0}, action: return}
            - {match: {limit: 5/minute}, action: {log: {prefix: "SITE "}}}
            - {match: {protocol: icmpv6, icmpv6Type: echo-request}, families: [ipv6], action: accept}
            - {match: {tcpFlags: "SYN,ACK SYN", protocol: tcp}, action: {reject: {with: tcp-reset}}}
            - {comment: only counts}
            - action: drop
      anchors:
        - {hook: OUTPUT, jump: SITE_OUT, families: [ipv4], match: {out: eth7, protocol: tcp, dport: [1, 2]}}
        - {hook: OUTPUT, jump: SITE_BOTH, comment: "a comment of its own"}
    mangle:
      chains:
        SITE_MARK:
          rules:
            - "-j MARK --set-mark 1"
            - "-m mac --mac-source AA:BB:cc:dd:ee:ff -j ACCEPT"
            - "-j MARK --or-mark 0x4000"
            - "-j MARK --and-mark 0xffff"
            - "-j MARK --xor-mark 0x10"
            - "-j CONNMARK --save-mark"
            - "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
            - "-j DSCP --set-dscp-class EF"
      anchors:
        - {hook: FORWARD, jump: SITE_MARK}
    nat:
      chains:
        SITE_SNAT:
          families: [ipv4]
          rules:
            - "-p tcp -j MASQUERADE --to-ports 1024-2000 --random-fully"
            - "-s 10.0.0.0/8 -j SNAT --to-source 192.0.2.1-192.0.2.9"
      anchors:
        - {hook: POSTROUTING, jump: SITE_SNAT, families: [ipv4]}
`
	both(t, func(t *testing.T, n *node) {
		n.must(n.apply(out), converge.Done)
		n.traffic()
		n.unchanged(func() {
			if again := n.must(n.apply(out), converge.Done); again.Wrote {
				t.Error("the second apply says that it wrote")
			}
		})
		if res := n.hookline(out, "verify"); res.Exit != 0 {
			t.Errorf("verify: exit %d: %s%s", res.Exit, res.Stdout, res.Stderr)
		}
		n.must(n.remove(out), converge.Done)
		if left := foreign(n.saves()); left != "" {
			t.Errorf("left after remove:\n%s", left)
		}
		for _, f := range ir.Families {
			if r := n.chain(f, "filter", "OUTPUT"); len(r) > 0 {
				t.Errorf("%s OUTPUT holds %q", f, r)
			}
		}
	})
}
