// Package injector is NetBird's habit of putting its rules into the tables of
// others, for tests.
//
// In: a network namespace. Out: rules at the top of every base chain of type filter
// at input and forward, in tables that are neither iptables', firewalld's nor
// NetBird's own, each with NetBird's bare text as user data; and again 500 ms after
// anybody has made a table or a chain (FIELD 2.8, M-35).
//
// Invariants:
//   - the rules are those of NetBird v0.77.1, byte for byte in the kernel;
//   - a chain that holds one of them is left alone.
package injector
