// Package participant is the catalogue of the programs that write rules on a
// host: how to recognise what they wrote, how they behave when somebody moves
// it, which marks and names they use, and which signs tell their versions.
//
// In: JSON files, one for each program (catalogue/*.json, embedded), and the
// participants that a ruleset adds. Out: a Catalogue that answers questions
// about names.
//
// Invariants:
//   - a program is data: adding one is adding a file, and needs no Go;
//   - decoding is strict: an unknown or repeated key, an unknown kind of
//     behaviour or an empty glob is an error that names the file;
//   - a Catalogue never changes; Extend returns another one;
//   - of several globs that match, the one with the longest literal text decides.
//
// docs/participants.md is generated from the catalogue: go generate ./compiler/participant
package participant

//go:generate go run ./gendocs ../../docs/participants.md
