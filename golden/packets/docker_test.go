package packets

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// The addresses of the docker tests.
const (
	hostV4, hostV6         = "192.168.50.11", "2001:db8:50::11"
	strangerV4, strangerV6 = "198.51.100.9", "2001:db8:bad::9"
	adminV4, adminV6       = "10.1.2.3", "fd00:ad::3"
)

// release is a Docker whose rules were recorded.
type release struct {
	name, node string
	// front and back are the bridges of two networks, if they are not those in the
	// recorded rules.
	front, back string
	// v6 tells that back has a container, whose ports are published in IPv6 too.
	v6 bool
	// asks are Docker's jumps in FORWARD in the order in which they stand at the top.
	asks []string
	// appends tells that the daemon appends RETURN to DOCKER-USER if it is not there.
	appends bool
}

var releases = []release{
	{
		name: "20.10", node: "docker-dockerd-2nets-2containers",
		asks: []string{"DOCKER-USER", "DOCKER-ISOLATION-STAGE-1"}, appends: true,
	},
	{
		name: "29", node: "docker29-iptables-dockerd-3nets-3containers", v6: true,
		asks: []string{"DOCKER-USER", "DOCKER-FORWARD"},
	},
}

// dockerLab is a host with Docker's bridges and containers as they were recorded,
// and a machine outside that is a stranger from one address and an admin from
// another. Nothing stands in the host's tables.
type dockerLab struct {
	*release
	t             *testing.T
	outside, host *machine
	h             *host
	web, dns, six *machine
}

func newDockerLab(t *testing.T, r *release, v ir.Variant) *dockerLab {
	t.Helper()
	h := newHost(t, v)
	l := &dockerLab{release: r, t: t, h: h, host: h.machine, outside: newMachine(t, "outside"), web: newMachine(t, "web"), dns: newMachine(t, "dns")}
	h.link("eth0", l.outside, "eth0")
	h.addr("eth0", hostV4+"/24", "198.51.100.1/24", "10.1.2.1/24", hostV6+"/64", "2001:db8:bad::1/64", "fd00:ad::1/64")
	l.outside.addr("eth0", strangerV4+"/24", adminV4+"/24", strangerV6+"/64", adminV6+"/64")
	l.outside.route("198.51.100.1", "2001:db8:bad::1")
	h.forwards()
	front := l.network(r.front, "172.20.0.0/24")
	h.bridge(front, l.web)
	h.addr(front, "172.20.0.1/24")
	l.web.addr("eth0", "172.20.0.2/24")
	l.web.route("172.20.0.1")
	h.bridge("docker0", l.dns)
	h.addr("docker0", "172.17.0.1/16")
	l.dns.addr("eth0", "172.17.0.2/16")
	l.dns.route("172.17.0.1")
	for _, port := range []int{80, 443} {
		l.web.serve("tcp", port)
	}
	l.dns.serve("udp", 53)
	if r.v6 {
		back := l.network(r.back, "172.21.0.0/24")
		l.six = newMachine(t, "six")
		h.bridge(back, l.six)
		h.addr(back, "172.21.0.1/24", "fd00:21::1/64")
		l.six.addr("eth0", "172.21.0.2/24", "fd00:21::2/64")
		l.six.route("172.21.0.1", "fd00:21::1")
		l.six.serve("tcp", 7000)
		l.six.serve("tcp", 7001)
	}
	for _, port := range []int{22, 9100} {
		h.serve("tcp", port)
	}
	l.outside.serve("tcp", 8000)
	for _, from := range []string{strangerV6, adminV6} {
		l.outside.warm(from, "["+hostV6+"]:22")
		if r.v6 {
			l.outside.warm(from, "[fd00:21::2]:7000")
		}
	}
	return l
}

// network is the bridge of a network: each recording has its own.
func (l *dockerLab) network(known, subnet string) string {
	l.t.Helper()
	if known != "" {
		return known
	}
	m := regexp.MustCompile(`-A POSTROUTING -s ` + regexp.QuoteMeta(subnet) + ` ! -o (\S+) -j MASQUERADE`).FindStringSubmatch(l.h.recorded(l.node, ir.IPv4))
	if m == nil {
		l.t.Fatalf("the recorded rules of %s do not name the bridge of %s", l.node, subnet)
	}
	return m[1]
}

