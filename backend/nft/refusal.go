package nft

import (
	"regexp"
	"strconv"
	"strings"

	"hookline/backend"
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
