package nftables

import (
	"slices"
	"strings"

	"hookline/compiler/ir"
)

// setPrefix stands in front of the names of sets that nft could not read as names.
const setPrefix = "set-"

// SetName is the name in our table of a declared set with a kernel name (NAME, or
// NAME-4 and NAME-6). It is the same wherever nft can read it: other bytes are
// written as in ChainName, and what is a word of nft's language, does not begin with
// a letter, or begins with the prefix, gets the prefix. Two sets never get the same
// name.
func SetName(kernel string) string {
	first := byte(0)
	if kernel != "" {
		first = kernel[0]
	}
	letter := first >= 'a' && first <= 'z' || first >= 'A' && first <= 'Z'
	if !letter || strings.HasPrefix(kernel, setPrefix) || slices.Contains(keywords, kernel) {
		return setPrefix + written(kernel)
	}
	return written(kernel)
}

// IsName tells whether nft can read a text as the name of a chain or a set.
func IsName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && !strings.ContainsRune("-_./\\", rune(c))) {
			return false
		}
	}
	return s != "" && !slices.Contains(keywords, s)
}

// keywords are the words of nft's language that a name could be.
var keywords = strings.Fields(`
	accept add addr ah all always anonymous arp at auth-type auto-merge avgpkt bps bridge broadcast burst bypass bytes cgroup cgroupv2 chain chains chunk
	cgroup checksum classid code comment comp compatibility connlimit constant continue cookie-ack cookie-echo counter counters cpu create csum-type csum
	ct cwr daddr data day dccp debug define delete describe destroy devgroup device devices dir direction dnat dnptr doff dport drop dscp dst dup dynamic
	ecn ecne element elements else ether error esp established eval exact except expectation expected expiration expires export exthdr exists exit
	fastopen fib field flags flow flowtable flowtables flush forever forward frag frag-off fragments from fully-random fwd gc-interval geneve get gid
	goto gre gretap hash hbh hdrlength helper helpers hex hook hoplimit hour htype icmp icmpv6 icmpx id ih ihl iif iifgroup iifkind iifname iiftype
	import in include index inet ingress input insert interval in-iface ip ip6 ipsec irdp iseq jhash json jump key kind l3proto l4proto label last length
	level limit list ll local log long lsrr mac map maps mark mask max max-resp maxseg memory meta meter meters min minute missing mod monitor month mptcp
	mss msg mtu multicast nd negate netdev netmask network never new nexthdr nfproto nftrace nh nodst nop notrack ns num-gaps numgen offset oif oifgroup
	oifkind oifname oiftype once option options or original osf output over packet packets parameter-problem performance permanent persistent pkttype
	plen policy pop postrouting pptr ppid prefix prerouting priority prom proto protocol proto-dst proto-src protos ptr queue queuenum quota quotas ra
	random rate realtime redefine redirect reject rename replace reply reqid reset ret return right router rst rt rt0 rt2 rt4 rtclassid ruleset rule rules
	sack sack0 sack1 sack2 sack3 sack-permitted sack-perm sack-permitted saddr samples sctp secmark secmarks second seed seg-left segment seq sequence set
	sets shutdown size skgid skuid snat snaplen socket spi sport spnat src sr ssn ssrr stag stateless status stream supported svc syn syncookie symhash
	synproxy synproxys sysctl table tables tag tcp tsn tproxy th time timeout timestamp to total transparent trace tsecr tsval ttl tunid type typeof uid
	udp udplite undefine unspec until update urg urgptr use user usec usecs vlan vmap vni version vtag vxlan wait warn week weekday wildcard window wscale
	xml xor xt year zone and not lshift rshift true false eq ne lt gt le ge delete ack a-rwnd address addrs any arphrd asconf asconf-ack auth b-bit
	byteorder dscp eol e-bit fin-ack flowlabel forward-tsn heartbeat heartbeat-ack hour i-bit igmp init init-ack init-tsn mh mrt num-inbound-streams
	num-outbound-streams nfp new-cum-tsn noop operation outgoing-ssn-reset ordered parameter perms rr request seqno sack-chunk state strict
	tos tunnel u-bit u-int variable alg bh dstopts rtr srh tag`)

// typeWords are the names of nft's types for the fields of a set. A port of a
// concatenation has its protocol in front.
func typeWords(s *ir.OwnSet) []string {
	var out []string
	for _, f := range s.Type {
		switch f {
		case ir.AddressField, ir.CIDRField:
			out = append(out, map[ir.Family]string{ir.IPv4: "ipv4_addr", ir.IPv6: "ipv6_addr"}[s.Family])
		case ir.PortField:
			if len(s.Type) > 1 {
				out = append(out, "inet_proto")
			}
			out = append(out, "inet_service")
		case ir.InterfaceField:
			out = append(out, "ifname")
		case ir.MACField:
			out = append(out, "ether_addr")
		case ir.MarkField:
			out = append(out, "mark")
		}
	}
	return out
}

// SetType is a set's type as nft(8) writes it.
func SetType(s *ir.OwnSet) string { return strings.Join(typeWords(s), " . ") }
