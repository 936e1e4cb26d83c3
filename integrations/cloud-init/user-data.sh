#!/bin/sh
# Prints cloud-init user data that protect a node with the rulesets given.
#
#   user-data.sh [--values FILE] [--args ARGS] [--url URL --sha256 SUM] RULESET.yaml...
#
# --values  the node's own values
# --args    further arguments of `hookline apply`, such as '--backend iptables-legacy'
# --url     where the node gets hookline, with --sha256, its checksum; without it the image has /usr/local/bin/hookline
set -eu
here=$(dirname "$0")
units=$here/../systemd

fail() {
	echo "user-data.sh: $*" >&2
	exit 1
}

# file PATH MODE writes standard input as an entry of write_files. The indentation is said, so that the text may begin with
# spaces.
file() {
	printf -- '  - path: %s\n    permissions: "%s"\n    content: |2\n' "$1" "$2"
	awk '{ if ($0 != "") printf "      "; print }'
}

values='' args='' url='' sha256=''
while [ $# -gt 0 ]; do
	case $1 in
	--values) values=$2 && shift 2 ;;
	--args) args=$2 && shift 2 ;;
	--url) url=$2 && shift 2 ;;
	--sha256) sha256=$2 && shift 2 ;;
	-*) fail "there is no $1" ;;
	*) break ;;
	esac
done
[ $# -gt 0 ] || fail "which rulesets?"
case $url in
*[!A-Za-z0-9:/.,_~%?\&=+@-]*) fail "--url $url has characters that a URL does not" ;;
esac
case $sha256 in
*[!0-9a-f]*) fail "--sha256 $sha256 is no checksum" ;;
esac
case ${#sha256}${url:+ with a URL} in
0 | '64 with a URL') ;;
*) fail "--url and --sha256 go together, and the checksum has 64 digits" ;;
esac
case $args in
*[!A-Za-z0-9:/.,_=\ -]*) fail "--args $args: put what needs quoting into a values file" ;;
esac

echo '#cloud-config'
echo '# Written by integrations/cloud-init/user-data.sh of hookline.'
echo 'write_files:'
names=' '
for ruleset in "$@"; do
	name=$(basename "$ruleset")
	# rulesets/harvester/ruleset.yaml is called harvester.yaml on the node.
	[ "$name" != ruleset.yaml ] || name=$(basename "$(dirname "$(readlink -f "$ruleset")")").yaml
	case $name in
	*[!A-Za-z0-9._-]*) fail "$name: a ruleset's file name has letters, digits, dots, dashes and underscores" ;;
	values.* | facts.* | .*) fail "$name is no name for a ruleset" ;;
	*.yaml | *.yml) ;;
	*) fail "$name does not end in .yaml" ;;
	esac
	case $names in
	*" $name "*) fail "two rulesets are called $name" ;;
	esac
	names="$names$name "
	file "/etc/hookline/rulesets/$name" 0644 <"$ruleset"
done
if [ -n "$values" ]; then
	file /etc/hookline/values.yaml 0600 <"$values"
	args="--values /etc/hookline/values.yaml $args"
fi
[ -z "$args" ] || printf 'HOOKLINE_ARGS="%s"\n' "${args% }" | file /etc/hookline/hookline.env 0644
sed "s|^url=''|url='$(printf %s "$url" | sed 's/[&|]/\\&/g')'|; s|^sha256=''|sha256='$sha256'|" "$here/first-boot.sh" | file /etc/hookline/first-boot.sh 0755
for unit in hookline-.service.d/sandbox.conf hookline-apply.service hookline-reapply.service hookline-reapply.timer; do
	file "/etc/systemd/system/$unit" 0644 <"$units/$unit"
done

# bootcmd comes before write_files, and runcmd when all services run. So what bootcmd starts waits for the stage in which
# both are, and is waited for by everything that comes after.
cat <<'END'
bootcmd:
  - - cloud-init-per
    - instance
    - hookline
    - systemd-run
    - --no-block
    - --unit=first-boot-hookline
    - --property=Type=oneshot
    - --property=DefaultDependencies=no
    - --property=After=cloud-init.service cloud-init-network.service
    - --property=Before=sysinit.target
    - --property=TimeoutStartSec=5min
    - /bin/sh
    - /etc/hookline/first-boot.sh
END
