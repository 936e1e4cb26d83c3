// Package packets sends packets through the shipped rulesets: what a ruleset says
// is open is open, what it says is closed is closed, from where it says so.
//
// In: recorded nodes and rulesets/. Out: nothing but the results.
//
// Every test has machines in private network namespaces, with wires between them:
// strangers and admins on one side, a host that forwards, containers or pods
// behind it. The host's tables are the recorded ones; what other programs do later
// is done by the commands that they run. A test asks servers over TCP and UDP, and
// who answers says which address it saw.
//
// Tests run on both variants of iptables and in both address families.
package packets
