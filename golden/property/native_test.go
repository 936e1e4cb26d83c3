package property

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookline/backend/nft"
	"hookline/compiler"
	"hookline/compiler/ir"
	"hookline/dsl"
	"hookline/dsl/diag"
	"hookline/internal/converge"
)

// nativeHost is a namespace with tables of others of both kinds.
type nativeHost struct {
	*host
	backend *nft.Backend
}

// TestRandomNativeRulesets holds the nft backend against its promises: from any
// ruleset to any other one and away again, over drift and beside others.
func TestRandomNativeRulesets(t *testing.T) {
	rounds := 60
	if os.Getenv("HOOKLINE_LONG") == "1" {
		rounds = 1500
	}
	rounds = number(t, "HOOKLINE_ROUNDS", rounds)
	seed, only := number(t, "HOOKLINE_SEED", 1), number(t, "HOOKLINE_ROUND", -1)
	rounds = max(rounds, only+1)
	t.Logf("seed %d", seed)
	wrote, refused, rules := 0, map[string]int{}, 0
	for i := range rounds {
		if only >= 0 && only != i {
			continue
		}
		r := &nativeRound{dice: newDice(uint64(seed)+1<<32, uint64(i))}
		r.run(t)
		wrote, rules = wrote+r.wrote, rules+r.rules
		if r.refused != "" {
			refused[r.refused]++
		}
		if len(r.wrong) == 0 {
			continue
		}
		dir := filepath.Join(os.TempDir(), fmt.Sprintf("hookline-native-%d-%d", seed, i))
		if err := os.MkdirAll(dir, 0o700); err == nil {
			_ = os.WriteFile(filepath.Join(dir, "log.txt"), []byte(strings.Join(r.texts, "\n")), 0o600)
		}
		t.Errorf("round %d: %s\nwhat happened is in %s; HOOKLINE_SEED=%d HOOKLINE_ROUND=%d runs it again", i, strings.Join(r.wrong, "\n"), dir, seed, i)
	}
	t.Logf("%d applies wrote %d rules; refused: %v", wrote, rules, refused)
	n := 0
	for _, c := range refused {
		n += c
	}
	if only < 0 && (wrote < rounds || n*100 > rounds*mostRefused) {
		t.Errorf("%d applies of %d rounds wrote, %d were refused: the test says too little", wrote, rounds, n)
	}
}

type nativeRound struct {
	dice
	host         nativeHost
	texts, wrong []string
	refused      string
	wrote, rules int
}

