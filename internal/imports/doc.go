// Package imports holds the import rules of the tree, as a test over what
// `go list` says.
//
// In: the packages of this module. Out: a failing test for each import that the
// table in imports_test.go does not allow.
//
// The table is the one of docs/architecture.md. The linter knows the same rules
// (depguard in .golangci.yml) and says them while one types; this test needs
// nothing but Go, and also sees packages that nobody has put into the table.
package imports

//go:generate go test -run TestDeps -update .
