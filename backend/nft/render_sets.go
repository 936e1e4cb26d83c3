package nft

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
	"hookline/compiler/nftables"
)

// setOp writes a step on a set.
func (w *writer) setOp(o *ir.NFTOp) error {
	lines := nftables.SetLines(o)
	if len(lines) == 0 && (o.Do == ir.NFTAddSet || o.Do == ir.NFTDeleteSet) {
		return fmt.Errorf("set %s: a step of kind %d has no command", o.Set.Name, o.Do)
	}
	for _, l := range lines {
		w.line(o, "%s", l)
	}
	return nil
}

// batch are steps on sets that go to the kernel without nft.
func batch(ops []ir.NFTOp) backend.Script {
	s := backend.Script{Steps: ops}
	for i := range ops {
		s.Origin = append(s.Origin, backend.Line{Span: ops[i].Origin, Table: string(ops[i].Kind) + " " + ops[i].Table})
	}
	return s
}

// netlinkTool is what a refusal of the kernel calls the way by which steps went there.
const netlinkTool = "the kernel"

// sendSteps sends steps on sets as one transaction. Check of such a script is that
// they can be said: there is no tool that could look at them.
func (s *session) sendSteps(ctx context.Context, script backend.Script) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("changing sets: %w", err)
	}
	err := s.kernel.CommitSets(script.Steps)
	var refused *nfnetlink.SetError
	if errors.Is(err, syscall.EPERM) {
		if owned := s.owned(script); owned != nil {
			return owned
		}
	}
	if errors.As(err, &refused) {
		return &backend.ScriptError{Script: script, Tool: netlinkTool, Number: refused.Step + 1, Message: setRefusal(refused)}
	}
	return err
}

// setRefusal says which element the kernel refused, as far as it is known, and why.
func setRefusal(e *nfnetlink.SetError) string {
	out := e.Error()
	if n := e.Last - e.First; n > 0 {
		out += fmt.Sprintf(" (one of %d elements from %s)", n, nftables.ElementText(e.Op.Set, e.Op.Elements[e.First]))
	}
	return out
}