func (r *nativeRound) errorf(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *nativeRound) run(t *testing.T) {
	h := newHost(t, "nft", hostSets)
	states := map[ir.Family]save{}
	for _, f := range ir.Families {
		states[f] = randomState(r.dice, f, pool(t))
	}
	if err := h.load(states); err != nil {
		t.Fatal(err)
	}
	if _, err := h.try(foreignTables(r.dice), "nft", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	b, err := nft.New(nft.Options{Runner: h.ns.Runner(), NetNS: h.ns.Do})
	if err != nil {
		t.Fatal(err)
	}
	r.host = nativeHost{h, b}
	others := r.others()
	name := r.pick("site", "node-1")
	var last *compiler.Program
	for range 1 + r.IntN(3) {
		p := r.program(t, name)
		if p == nil || !r.apply(p) {
			break
		}
		last = p
		if r.one(2) {
			r.drift(name)
			if !r.apply(p) {
				break
			}
		}
	}
	if d := cmp.Diff(others, r.others()); d != "" {
		r.errorf("what is others' has changed (-want +got):\n%s", d)
	}
	if last == nil {
		return
	}
	if out, err := converge.Apply(context.Background(), converge.Options{Backend: b, Programs: []*compiler.Program{last}, Remove: true}); err != nil || out.Status != converge.Done {
		r.errorf("the removal ended with %v, %v", out.Status, err)
	}
	if own := r.own(name); own != "" {
		r.errorf("after the removal there is\n%s", own)
	}
	if d := cmp.Diff(others, r.others()); d != "" {
		r.errorf("the removal changed what is others' (-want +got):\n%s", d)
	}
}

// foreignTables are tables of programs that the catalogue knows, and of one that it
// does not, with base chains at places at which ours may be wanted.
func foreignTables(d dice) string {
	var b strings.Builder
	for _, name := range []string{"ip kube-proxy", "ip6 kube-proxy", "ip calico", "ip netbird", "inet firewalld", "inet somebody"} {
		if d.one(2) {
			continue
		}
		fmt.Fprintf(&b, "table %s {\n", name)
		for i, hook := range []string{"prerouting", "input", "forward", "output", "postrouting"} {
			if d.one(2) {
				continue
			}
			priority := []int{-300, -150, -110, -100, 0, 0, 10, 1}[d.IntN(8)]
			kind := "filter"
			if hook != "forward" && d.one(4) {
				kind, priority = "nat", []int{-100, 100, 99, 110, -101}[d.IntN(5)]
			}
			fmt.Fprintf(&b, "chain c%d { type %s hook %s priority %d; policy %s; counter comment \"theirs\"; }\n", i, kind, hook, priority, d.pick("accept", "accept", "drop"))
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// program makes a ruleset that nft can say: what it cannot is refused at its line,
// and left out here.
func (r *nativeRound) program(t *testing.T, name string) *compiler.Program {
	rules := newRuleset(r.dice, pool(t), allUsers())
	for !rules.clean {
		rules = newRuleset(r.dice, pool(t), allUsers())
	}
	text := strings.Replace(rules.text, "name: "+rules.name, "name: "+name, 1)
	r.texts = append(r.texts, "== ruleset\n"+text)
	docs, list := dsl.Parse(diag.NewFile("ruleset.yaml", text))
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	_, facts := r.host.glance()
	p, list := compiler.Compile(docs[0], compiler.CompileOptions{Facts: facts, Backend: string(ir.NFT)})
	if list.HasErrors() {
		r.note(list)
		return nil
	}
	p.Constraints = nil // they are about iptables' chains
	for {
		_, list := compiler.NFTables([]*compiler.Program{p})
		before := 0
		for _, c := range p.Chains {
			before += len(c.Rules)
		}
		before += len(p.Anchors)
		bad := map[diag.Span]bool{}
		for _, d := range list.All() {
			bad[d.Span] = bad[d.Span] || d.Severity == diag.Error
		}
		after := 0
		for _, c := range p.Chains {
			c.Rules = slices.DeleteFunc(c.Rules, func(x compiler.ChainRule) bool { return bad[x.Rule.Origin] })
			after += len(c.Rules)
		}
		p.Anchors = slices.DeleteFunc(p.Anchors, func(a *compiler.Anchor) bool {
			ref := func(x compiler.Ref) bool { return bad[x.Span] }
			return bad[a.Span] || bad[a.Rule.Origin] || slices.ContainsFunc(a.After, ref) || slices.ContainsFunc(a.Before, ref)
		})
		after += len(p.Anchors)
		if !list.HasErrors() {
			r.rules += after
			return p
		}
		if after == before {
			r.note(list)
			r.errorf("a finding is at no rule and no anchor: %v", list.Err())
			return nil
		}
	}
}

func (r *nativeRound) note(list *diag.List) {
	for _, d := range list.All() {
		if d.Severity == diag.Error && r.refused == "" {
			r.refused = string(d.Code)
		}
	}
	var b bytes.Buffer
	_ = diag.WriteText(&b, list, diag.TextOptions{Excerpts: true})
	r.texts = append(r.texts, b.String())
}

// apply brings the host to a ruleset, and looks at what it then holds. False if it
// was refused.
func (r *nativeRound) apply(p *compiler.Program) bool {
	opt := converge.Options{Backend: r.host.backend, Programs: []*compiler.Program{p}}
	before, others := r.own(p.Name), r.others()
	out, err := converge.Apply(context.Background(), opt)
	if err != nil {
		r.errorf("the apply failed: %v", err)
		return false
	}
	var b bytes.Buffer
	_ = out.Plan.WriteText(&b, compiler.TextOptions{})
	r.texts = append(r.texts, fmt.Sprintf("== apply: status %d, %d rounds\n%s", out.Status, out.Rounds, b.String()))
	r.note(out.Diags)
	if out.Status != converge.Done {
		r.note(out.Plan.Diags)
		if out.Status != converge.Refused || out.Wrote {
			r.errorf("the apply ended with status %d", out.Status)
		}
		if now := r.own(p.Name); now != before {
			r.errorf("a refused apply changed the table (-before +now):\n%s", cmp.Diff(before, now))
		}
		return false
	}
	if out.Rounds > 1 {
		r.errorf("the host was written to %d times", out.Rounds)
	}
	if out.Wrote {
		r.wrote++
	}
	if err := ir.CheckTransaction(out.Plan.Transaction); err != nil {
		r.errorf("the transaction breaks a promise: %v", err)
	}
	if out.Wrote {
		if d := cmp.Diff(texts(out.Plan.Planned.Own), texts(out.Final.Live.Own)); d != "" {
			r.errorf("predicted, and read back (-want +got):\n%s", d)
		}
	}
	if d := cmp.Diff(others, r.others()); d != "" {
		r.errorf("what is others' has changed (-want +got):\n%s", d)
	}
	generation, _ := r.host.glance()
	again, err := converge.Apply(context.Background(), opt)
	now, _ := r.host.glance()
	if err != nil || again.Status != converge.Done || again.Wrote || now != generation {
		r.errorf("the second apply: %v, status %d, wrote %v, %d commits", err, again.Status, again.Wrote, now-generation)
	}
	return true
}

// texts are the tables of ours as lines.
func texts(own []*ir.OwnTable) []string {
	var out []string
	for _, t := range own {
		for _, s := range t.Sets {
			out = append(out, fmt.Sprintf("%s set %s %s %d", t.Key(), s.Name, s.Type, s.Size()))
		}
		for _, c := range t.Chains {
			at := "regular"
			if c.Base != nil {
				at = fmt.Sprintf("%+v", *c.Base)
			}
			out = append(out, fmt.Sprintf("%s %s: %s", t.Key(), c.Name, at))
			for i, r := range c.Rules {
				out = append(out, fmt.Sprintf("%s %s %4d: %s", t.Key(), c.Name, i, r.String()))
			}
		}
	}
	slices.Sort(out)
	return out
}

// own is our table as nft lists it.
func (r *nativeRound) own(name string) string {
	out := ""
	for _, kind := range []string{"inet", "ip", "ip6"} {
		if text, err := r.host.try("", "nft", "-s", "list", "table", kind, "hookline-"+name); err == nil {
			out += text
		}
	}
	return out
}

// others is everything but our tables, with handles and counters.
func (r *nativeRound) others() string {
	var out strings.Builder
	ours := false
	for line := range strings.Lines(r.host.run("", "nft", "-a", "list", "ruleset")) {
		if strings.HasPrefix(line, "table ") {
			ours = strings.Contains(line, " hookline-")
		}
		if !ours {
			out.WriteString(line)
		}
	}
	return out.String()
}

// drift changes our table as somebody with a shell does.
func (r *nativeRound) drift(name string) {
	var at []string // TABLE CHAIN HANDLE
	var chains []string
	for _, kind := range []string{"inet", "ip", "ip6"} {
		text, err := r.host.try("", "nft", "-a", "list", "table", kind, "hookline-"+name)
		if err != nil {
			continue
		}
		chain := ""
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			if len(words) > 2 && words[0] == "chain" {
				chain = kind + " hookline-" + name + " " + words[1]
				chains = append(chains, chain)
				continue
			}
			if n := len(words); n > 3 && words[n-2] == "handle" && chain != "" {
				if _, err := strconv.Atoi(words[n-1]); err == nil {
					at = append(at, chain+" handle "+words[n-1])
				}
			}
		}
	}
	for range 1 + r.IntN(3) {
		command := ""
		switch {
		case len(at) > 0 && r.one(2):
			i := r.IntN(len(at))
			command = "delete rule " + at[i]
			at = slices.Delete(at, i, i+1)
		case len(chains) > 0:
			command = r.pick("add", "insert") + " rule " + chains[r.IntN(len(chains))] + " " +
				r.pick("accept", "counter", "tcp dport 80 drop", `ip saddr 192.0.2.1 counter accept comment "by hand"`)
		}
		if command == "" {
			continue
		}
		if _, err := r.host.try(command, "nft", "-f", "-"); err == nil {
			r.texts = append(r.texts, "== drift: "+command)
		}
	}
}
