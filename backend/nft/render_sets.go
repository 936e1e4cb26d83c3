package nft

import (
	"fmt"

	"hookline/compiler/ir"
)

// setOp writes a step on a set.
func (w *writer) setOp(o *ir.NFTOp) error {
	if o.Do == ir.NFTDeleteSet {
		w.line(o, "delete set %s %s %s", o.Kind, o.Table, o.Set.Name)
		return nil
	}
	return fmt.Errorf("set %s: a step of kind %d has no command", o.Set.Name, o.Do)
}
