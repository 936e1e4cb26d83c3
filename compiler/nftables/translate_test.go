package nftables

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"
)

// parse reads one rule of iptables; the table and chain are those in which it may
// stand.
func parse(t testing.TB, f ir.Family, table, text string) *ir.Spec {
	t.Helper()
	specs, err := xtables.Parse(text, xtables.Options{Family: f, Table: table})
	if err != nil || len(specs) != 1 {
		t.Fatalf("%s: %d rules, %v", text, len(specs), err)
	}
	return specs[0]
}

// texts are the rules that a rule becomes, in a table of both families.
func texts(bodies []Body, f ir.Family) []string {
	var out []string
	for _, b := range bodies {
		out = append(out, b.For(Inet, f))
	}
	return out
}

func TestTranslate(t *testing.T) {
	for _, tt := range []struct {
		table, text string
		want        []string
		why         string
	}{
		{"filter", "-p tcp --dport 22 -j ACCEPT", []string{"meta nfproto ipv4 tcp dport 22 counter accept"}, "the ports look at the protocol"},
		{"filter", "-s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT", []string{"ip saddr 10.0.0.0/8 tcp dport 22 counter accept"}, "an address looks at the family"},
		{"filter", "-p tcp -j ACCEPT", []string{"meta nfproto ipv4 meta l4proto tcp counter accept"}, ""},
		{"filter", "-p icmp -j ACCEPT", []string{"meta l4proto icmp meta nfproto ipv4 counter accept"}, "nft does not list the family in front of its own protocol"},
		{"filter", "-p tcp -m tcp -j ACCEPT", []string{"meta l4proto tcp ip frag-off & 8191 == 0 counter accept"}, "a later fragment has no ports"},
		{"filter", "-p icmp -m icmp --icmp-type any", []string{"meta l4proto icmp ip frag-off & 8191 == 0 counter"}, "a later fragment has no type"},
		{"filter", "-p icmp -m icmp ! --icmp-type 3/1 -j DROP", []string{
			"icmp type != destination-unreachable counter drop",
			"icmp type destination-unreachable icmp code != host-unreachable counter drop",
		}, "another type, or another code of it"},
		{"filter", "-p tcp -m tcp ! --sport 1 ! --dport 2 -j DROP", []string{
			"meta nfproto ipv4 tcp sport != 1-1 tcp dport != 2 counter drop",
		}, "nft would take the two for one negation"},
		{"filter", "-p tcp -m tcp ! --sport 1:3 ! --dport 2 -j DROP", []string{
			"meta nfproto ipv4 tcp sport != 1-3 tcp dport != 2 counter drop",
		}, "but leaves ranges alone"},
		{"filter", "-p icmp -m icmp ! --icmp-type 8 -m icmp ! --icmp-type 3/3 -j DROP", []string{
			"icmp type != echo-request icmp type != destination-unreachable counter drop",
			"icmp type != echo-request icmp type destination-unreachable icmp code != 3-3 counter drop",
		}, "nft would take the first type and the code for one negation"},
		{"filter", "-p udp -m multiport --ports 53,80:90,85:100 -j DROP", []string{
			"meta nfproto ipv4 udp sport { 53, 80-100 } counter drop",
			"meta nfproto ipv4 udp sport != { 53, 80-100 } udp dport { 53, 80-100 } counter drop",
		}, "either side; the second rule takes what the first did not"},
		{"filter", "-m conntrack --ctstate NEW,DNAT -j ACCEPT", []string{
			"meta nfproto ipv4 ct state new counter accept", "meta nfproto ipv4 ct state ! new ct status dnat counter accept",
		}, "a state or a bit"},
		{"filter", "-m conntrack ! --ctstate DNAT -j ACCEPT", []string{
			"meta nfproto ipv4 ct state invalid,untracked counter accept", "meta nfproto ipv4 ct status ! dnat counter accept",
		}, "a packet without an entry has no bits, and is not one of DNAT"},
		{"filter", "-m mark --mark 0x10000/0xffff0000 -j ACCEPT", []string{"meta nfproto ipv4 meta mark 0x00010000/16 counter accept"}, "nft lists leading ones as a prefix"},
		{"filter", "-m mark --mark 0x0/0x0 -j ACCEPT", []string{"meta nfproto ipv4 counter accept"}, "every mark is such a mark"},
		{"filter", "-m connmark --mark 0x0/0x0 -j ACCEPT", []string{"meta nfproto ipv4 ct mark >= 0x00000000 counter accept"}, "a packet without an entry has none"},
		{"filter", "-p tcp -m tcp ! --tcp-option 8 -j DROP", []string{"meta l4proto tcp ip frag-off & 8191 == 0 tcp option timestamp missing counter drop"}, "what is not TCP has no option either"},
		{"filter", "-i eth+ ! -o lo -j DROP", []string{`meta nfproto ipv4 iifname "eth*" oifname != "lo" counter drop`}, ""},
		{"filter", `-i a* -j DROP`, []string{`meta nfproto ipv4 iifname "a\*" counter drop`}, "a star is a letter of the name"},
		{"filter", "-j REJECT --reject-with icmp-port-unreachable", []string{"meta nfproto ipv4 counter reject with icmpx port-unreachable"}, "the word of both families"},
		{"filter", "-j LOG --log-prefix \"a b \" --log-level debug", []string{`meta nfproto ipv4 counter log prefix "a b " level debug`}, ""},
		{"mangle", "-j MARK --set-xmark 0x3/0x5", []string{"meta nfproto ipv4 counter meta mark set meta mark & 0xfffffffb ^ 0x00000002 | 0x00000001"}, "put out, turned over, set"},
		{"mangle", "-j DSCP --set-dscp 8", []string{"meta nfproto ipv4 counter ip dscp set cs1"}, "a limit in front must not be asked by the other family"},
		{"mangle", "-p tcp -j TPROXY --on-port 50 --on-ip 127.0.0.1 --tproxy-mark 1", []string{
			"meta nfproto ipv4 meta l4proto tcp counter tproxy ip to 127.0.0.1:50 meta mark set 0x00000001 accept",
			"meta nfproto ipv4 meta l4proto tcp counter drop",
		}, "iptables drops what has no socket"},
		{"nat", "-p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.5:80-90 --persistent", []string{
			"meta nfproto ipv4 meta l4proto tcp counter dnat ip to 10.0.0.1-10.0.0.5:80-90 persistent",
		}, ""},
		{"raw", "-j CT --zone-orig 5", []string{"meta nfproto ipv4 counter ct state ! untracked ct original zone set 5"}, "notrack stands"},
		{"raw", "-j NOTRACK", []string{"meta nfproto ipv4 counter notrack"}, ""},
	} {
		bodies, reasons := Translate(parse(t, ir.IPv4, tt.table, tt.text), Env{Kind: Inet, Family: ir.IPv4, Table: tt.table, Counters: true})
		if diff := cmp.Diff(tt.want, texts(bodies, ir.IPv4)); diff != "" || len(reasons) > 0 {
			t.Errorf("Translate(%s) %v mismatch (%s) (-want +got):\n%s", tt.text, reasons, tt.why, diff)
		}
	}
}

