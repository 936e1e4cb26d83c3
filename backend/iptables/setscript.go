package iptables

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hookline/backend"
	"hookline/compiler/ir"
)

// renderSets writes steps on sets as the text that `ipset restore` reads. A set is
// made under its temporary name, whole, before it is swapped in or takes its name:
// these two are single steps of the kernel.
func renderSets(ops []ir.SetOp) backend.Script {
	var b strings.Builder
	s := backend.Script{Sets: true}
	n := 0
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format+"\n", args...)
		n++
	}
	for _, o := range ops {
		first := n + 1
		switch o.Kind {
		case ir.SetWrite:
			line("create %s %s %s", o.Temp, o.Type, o.Header)
			head := "add " + o.Temp + " "
			size := 0
			for _, e := range o.Elements {
				size += len(head) + len(e) + 1
			}
			b.Grow(size)
			for _, e := range o.Elements {
				b.WriteString(head)
				b.WriteString(e)
				b.WriteByte('\n')
			}
			n += len(o.Elements)
			if o.Swap {
				line("swap %s %s", o.Temp, o.Name)
				line("destroy %s", o.Temp)
			} else {
				line("rename %s %s", o.Temp, o.Name)
			}
		case ir.SetAdd:
			line("add %s %s", o.Name, o.Elements[0])
		case ir.SetDelete:
			line("del %s %s", o.Name, o.Elements[0])
		case ir.SetDestroy:
			line("destroy %s", o.Name)
		}
		s.Ranges = append(s.Ranges, backend.LineRange{First: first, Last: n, Line: backend.Line{Span: o.Origin}})
	}
	s.Text = b.String()
	return s
}

// ipsetTool is the program, ipsetHint what to do where it is missing.
const (
	ipsetTool = "ipset"
	ipsetHint = "no ipset was found in PATH or the sbin folders: install it, for the ruleset has sets"
)

// restoreSets sends a script of steps on sets.
func (s *session) restoreSets(ctx context.Context, script backend.Script) error {
	res, err := s.b.run.Run(ctx, backend.Cmd{Argv: []string{ipsetTool, "restore"}, Stdin: script.Text})
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("writing the sets: %s", ipsetHint)
	case err != nil:
		return fmt.Errorf("writing the sets: %w", err)
	case res.Exit == 0:
		return nil
	}
	e := &backend.ScriptError{Script: script, Tool: ipsetTool, Exit: res.Exit}
	e.Number, e.Message = ipsetMessage(res.Stderr)
	return e
}

// ipsetSays is the form of ipset's messages.
var ipsetSays = regexp.MustCompile(`^ipset v[\d.]+: (?:Error in line (\d+): )?`)

// ipsetMessage is what ipset said, and the line that it names, or 0.
func ipsetMessage(stderr string) (line int, message string) {
	var out []string
	for text := range strings.Lines(stderr) {
		text = strings.TrimSpace(text)
		if m := ipsetSays.FindStringSubmatch(text); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = text[len(m[0]):]
		}
		if text != "" && !strings.HasPrefix(text, "Try `") {
			out = append(out, text)
		}
	}
	if len(out) == 0 {
		out = []string{"the tool gave no reason"}
	}
	return line, strings.Join(out, "; ")
}

// wholeElements is how many elements a set may have of which a record of the host
// holds them: as many as an ipset takes if nobody asks for more room.
const wholeElements = 65536

// readElements fills in the elements of the sets that the scope's globs name. Their
// texts are parts of what the tool printed: nothing is copied. A record of the host
// does without those of large sets, and without the tool.
func (s *session) readElements(ctx context.Context, sets []*ir.Set, scope ir.Scope) ([]*ir.Set, error) {
	out := make([]*ir.Set, 0, len(sets))
	for _, set := range sets {
		wanted := slices.ContainsFunc(scope.SetGlobs, func(g string) bool { return ir.MatchGlob(g, set.Name) })
		if !wanted || scope.Whole && set.Counted > wholeElements {
			out = append(out, set)
			continue
		}
		res, err := s.b.run.Run(ctx, backend.Cmd{Argv: []string{ipsetTool, "save", set.Name}})
		switch {
		case errors.Is(err, exec.ErrNotFound) && scope.Whole:
			s.warnings = append(s.warnings, "the elements of the ipsets are counted only: no ipset was found in PATH or the sbin folders")
			return sets, nil
		case errors.Is(err, exec.ErrNotFound):
			return nil, fmt.Errorf("reading set %s: %s", set.Name, ipsetHint)
		case err != nil:
			return nil, fmt.Errorf("reading set %s: %w", set.Name, err)
		case res.Exit != 0 && strings.Contains(res.Stderr, "does not exist"):
			continue // gone since it was listed
		case res.Exit != 0:
			_, message := ipsetMessage(res.Stderr)
			return nil, fmt.Errorf("reading set %s: %s", set.Name, message)
		}
		if err := readSave(set, res.Stdout); err != nil {
			return nil, err
		}
		out = append(out, set)
	}
	return out, nil
}

// readSave takes a set's header and elements from the output of `ipset save NAME`.
func readSave(set *ir.Set, text string) error {
	head := "add " + set.Name + " "
	set.Elements = make([]string, 0, set.Counted)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if e, ok := strings.CutPrefix(line, head); ok {
			set.Elements = append(set.Elements, e)
			continue
		}
		header, ok := strings.CutPrefix(line, "create "+set.Name+" "+set.Type+" ")
		if !ok {
			return fmt.Errorf("reading set %s: ipset printed %q", set.Name, line)
		}
		set.Header = header
	}
	set.Counted = -1
	return nil
}
