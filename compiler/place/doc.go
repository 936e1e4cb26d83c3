// Package place finds where our jumps stand among other programs' rules.
//
// In: one shared chain as it stands, with the rules that go away, and the
// anchors in it. Out: the resulting chain, and what could not be done.
//
// Each anchor has an interval of slots (a slot is the gap between two foreign
// rules): behind the last rule of each `after`, ahead of the first rule of each
// `before`. References between anchors narrow the intervals of each other. The
// jumps that may stay where they stand are the largest set in which no two are
// in the wrong order (a maximum antichain, found by matching); everything else
// is put into its interval. Nothing is searched.
//
// Invariants:
//   - foreign rules keep their order, and none is added or removed but those that
//     the caller marked;
//   - a jump that may stay, stays: as few as possible are moved, and solving the
//     result again changes nothing;
//   - of equal copies only the last can stay, because deleting by value removes
//     the first;
//   - one cause gives one diagnostic, and an anchor that cannot be placed leaves
//     the others alone.
package place
