package packets

import (
	"os"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/ir"
)

// ufw's rules and policies stand behind ours: what ours lets in is in, and with
// rest: return ufw decides about what is left.
func TestDockerBesideUfw(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		l := newDockerLab(t, &releases[0], v)
		l.h.load("ufw-0.36.2")
		l.h.serve("tcp", 2222)
		l.h.serve("tcp", 6443)
		l.starts()
		check(t, "with ufw alone", slices.Concat(
			l.port("a published port", "tcp", hostV4+":8080", "web", "web"),
			l.port("a port of the host", "tcp", hostV4+":9100", silence, silence),
			l.port("a port that ufw lets in", "tcp", hostV4+":2222", "host", "host"),
		))
		l.h.apply("docker-host", "{}")
		// What comes from containers is not filtered by ours; ufw drops it.
		rest := slices.DeleteFunc(l.always(), func(q question) bool { return q.what == toHost })
		rest = append(rest, question{toHost, l.web, "tcp", "172.20.0.2", "172.20.0.1:9100", silence})
		check(t, "ours decides", slices.Concat(rest,
			l.port("a published port", "tcp", hostV4+":8080", silence, "web"),
			l.port("a port of the host", "tcp", hostV4+":9100", silence, "host"),
			l.port("a port that ufw lets in", "tcp", hostV4+":2222", silence, "host"),
		))
		l.h.apply("docker-host", "rest: return\nadminTCP: [9100]\n")
		check(t, "ufw decides about the rest", slices.Concat(rest,
			l.port("a published port", "tcp", hostV4+":8080", silence, silence),
			l.port("a port of the host", "tcp", hostV4+":9100", silence, "host"),
			l.port("a port that ufw lets in", "tcp", hostV4+":2222", "host", "host"),
			l.port("a port that nobody lets in", "tcp", hostV4+":6443", silence, silence),
		))
	})
}

// firewalld's own tables have a say of their own behind ours: what it refuses is
// refused although ours let it in, and what ours drops never gets to it.
func TestDockerBesideFirewalld(t *testing.T) {
	text, err := os.ReadFile("testdata/firewalld-nftables.nft")
	if err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, v ir.Variant) {
		l := newDockerLab(t, &releases[1], v)
		l.h.run(string(text), "nft", "-f", "-")
		l.starts()
		l.h.serve("tcp", 443)
		out := l.h.apply("docker-host", "openTCP: [22, 443, 9100]")
		if s := findings(out.Plan.Diags); !strings.Contains(s, "firewalld-is-asked-too") {
			t.Errorf("the plan does not say that firewalld has a say of its own:\n%s", s)
		}
		check(t, "with both", slices.Concat(
			l.port("open in both", "tcp", hostV4+":22", "host", "host"),
			l.port("open in both", "tcp", hostV4+":443", "host", "host"),
			l.port("open in ours alone", "tcp", hostV4+":9100", refused, refused),
			l.port("a published port, closed in ours", "tcp", hostV4+":8080", silence, "web"),
		))
		l.h.apply("docker-host", "openTCP: [22, 8080]")
		check(t, "with both", slices.Concat(
			l.port("open in firewalld alone", "tcp", hostV4+":443", silence, "host"),
			l.port("a published port, open in ours", "tcp", hostV4+":8080", "web", "web"),
		))
	})
}

// Where the host is a router, the machines behind it are strangers if their network
// card is among the external ones, as it is by default: what they send to the world
// is dropped, unless their card is not named or the way that they go is routed.
func TestDockerOnARouter(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		l := newDockerLab(t, &releases[1], v)
		lan := newMachine(t, "lan")
		l.h.link("eth1", lan, "eth0")
		l.h.addr("eth1", "192.168.60.1/24")
		lan.addr("eth0", "192.168.60.2/24")
		lan.route("192.168.60.1")
		l.h.load(l.node)
		l.h.run("", l.h.tool(ir.IPv4, ""), "-w", "-P", "FORWARD", "ACCEPT")
		world := func(want string) []question {
			return append(l.always(), question{"a machine behind the host to the world", lan, "tcp", "192.168.60.2", strangerV4 + ":8000", want})
		}
		check(t, "without the ruleset", world("outside"))
		l.h.apply("docker-host", "{}")
		check(t, "by default", world(silence))
		l.h.apply("docker-host", "external: [eth0]")
		check(t, "its card is not named", world("outside"))
		l.h.apply("docker-host", "routed: [198.51.100.0/24]")
		check(t, "the way is routed", world("outside"))
	})
}
