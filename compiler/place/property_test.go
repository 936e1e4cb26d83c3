package place_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hookline/compiler/place"
	"hookline/dsl/diag"
)

// properties solves a chain and checks what must hold of every result.
func properties(chain string, jumps []jump) error {
	in := input(chain, jumps...)
	out, diags := place.Solve(in)
	fail := func(format string, args ...any) error {
		return fmt.Errorf("Solve(%q, %+v) = %q: %s", chain, jumps, result(in, out), fmt.Sprintf(format, args...))
	}
	if err := foreignKept(in, out); err != nil {
		return fail("%v", err)
	}
	if err := deletable(in, out); err != nil {
		return fail("%v", err)
	}
	settled := again(in, out)
	in2 := input(settled, jumps...)
	out2, diags2 := place.Solve(in2)
	if out2.Changed() {
		return fail("solving the result again gives %q", result(in2, out2))
	}
	if diags.HasErrors() != diags2.HasErrors() {
		return fail("solving the result again: errors %v, were %v", codes(diags2), codes(diags))
	}
	if !diags.HasErrors() && len(out.Held) == 0 {
		if err := inBounds(settled, jumps); err != nil {
			return fail("%v", err)
		}
	}
	for _, p := range out.Steps(in) {
		if p.Kind == place.Keep && p.Live < 0 {
			return fail("a kept step without a live rule")
		}
	}
	return nil
}

// foreignKept: every rule of others that does not go away is there, in order.
func foreignKept(in place.Input, out place.Output) error {
	own := map[int]bool{}
	for _, a := range in.Anchors {
		for _, i := range a.Standing {
			own[i] = true
		}
	}
	var want, got []int
	for i, l := range in.Rules {
		if !own[i] && !l.Remove {
			want = append(want, i)
		}
	}
	for _, p := range out.Order {
		if p.Anchor < 0 {
			got = append(got, p.Live)
		}
	}
	if !slices.Equal(want, got) {
		return fmt.Errorf("foreign rules %v became %v", want, got)
	}
	return nil
}

// deletable: deleting by value, first equal rule first, leaves exactly what the
// output keeps.
func deletable(in place.Input, out place.Output) error {
	left := make([]int, 0, len(in.Rules))
	for i := range in.Rules {
		left = append(left, i)
	}
	for _, gone := range out.Removed {
		at := slices.IndexFunc(left, func(i int) bool { return in.Rules[i].Rule.Text == in.Rules[gone].Rule.Text })
		left = slices.Delete(left, at, at+1)
	}
	var kept []int
	for _, p := range out.Order {
		if p.Kind == place.Keep {
			kept = append(kept, p.Live)
		}
	}
	if !slices.Equal(left, kept) {
		return fmt.Errorf("deleting by value leaves %v, not %v", left, kept)
	}
	return nil
}

// inBounds checks the references of every jump on a finished chain.
func inBounds(chain string, jumps []jump) error {
	words := strings.Fields(chain)
	for _, j := range jumps {
		n := 0
		for p, w := range words {
			if !isCopy(w, j.name) {
				continue
			}
			n++
			for _, r := range strings.Fields(j.after) {
				if last := lastOf(words, r, j.name); last > p {
					return fmt.Errorf("%s at %d is not after %s at %d", j.name, p, r, last)
				}
			}
			for _, r := range strings.Fields(j.before) {
				if first := firstOf(words, r, j.name); first >= 0 && first < p {
					return fmt.Errorf("%s at %d is not before %s at %d", j.name, p, r, first)
				}
			}
		}
		if n > 1 && !(j.adopt && j.all) {
			return fmt.Errorf("%s stands %d times", j.name, n)
		}
		if n == 0 && !j.adopt {
			return fmt.Errorf("%s does not stand", j.name)
		}
	}
	return nil
}

func matches(word, ref, self string) bool {
	ref = strings.TrimRight(ref, "!?")
	if own, ok := strings.CutPrefix(ref, "@"); ok {
		return own != self && isCopy(word, own)
	}
	return word == ref
}

func lastOf(words []string, ref, self string) int {
	for i := len(words) - 1; i >= 0; i-- {
		if matches(words[i], ref, self) {
			return i
		}
	}
	return -1
}

func firstOf(words []string, ref, self string) int {
	return slices.IndexFunc(words, func(w string) bool { return matches(w, ref, self) })
}

