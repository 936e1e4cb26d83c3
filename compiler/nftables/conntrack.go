package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"hookline/compiler/ir"
)

// ctStates are the states in the order of their bits, as nft lists them; ctStatus
// are states of iptables that nft keeps as bits of the entry.
var (
	ctStates = []string{"invalid", "established", "related", "new", "untracked"}
	ctStatus = []string{"snat", "dnat"}
)

// picked are the words of a list, in its order, that are among some in capitals.
func picked(list, from []string) []string {
	var out []string
	for _, s := range list {
		if slices.Contains(from, strings.ToUpper(s)) {
			out = append(out, s)
		}
	}
	return out
}

// states translates --ctstate. iptables has one list for the state of a packet and
// two bits of its entry, nft a word for each. A packet without an entry has a state
// all the same (invalid or untracked), but no bits: the alternatives of a mixed
// list are such that none takes a packet of another one.
func (t *translation) states(list []string, not bool) {
	state, status := picked(ctStates, list), picked(ctStatus, list)
	s, bits := strings.Join(state, ","), strings.Join(status, ",")
	switch {
	case len(state)+len(status) != len(list) || len(list) == 0:
		t.refuse("the connection states %s are not known", strings.Join(list, ","))
	case len(status) == 0 && not:
		t.must("ct state ! " + s)
	case len(status) == 0:
		t.must("ct state " + s)
	case !not && len(state) == 0:
		t.must("ct status " + bits)
	case !not:
		t.either([]string{"ct state " + s}, []string{"ct state ! " + s, "ct status " + bits})
	default:
		// Neither the states nor the bits: a packet with an entry by its bits, one
		// without by its state.
		var rest []string
		for _, s := range []string{"invalid", "untracked"} {
			if !slices.Contains(state, s) {
				rest = append(rest, s)
			}
		}
		tracked := []string{"ct status ! " + bits}
		if len(state) > 0 {
			tracked = append([]string{"ct state ! " + s}, tracked...)
		}
		if len(rest) == 0 {
			t.either(tracked)
			return
		}
		t.either([]string{"ct state " + strings.Join(rest, ",")}, tracked)
	}
}

// conntrack translates the options of -m conntrack. In iptables a packet without
// an entry of connection tracking passes all of them if its state fits.
func (t *translation) conntrack(m *ir.Conntrack) {
	if len(m.States) > 0 {
		invalid, untracked := slices.Contains(m.States, "INVALID"), slices.Contains(m.States, "UNTRACKED")
		without := invalid || untracked
		if m.Not {
			without = !invalid || !untracked
		}
		if len(m.Rest) > 0 && without {
			t.refuse("iptables takes packets without an entry for --ctstate, and does not ask for the other options of -m conntrack then: write them in a rule each")
		}
		t.states(m.States, m.Not)
	}
	for rest := m.Rest; len(rest) > 0; {
		not := rest[0] == "!"
		if not {
			rest = rest[1:]
		}
		if len(rest) < 2 {
			t.refuse("-m conntrack %s is not understood", strings.Join(m.Rest, " "))
			return
		}
		t.ctOption(rest[0], rest[1], not)
		rest = rest[2:]
	}
}

// ctTuple says where options stand in an entry.
var ctTuple = map[string]string{
	"--ctorigsrc": "original %s saddr", "--ctorigdst": "original %s daddr",
	"--ctreplsrc": "reply %s saddr", "--ctrepldst": "reply %s daddr",
	"--ctorigsrcport": "original proto-src", "--ctorigdstport": "original proto-dst",
	"--ctreplsrcport": "reply proto-src", "--ctrepldstport": "reply proto-dst",
}

