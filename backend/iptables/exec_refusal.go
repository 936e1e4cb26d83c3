package iptables

import (
	"regexp"
	"strconv"
	"strings"

	"hookline/backend"
)

// The shapes in which restore tools name a line (FIELD M-16), best first.
var lineShapes = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^line (\d+): [A-Z_]+ failed`),     // nft variant, from the kernel
	regexp.MustCompile(`(?m)^Error occurred at line: (\d+)$`), // both, while parsing
	regexp.MustCompile(`(?m)^[\w-]+: line (\d+) failed\b`),    // both, while executing
	regexp.MustCompile(`(?m)^[\w-]+: COMMIT expected at line (\d+)$`),
	regexp.MustCompile(`(?m)^[\w-]+: line (\d+) `),
}

// missingChain is what the nft variant says, at the COMMIT line, of a jump to a
// chain that does not exist.
var missingChain = regexp.MustCompile(`Chain '([^']+)' does not exist`)

// banner is the tool's name and version before a message.
var banner = regexp.MustCompile(`^[\w-]+(?: v[\d.]+ \([\w_]+\))?: ?`)

// refusal turns a restore's failure into an error that names a line.
func refusal(script backend.Script, tool []string, res backend.Result) *backend.ScriptError {
	e := &backend.ScriptError{Script: script, Tool: tool[len(tool)-1], Exit: res.Exit, Message: refusalMessage(res.Stderr)}
	for _, shape := range lineShapes {
		if m := shape.FindStringSubmatch(res.Stderr); m != nil {
			e.Number, _ = strconv.Atoi(m[1])
			break
		}
	}
	if m := missingChain.FindStringSubmatch(e.Message); m != nil {
		if n := jumpLine(script.Text, e.Number, m[1]); n > 0 {
			e.Number = n
		}
	}
	return e
}

// refusalMessage is what the tool said, without its name, the line number and
// the hint at its help.
func refusalMessage(stderr string) string {
	var out []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Try `") || strings.HasPrefix(line, "Error occurred at line:") {
			continue
		}
		line = strings.TrimSpace(banner.ReplaceAllString(line, ""))
		if line != "" {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return "the tool gave no reason"
	}
	return strings.Join(out, "; ")
}

// jumpLine is the number of the first line of the block that is committed at a
// line, in which a rule jumps or goes to a chain; 0 if there is none.
func jumpLine(text string, commit int, chain string) int {
	lines := strings.Split(text, "\n")
	found := 0
	for i := min(commit, len(lines)) - 1; i >= 0 && !strings.HasPrefix(lines[i], "*"); i-- {
		if strings.HasSuffix(lines[i], " -j "+chain) || strings.HasSuffix(lines[i], " -g "+chain) {
			found = i + 1
		}
	}
	return found
}
