// Command gendocs writes the catalogue of participants as Markdown.
//
// In: the built-in catalogue, and the file to write as its argument. Out: that
// file; docs/participants.md is made by go generate ./compiler/participant.
package main
