#!/usr/bin/env bash
# Fuzzes the core: scripts/fuzz.sh [SECONDS] [--keep]
# With --keep, inputs that reach something new are added to the kept corpus.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60
keep=
for argument in "$@"; do
  case $argument in
    --keep) keep=yes ;;
    *) seconds=$argument ;;
  esac
done
if ! command -v clang >/dev/null; then
  echo 'fuzzing needs clang and its libFuzzer: apt-get install clang libclang-rt-14-dev' >&2
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
core=src-native/core
clang -std=gnu11 -g -O1 -Wall -Wextra -Werror -DCF_SYSCALL_HOOK \
  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
  test/fuzz/plan.c $core/answer.c $core/check.c $core/clone.c $core/copy_tree.c $core/keep.c $core/run.c $core/operations.c $core/stay.c $core/channel.c \
  -o "$work/plan"

# New inputs go to a copy. What fails is left in test/fuzz/crashes.
mkdir -p "$work/corpus" test/fuzz/crashes
"$work/plan" -max_total_time="$seconds" -max_len=24000 -timeout=10 -print_final_stats=1 \
  -artifact_prefix=test/fuzz/crashes/ "$work/corpus" test/fuzz/corpus/plan >"$work/log" 2>&1 || {
  tail -n 60 "$work/log"
  echo 'fuzzing found a defect: the input is in test/fuzz/crashes' >&2
  exit 1
}
rmdir --ignore-fail-on-non-empty test/fuzz/crashes
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
coverage=$(grep -o 'cov: [0-9]*' "$work/log" | tail -n 1)
echo "fuzz plan: $runs runs in $seconds s, $coverage, no defect"
if [ -n "$keep" ]; then
  "$work/plan" -merge=1 -max_len=24000 test/fuzz/corpus/plan "$work/corpus" >/dev/null 2>&1
  echo "the corpus has $(ls test/fuzz/corpus/plan | wc -l) inputs"
fi