// What nft cannot say is refused, all reasons at once, and never said in part.
func TestTranslateRefuses(t *testing.T) {
	for _, tt := range []struct{ table, text, want string }{
		{"filter", "-m hashlimit --hashlimit-upto 5/sec --hashlimit-name x", "hashlimit"},
		{"filter", "-m physdev --physdev-in a", "physdev"},
		{"filter", "-m owner ! --uid-owner 5", "no socket"},
		{"filter", "-m string --string x --algo bm -m time --timestart 8:00", "-m string is not translated; -m time is not translated"},
		{"filter", "-m set --match-set x src", "ipset"},
		{"filter", "-m helper ! --helper ftp", "helper"},
		{"filter", "-m helper --helper ftp-2121", "without its port"},
		{"filter", "-m mark --mark 0x10/0x1", "never matches"},
		{"filter", "-j LOG --log-prefix $x", "prefix"},
		{"filter", `-j LOG --log-prefix "a\"b"`, "prefix"},
		{"filter", "-p udp -m limit --limit 5/min -m udp --dport 53", "limit stands ahead"},
		{"filter", "-p udp -m multiport --ports 53,54 -m limit --limit 5/min", "limit of its own"},
		{"filter", "-m conntrack --ctstate INVALID --ctstatus ASSURED", "without an entry"},
		{"filter", "-m conntrack ! --ctstate NEW --ctdir REPLY", "without an entry"},
		{"mangle", "-j CONNMARK --save-mark --mask 0xff", "bits of two marks"},
		{"raw", "-p tcp -j CT --helper ftp", "behind connection tracking"},
		{"filter", "-j NFQUEUE", "-j NFQUEUE is not translated"},
	} {
		bodies, reasons := Translate(parse(t, ir.IPv4, tt.table, tt.text), Env{Kind: Inet, Family: ir.IPv4, Table: tt.table, Counters: true})
		if got := strings.Join(reasons, "; "); len(bodies) > 0 || !strings.Contains(got, tt.want) {
			t.Errorf("Translate(%s) gives %q and %q, want a reason with %q", tt.text, texts(bodies, ir.IPv4), got, tt.want)
		}
	}
}

