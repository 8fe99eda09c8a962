# soak.sh MINUTES MAKE...: the search for rare failures, about so long, in the
# plain build and for a quarter of the time in one with sanitizers. The last
# line counts the parts; the status is 1 when one failed.
minutes=$1
shift
passed=0
failed=0

# part ARGUMENT...: runs make.
part() {
  echo "== $*"
  if $make "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $*"
  fi
}

# tests [SANITIZER=...]: those that matter here, and no others.
tests() {
  part test C_TESTS= LUA_TESTS="tests/limits.lua tests/language.lua" "$@"
}

make=$*
start=$(date +%s)
part step
tests
sanitizer=SANITIZER=address,undefined
tests $sanitizer
part torture SECONDS=$((minutes * 15)) $sanitizer
# What is left, half a minute at least.
left=$((start + minutes * 60 - $(date +%s)))
part torture SECONDS=$((left > 30 ? left : 30))
echo "$passed parts passed, $failed failed"
[ $failed -eq 0 ]
