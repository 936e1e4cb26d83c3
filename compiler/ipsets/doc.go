// Package ipsets turns the sets of a ruleset into ipsets: which type of ipset holds
// a set, its elements as ipset(8) writes them, and what has to be done to one that
// stands. It is pure, and knows nothing of how rules use a set.
package ipsets
