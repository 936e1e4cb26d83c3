package nft_test

import (
	"context"
	"fmt"
	"testing"

	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// TestMergedComparisons: nft makes one comparison of several fields that stand side
// by side. It reads as those fields, in the words in which the rule was sent.
func TestMergedComparisons(t *testing.T) {
	const mac = "aa:bb:cc:dd:ee:ff"
	for _, c := range []struct {
		kind ir.TableKind
		sent string
		want string // if it is not what was sent
	}{
		{ir.Inet, "ether saddr " + mac + " ip ttl != 1", ""},
		{ir.Inet, "ether daddr " + mac + " ip ttl != 1", ""},
		{ir.Inet, "ether daddr " + mac + " ether saddr " + mac, ""},
		{ir.Inet, "ether daddr " + mac + " ether saddr " + mac + " ip ttl 7", ""},
		{ir.Inet, "ether saddr != " + mac + " ip6 hoplimit 1", ""},
		{ir.Inet, "ether saddr " + mac + " ip ttl 1 ip protocol tcp", ""},
		{ir.Inet, "ether saddr " + mac + " icmp type echo-request", ""},
		{ir.Inet, "ether saddr " + mac + " icmp type destination-unreachable icmp code frag-needed", ""},
		{ir.Inet, "ether saddr " + mac + " icmpv6 type echo-request", ""},
		{ir.Inet, "ether saddr " + mac + " tcp dport 80", ""},
		{ir.Inet, "ether saddr " + mac + " tcp sport 1 tcp dport 2", ""},
		{ir.Inet, "ether saddr " + mac + " ip saddr 10.0.0.0/8 udp sport 1 udp dport 2", ""},
		{ir.Inet, "ether saddr " + mac + " ether type ip", ""},
		{ir.Inet, "ether saddr " + mac + " ether type arp", ""},
		{ir.Inet, "ether type ip", ""},
		// What is not what nft itself adds stays in the text.
		{ir.Inet, "ether type ip ip ttl 4", ""},
		{ir.Inet, "ether saddr " + mac + " meta nfproto ipv4 ip ttl 3", ""},
		{ir.Inet, "ether saddr " + mac + " meta nfproto ipv4 icmp type echo-request", ""},
		{ir.Inet, "meta nfproto ipv4 ether saddr " + mac + " ip ttl 3", ""},
		{ir.Inet, "meta nfproto ipv6 ether saddr " + mac, ""},
		{ir.Inet, "ip saddr 10.0.0.1 ether saddr " + mac + " ip ttl 3", ""},
		{ir.Inet, "ip ttl 5 ip protocol tcp tcp dport 80", ""},
		{ir.Inet, "ip6 nexthdr tcp ip6 hoplimit 3", ""},
		// Merged, a negation means something else.
		{ir.Inet, "tcp sport != 1 tcp dport != 2", "meta l4proto tcp @th,0,32 != 0x00010002"},
		{ir.Inet, "ether daddr != " + mac + " ether saddr != " + mac, "meta iiftype ether @ll,0,96 != 0xaabbccddeeffaabbccddeeff"},
		// Which is why one of two negations is a range; of numbers, for a name in it has hyphens.
		{ir.Inet, "icmp type != destination-unreachable icmp code != 4-4", ""},
		{ir.Inet, "icmpv6 code 1-4", ""},
		{ir.Inet, "icmp type 3-5", ""},
		{ir.Inet, "icmp type { 0, 3-5 }", "icmp type { echo-reply, 3-5 }"},
		{ir.IP, "ether saddr " + mac + " ip ttl != 1", ""},
		// Which is why one of two negations is a range; of numbers, for a name in it has hyphens.
		{ir.Inet, "icmp type != destination-unreachable icmp code != 4-4", ""},
		{ir.Inet, "icmpv6 code 1-4", ""},
		{ir.Inet, "icmp type 3-5", ""},
		{ir.Inet, "icmp type { 0, 3-5 }", "icmp type { echo-reply, 3-5 }"},
		{ir.IP, "ether saddr " + mac + " ether type ip ip ttl 1", ""},
		{ir.IP, "ip ttl 1 ip protocol udp", ""},
		{ir.IP, "icmp type redirect icmp code host-unreachable", ""},
		{ir.IP6, "ether saddr " + mac + " icmpv6 type echo-request icmpv6 code no-route", ""},
	} {
		t.Run(fmt.Sprintf("%s %s", c.kind, c.sent), func(t *testing.T) {
			ns := netns.ForTest(t)
			at := fmt.Sprintf("%s hookline-t", c.kind)
			run(t, ns, fmt.Sprintf("add table %s\nadd chain %s a\nadd rule %s a %s\n", at, at, at, c.sent), "nft", "-f", "-")
			s, err := newBackend(t, ns).Session(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			snap, err := s.Snapshot(context.Background(), ir.Scope{Own: []string{"hookline-t"}})
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if want == "" {
				want = c.sent
			}
			if got := snap.State.Own[0].Chain("a").Rules[0].Text; got != want {
				t.Errorf("it reads as\n%s, want\n%s", got, want)
			}
		})
	}
}