// from are the two addresses of the machine outside, for a destination.
func (l *dockerLab) from(to string) (stranger, admin string) {
	if strings.HasPrefix(to, "[") {
		return strangerV6, adminV6
	}
	return strangerV4, adminV4
}

// port asks about one port from both addresses.
func (l *dockerLab) port(what, network, to, stranger, admin string) []question {
	s, a := l.from(to)
	return []question{
		{what + ", a stranger", l.outside, network, s, to, stranger},
		{what + ", an admin", l.outside, network, a, to, admin},
	}
}

// toHost is a question that other firewalls have their own answer to.
const toHost = "a container to the host"

// always is what must be so whatever the ruleset says: containers reach the world
// and each other's published ports, and the host itself.
func (l *dockerLab) always() []question {
	out := []question{
		{"a container to the world", l.web, "tcp", "172.20.0.2", strangerV4 + ":8000", "outside"},
		{toHost, l.web, "tcp", "172.20.0.2", "172.20.0.1:9100", "host"},
		{"the host to a container", l.host, "tcp", "172.20.0.1", "172.20.0.2:80", "web"},
		{"the host to the world", l.host, "tcp", "198.51.100.1", strangerV4 + ":8000", "outside"},
	}
	if !l.appends {
		// Docker 20.10 leaves this to its docker-proxy.
		out = append(out, question{"a container to a published port of another one", l.web, "udp", "172.20.0.2", hostV4 + ":5353", "dns"})
	}
	return out
}

// starts does what the daemon does when it starts: its own chains and rules are
// made anew, its jumps go to the top of FORWARD, DOCKER-USER first. What stands in
// DOCKER-USER it leaves alone.
func (l *dockerLab) starts() {
	l.t.Helper()
	for _, f := range ir.Families {
		save := l.h.recorded(l.node, f)
		if !strings.Contains(save, "*filter") {
			continue
		}
		var own []string
		for line := range strings.Lines(regexp.MustCompile(`(?m)^\[\d+:\d+\] `).ReplaceAllString(save, "")) {
			policy := strings.HasPrefix(line, ":") && !strings.Contains(line, " - [") && !strings.HasPrefix(line, ":FORWARD DROP ")
			if !policy && !strings.Contains(line, "DOCKER-USER") && !slices.ContainsFunc(l.asks, func(c string) bool { return line == "-A FORWARD -j "+c+"\n" }) {
				own = append(own, line)
			}
		}
		// 20.10 writes its other rules of FORWARD ahead of what stands there, too.
		text := strings.Join(own, "")
		n := 0
		text = regexp.MustCompile(`(?m)^-A FORWARD `).ReplaceAllStringFunc(text, func(string) string {
			n++
			return fmt.Sprintf("-I FORWARD %d ", n)
		})
		l.h.run(text, l.h.tool(f, "-restore"), "--noflush")
		l.restarts(f)
	}
}

// restarts moves the daemon's jumps to the top, as its start does.
func (l *dockerLab) restarts(f ir.Family) {
	l.t.Helper()
	ipt := func(words ...string) bool {
		return l.h.try("", append([]string{l.h.tool(f, ""), "-w"}, words...)...).Exit == 0
	}
	ipt("-N", "DOCKER-USER") // there already: fails, and that is well
	if l.appends && !ipt("-C", "DOCKER-USER", "-j", "RETURN") {
		ipt("-A", "DOCKER-USER", "-j", "RETURN")
	}
	for _, chain := range slices.Backward(l.asks) {
		ipt("-D", "FORWARD", "-j", chain)
		if !ipt("-I", "FORWARD", "-j", chain) {
			l.t.Fatalf("the jump to %s cannot be made", chain)
		}
	}
}

