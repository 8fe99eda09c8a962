# Passes prove's report on and ends it with "N passed, N failed". A program
# that died, hung or did not keep to its plan counts as one failure.
{ print; fflush() }
/^Files=[0-9]+, Tests=[0-9]+/ { split($2, t, "="); tests = t[2] + 0 }
/\(Wstat: .* Tests: [0-9]+ Failed: [0-9]+\)/ {
  n = $0
  sub(/.*Failed: /, "", n)
  sub(/\).*/, "", n)
  failed += n + 0
  counted += n + 0
  if (n + 0 == 0) failed++
}
/^Result: / { result = $2 }
END {
  if (result != "PASS" && failed == 0) failed = 1
  printf "%d passed, %d failed\n", tests - counted, failed
  exit failed > 0
}
