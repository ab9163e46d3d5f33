#!/usr/bin/env bash
# Compiles the C core with every compiler at hand, warnings being errors: gcc
# and clang, against glibc and musl, for x86_64 and aarch64. init for aarch64
# also runs, as far as an emulator without namespaces takes it.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
core=(src-native/core/{answer,channel,check,clone,copy_tree,keep,operations,run,stay}.c)
host=(src-native/core/{away,init_fd,send_plan,spawn}.c)
init_flags=(-std=gnu11 -Wall -Wextra -Werror -Os -ffreestanding -fno-stack-protector -fno-pie
  -fno-asynchronous-unwind-tables -fno-unwind-tables)
link_flags=(-static -nostdlib -no-pie -s -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro)

for compiler in gcc clang musl-gcc aarch64-linux-gnu-gcc; do
  if ! command -v "$compiler" >/dev/null; then
    echo "skipped: $compiler is not installed"
    continue
  fi
  include=()
  # musl has no kernel headers of its own.
  [ "$compiler" = musl-gcc ] && include=(-idirafter /usr/include -idirafter "/usr/include/$(gcc -dumpmachine)")
  objects=()
  for file in src-native/core/init.c "${core[@]}"; do
    object="$work/object-$compiler-$(basename "$file").o"
    "$compiler" "${init_flags[@]}" "${include[@]}" -c "$file" -o "$object"
    objects+=("$object")
  done
  "$compiler" "${link_flags[@]}" "${objects[@]}" -o "$work/init-$compiler"
  for file in "${host[@]}"; do
    "$compiler" -std=gnu11 -Wall -Wextra -Werror -O2 -fPIC -DCF_HOST "${include[@]}" -c "$file" -o "$work/object.o"
  done
  echo "$compiler: init has $(stat -c %s "$work/init-$compiler") bytes"
done

# Without a channel at descriptor 3 init gives up with 125, on any machine.
for init in "$work"/init-*; do
  runner=()
  case $init in
    *aarch64*)
      command -v qemu-aarch64-static >/dev/null || { echo 'skipped: no emulator for aarch64'; continue; }
      runner=(qemu-aarch64-static)
      ;;
  esac
  status=0
  "${runner[@]}" "$init" 3</dev/null >/dev/null || status=$?
  [ "$status" = 125 ] || { echo "$init: exit status $status and not 125" >&2; exit 1; }
done
