package lower

import (
	"cmp"
	"slices"

	"hookline/dsl/diag"
)

// interval is a value or range of a list, both ends included.
type interval[T any] struct {
	low, high T
	span      diag.Span
}

type numbers = interval[uint64]

// merge makes a list disjoint without changing what it covers: values inside
// others go, ranges that overlap become one. Neighbours stay as written, and so
// does the order.
func merge[T any](list []interval[T], compare func(a, b T) int) []interval[T] {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if c := compare(list[a].low, list[b].low); c != 0 {
			return c
		}
		return compare(list[b].high, list[a].high)
	})
	type kept struct {
		interval[T]
		first int
	}
	var out []kept
	for _, i := range order {
		x := list[i]
		if n := len(out); n > 0 && compare(x.low, out[n-1].high) <= 0 {
			if compare(x.high, out[n-1].high) > 0 {
				out[n-1].high = x.high
			}
			out[n-1].first = min(out[n-1].first, i)
			continue
		}
		out = append(out, kept{x, i})
	}
	slices.SortFunc(out, func(a, b kept) int { return cmp.Compare(a.first, b.first) })
	res := make([]interval[T], len(out))
	for i, k := range out {
		res[i] = k.interval
	}
	return res
}

// mergeNumbers is merge for numbers.
func mergeNumbers(list []numbers) []numbers { return merge(list, cmp.Compare[uint64]) }

// covers tells whether a merged list is the whole of [0, max].
func covers(list []numbers, max uint64) bool {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b numbers) int { return cmp.Compare(a.low, b.low) })
	next := uint64(0)
	for _, x := range sorted {
		if x.low > next {
			return false
		}
		if x.high >= max {
			return true
		}
		next = x.high + 1
	}
	return false
}
