#!/usr/bin/env bash
# Runs tests in a virtual machine: npm run test:vm [-- part of a test's name …],
# without a name those of test/lanes/vm.
#
# It has Debian's kernel and systemd as process 1: cgroup v2 alone with all its
# controllers, the systemd manager, AppArmor, kinds of links that others lack.
# There need be no KVM, so it is some 12 times slower. Nothing that it does gets
# out: its disks are files that are thrown away. Needs root, and the packages
# qemu-system-x86, linux-image-cloud-amd64, mmdebstrap, e2fsprogs.
#
# VM_SECONDS: how long it may take in all. VM_SHELL=1: a login on its console in
# the place of tests (root, no password). VM_ACCELERATOR=kvm: where that works.
set -euo pipefail
cd "$(dirname "$0")/.."
node scripts/setup.mjs
# shellcheck source=scripts/guest/tests.sh
. scripts/guest/tests.sh

work=$(mktemp -d)
qemu=
clean_up() {
  if [ -n "$qemu" ]; then kill -KILL "$qemu" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

[ "$(id -u)" = 0 ] || { echo 'it needs root, to make a disk with files of all users' >&2; exit 2; }
for program in qemu-system-x86_64 mmdebstrap mke2fs; do
  command -v "$program" >/dev/null || { echo "$program is missing: see .ci/run for the packages" >&2; exit 2; }
done
kernel=$(find /boot -name 'vmlinuz-*cloud*' | sort -V | tail -n 1)
[ -n "$kernel" ] || { echo 'no kernel: install linux-image-cloud-amd64' >&2; exit 2; }
release=${kernel#/boot/vmlinuz-}
list_tests vm "$@" >"$work/files"

# The first disk: Debian, node, the kernel's modules. It is made once, and never
# changed: what a guest writes to it is forgotten.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cofferdam
key=$( (cat scripts/guest/system.sh; node --version; echo "$release") | sha256sum | cut -c1-16)
system=$cache/vm-$key.img
if [ ! -e "$system" ]; then
  echo "making the guest's system: about a minute, once"
  mkdir -p "$cache"
  unshare --mount scripts/guest/system.sh "$work/system" "$release" "$work/system.img"
  cp --sparse=always "$work/system.img" "$system.$$"
  rm -rf "$work"/system*
  mv "$system.$$" "$system"
  # Other checkouts may have others, but not for ever.
  find "$cache" -name 'vm-*' -mtime +7 -delete
fi

# The second disk: the project, as it is built here.
mkdir "$work/project"
tar -c --exclude='node_modules/@biomejs' --exclude=node_modules/typescript --exclude=node_modules/@typescript --exclude=node_modules/.cache \
  package.json README.md docs test examples lib dist out build node_modules | tar -x -C "$work/project"
cp "$work/files" "$work/project/.guest-tests"
{
  # There is no udev, which would make links and load modules.
  echo 'modprobe -a virtio_console overlay loop tun; exec >"$(echo /dev/vport*)"'
  echo 'exec <.guest-tests; set -- 2 900'
  guest_loop
} >"$work/project/.guest-start"
mke2fs -q -t ext4 -d "$work/project" "$work/project.img" 1G >/dev/null
rm -rf "$work/project"

options="root=/dev/vda rw console=ttyS0 quiet panic=-1"
machine=(-accel "${VM_ACCELERATOR:-tcg,thread=multi}" -cpu max -m 2G -smp 2 -no-reboot -nographic -monitor none -nic none
  -kernel "$kernel" -initrd "/boot/initrd.img-$release"
  -drive "file=$system,if=virtio,format=raw,snapshot=on"
  -drive "file=$work/project.img,if=virtio,format=raw,cache=unsafe"
  -device virtio-serial)
if [ -n "${VM_SHELL:-}" ]; then
  qemu-system-x86_64 "${machine[@]}" -serial stdio -append "$options systemd.wants=console-getty.service"
  exit
fi
mkfifo "$work/results"
timeout -k 5 "${VM_SECONDS:-2700}" qemu-system-x86_64 "${machine[@]}" \
  -serial "file:$work/console" \
  -chardev "file,id=results,path=$work/results" -device virtserialport,chardev=results,name=results \
  -append "$options systemd.wants=tests.service" </dev/null >"$work/qemu" 2>&1 &
qemu=$!
status=0
node scripts/guest/report.mjs 'the virtual machine' "$work/console" <"$work/results" || status=$?
wait "$qemu" || true
qemu=
cat "$work/qemu" >&2
exit "$status"
