#!/usr/bin/env bash
# Makes the disk that the guest of scripts/vm.sh boots from, as root:
# system.sh FOLDER KERNEL-RELEASE IMAGE. The folder is made on the way.
set -euo pipefail
folder=$1 release=$2 image=$3

# What the tests take as oracles, and what a container needs of a distribution.
packages=systemd-sysv,dbus,dbus-user-session,libpam-systemd,apparmor
packages+=,iproute2,nftables,conntrack,wireguard-tools,procps,kmod,mount,util-linux,bsdextrautils,e2fsprogs,acl,attr,libcap2-bin,libstdc++6
packages+=,uidmap,keyutils,numactl,python3,bubblewrap,crun,runc

# The mirrors that this machine's own apt is set up with.
sources=$(mktemp)
trap 'rm -f "$sources"' EXIT
# shellcheck disable=SC2016 # $(REPO_URI) and so on are for apt-get
apt-get indextargets 'Created-By: Packages' 'Origin: Debian' \
  --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' |
  sort -u >"$sources"
[ -s "$sources" ] || { echo 'apt knows no mirror of Debian: call apt-get update first' >&2; exit 2; }
# Of apt's own settings those for a mirror that is behind, or reached by a proxy.
mapfile -t settings < <(apt-config dump | grep -E '^Acquire::(Check-|[Hh]ttp|Retries)' | sed 's/^/--aptopt=/; s/;$//')
mmdebstrap --quiet --mode=root --variant=minbase "--include=$packages" "${settings[@]}" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  '' "$folder" "$sources"

cp "$(readlink -f "$(node -p process.execPath)")" "$folder/usr/bin/node"
mkdir -p "$folder/lib/modules" "$folder/mnt/project"
cp -r "/lib/modules/$release" "$folder/lib/modules/"
echo '/dev/vda / ext4 rw 0 0' >"$folder/etc/fstab"
echo guest >"$folder/etc/hostname"
echo '127.0.0.1 localhost guest' >"$folder/etc/hosts"
# An ordinary user that no other machine has, for tests that change a login session.
useradd --root "$folder" --create-home --uid 1000 --shell /bin/bash cofferdam-guest
passwd --root "$folder" --delete root >/dev/null

cat >"$folder/etc/systemd/system/tests.service" <<'UNIT'
[Unit]
Description=Tests
After=multi-user.target systemd-user-sessions.service
[Service]
Type=oneshot
Environment=HOME=/root
ExecStart=/bin/bash -c 'mount /dev/vdb /mnt/project && cd /mnt/project && exec /bin/bash .guest-start'
ExecStopPost=/bin/systemctl poweroff --force --force
TimeoutStartSec=infinity
UNIT
# Nothing but the tests is to take time.
rm -f "$folder"/etc/systemd/system/timers.target.wants/*
for unit in systemd-timesyncd e2scrub_reap serial-getty@ttyS0 getty@tty1; do
  ln -sf /dev/null "$folder/etc/systemd/system/$unit.service"
done

rm -f "$image"
mke2fs -q -t ext4 -d "$folder" "$image" 3G >/dev/null
