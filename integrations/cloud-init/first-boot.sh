#!/bin/sh
# Run once, by user data, as soon as cloud-init has written the files: has systemd know the units, and applies.
set -eu
url=''
sha256=''
binary=/usr/local/bin/hookline

intact() { echo "$sha256  $1" | sha256sum --check --status; }

if [ -n "$url" ] && ! intact "$binary"; then
	curl --fail --silent --show-error --location --retry 5 --max-time 120 --output "$binary.new" "$url"
	if ! intact "$binary.new"; then
		rm "$binary.new"
		echo "what $url holds is not the hookline with the SHA-256 $sha256" >&2
		exit 1
	fi
	chmod 755 "$binary.new"
	mv "$binary.new" "$binary"
fi
systemctl daemon-reload
systemctl enable hookline-apply.service hookline-reapply.timer
# The timer waits for sysinit.target, and that for us: it is not waited for. It also tries again what fails here.
systemctl start --no-block hookline-reapply.timer
systemctl start hookline-apply.service
