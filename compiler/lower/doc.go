// Package lower turns one structured rule into iptables rules.
//
// In: a rule whose expressions are evaluated (Rule), and what the compiler knows
// around it (Context). Out: for each family the rules that go into the rule's own
// chain, the owned helper chains that they need, and the families for which the
// rule says nothing (Result); or findings.
//
// Every key becomes a choice: alternatives of which any holds, or none. One
// iptables rule says "all of these hold", so a choice with several alternatives
// needs several rules. expand.go picks the smallest form in which no packet can
// run the action, or take from a limit, twice; docs/expansion.md shows the forms.
//
// Invariants:
//   - no condition is dropped: what cannot be said is refused at its place;
//   - for one packet the action runs exactly once if all conditions hold, else
//     never, and a limit is asked once, only if all other conditions hold;
//   - an empty list or set never means "any": under match the rule is left out
//     and Result.Dropped tells why, under not the key always holds;
//   - a family that an address or a protocol of the other family excludes gets no
//     rule; a rule that both families exclude is an error;
//   - what is emitted is spelled as iptables-save 1.8.9 prints it, in both
//     variants;
//   - pure: the same rule and context give the same result, in the same order.
package lower
