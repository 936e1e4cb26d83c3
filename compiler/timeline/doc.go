// Package timeline knows the order in which packets meet the base chains of
// nftables: at each hook by priority, whose each chain is, and where one of ours
// has to stand among them.
//
// In: all tables of nftables with their base chains, the rules of iptables' own
// base chains as far as they were read, and for our base chains the bounds of
// their anchors. Out: a priority for each of ours, or why there is none; and each
// hook as a timeline, with what follows from the order.
//
// Invariants:
//   - nobody else's chain is moved, and of ours none that stands within its bounds:
//     placing twice changes nothing;
//   - a priority is strictly between those of the bounds, inside the window in which
//     the rules of its table mean what they mean in iptables, and never one that
//     another chain has which sees the same packets;
//   - chains of type nat are ordered among themselves only, because the kernel runs
//     them as one;
//   - a participant stands where its chains of the same class are; what cannot be
//     known is said, and never taken for "not there";
//   - the same input gives the same priorities, in whatever order a host lists its
//     tables.
package timeline
