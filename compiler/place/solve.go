package place

import (
	"slices"

	"hookline/dsl/diag"
)

// Solve places the anchors of one chain. It always returns a chain: an anchor
// that cannot be placed is reported and left as it stands, with its duplicates
// collapsed.
func Solve(in Input) (Output, *diag.List) {
	s := newSolver(in)
	s.settleMissing()
	s.dropCycles()
	s.build()
	for s.dropCrossing() {
		s.build()
	}
	s.stay()
	return s.output(), &s.diags
}

// status is what is to be done with an anchor.
type status uint8

const (
	active status = iota // to be placed
	held                 // left alone: a reference that it waits for is missing
	failed               // left alone: reported
	idle                 // adopted, and no jump of it stands
)

// solver holds one run of Solve. Places are indices of live rules throughout:
// a jump that stands in bounds lies strictly between two of them.
type solver struct {
	in     Input
	diags  diag.List
	status []status // by anchor
	copyOf []int    // by live rule: the anchor that it is a copy of, or -1
	// matched are the live rules that a reference stands for and that do not go
	// away, ascending.
	matched map[*Ref][]int

	nodes   []*node
	byAnch  [][]int // nodes of an anchor
	precede [][]bool
}

// node is a jump that is to stand in the chain once. An anchor is one node, but
// for an adopted one whose copies all stay, which is one node for each.
type node struct {
	anchor int
	// copies stand now, ascending; after stay, at is the one that stays, or -1.
	copies []int
	at     int
	// may are the copies that can stay as far as deleting by value goes.
	may []int
	// low and high are the bounds by foreign rules, own and inherited.
	low, high bound
	edges     []edge // to the nodes that this one must precede
}

// bound is a live rule that a node must stay behind or ahead of.
type bound struct {
	rule int  // -1 or len(rules) if there is none
	ref  *Ref // which reference of which node asks for it
	node int
}

// edge says that a node must precede another, because of a reference.
type edge struct {
	to  int
	ref *Ref // nil between copies of one anchor
	// after tells that the reference is the later node's `after`.
	after bool
}

func newSolver(in Input) *solver {
	s := &solver{
		in: in, status: make([]status, len(in.Anchors)), copyOf: make([]int, len(in.Rules)), matched: map[*Ref][]int{},
	}
	for i := range s.copyOf {
		s.copyOf[i] = -1
	}
	for a, x := range in.Anchors {
		for _, i := range x.Standing {
			s.copyOf[i] = a
		}
		if x.Adopt && len(x.Standing) == 0 {
			s.status[a] = idle
		}
		s.refs(a, func(r *Ref, _ bool) {
			for i, l := range in.Rules {
				if r.Match != nil && !l.Remove && r.Match(i) {
					s.matched[r] = append(s.matched[r], i)
				}
			}
		})
	}
	return s
}

// resolve splits what a reference of an anchor stands for into live rules that
// nobody moves and anchors that are to be placed. dropped tells that it means an
// anchor that was reported as impossible; such a reference bounds nothing and is
// not missing either.
func (s *solver) resolve(a int, r *Ref) (rules, anchors []int, dropped bool) {
	own := slices.Clone(r.Own)
	for _, i := range s.matched[r] {
		if s.copyOf[i] < 0 {
			rules = append(rules, i)
		} else {
			own = append(own, s.copyOf[i])
		}
	}
	slices.Sort(own)
	for _, b := range slices.Compact(own) {
		if b == a {
			continue
		}
		switch s.status[b] {
		case active:
			anchors = append(anchors, b)
		case held:
			rules = append(rules, s.survivors(b)...)
		case failed:
			dropped = true
		case idle:
		}
	}
	slices.Sort(rules)
	return rules, anchors, dropped
}

func (s *solver) missing(a int, r *Ref) bool {
	rules, anchors, dropped := s.resolve(a, r)
	return len(rules)+len(anchors) == 0 && !dropped
}

// refs calls f for each reference of an anchor, `after` first.
func (s *solver) refs(a int, f func(r *Ref, after bool)) {
	x := &s.in.Anchors[a]
	for i := range x.After {
		f(&x.After[i], true)
	}
	for i := range x.Before {
		f(&x.Before[i], false)
	}
}

// settleMissing decides which anchors wait and which fail because of references
// that stand for nothing. An anchor that waits can make another one wait.
func (s *solver) settleMissing() {
	for again := true; again; {
		again = false
		for a := range s.in.Anchors {
			if s.status[a] != active {
				continue
			}
			s.refs(a, func(r *Ref, _ bool) {
				if r.IfMissing == Hold && s.status[a] == active && s.missing(a, r) {
					s.status[a], again = held, true
				}
			})
		}
	}
	fails := []int{}
	for a := range s.in.Anchors {
		switch s.status[a] {
		case idle:
			s.reportIdle(a)
			continue
		case held:
			s.reportHeld(a)
			continue
		case active, failed:
		}
		fail := false
		s.refs(a, func(r *Ref, _ bool) {
			if r.IfMissing == Fail && s.missing(a, r) {
				s.reportMissing(a, r)
				fail = true
			}
		})
		if fail {
			fails = append(fails, a)
		}
	}
	for _, a := range fails {
		s.status[a] = failed
	}
}

// collapses tells whether only one copy of an anchor's jump may stay.
func (s *solver) collapses(a int) bool { return s.in.Anchors[a].Collapse }

// mayStay tells whether a copy survives when all others are deleted by value,
// which takes the first equal one: no later copy has the same text.
func (s *solver) mayStay(a, copyAt int) bool {
	x := &s.in.Anchors[a]
	for _, j := range slices.Backward(x.Standing) {
		if j <= copyAt {
			break
		}
		if s.sameText(a, j, copyAt) {
			return false
		}
	}
	return true
}

func (s *solver) sameText(a, i, j int) bool {
	if s.in.Anchors[a].EqualText {
		return true
	}
	p, q := s.in.Rules[i].Rule, s.in.Rules[j].Rule
	return p != nil && q != nil && p.Text == q.Text
}

// survivors are the copies of an anchor that is left alone: all of them, or, if
// duplicates collapse, the first that may stay within the bounds that are there,
// else the first that may stay.
func (s *solver) survivors(a int) []int {
	standing := s.in.Anchors[a].Standing
	if len(standing) < 2 || !s.collapses(a) {
		return standing
	}
	low, high := -1, len(s.in.Rules)
	s.refs(a, func(r *Ref, after bool) {
		for _, i := range s.matched[r] {
			if s.copyOf[i] >= 0 {
				continue
			}
			if after {
				low = max(low, i)
			} else {
				high = min(high, i)
			}
		}
	})
	first := -1
	for _, i := range standing {
		if !s.mayStay(a, i) {
			continue
		}
		if low < i && i < high {
			return []int{i}
		}
		if first < 0 {
			first = i
		}
	}
	return []int{first}
}