// comesToRest applies again after Docker has put its jumps ahead of ours: nothing is
// changed but the place of our jump in FORWARD, and the host is as declared.
func (l *dockerLab) comesToRest(when, values string) {
	l.t.Helper()
	l.h.apply("docker-host", values)
	for _, f := range ir.Families {
		if jumps := l.h.chain(f, "filter", "FORWARD"); len(jumps) == 0 || !strings.Contains(jumps[0], "-j HOSTFW-FORWARD") {
			l.t.Errorf("%s: our jump is not the first in %s FORWARD: %q", when, f, jumps)
		}
	}
	l.h.settled(when, "docker-host", values)
}

// eachDocker runs a test for every release on both variants.
func eachDocker(t *testing.T, f func(t *testing.T, l *dockerLab)) {
	t.Helper()
	for i := range releases {
		t.Run(releases[i].name, func(t *testing.T) {
			both(t, func(t *testing.T, v ir.Variant) { f(t, newDockerLab(t, &releases[i], v)) })
		})
	}
}

// A policy of DROP in INPUT does not close published ports (moby/moby#4737); the
// ruleset does, with one list of ports for the host and its containers.
func TestDockerPublishedPorts(t *testing.T) {
	eachDocker(t, func(t *testing.T, l *dockerLab) {
		l.h.load(l.node)
		l.h.run("", l.h.tool(ir.IPv4, ""), "-w", "-P", "INPUT", "DROP")
		check(t, "INPUT drops everything", slices.Concat(
			l.port("a published port", "tcp", hostV4+":8080", "web", "web"),
			l.port("a port of the host", "tcp", hostV4+":9100", silence, silence),
		))
		l.h.run("", l.h.tool(ir.IPv4, ""), "-w", "-P", "INPUT", "ACCEPT")
		session, why := l.outside.open("tcp", strangerV4, hostV4+":8080", patience)
		if session == nil {
			t.Fatalf("a session with a published port: %s", why)
		}

		l.h.apply("docker-host", "{}")
		closed := slices.Concat(l.always(),
			l.port("ssh", "tcp", hostV4+":22", "host", "host"),
			l.port("ssh", "tcp", "["+hostV6+"]:22", "host", "host"),
			l.port("a port of the host", "tcp", hostV4+":9100", silence, "host"),
			l.port("a port of the host", "tcp", "["+hostV6+"]:9100", silence, "host"),
			l.port("a published port", "tcp", hostV4+":8080", silence, "web"),
			l.port("a port published on one address", "tcp", hostV4+":8443", silence, "web"),
			l.port("a published UDP port", "udp", hostV4+":5353", silence, "dns"),
		)
		if l.v6 {
			closed = append(closed, l.port("a published port", "tcp", "["+hostV6+"]:7000", silence, "six")...)
		}
		check(t, "by default", closed)
		if got := session.ask(); got != "web saw "+strangerV4 {
			t.Errorf("the session that was open when the port was closed: %q", got)
		}

		values := "openTCP: [22, 7000, 8080]\nopenUDP: [5353]\nadminTCP: [8443]\nadminUDP: []\n"
		l.h.apply("docker-host", values)
		said := slices.Concat(l.always(),
			l.port("ssh", "tcp", hostV4+":22", "host", "host"),
			l.port("a port of the host", "tcp", hostV4+":9100", silence, silence),
			l.port("a published port", "tcp", hostV4+":8080", "web saw "+strangerV4, "web saw "+adminV4),
			l.port("the container's own port", "tcp", hostV4+":80", silence, silence),
			l.port("a port for admins", "tcp", hostV4+":8443", silence, "web"),
			l.port("a published UDP port", "udp", hostV4+":5353", "dns", "dns"),
		)
		if l.v6 {
			said = append(said, l.port("an open published port", "tcp", "["+hostV6+"]:7000", "six saw "+strangerV6, "six")...)
			said = append(said, l.port("a published port", "tcp", "["+hostV6+"]:7001", silence, silence)...)
		}
		check(t, "as the values say", said)

		for _, f := range ir.Families {
			if f == ir.IPv4 || l.v6 {
				l.restarts(f)
			}
		}
		check(t, "after a restart of Docker", said)
		l.comesToRest("after a restart of Docker", values)
		check(t, "applied again after a restart of Docker", said)

		l.h.remove("docker-host")
		check(t, "after the removal", l.port("a published port", "tcp", hostV4+":8443", "web", "web"))
		if rules := l.h.chain(ir.IPv4, "filter", "DOCKER-USER"); len(rules) > 0 {
			t.Errorf("DOCKER-USER after the removal: %q", rules)
		}
	})
}

