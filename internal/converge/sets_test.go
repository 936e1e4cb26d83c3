package converge_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// withSets is a ruleset with sets, an element list in each of %s.
const withSets = `apiVersion: hookline/v1
kind: Ruleset
metadata: {name: site, version: 1.0.0}
spec:
  sets:
    nets: {type: cidr, elements: [%s]}
    hosts: {type: address, elements: [%s]}
  tables:
    filter:
      chains:
        SITE_INPUT:
          rules:
            - {match: {source: {set: nets}}, action: accept}
            - {match: {source: {set: hosts}}, action: accept}
      anchors:
        - {hook: INPUT, jump: SITE_INPUT}
`

const (
	oldNets, oldHosts = `10.0.0.0/8, "2001:db8::/32"`, `192.0.2.1, "2001:db8::1"`
	newNets, newHosts = `10.0.0.0/8, 198.51.100.0/24, 203.0.113.0/24, "2001:db8:1::/48"`, `192.0.2.2, 192.0.2.1, 192.0.2.3, "2001:db8::1"`
)

func sitesSets(nets, hosts string) string { return fmt.Sprintf(withSets, nets, hosts) }

// sets are a host's sets by name, with their elements in order.
func sets(s *ir.State) map[string][]string {
	out := map[string][]string{}
	for _, x := range s.Sets {
		out[x.Name] = slices.Sorted(slices.Values(x.Elements))
	}
	return out
}

func TestSetsComeAndGo(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		theirs := &ir.Set{Family: ir.IPv4, Name: "theirs", Type: "hash:ip", Header: "family inet", Elements: []string{"192.0.2.9"}, Counted: -1}
		with := h.State().Clone()
		with.Sets = append(with.Sets, theirs)
		h.Replace(with)
		before := dump(h.State())
		opt := converge.Options{Backend: h, Programs: programs(t, sitesSets(oldNets, oldHosts)), Store: converge.OpenStore(t.TempDir())}
		must(t, apply(t, opt), converge.Done)
		want := map[string][]string{
			"nets-4": {"10.0.0.0/8"}, "nets-6": {"2001:db8::/32"}, "hosts-4": {"192.0.2.1"}, "hosts-6": {"2001:db8::1"}, "theirs": {"192.0.2.9"},
		}
		if d := cmp.Diff(want, sets(h.State())); d != "" {
			t.Errorf("sets (-want +got):\n%s", d)
		}
		n := len(h.scripts)
		if out := apply(t, opt); out.Wrote || len(h.scripts) != n {
			t.Errorf("a second apply wrote %v, %d scripts", out.Wrote, len(h.scripts)-n)
		}

		// One element more goes in place, and no rule is written.
		opt.Programs = programs(t, sitesSets(oldNets, oldHosts+", 192.0.2.7"))
		must(t, apply(t, opt), converge.Done)
		if len(h.scripts) != n+1 || h.scripts[n].Text != "add hosts-4 192.0.2.7\n" {
			t.Errorf("%d scripts, the first %q", len(h.scripts)-n, h.scripts[n].Text)
		}

		// The sets are declared no more: the record knows that they were ours.
		opt.Programs = programs(t, site)
		must(t, apply(t, opt), converge.Done)
		if d := cmp.Diff(map[string][]string{"theirs": {"192.0.2.9"}}, sets(h.State())); d != "" {
			t.Errorf("sets (-want +got):\n%s", d)
		}
		opt.Programs = programs(t, sitesSets(newNets, newHosts))
		must(t, apply(t, opt), converge.Done)
		opt.Remove = true
		must(t, apply(t, opt), converge.Done)
		if d := cmp.Diff(before, dump(h.State())); d != "" || len(h.State().Sets) != 1 {
			t.Errorf("%d sets after the removal (-before +after):\n%s", len(h.State().Sets), d)
		}
	})
}

