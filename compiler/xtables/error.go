package xtables

import (
	"fmt"

	"hookline/dsl/diag"
)

// Error is what is wrong with a rule text, and which bytes of it. Start and End
// are both 0 if no bytes of a text can be named.
type Error struct {
	Start, End int
	Code       diag.Code
	Message    string
	Help       string
}

func (e *Error) Error() string { return e.Message }

// errorAt is a finding about one word.
func errorAt(w Word, code diag.Code, format string, args ...any) *Error {
	return &Error{Start: w.Start, End: w.End, Code: code, Message: fmt.Sprintf(format, args...)}
}

// withHelp sets the help and returns the error, for chaining.
func (e *Error) withHelp(format string, args ...any) *Error {
	e.Help = fmt.Sprintf(format, args...)
	return e
}
