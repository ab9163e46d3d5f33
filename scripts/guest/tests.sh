# What both guests have in common: the list of tests, and how they run there.
# Sourced by scripts/uml.sh and scripts/vm.sh, in the project's folder.

# list_tests LANE [part of a test's name …]: the compiled files, one a line;
# without a name those of test/lanes/LANE.
list_tests() {
  local lane=$1 name found
  shift
  if [ $# -eq 0 ]; then
    mapfile -t names < <(sed 's/[[:space:]]*#.*//; /^$/d' "test/lanes/$lane")
    set -- "${names[@]}"
  fi
  for name; do
    name=${name#./}
    name=${name#test/}
    found=$(cd out/test && find . -name '*.test.js' -path "*${name%.ts}*" | sort)
    [ -n "$found" ] || { echo "no test has a name with $name in it" >&2; return 2; }
    echo "$found"
  done | awk '!seen[$0]++'
}

# The loop inside, as bash: reads the list, runs $1 files at a time, gives each
# $2 seconds, and says of each what scripts/guest/report.mjs reads. The output of
# one file is not mixed with that of another.
guest_loop() {
  cat <<'LOOP'
export TAP=1 TAP_TIMEOUT=900 SECONDS_EACH=$2
one() {
  out=$(mktemp) begin=$SECONDS
  timeout -k 5 "$SECONDS_EACH" node "out/test/$1" >"$out" 2>&1 </dev/null
  code=$?
  # By flock: at once, and whole.
  exec 9>/tmp/cofferdam-guest-lock
  flock 9
  echo "# FILE $1"
  cat "$out"
  # After what does not end with a line break too.
  printf '\n# EXIT %s %s\n' "$code" "$((SECONDS - begin))"
  rm -f "$out"
}
export -f one
xargs -d '\n' -r -P "$1" -I FILE bash -c 'one "$1"' one FILE
echo '# DONE'
LOOP
}
