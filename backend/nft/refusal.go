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

// refusal turns nft's failure into an error that names a line: the first that it
// complains about. Of further complaints the texts are kept.
func refusal(script backend.Script, res backend.Result) *backend.ScriptError {
	e := &backend.ScriptError{Script: script, Tool: tool, Exit: res.Exit}
	var messages []string
	sawPlace := false
	for line := range strings.Lines(res.Stderr) {
		line = strings.TrimSpace(line)
		m := place.FindStringSubmatch(line)
		if m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil && e.Number == 0 {
				e.Number = n
			}
			line = line[len(m[0]):]
		} else if sawPlace {
			// nft shows the line that it has named, and marks the place below it.
			continue
		}
		sawPlace = m != nil || sawPlace
		line = strings.TrimPrefix(strings.TrimPrefix(line, "Error: "), "Could not process rule: ")
		if line != "" {
			messages = append(messages, line)
		}
	}
	if len(messages) == 0 {
		messages = []string{"the tool gave no reason"}
	}
	e.Message = strings.Join(messages, "; ")
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