// The ruleset is applied at boot, and Docker starts later: there is no instant at
// which a published port is open, and nothing to mend afterwards.
func TestDockerStartsLater(t *testing.T) {
	eachDocker(t, func(t *testing.T, l *dockerLab) {
		out := l.h.apply("docker-host", "{}")
		if !out.Plan.Diags.Has(diag.IdleChain) {
			t.Errorf("nobody asks DOCKER-USER yet, and the plan does not say so:\n%s", findings(out.Plan.Diags))
		}
		check(t, "before Docker", slices.Concat(
			l.port("ssh", "tcp", hostV4+":22", "host", "host"),
			l.port("a port of the host", "tcp", hostV4+":9100", silence, "host"),
		))
		l.starts()
		want := slices.Concat(l.always(),
			l.port("ssh", "tcp", hostV4+":22", "host", "host"),
			l.port("a published port", "tcp", hostV4+":8080", silence, "web"),
			l.port("a published UDP port", "udp", hostV4+":5353", silence, "dns"),
		)
		if l.v6 {
			want = append(want, l.port("a published port", "tcp", "["+hostV6+"]:7000", silence, "six")...)
		}
		check(t, "as soon as Docker has started", want)
		l.comesToRest("as soon as Docker has started", "{}")
		check(t, "applied again after Docker has started", want)
	})
}

// Docker was restarted, so that its jumps stand ahead of ours, and somebody takes out
// the one to DOCKER-USER: published ports are open. The next apply closes them without
// a restart of Docker, and a restart later opens nothing and needs nothing but an apply.
func TestDockerLostJump(t *testing.T) {
	eachDocker(t, func(t *testing.T, l *dockerLab) {
		l.h.load(l.node)
		const values = "openTCP: [22, 8443]\n"
		l.h.apply("docker-host", values)
		families := ir.Families
		if !l.v6 {
			families = []ir.Family{ir.IPv4}
		}
		for _, f := range families {
			l.restarts(f)
			if l.appends {
				// Its start leaves the rules that accept where they are; a network that is made puts its own to the top.
				l.h.run("", l.h.tool(f, ""), "-w", "-I", "FORWARD", "-o", l.network(l.front, "172.20.0.0/24"), "-j", "DOCKER")
			}
			l.h.run("", l.h.tool(f, ""), "-w", "-D", "FORWARD", "-j", "DOCKER-USER")
		}
		ports := func(stranger, six string) []question {
			out := slices.Concat(l.always(),
				l.port("a published port", "tcp", hostV4+":8080", stranger, "web"),
				l.port("an open published port", "tcp", hostV4+":8443", "web", "web"),
			)
			if l.v6 {
				out = append(out, l.port("a published port", "tcp", "["+hostV6+"]:7000", six, "six")...)
			}
			return out
		}
		check(t, "the jump is lost", ports("web", "six"))
		out := l.h.apply("docker-host", values)
		if s := findings(out.Plan.Diags); !strings.Contains(s, "docker-found-filtered") {
			t.Errorf("the plan does not say that published ports are open:\n%s", s)
		}
		check(t, "applied again", ports(silence, silence))
		l.h.settled("applied again", "docker-host", values)
		for _, f := range families {
			l.restarts(f)
		}
		check(t, "after a restart of Docker", ports(silence, silence))
		l.comesToRest("after a restart of Docker", values)
	})
}

