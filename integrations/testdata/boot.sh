#!/bin/bash
# Boots a systemd as the first process of namespaces of its own and returns when it has powered off.
#
#   boot.sh NODE [USR...]
#
# NODE holds the node's etc/ and var/, which keep what is written to them, and shared/, which is seen inside as /shared.
# Its /usr is this machine's, under the folders USR; what is written there is gone afterwards. Nothing else of this machine is
# seen: not its network, not its processes, not its units. What could be done to the kernel itself is taken away: modules,
# clock, /proc/sys.
set -euo pipefail

outside() {
	groups=$(mktemp -d)
	mine=$(grep -Po '^0::\K.*' /proc/self/cgroup)
	mount -t cgroup2 none "$groups"
	trap leave EXIT
	mkdir "$groups/hookline-test-$$"
	# The root of a new cgroup namespace is the group in which it is made.
	echo $$ >"$groups/hookline-test-$$/cgroup.procs"
	unshare --mount --pid --net --ipc --uts --cgroup --fork --kill-child "$0" inside "$@" &
	trap 'kill -KILL %1' TERM
	# A pid namespace that powers off ends as if by SIGINT.
	wait %1 || [ $? -eq 130 ]
}

leave() {
	echo $$ >"$groups$mine/cgroup.procs"
	while [ -n "$(find "$groups/hookline-test-$$" -name cgroup.procs -exec cat {} +)" ]; do sleep 0.1; done
	find "$groups/hookline-test-$$" -depth -type d -exec rmdir {} \;
	umount --lazy "$groups"
	rmdir "$groups"
}

inside() {
	local node=$1 root usr dir
	shift
	root=$node/root
	mkdir -p "$root"
	mount --make-rprivate /
	mount -t tmpfs -o mode=755 none "$root"
	cd "$root"
	mkdir usr etc var shared proc sys dev run tmp root old .written .work
	usr=/usr
	for dir in "$@"; do usr=$dir:$usr; done
	mount -t overlay -o "lowerdir=$usr,upperdir=.written,workdir=.work" none usr
	for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$dir"; done
	for dir in etc var shared; do mount --bind "$node/$dir" "$dir"; done
	mount -t proc proc proc
	mount --bind proc/sys proc/sys
	mount -o remount,bind,ro proc/sys
	mount -t sysfs -o ro none sys
	mount -t cgroup2 none sys/fs/cgroup
	mount -t tmpfs -o mode=755 none dev
	for dir in null zero full random urandom tty; do
		touch "dev/$dir"
		mount --bind "/dev/$dir" "dev/$dir"
	done
	mkdir dev/pts dev/shm
	mount -t devpts -o newinstance,ptmxmode=0666 none dev/pts
	ln -s pts/ptmx dev/ptmx
	touch dev/console
	mount --bind shared/console dev/console
	mount -t tmpfs -o mode=755 none run
	mount -t tmpfs none tmp
	pivot_root . old
	umount -l /old
	exec setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-mknod,-syslog \
		env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin container=hookline-test \
		/usr/lib/systemd/systemd --system --log-target=journal --show-status=1 --unit=test.target
}

if [ "$1" = inside ]; then
	shift
	inside "$@"
else
	outside "$@"
fi
