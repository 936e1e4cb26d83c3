package nfttext

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Unknown is what stands for a part of a rule that is not understood.
func Unknown(name string) string { return name + "(...)" }

// Mark is a packet or connection mark.
func Mark(n uint32) string { return fmt.Sprintf("0x%08x", n) }

// Quote is a name or a text in quotes, as nft writes interfaces and prefixes. nft
// knows no escapes.
func Quote(s string) string { return `"` + s + `"` }

// CT states, as bits of `ct state`.
const (
	CTInvalid     = 1
	CTEstablished = 2
	CTRelated     = 4
	CTNew         = 8
	CTUntracked   = 64
)

var ctStates = []struct {
	bit  uint32
	name string
}{{CTInvalid, "invalid"}, {CTEstablished, "established"}, {CTRelated, "related"}, {CTNew, "new"}, {CTUntracked, "untracked"}}

// CTState is the comparison of `ct state` with any of some states: the names, or
// the mask where it holds more than the states there are ("all but established").
func CTState(states uint32) string {
	var names []string
	rest := states
	for _, s := range ctStates {
		if states&s.bit != 0 {
			names = append(names, s.name)
			rest &^= s.bit
		}
	}
	if rest != 0 || states == 0 {
		return fmt.Sprintf("ct state & 0x%x != 0", states)
	}
	return "ct state " + strings.Join(names, ",")
}

// ctState is the bit of a state's name, or of its number.
func ctState(name string) (uint32, bool) {
	for _, s := range ctStates {
		if s.name == name {
			return s.bit, true
		}
	}
	n, err := strconv.ParseUint(name, 0, 32)
	return uint32(n), err == nil && bits.OnesCount64(n) == 1
}

// Limit is a limit statement. rate is by unit ("kbytes/second", "minute"). burst
// is left out if it is the default.
func Limit(over bool, rate uint64, unit string, burst uint64, burstUnit string, defaultBurst bool) string {
	s := "limit rate "
	if over {
		s += "over "
	}
	s += strconv.FormatUint(rate, 10)
	if strings.Contains(unit, "/") {
		s += " "
	} else {
		s += "/"
	}
	s += unit
	if !defaultBurst {
		s += fmt.Sprintf(" burst %d %s", burst, burstUnit)
	}
	return s
}

// icmpCodes are nft's names of codes: those of type 3 of ICMP, and of type 1 of
// ICMPv6. nft 1.0.6 writes them whatever the type is, later ones only numbers.
var icmpCodes = map[string]map[string]string{
	"icmp code": {
		"0": "net-unreachable", "1": "host-unreachable", "2": "prot-unreachable", "3": "port-unreachable", "4": "frag-needed",
		"9": "net-prohibited", "10": "host-prohibited", "13": "admin-prohibited",
	},
	"icmpv6 code": {
		"0": "no-route", "1": "admin-prohibited", "3": "addr-unreachable", "4": "port-unreachable", "5": "policy-fail", "6": "reject-route",
	},
}

// ICMPCode is the name of a code that a field is compared with; empty for another
// field, or a code without a name.
func ICMPCode(field, number string) string { return icmpCodes[field][number] }
