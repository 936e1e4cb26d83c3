package ir

import (
	"fmt"
	"slices"
	"strings"

	"hookline/dsl/diag"
)

// SetOpKind is the kind of a step on a set. The kinds are a closed set.
type SetOpKind uint8

// The kinds of step. Each leaves the set as it was or as it is to be, wherever it is
// interrupted: what a packet can meet is never half of either.
const (
	SetWrite   SetOpKind = iota + 1 // fill a new set beside it, then put that in its place
	SetAdd                          // add one element
	SetDelete                       // delete one element
	SetDestroy                      // destroy the set, which nothing may refer to
)

// SetOp is one step on a set of the host.
type SetOp struct {
	Kind   SetOpKind
	Name   string
	Family Family // 0 for a type without one
	// Type and Header of SetWrite, as Set has them; Temp is the name under which the set
	// is filled, Swap tells that a set of the same type stands in its place.
	Type, Header, Temp string
	Swap               bool
	// Elements of SetWrite, or the one of SetAdd and SetDelete.
	Elements []string
	// Origin is the YAML value that asks for the op; zero if it follows from the host's
	// state.
	Origin diag.Span
}

func (s *State) applySets(ops []SetOp) error {
	if len(ops) == 0 {
		return nil
	}
	s.Sets = slices.Clone(s.Sets)
	for _, o := range ops {
		if err := s.applySet(o); err != nil {
			return err
		}
	}
	return nil
}

func (s *State) applySet(o SetOp) error {
	at := slices.IndexFunc(s.Sets, func(x *Set) bool { return x.Name == o.Name })
	refused := func(format string, args ...any) error {
		return &SetError{Op: o, Message: fmt.Sprintf(format, args...)}
	}
	if o.Kind == SetWrite {
		n := &Set{Family: o.Family, Name: o.Name, Type: o.Type, Header: o.Header, Elements: o.Elements, Counted: -1}
		switch {
		case at < 0 && o.Swap:
			return refused("it is not there")
		case at < 0:
			i, _ := slices.BinarySearchFunc(s.Sets, o.Name, func(x *Set, name string) int { return strings.Compare(x.Name, name) })
			s.Sets = slices.Insert(s.Sets, i, n)
		case !o.Swap:
			return refused("it stands already")
		case s.Sets[at].Type != o.Type || s.Sets[at].Family != o.Family:
			return refused("it is a %s, which cannot be swapped with a %s", s.Sets[at].Type, o.Type)
		default:
			n.Refs = s.Sets[at].Refs
			s.Sets[at] = n
		}
		return nil
	}
	if at < 0 {
		return refused("it is not there")
	}
	old := s.Sets[at]
	if o.Kind == SetDestroy {
		if who := s.refersTo(o.Name); who != "" {
			return refused("chain %s refers to it", who)
		}
		s.Sets = slices.Delete(s.Sets, at, at+1)
		return nil
	}
	n := *old
	i := slices.IndexFunc(old.Elements, func(e string) bool { return setKey(e) == setKey(o.Elements[0]) })
	switch {
	case o.Kind == SetAdd && i >= 0:
		return refused("the element %s is in it already", setKey(o.Elements[0]))
	case o.Kind == SetAdd:
		n.Elements = append(slices.Clone(old.Elements), o.Elements[0])
	case i < 0:
		return refused("the element %s is not in it", setKey(o.Elements[0]))
	default:
		n.Elements = slices.Delete(slices.Clone(old.Elements), i, i+1)
	}
	s.Sets[at] = &n
	return nil
}

// setKey is what an element matches, without what it says besides.
func setKey(element string) string {
	key, _, _ := strings.Cut(element, " ")
	return key
}

// refersTo is a chain with a rule that names a set, or "".
func (s *State) refersTo(set string) string {
	for _, t := range s.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				found := false
				r.setNames(func(name string) { found = found || name == set })
				if found {
					return ChainKey{t.Family, t.Name, c.Name}.String()
				}
			}
		}
	}
	return ""
}

// SetError is a step on a set that the kernel would refuse.
type SetError struct {
	Op      SetOp
	Message string
}

func (e *SetError) Error() string { return "set " + e.Op.Name + ": " + e.Message }
