// Command fieldtable writes docs/field-tests.md: for each test ID of the field
// notes, which scenarios and tests showed it, on which variants of iptables and
// for which families.
//
// In: the events of `go test -json` over the suite, on standard input. Tests say
// by attributes (testing.T.Attr) which IDs they show, on which variant and for
// which families; nothing is in the table because somebody wrote it there.
// Out: the page, on standard output. It ends with an error if a test failed or
// was skipped, and if an ID has neither a test nor a reason in ids.go.
package main
