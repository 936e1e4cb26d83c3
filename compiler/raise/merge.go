package raise

import (
	"slices"
)

// step is one place of a common supersequence: the index of an item in a, in b, or
// in both; -1 where the list does not have it.
type step struct{ a, b int }

// supersequence merges two lists so that both keep their order and equal items
// come together. It is the shortest such list where the part that differs is
// small; beyond that the items that are unique in both lists decide, which is
// enough for chains of thousands of rules.
func supersequence(a, b []string) []step {
	var out []step
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		out = append(out, step{head, head})
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	out = append(out, middle(a, b, head, len(a)-tail, head, len(b)-tail)...)
	for i := tail; i > 0; i-- {
		out = append(out, step{len(a) - i, len(b) - i})
	}
	return out
}

// exactLimit bounds the table of the longest common subsequence.
const exactLimit = 1 << 20

// middle merges a[i:j] and b[k:l].
func middle(a, b []string, i, j, k, l int) []step {
	if i == j || k == l || (j-i+1)*(l-k+1) <= exactLimit {
		return exact(a, b, i, j, k, l)
	}
	anchors := unique(a, b, i, j, k, l)
	if len(anchors) == 0 {
		return apart(i, j, k, l)
	}
	var out []step
	for _, x := range append(anchors, step{j, l}) {
		if (x.a-i+1)*(x.b-k+1) <= exactLimit {
			out = append(out, exact(a, b, i, x.a, k, x.b)...)
		} else {
			out = append(out, apart(i, x.a, k, x.b)...)
		}
		if x.a < j {
			out = append(out, x)
		}
		i, k = x.a+1, x.b+1
	}
	return out
}

// apart is all of one list, then all of the other.
func apart(i, j, k, l int) []step {
	var out []step
	for ; i < j; i++ {
		out = append(out, step{i, -1})
	}
	for ; k < l; k++ {
		out = append(out, step{-1, k})
	}
	return out
}

// exact merges by the longest common subsequence.
func exact(a, b []string, i, j, k, l int) []step {
	if i == j || k == l {
		return apart(i, j, k, l)
	}
	w := l - k + 1
	lcs := make([]int32, (j-i+1)*w)
	for x := j - i - 1; x >= 0; x-- {
		for y := l - k - 1; y >= 0; y-- {
			if a[i+x] == b[k+y] {
				lcs[x*w+y] = lcs[(x+1)*w+y+1] + 1
			} else {
				lcs[x*w+y] = max(lcs[(x+1)*w+y], lcs[x*w+y+1])
			}
		}
	}
	var out []step
	x, y := 0, 0
	for x < j-i || y < l-k {
		switch {
		case x < j-i && y < l-k && a[i+x] == b[k+y]:
			out = append(out, step{i + x, k + y})
			x, y = x+1, y+1
		case y == l-k || x < j-i && lcs[(x+1)*w+y] >= lcs[x*w+y+1]:
			out = append(out, step{i + x, -1})
			x++
		default:
			out = append(out, step{-1, k + y})
			y++
		}
	}
	return out
}

// unique pairs the items that stand once in a[i:j] and once in b[k:l], as many as
// keep both orders: the longest rising sequence, by patience.
func unique(a, b []string, i, j, k, l int) []step {
	count := map[string][4]int{} // times in a, in b, index in a, in b
	for x := i; x < j; x++ {
		c := count[a[x]]
		c[0], c[2] = c[0]+1, x
		count[a[x]] = c
	}
	for y := k; y < l; y++ {
		c := count[b[y]]
		c[1], c[3] = c[1]+1, y
		count[b[y]] = c
	}
	var pairs []step
	for x := i; x < j; x++ {
		if c := count[a[x]]; c[0] == 1 && c[1] == 1 {
			pairs = append(pairs, step{x, c[3]})
		}
	}
	piles := []int{} // index in pairs of each pile's top
	before := make([]int, len(pairs))
	for n, p := range pairs {
		at, _ := slices.BinarySearchFunc(piles, p.b, func(top, b int) int { return pairs[top].b - b })
		before[n] = -1
		if at > 0 {
			before[n] = piles[at-1]
		}
		if at == len(piles) {
			piles = append(piles, n)
		} else {
			piles[at] = n
		}
	}
	var out []step
	if len(piles) > 0 {
		for n := piles[len(piles)-1]; n >= 0; n = before[n] {
			out = append(out, pairs[n])
		}
	}
	slices.Reverse(out)
	return out
}