// Somebody empties the filter table and lets everything through: the next apply
// closes the ports again, although Docker's jump does not come back before Docker
// is restarted.
func TestDockerAfterAFlush(t *testing.T) {
	eachDocker(t, func(t *testing.T, l *dockerLab) {
		l.h.load(l.node)
		l.h.apply("docker-host", "{}")
		for _, f := range ir.Families {
			l.h.run("", l.h.tool(f, ""), "-w", "-F")
			l.h.run("", l.h.tool(f, ""), "-w", "-P", "FORWARD", "ACCEPT")
		}
		check(t, "after iptables -F", l.port("a published port", "tcp", hostV4+":8080", "web", "web"))
		l.h.apply("docker-host", "{}")
		check(t, "applied again", slices.Concat(l.always(),
			l.port("ssh", "tcp", hostV4+":22", "host", "host"),
			l.port("a port of the host", "tcp", hostV4+":9100", silence, "host"),
			l.port("a published port", "tcp", hostV4+":8080", silence, "web"),
		))
	})
}

// Where Docker writes no rules for IPv6, its docker-proxy listens on the host: the
// same list of ports is asked in INPUT.
func TestDockerProxyInIPv6(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		l := newDockerLab(t, &releases[0], v)
		l.h.load(l.node)
		for _, port := range []int{8080, 8443} {
			l.h.serve("tcp6", port)
		}
		check(t, "without the ruleset", l.port("docker-proxy", "tcp", "["+hostV6+"]:8080", "host", "host"))
		out := l.h.apply("docker-host", "openTCP: [22, 8080]")
		check(t, "with the ruleset", slices.Concat(
			l.port("an open published port", "tcp", "["+hostV6+"]:8080", "host", "host"),
			l.port("a published port", "tcp", "["+hostV6+"]:8443", silence, "host"),
		))
		if s := findings(out.Plan.Diags); !strings.Contains(s, "nothing jumps to ipv6 filter DOCKER-USER") || strings.Contains(s, "nothing jumps to ipv4") {
			t.Errorf("the plan does not say in which family nobody asks DOCKER-USER:\n%s", s)
		}
	})
}

// A neighbour who knows a container's address goes around the published port; up
// to Docker 27 the container's port is open to it.
func TestDockerContainerAddressFromOutside(t *testing.T) {
	eachDocker(t, func(t *testing.T, l *dockerLab) {
		l.h.load(l.node)
		before := "web"
		if !l.appends {
			before = silence // Docker 28 drops it in the raw table
		}
		check(t, "without the ruleset", l.port("a container's address", "tcp", "172.20.0.2:80", before, before))
		l.h.apply("docker-host", "openTCP: [22, 80, 8080]")
		check(t, "with the ruleset", slices.Concat(
			l.port("a container's address", "tcp", "172.20.0.2:80", silence, silence),
			l.port("a published port", "tcp", hostV4+":8080", "web", "web"),
		))
	})
}

// Docker with its nftables backend asks no chain of iptables. The drop in iptables'
// own FORWARD is final for every table of nftables.
func TestDockerInNftables(t *testing.T) {
	text, err := os.ReadFile("testdata/docker29-nftables.nft")
	if err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, v ir.Variant) {
		r := release{name: "29, nftables", front: "br-fef765739f13", back: "br-26af3e0098d5", v6: true}
		l := newDockerLab(t, &r, v)
		l.h.run(string(text), "nft", "-f", "-")
		check(t, "without the ruleset", slices.Concat(
			l.port("a published port", "tcp", hostV4+":8080", "web", "web"),
			l.port("a published port", "tcp", "["+hostV6+"]:7000", "six", "six"),
		))
		out := l.h.apply("docker-host", "openTCP: [22, 7001]")
		check(t, "with the ruleset", slices.Concat(l.always(),
			l.port("ssh", "tcp", hostV4+":22", "host", "host"),
			l.port("a published port", "tcp", hostV4+":8080", silence, "web"),
			l.port("a published port", "tcp", "["+hostV6+"]:7000", silence, "six"),
			l.port("an open published port", "tcp", "["+hostV6+"]:7001", "six", "six"),
		))
		if s := findings(out.Plan.Diags); !strings.Contains(s, "docker stands in nftables as ip docker-bridges") {
			t.Errorf("the plan does not say that Docker asks no chain of iptables:\n%s", s)
		}
	})
}
