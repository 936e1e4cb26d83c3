// Command hookline compiles rulesets for hosts whose netfilter tables several
// programs share, shows what they would change, applies them and proves the
// result.
//
// In: flags, files, a host. Out: results on stdout, diagnostics on stderr, and
// one of the exit codes of docs/commands.md.
//
// This package holds flags, exit codes and printing; main is a few lines over
// run. Everything that decides is in the packages below.
package main
