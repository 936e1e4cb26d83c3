#!/bin/bash
# Writes the table of field tests from what the suite just showed: field-tests.sh OUT. Skipped tests are no results, so a
# kernel is required.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
export HOOKLINE_REQUIRE_KERNEL=1
events=$(mktemp)
page=$(mktemp)
trap 'rm -f "$events" "$page"' EXIT
go test -timeout 30m -json ./golden ./golden/field >"$events" || {
	grep '"Action":"output"' "$events" | grep -E -- '--- FAIL|FAIL|_test.go' | tail -n 40 >&2 || true
	echo "the tests failed: $out was not written" >&2
	exit 1
}
go run ./golden/fieldtable <"$events" >"$page"
cat "$page" >"$out"
