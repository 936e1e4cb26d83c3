package property

import (
	"context"

	"hookline/compiler/ir"
	"hookline/compiler/raise"
	"hookline/dsl/diag"
)

// imported: what the apply left is imported to a ruleset that changes nothing,
// which raise.Import proves before it returns. The declared chains can always be
// imported; all chains of the host can, or a finding says which cannot.
func (r *round) imported() {
	session, err := r.host.backend.Session(context.Background())
	if err != nil {
		r.errorf("reading the host for an import: %v", err)
		return
	}
	defer session.Close()
	snap, err := session.Snapshot(context.Background(), ir.Scope{All: true, AllSets: true})
	if err != nil {
		r.errorf("reading the host for an import: %v", err)
		return
	}
	var own []string
	for _, p := range r.programs {
		for _, c := range p.Chains {
			t := snap.State.Table(c.Key.Family, c.Key.Table)
			if t.Chain(c.Key.Chain) != nil {
				own = append(own, c.Key.Chain)
			}
		}
	}
	if len(own) > 0 {
		r.importOf(snap, own, true)
	}
	r.importOf(snap, []string{"*"}, false)
}

func (r *round) importOf(snap *ir.Snapshot, chains []string, must bool) {
	res, list, err := raise.Import(snap, raise.Options{Chains: chains})
	switch {
	case err != nil:
		r.errorf("importing %q: %v", chains, err)
	case res != nil:
		r.texts = append(r.texts, "import:\n"+res.Text)
	case must || !list.Has(diag.NotImportable) && !list.Has(diag.UnknownChain) && !list.Has(diag.ReservedSubstring) && !list.Has(diag.OtherRuleset):
		r.errorf("importing %q is refused: %v", chains, list.Err())
	}
}
