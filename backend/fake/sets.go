package fake

import (
	"fmt"
	"slices"
	"strings"

	"hookline/backend"
	"hookline/compiler/ir"
)

// restoreSets does what `ipset restore` does, line by line: what stands ahead of a
// line that is refused has been done.
func (s *session) restoreSets(script backend.Script) error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	n := 0
	for line := range strings.Lines(script.Text) {
		n++
		state := s.host.state.Clone()
		if message := setLine(state, strings.TrimSuffix(line, "\n")); message != "" {
			return &backend.ScriptError{Script: script, Tool: "ipset", Number: n, Exit: 1, Message: message}
		}
		s.host.state = state
	}
	return nil
}

// setLine does one line of a restore; the message says why the kernel refuses it.
func setLine(state *ir.State, line string) (message string) {
	words := strings.SplitN(line, " ", 4)
	if len(words) < 2 {
		return "Missing mandatory argument"
	}
	at := func(name string) int {
		return slices.IndexFunc(state.Sets, func(x *ir.Set) bool { return x.Name == name })
	}
	i := at(words[1])
	if i < 0 && words[0] != "create" {
		return "The set with the given name does not exist"
	}
	switch {
	case words[0] == "create" && i >= 0:
		return "Set cannot be created: set with the same name already exists"
	case words[0] == "create":
		set := &ir.Set{Name: words[1], Type: words[2], Counted: -1, Elements: []string{}}
		if len(words) > 3 {
			set.Header = words[3]
		}
		switch {
		case strings.Contains(set.Header, "family inet6"):
			set.Family = ir.IPv6
		case strings.Contains(set.Header, "family inet"):
			set.Family = ir.IPv4
		}
		state.Sets = append(state.Sets, set)
	case words[0] == "add", words[0] == "del":
		set := *state.Sets[i]
		element := strings.Join(words[2:], " ")
		key, _, _ := strings.Cut(element, " ")
		n := slices.IndexFunc(set.Elements, func(e string) bool { return e == key || strings.HasPrefix(e, key+" ") })
		switch {
		case words[0] == "add" && n >= 0:
			return "Element cannot be added to the set: it's already added"
		case words[0] == "add":
			set.Elements = append(slices.Clone(set.Elements), element)
		case n < 0:
			return "Element cannot be deleted from the set: it's not added"
		default:
			set.Elements = slices.Delete(slices.Clone(set.Elements), n, n+1)
		}
		state.Sets[i] = &set
	case words[0] == "swap":
		j := at(words[2])
		if j < 0 {
			return "Sets cannot be swapped: the second set does not exist"
		}
		a, b := *state.Sets[i], *state.Sets[j]
		if a.Type != b.Type || a.Family != b.Family {
			return "The sets cannot be swapped: their type does not match"
		}
		a.Name, b.Name = b.Name, a.Name
		state.Sets[i], state.Sets[j] = &b, &a
	case words[0] == "rename" && at(words[2]) >= 0:
		return "Set cannot be renamed: a set with the new name already exists"
	case words[0] == "rename":
		set := *state.Sets[i]
		set.Name = words[2]
		state.Sets[i] = &set
	case words[0] == "destroy" && setRefs(state, words[1]) > 0:
		return "Set cannot be destroyed: it is in use by a kernel component"
	case words[0] == "destroy":
		state.Sets = slices.Delete(state.Sets, i, i+1)
	default:
		return fmt.Sprintf("Unknown command %q", words[0])
	}
	return ""
}

// setRefs counts the rules that name a set, as often as they do.
func setRefs(state *ir.State, name string) int {
	n := 0
	for _, t := range state.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				n += strings.Count(r.Text+" ", "-set "+name+" ")
			}
		}
	}
	return n
}
