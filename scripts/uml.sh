#!/usr/bin/env bash
# Runs tests on a second kernel: User-Mode Linux, an ordinary process that needs
# no KVM. scripts/uml.sh [part of a test's name …], without a name those of
# test/lanes/uml.
#
# Its Linux 6.1 has cgroup v2 alone, and none of Landlock, PSI, time namespaces,
# statmount: what falls back where those are missing is tried here. It sees this
# machine's files through hostfs, under an overlay in memory, and can change none
# of them. It is some 20 times slower. Needs the packages user-mode-linux, kmod.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
node scripts/setup.mjs
# shellcheck source=scripts/guest/tests.sh
. scripts/guest/tests.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
list_tests uml "$@" >"$work/files"
guest_loop >"$work/loop"

# Process 1 of the guest. It ends by the power-off: a kernel whose first process
# exits panics.
cat >"$work/init" <<INIT
#!/bin/bash
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/lib/modules /mnt/upper /mnt/work /mnt/root
cp -r /usr/lib/uml/modules/* /mnt/lib/modules
modprobe -d /mnt overlay
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t devpts devpts dev/pts
mount -t tmpfs tmpfs dev/shm
# It may lie in /tmp, which is about to be covered.
mkdir -p mnt/project
mount --bind ".$project" mnt/project
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
ip link set lo up
export PATH=$PATH HOME=/root
# Not by chroot, which would forbid user namespaces; user_namespaces(7).
mkdir -p mnt/old
pivot_root . mnt/old
cd /
cp "/mnt/old$work/loop" /tmp/loop
(cd /mnt/project && /bin/bash /tmp/loop 1 900 2>&1 <"/mnt/old$work/files")
exec 1>&- 2>&-
echo o >/proc/sysrq-trigger
sleep 60
INIT
chmod +x "$work/init"

# So that it ends whatever happens in it, and with this script.
timeout --foreground -k 5 "${UML_SECONDS:-2400}" linux.uml mem=2G rootfstype=hostfs rootflags=/ ro "init=$work/init" \
  con=null con0=fd:0,fd:1 quiet </dev/null 2>&1 | node scripts/guest/report.mjs 'User-Mode Linux'
