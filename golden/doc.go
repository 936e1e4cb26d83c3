// Package golden runs the scenarios: folders that say what a ruleset does to a
// recorded node.
//
// In: scenarios/NAME/{README.md,ruleset.yaml,in/VARIANT/}, and values.yaml if
// the scenario sets params. The ruleset of a shipped one is a link into rulesets/,
// and a host that several scenarios share a link into nodes/. The last line of the
// README may name the test IDs that the scenario shows ("Shows: H-1, R-3."), of
// which docs/field-tests.md is made. Out: want/VARIANT/, compared byte for byte: the plan,
// the transaction, the predicted state of what changes, or the diagnostics.
//
// VARIANT is nft or legacy for the two variants of iptables, and native for the nft
// backend: then the folder holds an `nft -j` listing, with the saves of iptables-nft
// as far as iptables prints them, and native.nft.gz, the text of those tables that
// iptables does not print. Where native rules stand in a table of iptables, the
// folder before holds the saves of before they came.
//
// For every scenario and variant the runner also checks that planning the
// predicted state again is empty, that foreign rules keep their bytes and their
// order but for those that the plan collects, and, in a private network namespace, that the real tools load the
// recorded state, take the transaction and then print exactly what was predicted.
package golden