// The last script fails for good: sets are as they were, those that are new are
// gone, and so is what was filled.
func TestSetsAreTakenBack(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		store := converge.OpenStore(t.TempDir())
		first := strings.Replace(sitesSets(oldNets, oldHosts), "hosts:", "gone:", 1)
		first = strings.Replace(first, "{set: hosts}", "{set: gone}", 1)
		must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, first), Store: store}), converge.Done)
		before, beforeSets := dump(h.State()), sets(h.State())
		for _, c := range []struct {
			name   string
			refuse func(s backend.Script) bool
		}{
			{"at the rules of the second family", func(s backend.Script) bool { return s.Family == ir.IPv6 }},
			{"behind the rules", func(s backend.Script) bool { return s.Sets && strings.HasPrefix(s.Text, "destroy gone") }},
		} {
			t.Run(c.name, func(t *testing.T) {
				h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
					if c.refuse(s) {
						return &backend.ScriptError{Script: s, Tool: "tool", Number: 1, Exit: 1, Message: "Device or resource busy"}
					}
					return next(s)
				}
				must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, sitesSets(newNets, newHosts)), Store: store}), converge.TakenBack)
				h.apply = nil
				if d := cmp.Diff(before, dump(h.State())); d != "" {
					t.Errorf("rules (-before +after):\n%s", d)
				}
				if d := cmp.Diff(beforeSets, sets(h.State())); d != "" {
					t.Errorf("sets (-before +after):\n%s", d)
				}
			})
		}
	})
}

// The kernel does not have a type of ipset: nothing was done, and nothing stands.
func TestSetsRefusedAtTheFirstLine(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		before := dump(h.State())
		h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
			if s.Sets {
				return &backend.ScriptError{Script: s, Tool: "ipset", Number: 1, Exit: 1, Message: "Kernel error received: set type not supported"}
			}
			return next(s)
		}
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, sitesSets(oldNets, oldHosts))})
		must(t, out, converge.Refused)
		d := out.Diags.All()
		if len(d) != 1 || d[0].Code != diag.ToolRefused || d[0].Span.Text() != "nets" || out.Wrote {
			t.Errorf("wrote %v, findings %v", out.Wrote, out.Diags.Err())
		}
		if d := cmp.Diff(before, dump(h.State())); d != "" || len(h.State().Sets) != 0 {
			t.Errorf("%v stand (-before +after):\n%s", sets(h.State()), d)
		}
	})
}

var errKilled = errors.New("killed")

// The program is killed behind each line that it sends: every set is old or new, a
// rule's set stands, and the next apply leaves nothing behind.
func TestSetsKilledAtEveryLine(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		for line := range 100 {
			h := newHost(t, v, node4, node6)
			opt := converge.Options{Backend: h, Programs: programs(t, sitesSets(oldNets, oldHosts)), Store: converge.OpenStore(t.TempDir())}
			must(t, apply(t, opt), converge.Done)
			was := sets(h.State())
			left, dead := line, false
			h.apply = func(_ int, s backend.Script, next func(backend.Script) error) error {
				lines := strings.SplitAfter(strings.TrimSuffix(s.Text, "\n"), "\n")
				switch {
				case dead:
					return errKilled
				case !s.Sets || left >= len(lines):
					left -= len(lines)
					return next(s)
				}
				dead = true
				part := s
				part.Text = strings.Join(lines[:left], "")
				if err := next(part); err != nil {
					t.Errorf("line %d: %v", line, err)
				}
				return errKilled
			}
			h.read = func(int, *ir.Snapshot) error {
				if dead {
					return errKilled
				}
				return nil
			}
			opt.Programs = programs(t, sitesSets(newNets, newHosts))
			_, err := converge.Apply(t.Context(), opt)
			if err == nil {
				if line == 0 {
					t.Fatal("nothing was killed")
				}
				return
			}
			now := sets(h.State())
			for name, want := range map[string][]string{
				"nets-4": {"10.0.0.0/8", "198.51.100.0/24", "203.0.113.0/24"}, "nets-6": {"2001:db8:1::/48"},
				"hosts-4": {"192.0.2.1", "192.0.2.2", "192.0.2.3"}, "hosts-6": {"2001:db8::1"},
			} {
				if got := now[name]; !slices.Equal(got, want) && !slices.Equal(got, was[name]) {
					t.Errorf("line %d: set %s holds %q, neither old nor new", line, name, got)
				}
			}
			h.apply, h.read = nil, nil
			must(t, apply(t, opt), converge.Done)
			if len(h.State().Sets) != 4 || len(sets(h.State())["hosts-4"]) != 3 {
				t.Errorf("line %d: after the next apply stand %v", line, sets(h.State()))
			}
		}
		t.Error("an apply of this ruleset sends more than a hundred lines")
	})
}

