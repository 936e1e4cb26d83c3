package iptables

import (
	"context"
	"strings"
	"testing"

	"hookline/backend"
	"hookline/compiler/ir"
	"hookline/internal/netns"
)

// shell runs a script in a namespace and fails the test if it fails.
func shell(t testing.TB, ns *netns.NS, script string) string {
	t.Helper()
	res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: []string{"sh", "-ec", script}})
	if err != nil || res.Exit != 0 {
		t.Fatalf("%s\nexit %d, %v: %s", script, res.Exit, err, res.Stderr)
	}
	return res.Stdout
}

// dial opens a netlink socket inside a namespace.
func dial(t testing.TB, ns *netns.NS) *kernel {
	t.Helper()
	k, err := dialKernel(ns.Do)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// TestNativeRules writes each rule with nft into one of iptables' tables. A
// rule that is not told native must be printed by iptables-nft with its meaning.
func TestNativeRules(t *testing.T) {
	ns := netns.ForTest(t)
	k := dial(t, ns)
	shell(t, ns, `iptables-nft -N Y; iptables-nft -N Z; ip6tables-nft -N Y; ip6tables-nft -N Z`)
	for _, c := range []struct {
		family, rule string
		native       string // "" if iptables must print it as text
		text         string
	}{
		{"ip", "ip saddr 1.2.3.4 counter accept", "", "-s 1.2.3.4/32 -j ACCEPT"},
		{"ip", "ip saddr != 10.0.0.0/9 accept", "", "! -s 10.0.0.0/9 -j ACCEPT"},
		{"ip", "ip daddr 10.0.0.0/8 drop", "", "-d 10.0.0.0/8 -j DROP"},
		{"ip", "ip daddr & 255.0.255.0 == 10.0.1.0 drop", "", "-d 10.0.1.0/255.0.255.0 -j DROP"},
		{"ip", "iif lo accept", "", "-i lo -j ACCEPT"},
		{"ip", `iifname "wt0" counter accept`, "", "-i wt0 -j ACCEPT"},
		{"ip", `oifname != "wt*" return`, "", "! -o wt+ -j RETURN"},
		{"ip", "tcp dport 80 accept", "", "-p tcp -m tcp --dport 80 -j ACCEPT"},
		{"ip", "udp sport != 80-90 accept", "", "-p udp -m udp ! --sport 80:90 -j ACCEPT"},
		{"ip", "tcp dport > 80 accept", "", "-p tcp -m tcp --dport 81:65535 -j ACCEPT"},
		{"ip", "udp dport <= 80 accept", "", "-p udp -m udp --dport 0:80 -j ACCEPT"},
		{"ip", "tcp flags & (syn|ack) == syn drop", "", "-p tcp -m tcp --tcp-flags SYN,ACK SYN -j DROP"},
		{"ip", "ip protocol tcp accept", "", "-p tcp -j ACCEPT"},
		{"ip", "meta l4proto != tcp goto Y", "", "! -p tcp -g Y"},
		{"ip", "meta mark & 1 == 1 jump Y", "", "-m mark --mark 0x1/0x1 -j Y"},
		{"ip", "meta mark 1 meta mark != 3", "", "-m mark --mark 0x1 -m mark ! --mark 0x3"},
		{"ip", "ip frag-off & 8191 != 0 drop", "", "-f -j DROP"},
		{"ip", "limit rate 5/minute accept", "", "-m limit --limit 5/min -j ACCEPT"},
		{"ip", "meta nftrace set 1", "", "-j TRACE"},
		{"ip", "log group 3", "", "-j NFLOG --nflog-group 3"},
		{"ip", "counter", "", ""},
		{"ip6", "ip6 saddr fe80::/10 accept", "", "-s fe80::/10 -j ACCEPT"},
		{"ip6", "meta l4proto ipv6-icmp accept", "", "-p ipv6-icmp -j ACCEPT"},
		{"ip6", "tcp dport 22 accept", "", "-p tcp -m tcp --dport 22 -j ACCEPT"},

		{"ip", "ct state new accept", "ct state", ""},
		{"ip", `oifname "wt0" ct state established,related counter accept`, "ct state", ""},
		{"ip", "ct mark 1 accept", "ct mark", ""},
		{"ip", "tcp dport { 80, 443 } accept", "dport @__set0", ""},
		{"ip", "ip saddr { 1.1.1.1, 2.2.2.2 } accept", "saddr @__set1", ""},
		{"ip", "meta l4proto { tcp, udp } accept", "l4proto @__set2", ""},
		{"ip", "ip saddr vmap { 1.1.1.1 : jump Y }", "saddr @__map3", ""},
		{"ip", "ip saddr 1.1.1.1-2.2.2.2 accept", "saddr range", ""},
		{"ip", "ip saddr < 1.2.3.4 accept", "saddr range", ""},
		{"ip", "tcp dport < 80 accept", "dport range", ""},
		{"ip", "tcp dport & 1 == 1 accept", "dport mask", ""},
		{"ip", "tcp dport 80 tcp sport 3 accept", "", "-p tcp -m tcp --sport 3 --dport 80 -j ACCEPT"},
		{"ip", "ip saddr 10.0.0.0/8 ip saddr != 10.1.2.3 accept", "second saddr", ""},
		{"ip", "icmp type echo-request accept", "@th,0,8", ""},
		{"ip", "th dport 80 accept", "@th,16,16", ""},
		{"ip", "sctp dport 80 accept", "@th,16,16", ""},
		{"ip", "udp length 3 accept", "@th,32,16", ""},
		{"ip", "ip ttl 3 accept", "@nh,64,8", ""},
		{"ip", "ip length 3 accept", "@nh,16,16", ""},
		{"ip", "ip dscp 1 accept", "@nh,8,8", ""},
		{"ip", "ether saddr 00:11:22:33:44:55 drop", "meta iiftype", ""},
		{"ip", "meta skuid 0 accept", "meta skuid", ""},
		{"ip", "meta pkttype multicast accept", "meta pkttype", ""},
		{"ip", "meta mark set 3", "meta mark set", ""},
		{"ip", "meta nftrace set 0", "meta nftrace set", ""},
		{"ip", "limit rate over 5/minute accept", "limit", ""},
		{"ip", "limit rate 5 kbytes/second accept", "limit", ""},
		{"ip", "log prefix \"x\"", "log", ""},
		{"ip", "log group 3 accept", "immediate behind the action", ""},
		{"ip", "counter ip saddr 1.2.3.4 accept", "condition behind the counter", ""},
		{"ip", "continue", "verdict -1", ""},
		{"ip", "reject", "reject", ""},
		{"ip", "masquerade", "masq", ""},
		{"ip", "quota 10 bytes drop", "quota", ""},
		{"ip", "fib saddr type local accept", "fib", ""},
		{"ip", "tcp option maxseg size set rt mtu", "rt", ""},
		{"ip6", "ip6 nexthdr tcp accept", "@nh,48,8", ""},
		{"ip6", "ip6 saddr { fe80::1, fe80::2 } accept", "saddr @__set4", ""},
		{"ip6", "exthdr hbh exists accept", "exthdr", ""},
	} {
		t.Run(c.family+" "+c.rule, func(t *testing.T) {
			if c.family == "ip" && strings.HasPrefix(c.rule, "masq") {
				shell(t, ns, "iptables-nft -t nat -N Z")
				c.family = "ip nat"
			}
			table, tool, f := c.family+" filter", "iptables-nft -S Z", ir.IPv4
			switch c.family {
			case "ip nat":
				table, tool = "ip nat", "iptables-nft -t nat -S Z"
			case "ip6":
				tool, f = "ip6tables-nft -S Z", ir.IPv6
			}
			shell(t, ns, "nft flush chain "+table+" Z; nft 'add rule "+table+" Z "+c.rule+"'")
			_, name, _ := strings.Cut(table, " ")
			rules, err := k.rules(f, name, "Z")
			if err != nil || len(rules) != 1 {
				t.Fatalf("%d rules, error %v; want one", len(rules), err)
			}
			got := rules[0].native
			// Numbers of anonymous sets grow with every set that was ever made.
			if i := strings.Index(got, "@__"); i >= 0 {
				got, c.native = got[:i+3], c.native[:min(len(c.native), i+3)]
			}
			if got != c.native {
				t.Errorf("native = %q, want %q", got, c.native)
			}
			if c.native == "" {
				out := shell(t, ns, tool)
				want := strings.TrimSuffix("-N Z\n-A Z "+c.text, " ") + "\n"
				if out != want {
					t.Errorf("the tool prints %q, want %q: the rule must be told native, or the test is wrong", out, want)
				}
			}
		})
	}
}

// TestIptablesRulesAreNotNative: nothing that iptables itself writes is native.
func TestIptablesRulesAreNotNative(t *testing.T) {
	ns := netns.ForTest(t)
	k := dial(t, ns)
	shell(t, ns, `ipset create s4 hash:net; ipset create s6 hash:net family inet6
		for i in iptables-nft ip6tables-nft; do for t in filter nat mangle raw; do $i -t $t -N X; $i -t $t -N Y; done; done`)
	both := []string{
		"filter ! -i lo -o eth+ -p tcp -j ACCEPT", "filter -p tcp --dport 80 --sport 1:100 -j RETURN",
		"filter -p tcp ! --dport 80:90 -j RETURN", "filter -p tcp --syn -j DROP", "filter -p tcp --tcp-option 3",
		"filter -p udp ! --sport 80", "filter -p udp --sport 67 --dport 68 -j ACCEPT", "filter -p tcp --sport 67 --dport 68 --syn",
		"filter -p tcp --dport 0:80", "filter -p udp ! --sport 0:80 --dport :9", "filter -p tcp --dport 80:",
		"filter -p udp ! --sport 67 ! --dport 68", "filter -p tcp ! --sport 67 --dport 68", "filter -p sctp --dport 80:90", "filter -m mark --mark 0x1/0xff -j Y",
		"filter -m mark ! --mark 0x1 -m mark ! --mark 2 -g Y", "filter -m limit --limit 5/min -j LOG --log-prefix x",
		"filter -m limit --limit 5/min --limit-burst 9 -j NFLOG --nflog-group 3 --nflog-prefix abc --nflog-size 10",
		"filter -j NFLOG", "filter -p tcp -m multiport --dports 80,90", "filter -m comment --comment x -m comment --comment y",
		"filter -j REJECT", "filter -j NFQUEUE --queue-num 3", "filter -m conntrack --ctstate NEW -m addrtype --dst-type LOCAL",
		"filter -m length --length 1:2 -m owner --uid-owner 0", "filter -m pkttype --pkt-type multicast -m dscp --dscp 1",
		"filter -m statistic --mode random --probability 0.3 -m mac --mac-source 00:11:22:33:44:55",
		"filter -m physdev --physdev-in a", "filter -m quota --quota 100", "filter -m socket -j ACCEPT", "filter", "filter -p 47",
		"filter -m hashlimit --hashlimit-upto 5/sec --hashlimit-name h", "filter -m recent --name r --set",
		"filter -m string --string a --algo bm", "filter -m u32 --u32 0>>22=0x1", "filter -m time --timestart 10:00", "filter -m cgroup --cgroup 1",
		"filter -m bpf --bytecode 1,6_0_0_0", "filter -m connlimit --connlimit-above 3", "filter -m policy --dir in --pol none",
		"nat -j MASQUERADE --random-fully", "nat -p tcp -j REDIRECT --to-ports 80", "nat -p tcp -m tcp --dport 1 -j RETURN",
		"mangle -j MARK --set-xmark 0x1/0xff", "mangle -j CONNMARK --restore-mark", "mangle -j TRACE", "mangle -j DSCP --set-dscp 1",
		"mangle -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu", "mangle -p tcp -j TPROXY --on-port 8", "mangle -j CLASSIFY --set-class 1:1",
		"raw -j CT --notrack", "raw -j CT --zone 3", "raw -j NOTRACK", "raw -j TRACE", "mangle -j TEE --gateway GW",
	}
	only := map[ir.Family][]string{
		ir.IPv4: {
			"filter -s 10.0.0.0/8 -d 1.2.3.4", "filter ! -s 10.0.1.0/255.0.255.0", "filter -f -j DROP", "filter ! -f -j DROP", "filter -s 1.0.0.0/1",
			"filter -p icmp --icmp-type 8", "filter -m ttl --ttl-lt 3", "filter -m set --match-set s4 src", "filter -m iprange --src-range 1.1.1.1-2.2.2.2",
			"nat -p tcp -j DNAT --to-destination 1.2.3.4:80", "nat -j SNAT --to-source 1.2.3.4", "filter -m realm --realm 1", "raw -m rpfilter",
		},
		ir.IPv6: {
			"filter -s fe80::/10 -d ::1", "filter ! -s fe80::1/ffff:0:0:0:0:0:0:ffff", "filter -p icmpv6 --icmpv6-type 135", "filter -m hl --hl-eq 255",
			"filter -m rt --rt-type 0", "filter -m frag --fragmore", "filter -m ipv6header --header hop", "filter -m set --match-set s6 dst",
			"filter -m iprange --src-range ::1-::2", "nat -p tcp -j DNAT --to-destination [::1]:80", "filter -m eui64", "filter -s 8000::/1",
		},
	}
	for _, f := range ir.Families {
		for _, spec := range append(append([]string(nil), both...), only[f]...) {
			table, rule, _ := strings.Cut(spec, " ")
			t.Run(f.String()+" "+spec, func(t *testing.T) {
				tool, gateway := "iptables-nft", "1.2.3.4"
				if f == ir.IPv6 {
					tool, gateway = "ip6tables-nft", "fe80::1"
				}
				argv := append([]string{tool, "-t", table, "-A", "X"}, strings.Fields(strings.ReplaceAll(rule, "GW", gateway))...)
				for i, a := range argv {
					argv[i] = strings.ReplaceAll(a, "_", " ")
				}
				shell(t, ns, tool+" -t "+table+" -F X")
				res, err := ns.Runner().Run(context.Background(), backend.Cmd{Argv: argv})
				if err != nil {
					t.Fatal(err)
				}
				if res.Exit != 0 {
					t.Fatalf("iptables does not take the rule: %s", strings.TrimSpace(res.Stderr))
				}
				rules, err := k.rules(f, table, "X")
				if err != nil || len(rules) != 1 {
					t.Fatalf("%d rules, error %v; want one", len(rules), err)
				}
				if rules[0].native != "" {
					t.Errorf("told native for %q", rules[0].native)
				}
				if strings.HasSuffix(rule, " Y") && rules[0].jump != "Y" {
					t.Errorf("jump = %q, want Y", rules[0].jump)
				}
			})
		}
	}
}
