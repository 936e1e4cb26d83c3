package compiler

import (
	"slices"

	"hookline/compiler/ir"
	"hookline/dsl/diag"
)

// ChangeKind says what happens to a rule or a chain.
type ChangeKind uint8

// The kinds of change, with their marks in a plan: + - ~ >.
const (
	Unchanged ChangeKind = iota
	Added
	Removed
	Changed
	Moved
)

// Mark is how a plan marks the kind.
func (k ChangeKind) Mark() string { return [...]string{" ", "+", "-", "~", ">"}[k] }

func (k ChangeKind) String() string {
	return [...]string{"unchanged", "add", "remove", "change", "move"}[k]
}

// Change is one difference between the host and what is declared.
type Change struct {
	Key  ir.ChainKey
	Kind ChangeKind
	// Address is the rule's name, or #N, in its chain; an anchor's name; or the name
	// of a chain that comes or goes.
	Address string
	// Before and After are rule texts, or a chain's name.
	Before, After string
	Source        diag.Span
	// Reason is why a rule or a chain of others is collected; else empty.
	Reason string
}

// ChainView is a shared chain as the plan leaves it, or a chain of others from
// which rules are collected.
type ChainView struct {
	Key ir.ChainKey
	// Policy of a built-in chain.
	Policy  string
	Changed bool
	// Foreign tells that it is a chain of others, Owner whose, if known; Dropped that
	// it goes.
	Foreign, Dropped bool
	Owner            string
	Lines            []ViewLine
}

// ViewLine is one rule of a ChainView.
type ViewLine struct {
	Kind ChangeKind
	// Position in the resulting chain, counted from 1; 0 for a rule that goes away.
	Position int
	Text     string
	// Participant is whose rule it is; empty if nobody claims it. Ours tells that it
	// is one of our jumps, Adopted that a ruleset manages its place.
	Participant   string
	Ours, Adopted bool
	// Collected tells that the rule is one of others that goes, and Reason why.
	Collected bool
	Reason    string
}

// what says in a few words what kind of chain it is.
func (v ChainView) what() string {
	s := "shared chain"
	switch {
	case v.Foreign && v.Owner != "":
		s = "chain of " + v.Owner
	case v.Foreign:
		s = "chain of others"
	}
	if v.Policy != "" {
		s += ", policy " + v.Policy
	}
	if v.Dropped {
		s += ", goes"
	}
	return s
}

// reasonBehind is the reason to show behind a line: that of a run of collected
// lines, behind the last of them.
func (v ChainView) reasonBehind(i int) string {
	l := v.Lines[i]
	if !l.Collected || i+1 < len(v.Lines) && v.Lines[i+1].Collected && v.Lines[i+1].Reason == l.Reason {
		return ""
	}
	return "reason: " + diag.Visible(l.Reason)
}

// edit is one line of a difference: index old in the old list, new in the new.
type edit struct {
	kind     ChangeKind
	old, new int
}

// diffLimit bounds the table of the longest common subsequence; longer lists are
// compared piece by piece.
const diffLimit = 4 << 20

// diffLines compares two lists of lines. A removed line directly ahead of an
// added one is a changed line.
func diffLines(old, new []string) []edit {
	head := 0
	for head < len(old) && head < len(new) && old[head] == new[head] {
		head++
	}
	tail := 0
	for tail < len(old)-head && tail < len(new)-head && old[len(old)-1-tail] == new[len(new)-1-tail] {
		tail++
	}
	var out []edit
	for i := range head {
		out = append(out, edit{Unchanged, i, i})
	}
	out = append(out, diffMiddle(old[head:len(old)-tail], new[head:len(new)-tail], head)...)
	for i := tail; i > 0; i-- {
		out = append(out, edit{Unchanged, len(old) - i, len(new) - i})
	}
	return out
}

