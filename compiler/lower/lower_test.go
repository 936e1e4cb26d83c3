package lower

import (
	"strings"
	"testing"

	"hookline/compiler/ir"
	"hookline/compiler/xtables"

	"github.com/google/go-cmp/cmp"
)

// lines prints a result as the rules of a save, family by family, and what was
// dropped.
func lines(res Result) []string {
	var out []string
	for _, f := range ir.Families {
		add := func(chain string, specs []*ir.Spec) {
			for _, s := range specs {
				out = append(out, strings.TrimRight(f.String()[3:]+" -A "+chain+" "+xtables.Print(s, f), " "))
			}
		}
		add("OWNER", res.Rules[f])
		for _, c := range res.Chains[f] {
			add(c.Name, c.Specs)
		}
	}
	for _, d := range res.Dropped {
		out = append(out, d.Family.String()[3:]+" dropped: "+d.Reason)
	}
	return out
}

func TestSmoke(t *testing.T) {
	for _, c := range []string{
		`{match: {protocol: tcp, dport: [22, "80:90"], source: [10.0.0.0/8, "fd00::/8"]}, action: accept}`,
		`{match: {protocol: [tcp, udp], dport: 53, limit: 5/minute}, action: {log: {prefix: "x "}}, comment: hello}`,
		`{not: {source: [10.0.0.0/8, 1.1.1.1, 2.2.2.2-2.2.2.9], in: [eth0, wl+]}, action: drop}`,
	} {
		res, l := Lower(readRule(t, c), testContext("filter"))
		for _, d := range l.All() {
			t.Error(d.Span, d.Message)
		}
		t.Log("\n" + strings.Join(lines(res), "\n"))
	}
	_ = cmp.Diff
}