// A set that stands in our table is asked for the parts that it has. Packets that
// lack what is asked for are in no set.
func TestTranslateSets(t *testing.T) {
	types := map[string]ir.SetType{
		"one": {ir.AddressField}, "nets": {ir.CIDRField}, "two": {ir.AddressField, ir.PortField}, "web": {ir.PortField}, "lan": {ir.InterfaceField},
		"netif": {ir.CIDRField, ir.InterfaceField}, "macs": {ir.MACField}, "hosts": {ir.AddressField, ir.MACField}, "marks": {ir.MarkField},
		"marked": {ir.AddressField, ir.MarkField}, "pair": {ir.AddressField, ir.CIDRField},
	}
	set := func(name string, f ir.Family) (*ir.OwnSet, string) {
		if types[name] == nil {
			return nil, "the set " + name + " is not declared"
		}
		return &ir.OwnSet{Name: name, Type: types[name], Family: f}, ""
	}
	for _, tt := range []struct {
		family       ir.Family
		text         string
		want, reason string
	}{
		{6, "-m set --match-set one src -j DROP", "ip6 saddr @one counter drop", ""},
		{6, "-m set ! --match-set one dst -j DROP", "ip6 daddr != @one counter drop", ""},
		{4, "-m set --match-set nets dst -j DROP", "ip daddr @nets counter drop", ""},
		{6, "-p tcp -m set --match-set two src,dst -j DROP", "ip6 saddr . meta l4proto . tcp dport @two counter drop", ""},
		{6, "-m set --match-set two src,dst -j DROP", "ip6 saddr . meta l4proto . th dport @two counter drop", ""},
		{4, "-m set --match-set two src,dst -j DROP", "ip frag-off & 8191 == 0 ip saddr . meta l4proto . th dport @two counter drop", ""},
		{4, "-p udp -m set ! --match-set two src,src -j DROP", "ip frag-off & 8191 == 0 ip saddr . meta l4proto . udp sport != @two counter drop|meta l4proto udp ip frag-off & 8191 != 0 counter drop", ""},
		{4, "-p tcp -m tcp -m set --match-set web dst -j DROP", "ip frag-off & 8191 == 0 tcp dport @web counter drop", ""},
		{4, "-p tcp -m tcp -m set ! --match-set web dst -j DROP", "ip frag-off & 8191 == 0 tcp dport != @web counter drop", ""},
		{4, "-p tcp -m tcp --sport 5 -m set --match-set web dst -j DROP", "meta nfproto ipv4 tcp sport 5 tcp dport @web counter drop", ""},
		{6, "-p tcp -m tcp -m set --match-set web dst -j DROP", "meta nfproto ipv6 tcp dport @web counter drop", ""},
		{6, "-m set --match-set web src -j DROP", "meta nfproto ipv6 meta l4proto { tcp, udp } th sport @web counter drop", ""},
		{6, "-m set ! --match-set web src -j DROP", "meta nfproto ipv6 meta l4proto { tcp, udp } th sport != @web counter drop|meta nfproto ipv6 meta l4proto != { tcp, udp } counter drop", ""},
		{4, "-m set ! --match-set web src -j DROP", "meta l4proto { tcp, udp } ip frag-off & 8191 == 0 th sport != @web counter drop|" +
			"meta l4proto { tcp, udp } ip frag-off & 8191 != 0 counter drop|meta nfproto ipv4 meta l4proto != { tcp, udp } counter drop", ""},
		{4, "-p icmp -m set --match-set web src -j DROP", "", "never matches"},
		{4, "-p icmp -m set ! --match-set web src -j DROP", "meta l4proto icmp meta nfproto ipv4 counter drop", ""},
		{4, "-m set --match-set lan src,dst -j DROP", "meta nfproto ipv4 oifname @lan counter drop", ""},
		{4, "-m set ! --match-set lan src,src -j DROP", "meta nfproto ipv4 iifname != @lan counter drop", ""},
		{4, "-m set --match-set netif dst,src -j DROP", "ip daddr . iifname @netif counter drop", ""},
		{4, "-m set --match-set macs src -j DROP", "meta nfproto ipv4 ether saddr @macs counter drop", ""},
		{4, "-m set --match-set hosts src,dst -j DROP", "ip saddr . ether daddr @hosts counter drop", ""},
		{4, "-m set ! --match-set macs src -j DROP", "meta nfproto ipv4 ether saddr != @macs counter drop|meta nfproto ipv4 meta iiftype != ether counter drop|meta nfproto ipv4 iif 0 counter drop", ""},
		{4, "-m set --match-set marks src -j DROP", "meta nfproto ipv4 meta mark @marks counter drop", ""},
		{4, "-m set --match-set marked src,dst -j DROP", "ip saddr . meta mark @marked counter drop", ""},
		{4, "-m set --match-set pair src,dst -j DROP", "ip saddr . ip daddr @pair counter drop", ""},
		{6, "-m set --match-set two src -j DROP", "", "2 parts"},
		{6, "-m set --match-set gone src -j DROP", "", "not declared"},
		{6, "-m set --match-set one src --packets-gt 5 -j DROP", "", "no equal"},
	} {
		f := map[ir.Family]ir.Family{4: ir.IPv4, 6: ir.IPv6}[tt.family]
		bodies, reasons := Translate(parse(t, f, "filter", tt.text), Env{Kind: Inet, Family: f, Table: "filter", Counters: true, Set: set})
		if got := strings.Join(texts(bodies, f), "|"); got != tt.want || !strings.Contains(strings.Join(reasons, "; "), tt.reason) || len(reasons) > 0 != (tt.reason != "") {
			t.Errorf("Translate(%s) =\n%s, %v; want\n%s, %q", tt.text, got, reasons, tt.want, tt.reason)
		}
	}
}

