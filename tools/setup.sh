#!/bin/bash
# Installs the tools that hookline drives, where they are missing: iptables (both variants), nft and ipset. Further
# arguments name commands that must be there too, as COMMAND, or as COMMAND=PACKAGE if Debian's package has another name.
set -eu
PATH=$PATH:/usr/sbin:/sbin

packages=()
need() { # COMMAND PACKAGE
	command -v "$1" >/dev/null || [[ " ${packages[*]-} " == *" $2 "* ]] || packages+=("$2")
}
for variant in nft legacy; do
	for tool in iptables ip6tables; do
		need "$tool-$variant-save" iptables
		need "$tool-$variant-restore" iptables
	done
done
need nft nftables
need ipset ipset
for argument in "$@"; do
	command=${argument%%=*}
	need "$command" "${argument#*=}"
	# The compiler alone recommends, but does not need, the headers of the C library.
	if [ "$command" = gcc ] && [ ! -e /usr/include/stdlib.h ]; then packages+=(libc6-dev); fi
done
[ ${#packages[@]} -eq 0 ] && exit 0
# A machine this bare may lack the certificates that Go's module proxy is checked with, too.
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ -n "${SSL_CERT_FILE-}" ] || packages+=(ca-certificates)

echo "missing on this machine: ${packages[*]}"
fail() {
	echo "please install ${packages[*]} yourself: $1" >&2
	exit 1
}
command -v apt-get >/dev/null || fail "this is no Debian or Ubuntu, and only apt-get is known here"
run=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || fail "you are not root, and there is no sudo"
	run=(sudo)
fi
"${run[@]}" apt-get update -q || fail "apt-get update failed"
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}" || fail "apt-get install failed"
