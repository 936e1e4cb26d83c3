// Package run runs tools as child processes: the one place that calls os/exec.
//
// In: a backend.Cmd. Out: what the tool printed and its exit status.
//
// Invariants:
//   - LC_ALL=C, so that tools speak the language that our parsers read;
//   - a tool's non-zero exit is a result, not an error; an error means that the tool
//     did not run to its end;
//   - when the context ends the tool is killed and the context's error returned;
//   - output is held in memory up to a limit, never cut silently.
package run
