// Package docs holds the tests of what the documents say.
//
// In: the Markdown of this folder, the README and the rulesets' READMEs. Out:
// failing tests for examples that the program does not accept, links to nowhere,
// and tables that are not what the code has.
//
// A code block ```yaml is a whole ruleset, ```yaml spec keys of its spec, ```yaml
// rules a chain's rules in table filter; ```yaml wrong CODE is a chain's rules of
// which the program must say CODE. ```yaml values is not a ruleset.
package docs

//go:generate go test -run TestErrorsPage -update .