// fewest finds the least number of jumps that have to be put in or moved, by
// trying every chain; -1 if no chain satisfies all references.
func fewest(chain string, jumps []jump) int {
	words := strings.Fields(chain)
	in := input(chain, jumps...)
	best := -1
	var stays func(k int, at map[int]int)
	stays = func(k int, at map[int]int) {
		if k < len(jumps) {
			stays(k+1, at) // put in anew, or idle
			for _, p := range in.Anchors[k].Standing {
				if !slices.Contains(words[p+1:], words[p]) {
					at[p] = k
					stays(k+1, at)
					delete(at, p)
				}
			}
			return
		}
		var base []string
		var put []string
		staying := map[int]bool{}
		for p, w := range words {
			if k, ok := at[p]; ok {
				staying[k] = true
				base = append(base, w)
			} else if !strings.HasPrefix(w, "@") && !strings.HasPrefix(w, "-") {
				base = append(base, w)
			}
		}
		for k, j := range jumps {
			if !staying[k] && (!j.adopt || len(in.Anchors[k].Standing) > 0) {
				put = append(put, "@"+j.name)
			}
		}
		if best >= 0 && len(put) >= best {
			return
		}
		if canPut(base, put, jumps) {
			best = len(put)
		}
	}
	stays(0, map[int]int{})
	return best
}

func canPut(base, put []string, jumps []jump) bool {
	if len(put) == 0 {
		return inBounds(strings.Join(base, " "), jumps) == nil
	}
	for i := range len(base) + 1 {
		if canPut(slices.Insert(slices.Clone(base), i, put[0]), put[1:], jumps) {
			return true
		}
	}
	return false
}

// decode makes a chain and jumps of fuzz bytes: up to 7 rules and 3 jumps.
func decode(data []byte) (string, []jump) {
	next := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	names := []string{"A", "B", "C"}
	words := []string{"p", "q", "r", "-s", "@A", "@B", "@C", "@A~1", "@B~1", "p", "q"}
	var chain []string
	for range next() % 8 {
		chain = append(chain, words[next()%len(words)])
	}
	refs := []string{"", "p", "q", "r", "@A", "@B", "@C", "p q", "r @B", "@A q", "nobody", "nobody?", "nobody!"}
	var jumps []jump
	for i := range 1 + next()%3 {
		j := jump{name: names[i], after: refs[next()%len(refs)], before: refs[next()%len(refs)], at: place.End(next() % 3)}
		switch next() % 4 {
		case 1:
			j.adopt = true
		case 2:
			j.adopt, j.all = true, true
		}
		jumps = append(jumps, j)
	}
	return strings.Join(chain, " "), jumps
}

// checkFuzz is the property of FuzzSolve: besides properties, an error is
// reported exactly if no chain satisfies the references, and no more jumps are
// moved than necessary.
func checkFuzz(data []byte) error {
	chain, jumps := decode(data)
	for _, w := range strings.Fields(chain) {
		known := !strings.HasPrefix(w, "@")
		for _, j := range jumps {
			known = known || isCopy(w, j.name)
		}
		if !known { // a copy of a jump that nobody declares is a foreign rule here
			chain = strings.ReplaceAll(chain, w, "p")
		}
	}
	if err := properties(chain, jumps); err != nil {
		return err
	}
	in := input(chain, jumps...)
	out, diags := place.Solve(in)
	for _, j := range jumps {
		if len(out.Held) > 0 || diags.Has(diag.MissingReference) && diags.HasErrors() || j.adopt && j.all {
			return nil
		}
	}
	want, got := fewest(chain, jumps), 0
	for _, p := range out.Order {
		if p.Kind != place.Keep {
			got++
		}
	}
	if diags.HasErrors() {
		got = -1
	}
	if want != got {
		return fmt.Errorf("Solve(%q, %+v) = %q: %d jumps put in or moved, %d would do", chain, jumps, result(in, out), got, want)
	}
	return nil
}

func FuzzSolve(f *testing.F) {
	f.Add([]byte{3, 0, 4, 1, 0, 1, 2, 0, 0})
	f.Add([]byte{7, 4, 0, 5, 1, 6, 7, 8, 2, 5, 6, 0, 0, 6, 0, 1, 0, 1, 2, 2, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := checkFuzz(data); err != nil {
			t.Error(err)
		}
	})
}

// Thirty thousand chains without chance: a fixed generator.
func TestSolveProperties(t *testing.T) {
	n := 30_000
	if testing.Short() {
		n = 3_000
	}
	state := uint64(1)
	data := make([]byte, 32)
	for range n {
		for i := range data {
			state = state*6364136223846793005 + 1442695040888963407
			data[i] = byte(state >> 56)
		}
		if err := checkFuzz(data); err != nil {
			t.Fatal(err)
		}
	}
}
