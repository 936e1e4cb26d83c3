package raise

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/dsl"
)

// TestRaise says what becomes of single rules: match and action, or text and why.
func TestRaise(t *testing.T) {
	for _, tt := range []struct {
		f           ir.Family
		table, text string
		want        string // the rule in flow notation, or "text: " and the reason, or "no: " and the problem
	}{
		{ir.IPv4, "filter", "", "{}"},
		{ir.IPv4, "filter", "-j ACCEPT", "{action: accept}"},
		{ir.IPv4, "filter", "-s 10.0.0.0/8 ! -d 192.0.2.1/32 -i eth+ ! -o lo -p tcp -j DROP", `{match: {protocol: tcp, source: 10.0.0.0/8, in: eth+, not: {destination: 192.0.2.1, out: lo}}, action: drop}`},
		{ir.IPv4, "filter", "-s 10.0.0.0/255.0.255.0 -j DROP", "text: a mask that is no prefix"},
		{ir.IPv4, "filter", "-f -j DROP", "text: -f"},
		{ir.IPv4, "filter", "-p tcp -m tcp ! --sport 1:5 --dport 22 --tcp-flags SYN,ACK NONE -j RETURN", `{match: {protocol: tcp, dport: 22, tcpFlags: "SYN,ACK NONE", not: {sport: 1-5}}, action: return}`},
		{ir.IPv4, "filter", "-p tcp -m tcp -j RETURN", "{match: {protocol: tcp, dport: 0-65535}, action: return}"},
		{ir.IPv4, "filter", "-p tcp -m tcp -m multiport --dports 1,2 -j RETURN", "{match: {protocol: tcp, sport: 0-65535, dport: [1, 2]}, action: return}"},
		{ir.IPv4, "filter", "-p udp -m multiport ! --sports 1,2:4 -m comment --comment x -j RETURN", "{match: {protocol: udp, not: {sport: [1, 2-4]}}, action: return, comment: x}"},
		{ir.IPv4, "filter", "-p udp -m multiport --ports 1,2 -j RETURN", "text: -m multiport --ports"},
		{ir.IPv4, "filter", "-p udp -m udp --dport 5 -m multiport --dports 5,6 -j RETURN", "text: two conditions on dport"},
		{ir.IPv4, "filter", "-m comment --comment a -m conntrack ! --ctstate DNAT -m comment --comment 22 -j F", `{match: {not: {state: dnat}}, action: {jump: F}, comment: [a, "22"]}`},
		{ir.IPv4, "filter", "-m conntrack --ctproto 6 -j F", "text: -m conntrack beyond --ctstate"},
		{ir.IPv4, "filter", "-m state --state NEW -j F", "text: -m state"},
		{ir.IPv4, "filter", "-m mark ! --mark 0x1/0x3 -m connmark --mark 0x5 -g F", `{match: {ctmark: 0x5, not: {mark: 0x1/0x3}}, action: {goto: F}}`},
		{ir.IPv4, "filter", "-p icmp -m icmp --icmp-type 3/4 -j ACCEPT", "{match: {protocol: icmp, icmpType: 3/4}, action: accept}"},
		{ir.IPv6, "filter", "-p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT", "{match: {protocol: icmpv6, icmpv6Type: neighbour-solicitation}, action: accept}"},
		{ir.IPv4, "filter", "-m addrtype --src-type LOCAL ! --dst-type LOCAL,BROADCAST -j ACCEPT", "{match: {addrtype: {source: LOCAL}, not: {addrtype: {destination: [LOCAL, BROADCAST]}}}, action: accept}"},
		{ir.IPv4, "filter", "-m addrtype --dst-type LOCAL --limit-iface-in -j ACCEPT", "text: -m addrtype --limit-iface-in/-out"},
		{ir.IPv4, "filter", "-m limit --limit 5/min -j LOG --log-prefix \"a: \" --log-level 7", `{match: {limit: 5/minute}, action: {log: {prefix: "a: ", level: debug}}}`},
		{ir.IPv4, "filter", "-m limit --limit 1/sec --limit-burst 9 -m mark --mark 0x1 -j LOG", "text: the order or the grouping of matches"},
		{ir.IPv4, "filter", "-m mark --mark 0x1 -m limit --limit 1/sec --limit-burst 9 -j LOG --log-uid", "text: -j LOG beyond prefix and level"},
		{ir.IPv4, "filter", "-m hashlimit --hashlimit-above 3/min --hashlimit-burst 4 --hashlimit-mode srcip,dstport --hashlimit-name ssh --hashlimit-srcmask 24 -j DROP", `{match: {hashlimit: {name: ssh, above: 3/minute, burst: 4, mode: [srcip, dstport], srcmask: 24}}, action: drop}`},
		{ir.IPv4, "filter", "-m statistic --mode random --probability 0.33333333349 -j F", "{match: {statistic: {probability: 0.33333333349}}, action: {jump: F}}"},
		{ir.IPv4, "filter", "-m statistic --mode random --probability 0.50000000000 -j F", "{match: {statistic: {probability: 0.5}}, action: {jump: F}}"},
		{ir.IPv4, "filter", "-m statistic --mode nth ! --every 3 --packet 2 -j F", "{match: {not: {statistic: {every: 3, packet: 2}}}, action: {jump: F}}"},
		{ir.IPv4, "filter", "-m recent --set --name r --mask 255.255.255.255 --rsource -j F", "text: -m recent"},
		{ir.IPv4, "filter", "-m owner --uid-owner 5 ! --gid-owner 1-3 -j F", "{match: {owner: {uid: 5}, not: {owner: {gid: 1-3}}}, action: {jump: F}}"},
		{ir.IPv4, "filter", "-m physdev --physdev-in eth0 ! --physdev-is-bridged -j F", "{match: {physdev: {in: eth0}, not: {physdev: {bridged: true}}}, action: {jump: F}}"},
		{ir.IPv4, "filter", "-m physdev --physdev-is-in -j F", "text: -m physdev --physdev-is-in/-out"},
		{ir.IPv4, "filter", "-m set ! --match-set a src -m set ! --match-set b src -m set --match-set c dst -j F", `{match: {destination: {set: c}, not: {source: [{set: a}, {set: b}]}}, action: {jump: F}}`},
		{ir.IPv4, "filter", "-m set --match-set a src,dst -j F", "text: -m set of several dimensions or with options"},
		{ir.IPv4, "filter", "-s 10.0.0.0/8 -m set --match-set a src -j F", "text: two conditions on source"},
		{ir.IPv4, "filter", "-m iprange --src-range 10.0.0.1-10.0.0.6 -j F", "{match: {source: 10.0.0.1-10.0.0.6}, action: {jump: F}}"},
		{ir.IPv4, "filter", "-m length --length 0:100 -m ttl --ttl-lt 5 -m helper --helper ftp -j F", `{match: {length: 0-100, ttl: "<5", helper: ftp}, action: {jump: F}}`},
		{ir.IPv4, "filter", "-m pkttype --pkt-type broadcast -j F", "text: -m pkttype"},
		{ir.IPv4, "filter", `-m u32 --u32 "0x0=0x5" -j F`, "text: -m u32"},
		{ir.IPv4, "filter", `-m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0" -j F`, "text: -m bpf"},
		{ir.IPv4, "filter", "-j REJECT --reject-with icmp-port-unreachable", "{action: reject}"},
		{ir.IPv6, "filter", "-j REJECT --reject-with icmp6-adm-prohibited", "{action: {reject: {with: admin-prohibited}}}"},
		{ir.IPv4, "filter", "-j REJECT --reject-with icmp-host-prohibited", "{action: {reject: {with: icmp-host-prohibited}}}"},
		{ir.IPv4, "filter", "-j NFLOG --nflog-prefix x --nflog-group 5", "{action: {nflog: {group: 5, prefix: x}}}"},
		{ir.IPv4, "filter", "-j NFLOG --nflog-size 5", "text: -j NFLOG beyond group and prefix"},
		{ir.IPv4, "filter", "-j QUEUE", "no: -j QUEUE does not work on every backend"},
		{ir.IPv4, "nat", "-p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:80-90", "{match: {protocol: tcp}, action: {dnat: {to: \"10.0.0.1-10.0.0.9:80-90\"}}}"},
		{ir.IPv6, "nat", "-p tcp -j DNAT --to-destination [fd00::1]:80", "{match: {protocol: tcp}, action: {dnat: {to: \"[fd00::1]:80\"}}}"},
		{ir.IPv4, "nat", "-j DNAT --to-destination 10.0.0.1 --persistent", "text: -j DNAT with options"},
		{ir.IPv4, "nat", "-j SNAT --to-source 10.0.0.1 --random-fully", "{action: {snat: {to: 10.0.0.1, randomFully: true}}}"},
		{ir.IPv4, "nat", "-j MASQUERADE --random-fully", "{action: {masquerade: {randomFully: true}}}"},
		{ir.IPv4, "nat", "-p tcp -j MASQUERADE --to-ports 5", "text: -j MASQUERADE with ports or --random"},
		{ir.IPv4, "nat", "-p tcp -j REDIRECT --to-ports 8080", "{match: {protocol: tcp}, action: {redirect: {to: 8080}}}"},
		{ir.IPv4, "mangle", "-j MARK --set-xmark 0x4000/0x4000", "{action: {mark: {set: 0x4000/0x4000}}}"},
		{ir.IPv4, "mangle", "-j MARK --set-xmark 0x4000/0x0", "{action: {mark: {xor: 0x4000}}}"},
		{ir.IPv4, "mangle", "-j MARK --set-xmark 0x5/0x1", "text: the value of \"0x5/0x1\" has bits outside its mask"},
		{ir.IPv4, "mangle", "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", "{action: {connmark: {restore: true}}}"},
		{ir.IPv4, "mangle", "-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xf", "{action: {connmark: {save: 0xf}}}"},
		{ir.IPv4, "mangle", "-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xff", "text: -j CONNMARK with two masks"},
		{ir.IPv4, "raw", "-j CT --notrack", "{action: {ct: {notrack: true}}}"},
		{ir.IPv4, "raw", "-j CT --zone 5", "{action: {ct: {zone: 5}}}"},
		{ir.IPv4, "raw", "-j NOTRACK", "text: -j NOTRACK"},
		{ir.IPv4, "mangle", "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu", `{match: {protocol: tcp, tcpFlags: "SYN,RST SYN"}, action: {tcpmss: {clampToPMTU: true}}}`},
		{ir.IPv4, "mangle", "-p tcp -j TPROXY --on-port 8080 --on-ip 127.0.0.1 --tproxy-mark 0x1/0x1", "{match: {protocol: tcp}, action: {tproxy: {port: 8080, address: 127.0.0.1, mark: 0x1/0x1}}}"},
		{ir.IPv4, "mangle", "-j DSCP --set-dscp 0x2e", "{action: {dscp: {set: 46}}}"},
		{ir.IPv4, "mangle", "-j CLASSIFY --set-class 0001:0002", "text: -j CLASSIFY"},
		{ir.IPv4, "filter", `-m comment --comment "-j ACCEPT" -j DROP`, "text: a comment must not start with a dash"},
		{ir.IPv4, "filter", `-m comment --comment "it\'s \"#1\": \\ ${x}" -j DROP`, `{action: drop, comment: "it's \"#1\": \\ $${x}"}`},
		{ir.IPv4, "filter", "-m comment --comment a\u202eb -j DROP", "no: its text holds the control character U+202E"},
		{ir.IPv4, "filter", "-m comment --comment a\xffb -j DROP", "no: its text holds the byte 0xff, which is not UTF-8"},
		{ir.IPv4, "filter", "-m comment --comment \"a\nb\" -j DROP", "no: its text holds a line end"},
		{ir.IPv4, "filter", "-m unheard --of 1 -j DROP", "no: unknown match unheard"},
	} {
		k := ir.ChainKey{Family: tt.f, Table: tt.table, Chain: "SITE"}
		got := "no: "
		r, problem := raise(k, &ir.Rule{Text: tt.text})
		switch {
		case problem != "":
			got += problem
		case r.raw != "":
			got = "text: " + r.raw
		default:
			got = flowOf(r.rule)
		}
		if got != tt.want {
			t.Errorf("%s %s: %s\n  is %s\nwant %s", tt.f, tt.table, tt.text, got, tt.want)
		}
	}
}

