#!/bin/bash
# Runs a command that writes generated files, and fails if the tree is not as it was before.
set -eu
state() { git status --porcelain --untracked-files=all && git diff && git ls-files --others --exclude-standard -z | xargs -0 -r sha256sum; }
before=$(state)
"$@"
after=$(state)
if [ "$before" != "$after" ]; then
	echo "'$*' changes the tree: commit what it writes" >&2
	diff <(echo "$before") <(echo "$after") >&2 || true
	exit 1
fi
