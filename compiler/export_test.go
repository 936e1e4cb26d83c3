package compiler

// Patched applies the edits of diffLines to the first list.
func Patched(a, b []string) []string {
	var out []string
	next := 0
	for _, e := range diffLines(a, b) {
		if e.old >= 0 {
			if e.old != next {
				panic("an old line is left out or comes twice")
			}
			next++
		}
		switch e.kind {
		case Unchanged:
			out = append(out, a[e.old])
		case Added, Changed:
			out = append(out, b[e.new])
		}
	}
	if next != len(a) {
		panic("old lines are left over")
	}
	return out
}