// flowOf is a rule on one line, as Format writes it.
func flowOf(r *dsl.Rule) string {
	text := dsl.Format(&dsl.Document{Tables: []*dsl.Table{{Name: dsl.NewWord("filter"), Chains: []*dsl.Chain{{Name: dsl.NewText("C"), Rules: []*dsl.Rule{r}}}}}}, dsl.FormatOptions{})
	_, text, _ = strings.Cut(text, "rules:\n")
	text = strings.TrimSpace(text)
	if one, ok := strings.CutPrefix(text, "- {"); ok {
		return "{" + one
	}
	// What is longer than a line stands in several.
	var parts []string
	for line := range strings.Lines(text) {
		parts = append(parts, strings.TrimPrefix(strings.TrimSpace(line), "- "))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// TestSupersequence: both lists keep their order, what comes together is equal, and
// the result is as short as it can be where that is promised.
func TestSupersequence(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func(n, letters int) []string {
		out := make([]string, rnd.IntN(n))
		for i := range out {
			out[i] = fmt.Sprint(rnd.IntN(letters))
		}
		return out
	}
	for range 3000 {
		a, b := random(12, 6), random(12, 6)
		steps := checkSupersequence(t, a, b)
		if want := len(a) + len(b) - longestCommon(a, b); steps != want {
			t.Fatalf("%v and %v merge to %d items, want %d", a, b, steps, want)
		}
	}
	// Beyond the limit what is unique decides, and it takes no time.
	var long, other []string
	for i := range 6000 {
		long = append(long, fmt.Sprint(i))
		if i%3 != 0 {
			other = append(other, fmt.Sprint(i))
		}
		if i%7 == 0 {
			other = append(other, "same", fmt.Sprint("b", i))
		}
	}
	if n := checkSupersequence(t, long, other); n != len(long)+2*858 {
		t.Errorf("the long lists merge to %d items", n)
	}
	slices.Reverse(other)
	checkSupersequence(t, long, other)
	checkSupersequence(t, slices.Repeat([]string{"x", "y"}, 3000), slices.Repeat([]string{"y", "z", "x"}, 2000))
}

func checkSupersequence(t *testing.T, a, b []string) int {
	t.Helper()
	var x, y []string
	steps := supersequence(a, b)
	for _, s := range steps {
		if s.a >= 0 {
			x = append(x, a[s.a])
		}
		if s.b >= 0 {
			y = append(y, b[s.b])
		}
		if s.a < 0 && s.b < 0 || s.a >= 0 && s.b >= 0 && a[s.a] != b[s.b] {
			t.Fatalf("%v and %v: the step %v", a, b, s)
		}
	}
	if !slices.Equal(x, a) || !slices.Equal(y, b) {
		t.Fatalf("an order is lost:\n%s\n%s", cmp.Diff(a, x), cmp.Diff(b, y))
	}
	return len(steps)
}

// longestCommon is the length of the longest common subsequence, the plain way.
func longestCommon(a, b []string) int {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	if a[0] == b[0] {
		return 1 + longestCommon(a[1:], b[1:])
	}
	return max(longestCommon(a[1:], b), longestCommon(a, b[1:]))
}
