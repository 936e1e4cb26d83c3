// Package backendtest is the conformance suite that every Backend for the tables
// of iptables passes: the fake, and iptables-legacy and iptables-nft on a kernel.
//
// In: a way to make a Host, which is a backend and the machine behind it. Out:
// subtests. What they have in common is that the state which ir.State.Apply
// predicts is the state that is read back.
//
// The suite knows nothing of how a backend does its work: it looks at results,
// by the backend's own snapshot and by what the host itself prints.
package backendtest
