#!/bin/bash
# Mends a damaged node before your eyes: loads a recorded RKE2 node into a private network namespace, and plans, applies
# and verifies rulesets/harvester there. The machine's own tables are not touched. Fails if anything is not as it
# should be: the second plan must be empty, verify must pass, and every foreign rule must be what it was.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname "$0")/.."

if [ "${1-}" != inside ]; then
	hookline=$(realpath "${1:?usage: tools/demo.sh HOOKLINE}")
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	new=(unshare --net)
	"${new[@]}" true 2>/dev/null || new=(unshare --map-root-user --net)
	"${new[@]}" true || { echo "no network namespace can be made here: run the demo as root, in a container with --privileged" >&2; exit 1; }
	"${new[@]}" env HOOKLINE="$hookline" SCRATCH="$scratch" XTABLES_LOCKFILE="$scratch/xtables.lock" "$0" inside
	exit
fi

fail() { printf '\nthe demo FAILED: %s\n' "$*" >&2; exit 1; }
say() { printf '\n# %s\n' "$*"; }
hookline() { "$HOOKLINE" --state-dir "$SCRATCH/state" "$@"; }
run() { # prints and runs a command
	printf '\n$ %s\n' "$*"
	"$@" || fail "'$*' exits with $?"
}
# foreign prints what is not ours: every rule, chain and set but for our chain, our jump and the jump that we adopt.
foreign() {
	{ iptables-nft-save -c && ip6tables-nft-save -c && ipset save; } |
		grep -vE '^#|HARVESTER_INPUT|-A PREROUTING .*-j OVN-PREROUTING$'
}

node=golden/nodes/rke2-duplicates-nft
ipset restore <$node/ipset-save.txt
iptables-nft-restore -c <$node/iptables-nft-save.txt
ip6tables-nft-restore -c <$node/ip6tables-nft-save.txt
foreign >"$SCRATCH/before"
arguments=(rulesets/harvester --set role=control-plane)

say "A node on which Kube-OVN 1.13.3 left four jumps to its chain, one of them above Calico's."
run iptables-nft -t nat -S PREROUTING
say "What would change? Nothing is written."
run hookline plan "${arguments[@]}"
say "Do it."
run hookline apply "${arguments[@]}"
say "Is the node as declared, and do the constraints hold?"
run hookline verify "${arguments[@]}" --quiet
say "And again: is there anything left to do? (Exit code 2 would say yes.)"
run hookline plan "${arguments[@]}" --detailed-exitcode --quiet
say "The chain now."
run iptables-nft -t nat -S PREROUTING

[ "$(iptables-nft -t nat -S PREROUTING | grep -c -- '-j OVN-PREROUTING$')" = 1 ] || fail "OVN-PREROUTING is not jumped to exactly once"
foreign >"$SCRATCH/after"
diff "$SCRATCH/before" "$SCRATCH/after" >&2 || fail "foreign rules have changed"
say "All $(wc -l <"$SCRATCH/after") lines of other programs - rules, counters, chains and sets - are what they were."
