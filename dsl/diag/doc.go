// Package diag says what is wrong with a text that a user wrote, and where.
//
// In: files, byte spans and findings. Out: text with excerpts and carets, JSON,
// SARIF and GitHub annotations.
//
// Invariants:
//   - a Span is a pair of byte offsets; lines and columns exist only in print;
//   - a List holds every finding of a run, never just the first;
//   - a finding's Code is one of the constants in codes.go and never changes
//     its meaning;
//   - the package imports the standard library only and does no I/O of its own.
package diag
