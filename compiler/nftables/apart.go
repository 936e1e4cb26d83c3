package nftables

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// apart keeps nft from taking two negations for one. Where two comparisons with !=
// look at neighbouring bytes, nft 1.0.6 makes one of them: `tcp sport != 1 tcp dport
// != 2` then takes a packet of which either differs, and not only one of which both
// do. It leaves ranges alone, so that one of the two is written as a range of one.
func apart(statements []string) []string {
	out := slices.Clone(statements)
	for i, s := range out {
		words := strings.Fields(s)
		if len(words) != 4 || words[2] != "!=" {
			continue
		}
		n, single := number(words)
		if neighbour := map[string]string{"sport": "dport", "code": "type"}[words[1]]; single && neighbour != "" && slices.ContainsFunc(out, func(x string) bool {
			w := strings.Fields(x)
			if len(w) != 4 || w[0] != words[0] || w[1] != neighbour || w[2] != "!=" {
				return false
			}
			_, single := number(w)
			return single
		}) {
			out[i] = strings.Join(words[:3], " ") + " " + strconv.Itoa(n) + "-" + strconv.Itoa(n)
		}
	}
	return out
}

// number is the value that a comparison of a port, or of a type or code of ICMP, is
// with; false for a range and for several.
func number(words []string) (n int, single bool) {
	if n, err := strconv.Atoi(words[3]); err == nil {
		return n, true
	}
	names := map[string]map[uint8]string{
		"icmp type": icmpTypes, "icmp code": icmpCodes, "icmpv6 type": icmpv6Types, "icmpv6 code": icmpv6Codes,
	}[words[0]+" "+words[1]]
	for _, k := range slices.Sorted(maps.Keys(names)) {
		if names[k] == words[3] {
			return int(k), true
		}
	}
	return 0, false
}

// neighbours are fields of a header that stand beside each other.
var neighbours = map[string]string{"sport": "dport", "type": "code", "ttl": "protocol", "nexthdr": "hoplimit", "saddr": "type"}

// joinedNegations refuses text in which nft would take two negations for one (see
// apart).
func joinedNegations(words []string) error {
	var negated []string // HEADER FIELD of comparisons with != and one value
	for i := 0; i+3 < len(words); i++ {
		if v := words[i+3]; words[i+2] == "!=" && v[0] != '@' && v[0] != '{' && !strings.Contains(v, "/") && !isRange(v) {
			negated = append(negated, words[i]+" "+words[i+1])
		}
	}
	for _, n := range negated {
		header, field, _ := strings.Cut(n, " ")
		if other := neighbours[field]; other != "" && (field != "saddr" || header == "ether") && slices.Contains(negated, header+" "+other) {
			return fmt.Errorf("nft takes %s != and %s %s != for one comparison, which holds if either differs: write one of them as a range (!= 1-1)", n, header, other)
		}
	}
	return nil
}

// isRange tells that a value is a range of numbers.
func isRange(v string) bool {
	low, high, ok := strings.Cut(v, "-")
	_, a := strconv.Atoi(low)
	_, b := strconv.Atoi(high)
	return ok && a == nil && b == nil
}
