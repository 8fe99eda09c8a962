# Passes the reports of kill campaigns on and ends them with the sum. A program
# that ends without its plan counts as a failure.
{ print; fflush() }
/^not ok/ { failed++ }
/^ended: / { ended++ }
/^# [0-9]+ kills/ { kills += $2 }
/^1\.\.[0-9]+/ { tests += substr($0, 4) }
END {
  if (failed == 0) failed = ended
  printf "%d kills, %d passed, %d failed\n", kills, tests - failed, failed
  exit failed > 0 || tests == 0
}
