package nftables

import (
	"fmt"
	"slices"
	"strings"
)

// stale finds a word that nft looks up on the host when it loads a rule, and keeps as
// a number: an interface, a user, a group, a host. The number says something else, or
// nothing, once the interface or the user is made again or the host moves, and nobody
// can tell by the rule that stands. Names of protocols and ports mean the same number
// everywhere.
func stale(words []string) error {
	for i := 0; i < len(words); i++ {
		rest := words[i+1:]
		switch w := words[i]; w {
		case "fib":
			// FLAG . FLAG ... RESULT
			n := 1
			for len(rest) > n+1 && rest[n] == "." {
				n += 2
			}
			if len(rest) > n && rest[n] == "oif" {
				if keys, _ := operand(rest[n+1:]); slices.ContainsFunc(keys, func(k string) bool { return k != "missing" && k != "exists" && k != "0" }) {
					return fmt.Errorf("fib ... oif compares with the number of an interface: write oifname, which compares with its name")
				}
			}
			i += n + 1
		case "iif", "oif", "sdif":
			return fmt.Errorf("%s stands for the number of an interface, which changes when the interface is made again: write %sname", w, w)
		case "skuid", "skgid", "iifgroup", "oifgroup":
			what := map[string]string{"skuid": "user", "skgid": "group"}[w]
			if what == "" {
				what = "group of interfaces"
			}
			keys, several := operand(rest)
			if several {
				return fmt.Errorf("%s is asked for by itself, not in a concatenation", w)
			}
			if k := slices.IndexFunc(keys, hasLetter); k >= 0 {
				return fmt.Errorf("nft looks the %s %s up only when it loads the rule: write its number", what, keys[k])
			}
		case "saddr", "daddr", "nexthop":
			if i > 0 && words[i-1] == "ether" || inElement(words[:i]) {
				continue
			}
			keys, several := operand(rest)
			if err := noHost(keys, several); err != nil {
				return err
			}
		case "to":
			if err := noHost(destinations(rest), false); err != nil {
				return err
			}
		case "dup":
			if k := slices.Index(rest, "device"); k >= 0 {
				return fmt.Errorf("device stands for the number of an interface, which changes when the interface is made again")
			}
		}
	}
	return nil
}

// operators stand between a field and what it is compared with.
var operators = []string{"==", "!=", "<", ">", "<=", ">=", "eq", "ne", "lt", "gt", "le", "ge", "set"}

// operand is what a field is compared with: a value, or the keys of a set or a map.
// several tells that the field is a part of a concatenation: then they are the parts of
// all keys.
func operand(words []string) (keys []string, several bool) {
	if len(words) > 0 && words[0] == "." {
		several = true
		if i := slices.IndexFunc(words, func(w string) bool { return w == "{" || slices.Contains(operators, w) }); i >= 0 {
			words = words[i:]
		}
	}
	for len(words) > 0 {
		switch w := words[0]; {
		case w == "&" || w == "and" || w == "|" || w == "or" || w == "^" || w == "xor":
			words = words[min(2, len(words)):]
		case slices.Contains(operators, w) || w == "vmap" || w == "map":
			words = words[1:]
		case w == "{":
			keys, _ := elements(words)
			return keys, several || slices.Contains(keys, ".")
		default:
			return words[:1], several || len(words) > 1 && words[1] == "."
		}
	}
	return nil, several
}

// elements are the words of the keys and of the values in braces.
func elements(words []string) (keys, values []string) {
	value := false
	for _, w := range words[1:] {
		switch {
		case w == "}":
			return keys, values
		case w == ",":
			value = false
		case w == ":":
			value = true
		case value:
			values = append(values, w)
		default:
			keys = append(keys, w)
		}
	}
	return keys, values
}

// destinations are what stands behind `to` of a translation: an address, perhaps with
// a port, or the values of a map.
func destinations(words []string) []string {
	if i := slices.Index(words, "map"); i >= 0 && i+1 < len(words) && words[i+1] == "{" {
		_, values := elements(words[i+1:])
		return values
	}
	if len(words) == 0 || strings.HasPrefix(words[0], ":") || strings.HasPrefix(words[0], "[") {
		return nil
	}
	return words[:1]
}

// noHost refuses names of hosts among addresses. In a concatenation other things have
// names too: there it is only what can be nothing else.
func noHost(words []string, several bool) error {
	for _, w := range words {
		name := strings.Trim(w, `"`)
		switch {
		case strings.Count(name, ":") > 1 || strings.HasPrefix(name, "["):
			continue // an address of IPv6
		case strings.HasPrefix(name, "0x"), strings.HasPrefix(name, "@"):
			continue
		}
		if name, _, _ = strings.Cut(name, ":"); hasLetter(name) && (!several || name == "localhost" || strings.Contains(name, ".")) {
			return fmt.Errorf("nft looks the host %s up only when it loads the rule: write its address", name)
		}
	}
	return nil
}

func hasLetter(w string) bool {
	if strings.HasPrefix(w, "0x") {
		return false
	}
	return strings.ContainsFunc(w, func(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' })
}

// inElement tells that what comes next stands in the braces of a meter, or of a
// statement that writes to a set: there a field is put in, and compared with nothing.
func inElement(words []string) bool {
	for i, depth := len(words)-1, 0; i > 0; i-- {
		switch {
		case words[i] == "}":
			depth++
		case words[i] == "{" && depth > 0:
			depth--
		case words[i] == "{":
			return words[i-1][0] == '@' || i > 1 && words[i-2] == "meter"
		}
	}
	return false
}
