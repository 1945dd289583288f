#!/bin/sh
# Runs the command of a parallel program that must fail: its exit status must not be 0, and exactly one rank may report an error.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" >"$log" 2>&1
status=$?
cat "$log"
errors=$(grep -c '^error: ' "$log")
[ "$status" -ne 0 ] || { echo "FAILED: exit status 0"; exit 1; }
[ "$errors" -eq 1 ] || { echo "FAILED: $errors errors were reported"; exit 1; }
grep -q 'CrossEntropySums.*rank 1$' "$log" || { echo "FAILED: the error does not name operator and rank"; exit 1; }
