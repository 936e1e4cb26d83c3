package packets

import (
	"testing"

	"hookline/compiler/ir"
)

// gate drops what no set lets through.
const gate = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: gate, version: 1.0.0}
spec:
  sets:
    friends: {type: cidr, elements: [192.0.2.16/30, 192.0.2.20-192.0.2.21, "2001:db8::10/124"]}
    banned: {type: address, elements: [192.0.2.17, "2001:db8::11"]}
    web: {type: port, elements: [8080, 8090-8092]}
    inside: {type: interface, families: [ipv4], elements: [lan0, lan1]}
    services: {type: address . port, families: [ipv4], elements: ["192.0.2.1 . udp:9000"]}
    pairs: {type: cidr . interface, families: [ipv4], elements: [198.51.100.0/24 . lan0, 0.0.0.0/0 . lan9]}
    everyone: {type: cidr, families: [ipv4], elements: [0.0.0.0/0]}
    nobody: {type: address}
  tables:
    filter:
      chains:
        GATE:
          rules:
            - {match: {protocol: icmpv6}, action: accept}
            - {match: {state: established}, action: accept}
            - {match: {source: {set: nobody}}, action: accept}
            - {match: {source: {set: banned}}, action: drop}
            - {match: {source: {set: friends}, protocol: tcp, dport: {set: web}}, action: accept}
            - {families: [ipv4], match: {destination: {set: services, dirs: [dst, dst]}, in: {set: inside}}, action: accept}
            - {families: [ipv4], match: {source: {set: pairs, dirs: [src, src]}, protocol: tcp, not: {dport: {set: web}}}, action: accept}
            - {families: [ipv4], match: {not: {source: {set: everyone}}}, action: accept}
            - {match: {not: {source: {set: nobody}}}, action: drop}
      anchors: [{hook: INPUT, jump: GATE}]
`

// Packets meet the sets of a ruleset: networks and ranges, ports, interfaces,
// concatenations, one that is a whole family, and one without elements.
func TestSetsDecide(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h, peer := newHost(t, v), newMachine(t, "peer")
		h.link("lan0", peer, "eth0")
		h.addr("lan0", "192.0.2.1/24", "198.51.100.1/24", "2001:db8::1/64")
		peer.addr("eth0", "192.0.2.16/24", "192.0.2.17/24", "192.0.2.21/24", "192.0.2.22/24", "198.51.100.2/24", "2001:db8::10/64", "2001:db8::11/64", "2001:db8::99/64")
		for _, port := range []int{8080, 8091, 8093} {
			h.serve("tcp", port)
		}
		h.serve("udp", 9000)
		h.serve("udp", 9001)
		peer.warm("2001:db8::10", "[2001:db8::1]:8080")
		opt := h.optionsOf("gate.yaml", gate, "{}")
		h.converge(opt)
		ask := func(what, network, from, to, want string) question {
			return question{what: what, machine: peer, network: network, from: from, to: to, want: want}
		}
		check(t, "applied", []question{
			ask("a friend, a port", "tcp", "192.0.2.16", "192.0.2.1:8080", "host"),
			ask("a friend by range, a port by range", "tcp", "192.0.2.21", "192.0.2.1:8091", "host"),
			ask("a friend, another port", "tcp", "192.0.2.16", "192.0.2.1:8093", silence),
			ask("one beside the range", "tcp", "192.0.2.22", "192.0.2.1:8080", silence),
			ask("banned ahead of that", "tcp", "192.0.2.17", "192.0.2.1:8080", silence),
			ask("a friend of IPv6", "tcp", "2001:db8::10", "[2001:db8::1]:8080", "host"),
			ask("banned in IPv6", "tcp", "2001:db8::11", "[2001:db8::1]:8080", silence),
			ask("a stranger of IPv6", "tcp", "2001:db8::99", "[2001:db8::1]:8080", silence),
			ask("address and port, on an interface", "udp", "192.0.2.22", "192.0.2.1:9000", "host"),
			ask("the address, another port", "udp", "192.0.2.22", "192.0.2.1:9001", silence),
			ask("another address, the port", "udp", "198.51.100.2", "198.51.100.1:9000", silence),
			ask("network and interface, a port that is not in the set", "tcp", "198.51.100.2", "198.51.100.1:8093", "host"),
			ask("network and interface, a port of the set", "tcp", "198.51.100.2", "198.51.100.1:8080", silence),
		})
		h.converge(opt) // nothing to do
		h.run("", "ipset", "add", "friends-4", "192.0.2.22")
		check(t, "somebody adds one", []question{ask("the stranger", "tcp", "192.0.2.22", "192.0.2.1:8080", "host")})
		h.converge(opt)
		check(t, "applied again", []question{
			ask("the stranger", "tcp", "192.0.2.22", "192.0.2.1:8080", silence),
			ask("the friend", "tcp", "192.0.2.16", "192.0.2.1:8080", "host"),
		})
	})
}