// Another program changes a set of ours right behind our write: it is written again.
// One that does so for ever is not fought for ever, and the host is given back.
func TestSetsChangedByOthers(t *testing.T) {
	for _, c := range []struct {
		name  string
		times int
		want  converge.Status
	}{{"once", 1, converge.Done}, {"always", 100, converge.TakenBack}} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, ir.IptablesNFT, node4, node6)
			opt := converge.Options{Backend: h, Programs: programs(t, sitesSets(oldNets, oldHosts))}
			must(t, apply(t, opt), converge.Done)
			n := 0
			h.read = func(_ int, snap *ir.Snapshot) error {
				s := snap.State.Set("hosts-4")
				if n++; n > 1 && n <= c.times+1 && s != nil && len(s.Elements) > 1 {
					*s = ir.Set{Family: s.Family, Name: s.Name, Type: s.Type, Header: s.Header, Elements: []string{"192.0.2.1"}, Counted: -1}
				}
				return nil
			}
			opt.Programs = programs(t, sitesSets(oldNets, newHosts))
			must(t, apply(t, opt), c.want)
		})
	}
}

// A set that is declared no more is used by a rule in a chain that nobody reads: the
// kernel's count of references tells, and then everything is read to say whose it is.
func TestSetsForeignReferenceInAnUnreadChain(t *testing.T) {
	both(t, func(t *testing.T, v ir.Variant) {
		h := newHost(t, v, node4, node6)
		store := converge.OpenStore(t.TempDir())
		must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, sitesSets(oldNets, oldHosts)), Store: store}), converge.Done)
		h.Replace(after(t, h.State(), ir.IPv4, "*filter\n-A KUBE-FIREWALL -m set --match-set hosts-4 src -j DROP\nCOMMIT\n"))
		before, n := dump(h.State()), len(h.scripts)
		out := apply(t, converge.Options{Backend: h, Programs: programs(t, site), Store: store})
		must(t, out, converge.Refused)
		found := false
		for _, d := range out.Plan.Diags.All() {
			if d.Code != diag.ForeignReference {
				continue
			}
			found = true
			if len(d.Notes) != 1 || !strings.Contains(d.Notes[0].Message, "-A KUBE-FIREWALL -m set --match-set hosts-4 src -j DROP") {
				t.Errorf("notes %v", d.Notes)
			}
		}
		if compiler.ExitCode(out.Plan.Diags) != 3 || !found {
			t.Errorf("exit %d: %v", compiler.ExitCode(out.Plan.Diags), out.Plan.Diags.Err())
		}
		if d := cmp.Diff(before, dump(h.State())); d != "" || len(h.scripts) != n {
			t.Errorf("%d scripts were sent (-before +after):\n%s", len(h.scripts)-n, d)
		}
	})
}

// Two rulesets on a host own disjoint sets: what the record knows counts, too.
func TestSetsOfAnotherRuleset(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	store := converge.OpenStore(t.TempDir())
	must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, sitesSets(oldNets, oldHosts)), Store: store}), converge.Done)
	other := strings.NewReplacer("name: site", "name: other", "SITE_", "OTHER_", "nets", "lans").Replace(sitesSets(oldNets, oldHosts))
	out := apply(t, converge.Options{Backend: h, Programs: programs(t, other), Store: store})
	must(t, out, converge.Refused)
	if !out.Plan.Diags.Has(diag.OwnershipOverlap) {
		t.Errorf("findings %v, want %s", out.Plan.Diags.Err(), diag.OwnershipOverlap)
	}
	other = strings.ReplaceAll(other, "hosts", "guests")
	must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, other), Store: store}), converge.Done)
	if len(h.State().Sets) != 8 {
		t.Errorf("%v stand", sets(h.State()))
	}
	// One leaves, the other's sets stay.
	must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, other), Store: store, Remove: true}), converge.Done)
	if len(h.State().Sets) != 4 || h.State().Set("hosts-4") == nil {
		t.Errorf("%v stand", sets(h.State()))
	}
}

// An apply of one family leaves the other's sets alone, and knows them later.
func TestSetsOfOneFamily(t *testing.T) {
	h := newHost(t, ir.IptablesNFT, node4, node6)
	store := converge.OpenStore(t.TempDir())
	must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, sitesSets(oldNets, oldHosts)), Store: store}), converge.Done)
	one := []ir.Family{ir.IPv4}
	opt := converge.Options{Backend: h, Programs: programsFor(t, one, site), Families: one, Store: store}
	must(t, apply(t, opt), converge.Done)
	if d := cmp.Diff(map[string][]string{"nets-6": {"2001:db8::/32"}, "hosts-6": {"2001:db8::1"}}, sets(h.State())); d != "" {
		t.Errorf("sets (-want +got):\n%s", d)
	}
	must(t, apply(t, converge.Options{Backend: h, Programs: programs(t, site), Store: store}), converge.Done)
	if len(h.State().Sets) != 0 {
		t.Errorf("%v stand", sets(h.State()))
	}
}
