package ir

import "net/netip"

// Spec is a decoded rule: what its text means. Two rules mean the same if their
// specs print the same (xtables.Print). The zero Spec matches every packet and
// only counts.
type Spec struct {
	Source, Destination *Address
	In, Out             *Interface
	Protocol            *Protocol
	// Fragment is -f (1) or ! -f (-1); IPv4 only.
	Fragment int8
	// Matches in written order; iptables evaluates and prints them in that order.
	Matches []Match
	// Target is nil for a rule that only counts.
	Target Target
}

// Comments lists the texts of the rule's comment matches in order.
func (s *Spec) Comments() []string {
	var out []string
	for _, m := range s.Matches {
		if c, ok := m.(*Comment); ok {
			out = append(out, c.Text)
		}
	}
	return out
}

// JumpTarget is the chain that the rule jumps or goes to, or "".
func (s *Spec) JumpTarget() string {
	if j, ok := s.Target.(*Jump); ok {
		return j.Chain
	}
	return ""
}

// Match is a condition of a rule: one of the pointer types below, a closed set.
// Each corresponds to one `-m NAME` of iptables-extensions(8).
type Match interface{ isMatch() }

// Target is what a rule does: one of the pointer types below, a closed set.
type Target interface{ isTarget() }

// Address is -s or -d. Mask is set only if it is no prefix; Prefix then holds the
// address with all its bits.
type Address struct {
	Not    bool
	Prefix netip.Prefix
	Mask   netip.Addr
}

// Interface is -i or -o; a name that ends in + matches by prefix.
type Interface struct {
	Not  bool
	Name string
}

// Protocol is -p, by number; 0 means "all" and is not printed. Spelling is set if
// a tool printed the protocol otherwise than usual (a host without /etc/protocols
// prints numbers); it means nothing for the rule.
type Protocol struct {
	Not      bool
	Number   uint8
	Spelling string
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ Low, High uint16 }

// Ports is one --sport or --dport of tcp, udp, udplite, sctp or dccp.
type Ports struct {
	Not bool
	PortRange
}

// RefusesOne tells that the ports are all but a single one. Nil are all ports.
func (p *Ports) RefusesOne() bool { return p != nil && p.Not && p.Low == p.High }

// Comment is -m comment: at most 255 bytes in the kernel.
type Comment struct{ Text string }

// L4 is -m tcp, udp, udplite, sctp or dccp: what these have in common, and
// tcp's flags.
type L4 struct {
	Module       string
	Source, Dest *Ports
	Flags        *TCPFlags // tcp only
	Option       *uint8    // tcp only: --tcp-option
	OptionNot    bool
	Rest         []string // further options of the module, undecoded
}

// TCPFlags is --tcp-flags MASK COMP as the bits of the TCP header
// (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32).
type TCPFlags struct {
	Not        bool
	Mask, Comp uint8
}

// Multiport is -m multiport; Kind is "sports", "dports" or "ports"; at most 15
// ports, a range counts as two.
type Multiport struct {
	Not   bool
	Kind  string
	Ports []PortRange
}

// Conntrack is -m conntrack. States hold INVALID, NEW, RELATED, ESTABLISHED,
// UNTRACKED, SNAT, DNAT in iptables' order of printing.
type Conntrack struct {
	Not    bool // of States
	States []string
	Rest   []string // further options, undecoded
}

// StateMatch is -m state, the older form of conntrack's --ctstate.
type StateMatch struct {
	Not    bool
	States []string
}

// Mark is -m mark; a packet matches if its mark and Mask equals Value.
type Mark struct {
	Not         bool
	Value, Mask uint32
}

// Connmark is -m connmark.
type Connmark struct {
	Not         bool
	Value, Mask uint32
}

// ICMP is -m icmp or -m icmp6, by number. Code range 0-255 means any code.
// Any is icmp type "any" (IPv4 only).
type ICMP struct {
	Not               bool
	V6                bool
	Any               bool
	Type              uint8
	CodeLow, CodeHigh uint8
}

// AddrType is -m addrtype; types are printed by name in iptables' order.
type AddrType struct {
	SourceNot, DestNot bool
	Source, Dest       []string
	LimitIfaceIn       bool
	LimitIfaceOut      bool
}

// Limit is -m limit. Rate is as printed by iptables-save, e.g. "5/min".
type Limit struct {
	Rate  string
	Burst uint32 // 5 is iptables' default, and printed only if different
}

// Hashlimit is -m hashlimit: Options as iptables-save prints them, in order.
type Hashlimit struct{ Options []string }

// Owner is -m owner; ranges with both ends included.
type Owner struct {
	UIDNot, GIDNot bool
	UID, GID       *IDRange
	SocketExists   bool
	SocketNot      bool
	SupplGroups    bool
}

// IDRange is a range of user or group numbers.
type IDRange struct{ Low, High uint32 }

// MAC is -m mac --mac-source, printed in lower or upper case as the tool does.
type MAC struct {
	Not  bool
	Addr [6]byte
}

// Physdev is -m physdev.
type Physdev struct {
	In, Out                         *Interface
	IsIn, IsOut, IsBridged          bool
	NotIsIn, NotIsOut, NotIsBridged bool
}

// SetMatch is -m set --match-set NAME DIRS.
type SetMatch struct {
	Not  bool
	Name string
	Dirs []string // src or dst, one for each dimension
	Rest []string // further options, undecoded
}

// IPRange is -m iprange.
type IPRange struct {
	SourceNot, DestNot bool
	Source, Dest       *AddrRange
}

