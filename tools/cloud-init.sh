#!/bin/bash
# Unpacks Debian's cloud-init, and what it needs of Python, into a folder: installed, it would take this machine over at its
# next boot.
#
#   cloud-init.sh FOLDER
set -eu

to=$1
[ ! -e "$to/usr/bin/cloud-init" ] || exit 0
fail() {
	echo "cloud-init cannot be unpacked: $1" >&2
	exit 1
}
command -v apt-get >/dev/null || fail "this is no Debian or Ubuntu, and only apt-get is known here"
command -v dpkg >/dev/null || fail "dpkg is missing"
[ -x /usr/bin/python3 ] || fail "/usr/bin/python3 is missing"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debs" "$work/root"
cd "$work/debs"
# The names of what it imports; each package of Debian 12 and of the Ubuntus of these years.
packages=(
	cloud-init python3-attr python3-certifi python3-chardet python3-charset-normalizer python3-configobj python3-idna
	python3-jinja2 python3-json-pointer python3-jsonpatch python3-jsonschema python3-markupsafe python3-netifaces
	python3-oauthlib python3-pyrsistent python3-requests python3-serial python3-six python3-urllib3 python3-yaml
)
download() { apt-get download -q "${packages[@]}" >"$work/log" 2>&1; }
if ! download; then
	# Lists that are missing or old.
	[ "$(id -u)" -ne 0 ] || apt-get update -q
	download || { cat "$work/log" >&2; fail "apt-get download failed"; }
fi
for deb in *.deb; do dpkg -x "$deb" "$work/root"; done
# Debian 12's packages still name /lib, which is /usr/lib.
if [ -d "$work/root/lib" ] && [ ! -L "$work/root/lib" ]; then
	cp -a "$work/root/lib/." "$work/root/usr/lib/"
	rm -r "$work/root/lib"
fi
cd /
mkdir -p "$(dirname "$to")"
rm -rf "$to"
mv "$work/root" "$to"
