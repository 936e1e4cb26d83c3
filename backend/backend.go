package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// ErrUnsettled is wrapped by the error of a Snapshot that was given up because
// what was asked for changed during each of many reads.
var ErrUnsettled = errors.New("the host keeps changing")

// Backend reads a host and writes to it. Implementations hold no state between
// calls but what Session says.
type Backend interface {
	// Variant is the kind of tables that the backend reads and writes.
	Variant() ir.Variant
	// Session opens one read-plan-write-verify cycle. On legacy it takes the xtables
	// lock, waiting as long as ctx allows, and holds it until Close.
	Session(ctx context.Context) (Session, error)
	// Render writes a transaction as text: the steps on sets that come first, one script
	// for each family that has blocks, IPv4 first, and the steps that come last. Pure: the same transaction gives the same bytes.
	Render(tx ir.Transaction) ([]Script, error)
}

// Session is one cycle on a host.
type Session interface {
	// Snapshot reads what the scope asks for. The result is consistent: nothing that
	// could be noticed changed between its first and its last read.
	Snapshot(ctx context.Context, scope ir.Scope) (*ir.Snapshot, error)
	// Check has the tool parse the script without applying it. It is no dry run
	// (FIELD M-2).
	Check(ctx context.Context, s Script) error
	// Apply sends the script. A *ScriptError says which line the tool refused; the
	// tables whose COMMIT stands before that line may have been changed.
	Apply(ctx context.Context, s Script) error
	// Notes are sentences that a plan must show about how the session works, e.g.
	// that the lock is not honoured by the tool at hand.
	Notes() []string
	// Close ends the session and gives back the lock.
	Close() error
}

// Script is restore text and where each of its lines comes from.
type Script struct {
	// Family of the tables; 0 for steps on sets.
	Family ir.Family
	Text   string
	// Origin has one entry for each line of Text; none if Sets is set.
	Origin []Line
	// Sets tells that the text is steps on sets, for `ipset restore`: there can be
	// millions of lines, and Ranges say where they come from.
	Sets   bool
	Ranges []LineRange
	// Steps are steps on sets of our tables of nftables, which go to the kernel by netlink
	// as one transaction of their own. Text is empty then, and Origin has one entry for
	// each step.
	Steps []ir.NFTOp
	// Ops are the steps that Text says, for the nft backend, which has another way to the
	// kernel than the tool.
	Ops []ir.NFTOp
}

// LineRange is where several lines come from, counted from 1, both ends included.
type LineRange struct {
	First, Last int
	Line        Line
}

// Line says where a line of a script comes from.
type Line struct {
	// Span is the YAML value that asks for the line; zero for lines that follow from
	// the host's state.
	Span diag.Span
	// Table is the table of the line's block, Block its index in the transaction.
	Table string
	Block int
	// Guard marks a line whose failure means that the host changed (OpRequire).
	Guard bool
}

// ScriptError is a script that a tool refused.
type ScriptError struct {
	Script Script
	Tool   string // e.g. iptables-nft-restore
	// Number of the refused line, counted from 1; 0 if the tool did not say.
	Number  int
	Message string // what the tool said
	Exit    int
	// More are the other lines that the tool refused, where it goes on behind the first.
	More []Refusal
}

// Refusal is one refused line of several.
type Refusal struct {
	Number  int // from 1
	Message string
}

// Each are the refused lines, each as an error of its own.
func (e *ScriptError) Each() []*ScriptError {
	first := *e
	first.More = nil
	out := []*ScriptError{&first}
	for _, m := range e.More {
		more := first
		more.Number, more.Message = m.Number, m.Message
		out = append(out, &more)
	}
	return out
}

func (e *ScriptError) Error() string {
	if len(e.More) > 0 {
		var out []string
		for _, x := range e.Each() {
			out = append(out, x.Error())
		}
		return strings.Join(out, "; ")
	}
	if l := e.Line(); l != nil && !l.Span.IsZero() {
		return fmt.Sprintf("%s: %s refused line %d: %s", l.Span, e.Tool, e.Number, e.Message)
	}
	return fmt.Sprintf("%s refused line %d: %s", e.Tool, e.Number, e.Message)
}

// Line is the origin of the refused line, or nil if the tool named none.
func (e *ScriptError) Line() *Line {
	for i := range e.Script.Ranges {
		if r := &e.Script.Ranges[i]; r.First <= e.Number && e.Number <= r.Last {
			return &r.Line
		}
	}
	if e.Number < 1 || e.Number > len(e.Script.Origin) {
		return nil
	}
	return &e.Script.Origin[e.Number-1]
}

// Guard tells that the refused line was a guard: the host changed under us.
func (e *ScriptError) Guard() bool { l := e.Line(); return l != nil && l.Guard }

// Cmd is one run of a tool.
type Cmd struct {
	Argv  []string // Argv[0] is looked up in PATH
	Env   []string // added to the runner's own environment, KEY=VALUE
	Stdin string
}

// Result is what a tool answered.
type Result struct {
	Stdout, Stderr string
	Exit           int
}

// Runner runs tools. An error means that the tool could not be run at all; a
// tool that ran and failed has a non-zero Result.Exit.
type Runner interface {
	Run(ctx context.Context, cmd Cmd) (Result, error)
}
