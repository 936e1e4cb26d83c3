package packets

import (
	"os"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// The addresses of the flannel tests: those of the recorded node, a pod of it, a
// pod of another node, a storage network that shall see pods, and the world.
const (
	nodeV4, nodeV6       = "192.168.50.11", "2001:db8:50::11"
	podV4, podV6         = "10.244.1.2", "fd00:10:244:1::2"
	farV4, farV6         = "10.244.2.2", "fd00:10:244:2::2"
	storageV4, storageV6 = "10.20.0.5", "fd00:20::5"
	worldV4, worldV6     = "198.51.100.9", "2001:db8:bad::9"
)

// site are values with which a ruleset says what the tests ask for.
const site = `pods: [10.244.0.0/16, "fd00:10:244::/48"]
keepSource: [10.20.0.0/16, "fd00:20::/48"]
`

// flannelLab is a node with a pod behind it, and one machine outside that is
// everything else: another node's pod, the storage, the world. Nothing stands in
// the node's tables.
type flannelLab struct {
	t            *testing.T
	h            *host
	pod, outside *machine
}

func newFlannelLab(t *testing.T, v ir.Variant) *flannelLab {
	t.Helper()
	l := &flannelLab{t: t, h: newHost(t, v), pod: newMachine(t, "pod"), outside: newMachine(t, "outside")}
	l.h.link("eth0", l.outside, "eth0")
	l.h.addr("eth0", nodeV4+"/24", nodeV6+"/64")
	l.outside.addr("eth0", "192.168.50.1/24", "2001:db8:50::1/64")
	l.h.route("192.168.50.1", "2001:db8:50::1")
	l.outside.route(nodeV4, nodeV6)
	l.outside.addr("lo", farV4+"/32", storageV4+"/32", worldV4+"/32", farV6+"/128", storageV6+"/128", worldV6+"/128")
	l.h.bridge("cni0", l.pod)
	l.h.addr("cni0", "10.244.1.1/24", "fd00:10:244:1::1/64")
	l.pod.addr("eth0", podV4+"/24", podV6+"/64")
	l.pod.route("10.244.1.1", "fd00:10:244:1::1")
	l.h.forwards()
	l.pod.serve("tcp", 80)
	l.outside.serve("tcp", 80)
	l.outside.warm(storageV6, "["+podV6+"]:80")
	l.outside.warm(storageV4, podV4+":80")
	return l
}

// sees asks from the pod: an address of the outside must see it as from, for both
// families.
func (l *flannelLab) sees(what, v4, from4, v6, from6 string) []question {
	return []question{
		{what, l.pod, "tcp", podV4, v4 + ":80", "outside saw " + from4},
		{what, l.pod, "tcp", podV6, "[" + v6 + "]:80", "outside saw " + from6},
	}
}

// reached asks the pod from another node's pod.
func (l *flannelLab) reached(want string) []question {
	return []question{
		{"a pod of another node", l.outside, "tcp", farV4, podV4 + ":80", want},
		{"a pod of another node", l.outside, "tcp", farV6, "[" + podV6 + "]:80", want},
	}
}

// eachFlannel runs a test on both variants.
func eachFlannel(t *testing.T, f func(t *testing.T, l *flannelLab)) {
	t.Helper()
	both(t, func(t *testing.T, v ir.Variant) { f(t, newFlannelLab(t, v)) })
}

// Pods keep their addresses towards the networks that must see them, and towards
// nobody else.
func TestFlannelExceptionsFromMasquerading(t *testing.T) {
	eachFlannel(t, func(t *testing.T, l *flannelLab) {
		l.h.load("flannel")
		check(t, "with flannel alone", append(l.reached("pod"), l.sees("the storage", storageV4, nodeV4, storageV6, nodeV6)...))
		l.h.apply("flannel", site)
		check(t, "with the ruleset", append(l.reached("pod saw " + farV4)[:1], append(
			l.sees("the storage", storageV4, podV4, storageV6, podV6),
			l.sees("the world", worldV4, nodeV4, worldV6, nodeV6)...)...))
		l.h.settled("with the ruleset", "flannel", site)
		l.h.remove("flannel")
		check(t, "after the removal", l.sees("the storage", storageV4, nodeV4, storageV6, nodeV6))
	})
}

// Rules that an old flannel left in POSTROUTING masquerade ahead of the exceptions:
// the ruleset is refused until they go.
func TestFlannelLeftoversMasquerade(t *testing.T) {
	eachFlannel(t, func(t *testing.T, l *flannelLab) {
		l.h.load("flannel-leftovers")
		out := l.h.outcome(l.h.options("flannel", site))
		if out.Status != converge.Refused || !strings.Contains(findings(out.Plan.Diags), "no-leftovers: ") {
			t.Fatalf("the apply ended with status %d, want a refusal: %s", out.Status, findings(out.Plan.Diags))
		}
		l.h.apply("flannel", site+"removeLeftovers: true\n")
		check(t, "without the leftovers", append(l.reached("pod"), append(
			l.sees("the storage", storageV4, podV4, storageV6, podV6),
			l.sees("the world", worldV4, nodeV4, worldV6, nodeV6)...)...))
	})
}

// A reject of everything that stood when flannel appended its jump cuts pods off
// (flannel-io/flannel#1172); the jump is moved ahead of it.
func TestFlannelBehindAReject(t *testing.T) {
	eachFlannel(t, func(t *testing.T, l *flannelLab) {
		l.h.load("flannel-rejected")
		check(t, "as recorded", l.reached(refused))
		l.h.apply("flannel", "{}")
		check(t, "with the ruleset", l.reached("pod"))
	})
}

// The end of FORWARD is closed, for everybody but pods and those who are named,
// whoever starts first.
func TestFlannelClosedForward(t *testing.T) {
	const world = site + `closeForward: true
forwardFrom: [198.51.100.0/24, "2001:db8:bad::/48"]
`
	// through goes through the node from one side of it to the other, past no pod.
	through := func(l *flannelLab, from4, from6, want string) []question {
		return []question{
			{"through the node", l.outside, "tcp", from4, "172.31.0.2:80", want},
			{"through the node", l.outside, "tcp", from6, "[fd00:31::2]:80", want},
		}
	}
	eachFlannel(t, func(t *testing.T, l *flannelLab) {
		other := newMachine(t, "other")
		l.h.link("eth1", other, "eth0")
		l.h.addr("eth1", "172.31.0.1/24", "fd00:31::1/64")
		other.addr("eth0", "172.31.0.2/24", "fd00:31::2/64")
		other.route("172.31.0.1", "fd00:31::1")
		other.serve("tcp", 80)
		l.outside.warm(worldV6, "[fd00:31::2]:80")

		l.h.apply("flannel", world)
		check(t, "at boot", append(l.reached("pod"), append(
			through(l, worldV4, worldV6, "other"), through(l, storageV4, storageV6, refused)...)...))
		// kube-proxy prepends and flannel appends: its jump comes to stand behind ours.
		for _, f := range ir.Families {
			l.h.run(strings.ReplaceAll(l.h.recorded("flannel", f), "-A INPUT", "-I INPUT"), l.h.tool(f, "-restore"), "--noflush")
		}
		want := append(l.reached("pod"), append(through(l, worldV4, worldV6, "other"), append(
			through(l, storageV4, storageV6, refused), l.sees("the world", worldV4, nodeV4, worldV6, nodeV6)...)...)...)
		check(t, "when flannel has started", want)
		l.h.apply("flannel", world)
		check(t, "applied again", want)
		l.h.settled("applied again", "flannel", world)
		if rules := l.h.chain(ir.IPv4, "filter", "FORWARD"); !strings.HasSuffix(rules[len(rules)-1], "-j PODNET-FORWARD") {
			t.Errorf("FORWARD does not end in our jump: %q", rules)
		}
	})
}

// flannel in its nftables mode masquerades in a base chain of its own: accept in
// iptables' POSTROUTING does not end that. The ruleset says so, and does not
// pretend.
func TestFlannelInNftables(t *testing.T) {
	text, err := os.ReadFile("testdata/flannel-nftables.nft")
	if err != nil {
		t.Fatal(err)
	}
	eachFlannel(t, func(t *testing.T, l *flannelLab) {
		l.h.run(string(text), "nft", "-f", "-")
		for _, f := range ir.Families {
			dest := map[ir.Family]string{ir.IPv4: "10.20.0.0/16", ir.IPv6: "fd00:20::/48"}[f]
			l.h.run("", l.h.tool(f, ""), "-w", "-t", "nat", "-A", "POSTROUTING", "-d", dest, "-j", "ACCEPT")
		}
		check(t, "accept in iptables", l.sees("the storage", storageV4, nodeV4, storageV6, nodeV6))
		out := l.h.outcome(l.h.options("flannel", site))
		if out.Status != converge.Refused || !strings.Contains(findings(out.Plan.Diags), "flannel-asks-iptables: ") {
			t.Errorf("the apply ended with status %d, want a refusal: %s", out.Status, findings(out.Plan.Diags))
		}
	})
}

// F-7: flannel's nftables mode lets a packet alone whose mark is kube-proxy's, and
// masquerades it as soon as any other bit is set. A plan that sets one warns.
func TestFlannelHiddenMark(t *testing.T) {
	const marks = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: marks, version: 1.0.0}
spec:
  tables:
    mangle:
      chains:
        SITE-MARK: {rules: [{name: ours, action: {mark: {set: 0x1000000/0x1000000}}}]}
      anchors:
        - {hook: PREROUTING, jump: SITE-MARK}
`
	text, err := os.ReadFile("testdata/flannel-nftables.nft")
	if err != nil {
		t.Fatal(err)
	}
	eachFlannel(t, func(t *testing.T, l *flannelLab) {
		l.h.run(string(text), "nft", "-f", "-")
		for _, f := range ir.Families {
			l.h.run("", l.h.tool(f, ""), "-w", "-t", "mangle", "-A", "FORWARD", "-j", "MARK", "--set-xmark", "0x4000/0x4000")
		}
		check(t, "with kube-proxy's mark", l.sees("the world", worldV4, podV4, worldV6, podV6))
		out := l.h.converge(l.h.optionsOf("marks.yaml", marks, "{}"))
		check(t, "with one more bit", l.sees("the world", worldV4, nodeV4, worldV6, nodeV6))
		shown := findings(out.Plan.Diags)
		for _, table := range []string{"ip flannel-ipv4", "ip6 flannel-ipv6"} {
			if !out.Plan.Diags.Has(diag.MarkCollision) || !strings.Contains(shown, "its table "+table+" compares the whole mark") {
				t.Errorf("the plan does not warn of %s:\n%s", table, shown)
			}
		}
		l.h.run("", "nft", "flush", "ruleset")
		again := l.h.outcome(l.h.optionsOf("marks.yaml", marks, "{}"))
		if s := findings(again.Plan.Diags); strings.Contains(s, "compares the whole mark") {
			t.Errorf("without flannel's tables the plan warns all the same:\n%s", s)
		}
	})
}
