package ir

import "strings"

// AnchorComment is the beginning of the comment on every jump of ours; the
// ruleset's name follows.
const AnchorComment = "hookline:"

// AnchorOf is the ruleset that the first of some comments names that is one of
// ours; "" if there is none.
func AnchorOf(comments []string) string {
	for _, c := range comments {
		if name, ok := strings.CutPrefix(c, AnchorComment); ok {
			return name
		}
	}
	return ""
}