func (t *translation) ctOption(name, value string, not bool) {
	switch name {
	case "--ctproto":
		n, err := strconv.ParseUint(value, 10, 8)
		if err != nil {
			t.refuse("%s %s is not understood", name, value)
			return
		}
		t.must("ct protocol" + is(not) + protocol(uint8(n)))
	case "--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst":
		t.ctAddress(name, value, not)
	case "--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport", "--ctrepldstport":
		if p := t.spec.Protocol; p == nil || p.Not {
			t.refuse("%s needs a protocol: nft does not read a port without one", name)
			return
		}
		t.must("ct " + ctTuple[name] + is(not) + strings.ReplaceAll(value, ":", "-"))
	case "--ctstatus":
		t.ctStatus(value, not)
	case "--ctdir":
		t.must("ct direction " + strings.ToLower(value))
	default:
		t.refuse("-m conntrack %s has no equal", name)
	}
}

func (t *translation) ctAddress(name, value string, not bool) {
	p, err := netip.ParsePrefix(value)
	if err != nil {
		a, err := netip.ParseAddr(value)
		if err != nil {
			t.refuse("%s %s is not understood", name, value)
			return
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Bits() == 0 {
		t.refuse("%s %s says nothing", name, value)
		return
	}
	t.must("ct " + fmt.Sprintf(ctTuple[name], t.ip()) + is(not) + prefix(p))
}

// ctStatus translates --ctstatus: any of some bits, or none of them.
func (t *translation) ctStatus(value string, not bool) {
	if value == "NONE" {
		t.refuse("--ctstatus NONE asks for no bit at all")
		return
	}
	list := picked([]string{"expected", "seen-reply", "assured", "confirmed"}, strings.Split(strings.ReplaceAll(value, "_", "-"), ","))
	op := " "
	if not {
		op = " ! "
	}
	t.must("ct status" + op + strings.Join(list, ","))
}

// mark translates the comparison of a mark under a mask into the form that nft
// lists: a mask of leading ones is a prefix.
func (t *translation) mark(left, what string, not bool, value, mask uint32) {
	switch bits := leadingOnes(mask); {
	case value&^mask != 0 && !not:
		t.refuse("it never matches: %s", neverMark(what, value, mask))
	case value&^mask != 0:
		if left == "ct mark" {
			t.must("ct mark >= 0x00000000") // a packet without an entry has no mark
		}
	case mask == 0 && not:
		t.refuse("it never matches: %s", neverMark(what, value, mask))
	case mask == 0:
		if left == "ct mark" {
			t.must("ct mark >= 0x00000000")
		}
	case bits == 32:
		t.must(left + is(not) + hex(value))
	case bits > 0:
		t.must(left + is(not) + hex(value) + "/" + strconv.Itoa(bits))
	case not:
		t.must(left + " & " + hex(mask) + " != " + hex(value))
	default:
		t.must(left + " & " + hex(mask) + " == " + hex(value))
	}
}

func neverMark(what string, value, mask uint32) string {
	return fmt.Sprintf("no %s under the mask %s is %s", what, hex(mask), hex(value))
}

func (t *translation) connmark(m *ir.Connmark) {
	t.mark("ct mark", "connection mark", m.Not, m.Value, m.Mask)
}

// leadingOnes is the number of ones that a mask begins with, if it is nothing but
// those; else 0.
func leadingOnes(mask uint32) int {
	for n := range 33 {
		if mask == ^uint32(0)<<(32-n) {
			return n
		}
	}
	return 0
}

func hex(n uint32) string { return fmt.Sprintf("0x%08x", n) }

// helper translates -m helper. iptables compares as many letters as the kernel's
// name has, so that `ftp-2121` takes the helper ftp as well.
func (t *translation) helper(m *ir.Helper) {
	switch _, port, found := strings.Cut(m.Name, "-"); {
	case m.Not:
		t.refuse("a negated -m helper also takes connections that no helper expected, which nft cannot ask for")
	case m.Name == "":
		t.refuse("-m helper for any helper has no equal")
	case found && strings.Trim(port, "0123456789") == "":
		t.refuse("-m helper --helper %s takes the helper without its port as well, which nft does not", m.Name)
	case strings.ContainsAny(m.Name, "\"\\") || !plainText(m.Name) || len(m.Name) > 15:
		t.refuse("nft cannot write the helper %q", m.Name)
	default:
		t.must(`ct helper "` + m.Name + `"`)
	}
}