// AddrRange is a range of addresses, both ends included.
type AddrRange struct{ Low, High netip.Addr }

// Length is -m length, in bytes of the layer 3 packet.
type Length struct {
	Not       bool
	Low, High uint16
}

// TTL is -m ttl (IPv4) or -m hl (IPv6). Op is "eq", "lt" or "gt".
type TTL struct {
	Not   bool
	V6    bool
	Op    string
	Value uint8
}

// Helper is -m helper --helper NAME.
type Helper struct {
	Not  bool
	Name string
}

// PktType is -m pkttype: unicast, broadcast or multicast.
type PktType struct {
	Not  bool
	Type string
}

// RawMatch is a match that we carry but do not understand: the words behind
// `-m MODULE`, unquoted, each one argument. Module is empty for words that belong
// to no match. Text is set if Args are not printed in the usual way: the same
// words as the tool prints them. It means nothing for the rule.
type RawMatch struct {
	Module string
	Args   []string
	Text   string
}

func (*Comment) isMatch()    {}
func (*L4) isMatch()         {}
func (*Multiport) isMatch()  {}
func (*Conntrack) isMatch()  {}
func (*StateMatch) isMatch() {}
func (*Mark) isMatch()       {}
func (*Connmark) isMatch()   {}
func (*ICMP) isMatch()       {}
func (*AddrType) isMatch()   {}
func (*Limit) isMatch()      {}
func (*Hashlimit) isMatch()  {}
func (*Owner) isMatch()      {}
func (*MAC) isMatch()        {}
func (*Physdev) isMatch()    {}
func (*SetMatch) isMatch()   {}
func (*IPRange) isMatch()    {}
func (*Length) isMatch()     {}
func (*TTL) isMatch()        {}
func (*Helper) isMatch()     {}
func (*PktType) isMatch()    {}
func (*RawMatch) isMatch()   {}

// Verdict is ACCEPT, DROP, RETURN or QUEUE.
type Verdict struct{ Name string }

// Jump is -j or -g to a user-defined chain.
type Jump struct {
	Goto  bool
	Chain string
}

// Reject is -j REJECT; With is as iptables-save prints it, e.g.
// icmp-port-unreachable.
type Reject struct{ With string }

// Log is -j LOG. Level 4 (warning) is the default and not printed. The prefix
// holds at most 29 bytes.
type Log struct {
	Level       uint8
	Prefix      string
	TCPSequence bool
	TCPOptions  bool
	IPOptions   bool
	UID         bool
	MACDecode   bool
}

// NFLog is -j NFLOG. The prefix holds at most 63 bytes. Size is -1 if unset.
type NFLog struct {
	Group     uint16
	Prefix    string
	Range     uint32
	Size      int64
	Threshold uint16
}

// NATRange is the argument of DNAT and SNAT: addresses, ports or both. The zero
// address and the zero range mean "not given".
type NATRange struct {
	Low, High netip.Addr // High is invalid if one address is meant
	Ports     PortRange
	HasPorts  bool
	// Base is DNAT's shifted port mapping (a-b/base); HasBase tells that it is there.
	Base    uint16
	HasBase bool
}

// NAT is -j DNAT or -j SNAT.
type NAT struct {
	Dest                            bool // DNAT
	To                              NATRange
	Random, RandomFully, Persistent bool
}

// Masquerade is -j MASQUERADE.
type Masquerade struct {
	Ports               PortRange
	HasPorts            bool
	Random, RandomFully bool
}

// Redirect is -j REDIRECT.
type Redirect struct {
	Ports    PortRange
	HasPorts bool
	Base     uint16
	HasBase  bool
	Random   bool
}

// SetMark is -j MARK --set-xmark VALUE/MASK: mark = (mark &^ Mask) ^ Value.
type SetMark struct{ Value, Mask uint32 }

// SetConnmark is -j CONNMARK. Op is "set" (Value, Mask), "save" or "restore"
// (NFMask, CTMask).
type SetConnmark struct {
	Op             string
	Value, Mask    uint32
	NFMask, CTMask uint32
}

// CT is -j CT. Alias tells that it is written -j NOTRACK, which does the same.
type CT struct {
	Alias   bool
	NoTrack bool
	Zone    *uint16
	ZoneDir string // "", "orig" or "reply"
	Helper  string
	Rest    []string // further options, undecoded
}

// TCPMSS is -j TCPMSS.
type TCPMSS struct {
	Clamp bool
	Set   uint16
}

// TProxy is -j TPROXY.
type TProxy struct {
	Port        uint16
	Addr        netip.Addr
	Value, Mask uint32
}

// SetDSCP is -j DSCP --set-dscp.
type SetDSCP struct{ Value uint8 }

// RawTarget is a target that we carry but do not understand; Text as in RawMatch.
type RawTarget struct {
	Name string
	Args []string
	Text string
}

func (*Verdict) isTarget()     {}
func (*Jump) isTarget()        {}
func (*Reject) isTarget()      {}
func (*Log) isTarget()         {}
func (*NFLog) isTarget()       {}
func (*NAT) isTarget()         {}
func (*Masquerade) isTarget()  {}
func (*Redirect) isTarget()    {}
func (*SetMark) isTarget()     {}
func (*SetConnmark) isTarget() {}
func (*CT) isTarget()          {}
func (*TCPMSS) isTarget()      {}
func (*TProxy) isTarget()      {}
func (*SetDSCP) isTarget()     {}
func (*RawTarget) isTarget()   {}
