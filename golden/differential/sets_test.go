package differential

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hookline/internal/netns"
)

// TestSetsAgree is TestBackendsAgree with rulesets that declare sets of every type
// for which the kernel has an ipset: what a packet meets there it meets in a set of
// nft.
func TestSetsAgree(t *testing.T) {
	ns := netns.ForTest(t)
	var names, lacking []string
	for _, s := range setKinds {
		kind := []string{s.ipset}
		if s.ipset == "bitmap:port" {
			kind = append(kind, "range", "0-65535")
		}
		if _, complaint := run(t, ns, "", append([]string{"ipset", "create", s.name}, kind...)...); complaint != "" {
			lacking = append(lacking, s.ipset)
			continue
		}
		names = append(names, s.name)
	}
	t.Logf("sets: %v; this kernel has no ipsets of type %v", names, lacking)
	if len(names) < 4 {
		t.Fatal("too few types of ipset to compare with")
	}
	backendsAgree(t, names)
}

// setKinds are sets of a lab by name. Text rules name those without a family by the
// kernel's name for IPv4, which both families may ask.
var setKinds = []struct {
	name, kind, ipset string
	elements          []string
}{
	{"hosts", "address", "hash:ip", []string{"10.1.0.2", "10.2.0.3", "10.1.0.1", `"fd01::2"`, `"fd02::3"`, `"fd01::1"`}},
	{"nets", "cidr", "hash:net", []string{"10.1.0.0/24", "10.2.0.2-10.2.0.3", "0.0.0.0/0", "10.0.0.0/15", `"fd01::/64"`, `"::/0"`, `"fd02::1-fd02::2"`, "10.1.0.2", `"fd01::2"`}},
	{"services", "port", "bitmap:port", []string{"22", "53", "80-443", "8000-9000", "1-100"}},
	{"lan", "interface", "hash:net,iface", []string{"r0", "r1", "lo"}},
	{"cards", "mac", "hash:mac", []string{`"02:00:00:00:00:02"`, `"02:00:00:00:00:03"`}},
	{"doors", "address . port", "hash:ip,port", []string{`"10.2.0.2 . tcp:80"`, `"10.2.0.2 . 53"`, `"10.1.0.1 . udp:1-100"`, `"fd02::2 . 22-443"`, `"fd01::1 . udp:53"`}},
	{"netdoors", "cidr . port", "hash:net,port", []string{`"10.2.0.0/24 . tcp:80-443"`, `"10.1.0.0/24 . 53"`, `"fd02::/64 . 1-1000"`, `"10.0.0.0/8 . tcp:1-100"`, `"10.2.0.2 . udp:1-100"`, `"10.1.0.0/16 . udp:50-60"`, `"fd00::/8 . 80-90"`}},
	{"ways", "cidr . interface", "hash:net,iface", []string{`"10.1.0.0/24 . r0"`, `"10.0.0.0/8 . r0"`, `"0.0.0.0/0 . r1"`, `"fd01::/64 . r0"`, `"fd02::/64 . r1"`}},
	{"owners", "address . mac", "hash:ip,mac", []string{`"10.1.0.2 . 02:00:00:00:00:02"`, `"10.2.0.2 . 02:00:00:00:00:03"`, `"fd01::2 . 02:00:00:00:00:02"`}},
	{"marked", "address . mark", "hash:ip,mark", []string{`"10.1.0.2 . 0"`, `"10.1.0.1 . 2"`, `"fd01::2 . 0"`, `"10.1.0.1 . 1"`}},
	{"pairs", "cidr . cidr", "hash:net,net", []string{`"10.1.0.0/24 . 10.2.0.2"`, `"10.2.0.0/24 . 10.1.0.0/24"`, `"10.0.0.0/8 . 10.2.0.0/31"`, `"fd01::/64 . fd02::/64"`}},
	{"paths", "address . port . cidr", "hash:ip,port,net", []string{`"10.1.0.2 . 53 . 10.2.0.0/24"`, `"10.1.0.2 . tcp:1-443 . 10.2.0.2"`, `"fd01::2 . 22-80 . fd02::/64"`}},
}

// randomSets declares them, each with some of its elements.
func randomSets(d dice) string {
	var b strings.Builder
	b.WriteString("  sets:\n")
	for _, s := range setKinds {
		if !slices.Contains(d.sets, s.name) {
			continue
		}
		var list []string
		for _, e := range s.elements {
			if d.one(2) {
				list = append(list, e)
			}
		}
		options := ""
		if d.one(4) {
			options = ", timeout: 1h"
		}
		fmt.Fprintf(&b, "    %s: {type: %q, elements: [%s]%s}\n", s.name, s.kind, strings.Join(list, ", "), options)
	}
	return b.String()
}

// askSets puts questions to sets among the conditions of a rule.
func (d dice) askSets(k map[string]string, hooks []string) {
	side := func() string { return d.pick("src", "dst") }
	has := func(name string) bool { return slices.Contains(d.sets, name) }
	key := d.pick("source", "destination")
	first := map[string]string{"source": "src", "destination": "dst"}[key]
	dirs := func(n int) string {
		out := []string{first}
		for range n - 1 {
			out = append(out, side())
		}
		return "dirs: [" + strings.Join(out, ", ") + "]"
	}
	switch d.IntN(9) {
	case 0:
		k[key] = "{set: " + d.pick("hosts", "nets") + "}"
	case 1:
		k[key] = "[{set: hosts}, {set: nets}]"
	case 2:
		if name := d.pick("doors", "netdoors", "pairs"); has(name) {
			k[key] = "{set: " + name + ", " + dirs(2) + "}"
		}
	case 3:
		k[key] = "{set: paths, " + dirs(3) + "}"
	case 4:
		if has("marked") {
			k[key] = "{set: marked, " + dirs(2) + "}"
		}
	case 5:
		if p := k["protocol"]; p == "tcp" || p == "udp" || p == "[tcp, udp]" {
			k[d.pick("sport", "dport")] = "{set: services}"
		}
	case 6:
		switch {
		case only(hooks, "PREROUTING", "INPUT", "FORWARD"):
			k["in"] = "{set: lan}"
			if d.one(2) {
				k["source"] = "{set: ways, dirs: [src, src]}"
			}
		case only(hooks, "FORWARD", "OUTPUT", "POSTROUTING"):
			k["out"] = "{set: lan}"
		}
	case 7:
		if has("cards") && only(hooks, "PREROUTING", "INPUT", "FORWARD") {
			k["mac"] = "{set: cards}"
		}
	case 8:
		if has("owners") && only(hooks, "PREROUTING", "INPUT", "FORWARD") {
			k["source"] = "{set: owners, dirs: [src, " + side() + "]}"
		}
	}
}

// setText is a rule in the words of iptables that asks a set of no family, which a
// rule for either may.
func (d dice) setText() string {
	not := d.pick("", "! ")
	proto := d.pick("", "", "-p tcp ", "-p udp ", "-p icmp ", "-p udp -m udp ", "! -p tcp ")
	verdict := d.pick("-j ACCEPT", "-j DROP", "-j RETURN", "-j MARK --set-xmark 0x1/0x1")
	name := "services-4"
	if d.family {
		name = "services"
	}
	return `"` + proto + "-m set " + not + "--match-set " + name + " " + d.pick("src", "dst") + " " + verdict + `"`
}
