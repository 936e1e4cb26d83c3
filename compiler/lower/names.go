package lower

// ctStates in the order in which iptables prints them.
var ctStates = []string{"INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT"}

// addrTypes in the order in which iptables prints them.
var addrTypes = []string{
	"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW",
	"NAT", "XRESOLVE",
}

// addrTypesRefusedByIPv6 are the types that xt_addrtype refuses in IPv6, beside
// BROADCAST.
var addrTypesRefusedByIPv6 = []string{"BLACKHOLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE"}

// Protocol numbers that the rules of this package speak of.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

// protocolNames are the names of /etc/protocols that rulesets use; others are
// given by number.
var protocolNames = map[string]uint8{
	"icmp": protoICMP, "igmp": 2, "ipencap": 4, "tcp": protoTCP, "udp": protoUDP, "dccp": protoDCCP, "ipv6": 41,
	"ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmpv6": protoICMPv6,
	"ipv6-icmp": protoICMPv6, "ipv6-opts": 60, "eigrp": 88, "ospf": 89, "pim": 103, "vrrp": 112, "l2tp": 115,
	"sctp": protoSCTP, "mobility-header": 135, "udplite": protoUDPLite,
}

// portModules is the match that holds one --sport and --dport; udplite has none,
// only multiport.
var portModules = map[uint8]string{protoTCP: "tcp", protoUDP: "udp", protoDCCP: "dccp", protoSCTP: "sctp", protoUDPLite: ""}

// extensionHeaders are the numbers that `ip6tables -p` never matches.
var extensionHeaders = map[uint8]bool{43: true, 44: true, 51: true, 60: true}

// icmpAny as a code means every code of a type.
const icmpAny = -1

type icmpName struct{ kind, code int }

var icmpNames = map[string]icmpName{
	"echo-reply": {0, icmpAny}, "pong": {0, icmpAny}, "destination-unreachable": {3, icmpAny},
	"network-unreachable": {3, 0}, "host-unreachable": {3, 1}, "protocol-unreachable": {3, 2}, "port-unreachable": {3, 3},
	"fragmentation-needed": {3, 4}, "source-route-failed": {3, 5}, "network-unknown": {3, 6}, "host-unknown": {3, 7},
	"network-prohibited": {3, 9}, "host-prohibited": {3, 10}, "TOS-network-unreachable": {3, 11},
	"TOS-host-unreachable": {3, 12}, "communication-prohibited": {3, 13}, "host-precedence-violation": {3, 14},
	"precedence-cutoff": {3, 15}, "source-quench": {4, icmpAny}, "redirect": {5, icmpAny}, "network-redirect": {5, 0},
	"host-redirect": {5, 1}, "TOS-network-redirect": {5, 2}, "TOS-host-redirect": {5, 3}, "echo-request": {8, icmpAny},
	"ping": {8, icmpAny}, "router-advertisement": {9, icmpAny}, "router-solicitation": {10, icmpAny},
	"time-exceeded": {11, icmpAny}, "ttl-exceeded": {11, icmpAny}, "ttl-zero-during-transit": {11, 0},
	"ttl-zero-during-reassembly": {11, 1}, "parameter-problem": {12, icmpAny}, "ip-header-bad": {12, 0},
	"required-option-missing": {12, 1}, "timestamp-request": {13, icmpAny}, "timestamp-reply": {14, icmpAny},
	"address-mask-request": {17, icmpAny}, "address-mask-reply": {18, icmpAny},
}

var icmpv6Names = map[string]icmpName{
	"destination-unreachable": {1, icmpAny}, "no-route": {1, 0}, "communication-prohibited": {1, 1}, "beyond-scope": {1, 2},
	"address-unreachable": {1, 3}, "port-unreachable": {1, 4}, "failed-policy": {1, 5}, "reject-route": {1, 6},
	"packet-too-big": {2, icmpAny}, "time-exceeded": {3, icmpAny}, "ttl-exceeded": {3, icmpAny},
	"ttl-zero-during-transit": {3, 0}, "ttl-zero-during-reassembly": {3, 1}, "parameter-problem": {4, icmpAny},
	"bad-header": {4, 0}, "unknown-header-type": {4, 1}, "unknown-option": {4, 2}, "echo-request": {128, icmpAny},
	"ping": {128, icmpAny}, "echo-reply": {129, icmpAny}, "pong": {129, icmpAny}, "mld-listener-query": {130, icmpAny},
	"mld-listener-report": {131, icmpAny}, "mld-listener-done": {132, icmpAny}, "router-solicitation": {133, icmpAny},
	"router-advertisement": {134, icmpAny}, "neighbour-solicitation": {135, icmpAny},
	"neighbor-solicitation": {135, icmpAny}, "neighbour-advertisement": {136, icmpAny},
	"neighbor-advertisement": {136, icmpAny}, "redirect": {137, icmpAny}, "mld2-listener-report": {143, icmpAny},
}

// tcpFlagBits in the order of the TCP header.
var tcpFlagBits = map[string]uint8{"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}

// logLevels are syslog's names.
var logLevels = map[string]uint8{
	"emerg": 0, "panic": 0, "alert": 1, "crit": 2, "err": 3, "error": 3, "warning": 4, "warn": 4, "notice": 5, "info": 6,
	"debug": 7,
}

// dscpClasses are the names of RFC 2474, 2597, 3246, 5865 and 8622.
var dscpClasses = map[string]uint8{
	"CS0": 0, "CS1": 8, "CS2": 16, "CS3": 24, "CS4": 32, "CS5": 40, "CS6": 48, "CS7": 56, "BE": 0,
	"AF11": 10, "AF12": 12, "AF13": 14, "AF21": 18, "AF22": 20, "AF23": 22, "AF31": 26, "AF32": 28, "AF33": 30,
	"AF41": 34, "AF42": 36, "AF43": 38, "EF": 46, "VA": 44, "LE": 1,
}