// What reads the same in both families is one rule; the rest says its family and
// keeps its order. Limits are never shared.
func TestMerge(t *testing.T) {
	items := func(f ir.Family, rules ...string) []Item {
		var out []Item
		for _, r := range rules {
			group, text, _ := strings.Cut(r, "|")
			bodies, reasons := Translate(parse(t, f, "filter", text), Env{Kind: Inet, Family: f, Table: "filter"})
			if len(reasons) > 0 {
				t.Fatal(reasons)
			}
			for _, b := range bodies {
				out = append(out, Item{Body: b, Group: group})
			}
		}
		return out
	}
	v4 := items(ir.IPv4, "a|-p tcp -j ACCEPT", "b|-s 10.0.0.1 -j DROP", "b|-i x -j DROP", "c|-m limit --limit 5/min -j ACCEPT", "e|-j DROP")
	v6 := items(ir.IPv6, "a|-p tcp -j ACCEPT", "b|-i x -j DROP", "b|-s fd00::1 -j DROP", "c|-m limit --limit 5/min -j ACCEPT", "d|-p udp -j DROP", "e|-j DROP")
	var got []string
	for _, r := range Merge(Inet, v4, v6) {
		got = append(got, r.String())
	}
	want := []string{
		"meta l4proto tcp accept", "ip saddr 10.0.0.1 drop", `iifname "x" drop`, "ip6 saddr fd00::1 drop",
		"meta nfproto ipv4 limit rate 5/minute accept", "meta nfproto ipv6 limit rate 5/minute accept",
		"meta nfproto ipv6 meta l4proto udp drop", "drop",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Merge mismatch (-want +got):\n%s", diff)
	}
}

// The same names in two tables, and names that nft cannot write, stay apart.
func TestChainName(t *testing.T) {
	for _, tt := range []struct{ table, chain, want string }{
		{"filter", "SITE-IN", "filter-SITE-IN"},
		{"nat", "SITE-IN", "nat-SITE-IN"},
		{"filter", "fwd", "filter-fwd"},
		{"filter", "own:a/b c", "filter-own/3aa/2fb/20c"},
		{"filter", "own/3aa", "filter-own/2f3aa"},
	} {
		if got := ChainName(tt.table, tt.chain); got != tt.want {
			t.Errorf("ChainName(%s, %s) = %s, want %s", tt.table, tt.chain, got, tt.want)
		}
	}
}

func BenchmarkTranslate(b *testing.B) {
	var specs []*ir.Spec
	for _, text := range []string{
		"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-s 10.0.0.0/8 -p tcp -m multiport --dports 22,80,8000:8010 -j ACCEPT",
		"-i eth0 -p udp --dport 53 -m comment --comment dns -j ACCEPT", "-m limit --limit 5/min -j LOG --log-prefix \"x \"", "-j DROP",
	} {
		specs = append(specs, parse(b, ir.IPv4, "filter", text))
	}
	env := Env{Kind: Inet, Family: ir.IPv4, Table: "filter", Counters: true}
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range specs {
			if bodies, _ := Translate(s, env); len(bodies) != 1 {
				b.Fatal("not translated")
			}
		}
	}
}

func TestCommentProblem(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"web: web servers; {x} # $y", ""},
		{strings.Repeat("x", MaxComment), ""},
		{strings.Repeat("x", MaxComment+1), "128 bytes"},
		{`say "x"`, "quote"},
		{"a\nadd table ip x", "control"},
		{"\x1b[1m", "control"},
		{"\xff", "control"},
	} {
		if got := CommentProblem(tt.text); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("CommentProblem(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}
