package nft

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hookline/backend"
	"hookline/backend/nfnetlink"
	"hookline/compiler/ir"
)

// place is how nft names the part of a script that it, or the kernel, refuses:
// FILE:LINE:COLUMN-COLUMN. The name of standard input differs between versions.
var place = regexp.MustCompile(`^(?:/dev/stdin|-|<stdin>|/proc/self/fd/0):(\d+):\d+-\d+: `)

// refusal turns nft's failure into an error that names the lines that it complains
// about. What it says ahead of them is of the first.
func refusal(script backend.Script, res backend.Result) *backend.ScriptError {
	lines := []backend.Refusal{{}}
	at, sawPlace := 0, false
	for line := range strings.Lines(res.Stderr) {
		line = strings.TrimSpace(line)
		if m := place.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits; 0 for a number beyond all lines
			line = line[len(m[0]):]
			if !sawPlace {
				lines[0].Number, sawPlace = n, true
			}
			if at = slices.IndexFunc(lines, func(r backend.Refusal) bool { return r.Number == n }); at < 0 {
				at = len(lines)
				lines = append(lines, backend.Refusal{Number: n})
			}
		} else if sawPlace {
			// nft shows the line that it has named, and marks the place below it.
			continue
		}
		line = strings.TrimPrefix(strings.TrimPrefix(line, "Error: "), "Could not process rule: ")
		switch r := &lines[at]; {
		case line == "" || strings.Contains(r.Message, line):
		case r.Message == "":
			r.Message = line
		default:
			r.Message += "; " + line
		}
	}
	for i := range lines {
		if lines[i].Message == "" {
			lines[i].Message = "the tool gave no reason"
		}
	}
	e := &backend.ScriptError{Script: script, Tool: tool, Exit: res.Exit, Number: lines[0].Number, Message: lines[0].Message}
	if len(lines) > 1 {
		e.More = lines[1:]
	}
	return e
}

// notPermitted is what nft says where the kernel refuses a step on a table that belongs
// to another process, or any step of who may not change the tables at all.
const notPermitted = "Operation not permitted"

// owned tells of a refused script that a table which it changes belongs to another
// process, once for all of its lines; nil if there is no such table.
func (s *session) owned(script backend.Script) error {
	for _, f := range nfnetlink.Families {
		tables, err := s.kernel.TablesOf(f)
		if err != nil {
			return nil //nolint:nilerr // the refusal itself is told
		}
		for _, t := range tables {
			changes := func(o ir.NFTOp) bool { return string(o.Kind) == f.Name && o.Table == t.Name }
			if !t.Owned() || !slices.ContainsFunc(slices.Concat(script.Ops, script.Steps), changes) {
				continue
			}
			who := "another process"
			if t.Owner != 0 {
				who += fmt.Sprintf(" (netlink port %d, which is most often the number of the process)", t.Owner)
			}
			return &backend.ScriptError{Script: script, Tool: netlinkTool, Exit: 1, Message: fmt.Sprintf(
				"table %s %s has the flag owner: it belongs to %s, and nobody else can change or delete it; it goes when that process ends", f.Name, t.Name, who)}
		}
	}
	return nil
}
