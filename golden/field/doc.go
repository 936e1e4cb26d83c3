// Package field tests on a real kernel what went wrong in the field: each test
// bears the ID of the failure that it guards against.
//
// In: recorded nodes and the rulesets in the tests. Out: nothing but the results.
//
// The H-tests are a Harvester node's: jumps of several programs in one chain,
// duplicates after a crash, a node at boot, another program writing all the time.
// The R-tests are an RKE2 node's: what a broken Kube-OVN or a flush took away, and
// what comes back in whatever order (comeback_test.go plays the programs).
// The T-tests are the rules that follow from them for everything that the tool
// writes. ids_test.go lists the IDs, and fails for one without a test.
//
// Every test works in a private network namespace on both variants of iptables.
// Tests that count rounds run 1,000 of them (10,000 swaps of a chain) with
// HOOKLINE_LONG=1, and fewer without.
package field