// diffMiddle compares what is left between equal heads and tails: by the longest
// common subsequence if the lists are short, else piece by piece between the lines
// that stand once in each list.
func diffMiddle(old, new []string, at int) []edit {
	if (len(old)+1)*(len(new)+1) <= diffLimit {
		return diffShort(old, new, at, at)
	}
	var out []edit
	i, j := 0, 0
	piece := func(oldEnd, newEnd int) {
		out = append(out, diffPiece(old[i:oldEnd], new[j:newEnd], at+i, at+j)...)
		i, j = oldEnd, newEnd
	}
	for _, m := range onceInBoth(old, new) {
		piece(m.old, m.new)
		out = append(out, edit{Unchanged, at + i, at + j})
		i, j = i+1, j+1
	}
	piece(len(old), len(new))
	return out
}

// diffPiece is diffShort, or, of what is too long for that, all of the old and all of
// the new.
func diffPiece(old, new []string, oldAt, newAt int) []edit {
	if (len(old)+1)*(len(new)+1) <= diffLimit {
		return diffShort(old, new, oldAt, newAt)
	}
	var out []edit
	for i := range old {
		out = append(out, edit{Removed, oldAt + i, -1})
	}
	for j := range new {
		out = append(out, edit{Added, -1, newAt + j})
	}
	return out
}

// onceInBoth are the most lines that stand once in each list and in the same order
// in both: a longest ascending row of places.
func onceInBoth(old, new []string) []edit {
	type place struct{ count, at int }
	index := func(list []string) map[string]place {
		out := make(map[string]place, len(list))
		for i, s := range list {
			p := out[s]
			out[s] = place{p.count + 1, i}
		}
		return out
	}
	in, all := index(new), index(old)
	var pairs []edit
	for i, s := range old {
		if p := in[s]; p.count == 1 && all[s].count == 1 {
			pairs = append(pairs, edit{Unchanged, i, p.at})
		}
	}
	// last[n] is the pair with the least place in new that ends a row of n+1.
	last, before := []int{}, make([]int, len(pairs))
	for k, p := range pairs {
		n, _ := slices.BinarySearchFunc(last, p.new, func(x, to int) int { return pairs[x].new - to })
		before[k] = -1
		if n > 0 {
			before[k] = last[n-1]
		}
		if n == len(last) {
			last = append(last, k)
		} else {
			last[n] = k
		}
	}
	var out []edit
	if len(last) > 0 {
		for k := last[len(last)-1]; k >= 0; k = before[k] {
			out = append(out, pairs[k])
		}
	}
	slices.Reverse(out)
	return out
}

// diffShort compares two lists by their longest common subsequence. The two numbers
// are what the lists' indexes begin with.
func diffShort(old, new []string, oldAt, newAt int) []edit {
	w := len(new) + 1
	lcs := make([]int32, (len(old)+1)*w)
	for i := len(old) - 1; i >= 0; i-- {
		for j := len(new) - 1; j >= 0; j-- {
			if old[i] == new[j] {
				lcs[i*w+j] = lcs[(i+1)*w+j+1] + 1
			} else {
				lcs[i*w+j] = max(lcs[(i+1)*w+j], lcs[i*w+j+1])
			}
		}
	}
	var out []edit
	var gone, come []int
	flush := func() {
		n := min(len(gone), len(come))
		for k := range n {
			out = append(out, edit{Changed, gone[k], come[k]})
		}
		for _, i := range gone[n:] {
			out = append(out, edit{Removed, i, -1})
		}
		for _, j := range come[n:] {
			out = append(out, edit{Added, -1, j})
		}
		gone, come = nil, nil
	}
	i, j := 0, 0
	for i < len(old) || j < len(new) {
		switch {
		case i < len(old) && j < len(new) && old[i] == new[j]:
			flush()
			out = append(out, edit{Unchanged, oldAt + i, newAt + j})
			i, j = i+1, j+1
		case i < len(old) && (j == len(new) || lcs[(i+1)*w+j] >= lcs[i*w+j+1]):
			gone = append(gone, oldAt+i)
			i++
		default:
			come = append(come, newAt+j)
			j++
		}
	}
	flush()
	return out
}
