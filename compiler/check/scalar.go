package check

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// normalise brings the text of a scalar into the one spelling of its type. The
// error is a sentence without the text itself.
func normalise(k Kind, s string) (any, error) {
	switch k {
	case String:
		if !utf8.ValidString(s) {
			return nil, errors.New("is not UTF-8 text")
		}
		return s, nil
	case Bool:
		return parseBool(s)
	case Int:
		return parseInt(s)
	case Port:
		return parsePort(s)
	case Address:
		return parseAddress(s)
	case CIDR:
		return parseCIDR(s)
	case Interface:
		return parseInterface(s)
	case Mark:
		return parseMark(s)
	case Duration:
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, errors.New(`is no duration: write it like "30s", "5m" or "1h30m"`)
		}
		return d.String(), nil
	default:
		return nil, fmt.Errorf("is not a %s", kindNames[k])
	}
}

func parseBool(s string) (any, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return nil, errors.New("is not true or false")
}

func parseInt(s string) (any, error) {
	if !isDecimal(strings.TrimPrefix(s, "-")) {
		return nil, errors.New("is not a whole decimal number")
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, errors.New("does not fit into 64 bits")
	}
	return n, nil
}

// isDecimal tells whether s is digits without a leading zero. YAML programs and
// the tools disagree on whether 010 is eight or ten.
func isDecimal(s string) bool {
	if s == "" || (s[0] == '0' && s != "0") {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// parsePort reads 80, 80:90, 80-90, and iptables' open ranges :90 and 80:.
func parsePort(s string) (any, error) {
	low, high, ranged := strings.Cut(s, ":")
	switch {
	case ranged && low == "" && high != "":
		low = "0"
	case ranged && high == "" && low != "":
		high = "65535"
	case !ranged:
		if low, high, ranged = strings.Cut(s, "-"); !ranged {
			high = low
		}
	}
	a, err := portNumber(low)
	if err != nil {
		return nil, err
	}
	b, err := portNumber(high)
	switch {
	case err != nil:
		return nil, err
	case a > b:
		return nil, fmt.Errorf("begins above its end: write %d:%d", b, a)
	case a == b:
		return strconv.Itoa(a), nil
	}
	return strconv.Itoa(a) + ":" + strconv.Itoa(b), nil
}

func portNumber(s string) (int, error) {
	if !isDecimal(s) {
		return 0, errors.New("is not a port number or a range like 80:90")
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > math.MaxUint16 {
		return 0, errors.New("is above the highest port, 65535")
	}
	return n, nil
}

func parseAddress(s string) (any, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil && strings.Contains(s, "/"):
		return nil, errors.New("is a prefix, not an address")
	case err != nil:
		return nil, errors.New("is not an IPv4 or IPv6 address")
	case a.Zone() != "":
		return nil, errors.New("has a zone, which no rule can match")
	}
	return a.String(), nil
}

// parseCIDR reads a prefix, or an address as the prefix of that address alone.
// Host bits are cleared, as iptables does.
func parseCIDR(s string) (any, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, errors.New("is not a prefix like 10.0.0.0/8 or fd00::/8, nor an address")
		}
		if a.Zone() != "" {
			return nil, errors.New("has a zone, which no rule can match")
		}
		return netip.PrefixFrom(a, a.BitLen()).String(), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, errors.New("is not a prefix like 10.0.0.0/8 or fd00::/8")
	}
	return p.Masked().String(), nil
}

// maxInterface is IFNAMSIZ without the final NUL; iptables counts a trailing +.
const maxInterface = 15

// parseInterface accepts what the kernel accepts as a name, but for what the
// tools print unquoted and cannot read back.
func parseInterface(s string) (any, error) {
	switch {
	case s == "":
		return nil, errors.New("is empty")
	case len(s) > maxInterface:
		return nil, fmt.Errorf("has %d bytes: an interface name has at most %d", len(s), maxInterface)
	case s == "." || s == "..":
		return nil, errors.New("cannot be an interface name")
	case s[0] == '-' || s[0] == '!':
		return nil, fmt.Errorf("begins with %q, which rule text cannot hold", s[:1])
	}
	for _, r := range s {
		if r == '*' {
			return nil, errors.New("holds a *, which would match that very name: a + at the end stands for any (eth+)")
		}
		if r == '/' || r == '!' || r == ':' || r == '"' || r == '\'' || r == '\\' || r == utf8.RuneError ||
			unicode.IsSpace(r) || unicode.IsControl(r) {
			return nil, fmt.Errorf("holds %q, which an interface name cannot", r)
		}
	}
	return s, nil
}

// parseMark reads VALUE or VALUE/MASK, decimal or hexadecimal, and writes it in
// hexadecimal as iptables-save does: without a mask where all bits count.
func parseMark(s string) (any, error) {
	value, mask, masked := strings.Cut(s, "/")
	v, err := markNumber(value)
	if err != nil {
		return nil, err
	}
	m := uint64(math.MaxUint32)
	if masked {
		if m, err = markNumber(mask); err != nil {
			return nil, err
		}
	}
	if m == math.MaxUint32 {
		return fmt.Sprintf("0x%x", v), nil
	}
	return fmt.Sprintf("0x%x/0x%x", v, m), nil
}

func markNumber(s string) (uint64, error) {
	digits, base := s, 10
	if d, hex := strings.CutPrefix(strings.ToLower(s), "0x"); hex {
		digits, base = d, 16
	}
	n, err := strconv.ParseUint(digits, base, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || (err == nil && n > math.MaxUint32):
		return 0, errors.New("does not fit into the 32 bits of a mark")
	case err != nil:
		return 0, errors.New("is not a mark like 0x1 or 0x1/0xff")
	case base == 10 && !isDecimal(digits):
		return 0, errors.New("has a leading zero: write it without, or with 0x")
	}
	return n, nil
}
