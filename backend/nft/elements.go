package nft

import (
	"slices"

	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// ownSet reads a named set of a table of ours. Where the scope says how it is to be,
// the kernel is asked for that.
func (s *session) ownSet(f nfnetlink.Family, set *nfnetlink.Set, wanted []*ir.OwnSet) (*ir.OwnSet, error) {
	var want *ir.OwnSet
	if i := slices.IndexFunc(wanted, func(w *ir.OwnSet) bool { return w.Name == set.Name }); i >= 0 {
		want = wanted[i]
	}
	return s.kernel.OwnSet(ir.TableKind(f.Name), set, want)
}
