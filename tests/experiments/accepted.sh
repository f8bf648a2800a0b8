# Which ends of a run count, for whoever runs an experiment or a load test and looks at its exit code. Sourced, never run; needs jq.
# shellcheck shell=bash

# Too little evidence says nothing of the platform where the machine was too busy for more, and is a finding anywhere else. A run says by its
# reason which of the two it is. A load test has none: a threshold that is undecided depends on requests of which nothing is known (sent
# late, never sent, or without a known outcome), or on the edge of a bucket, which is no machine's fault.
REASON='
if .kind == "RunResult" then
  .verdict
  | {busy: (.reasonCode | IN("ClockUncertain", "TooMuchLag")), reason: "\(.reasonCode): \(.reasonText)"}
else
  [.thresholds[] | select(.decision != "held")] as $open
  | [.flows[] | select(.flow | IN($open[] | select(.decision == "undecided") | .flow))]
  | {
      busy: (length > 0 and all(.[]; .late + .unsent + .unknownOutcome > 0)),
      reason: ($open | map("\(.threshold) of \(.flow) is \(.decision): \(.found)") | join("; "))
    }
end
| if .busy then "busy" else "other" end, .reason'

# accepted WHAT CODES CODE RESULT: whether a run that ended with this code counts: with one of these codes, and with 7 only on a machine that
# was too busy. RESULT: its result.json, or the JSON of `chaos load`. What is not simply so is told on stderr.
accepted() {
    local why='' reason=''
    { read -r why && read -r reason; } < <(jq --raw-output "$REASON" "$4" 2>/dev/null) || true
    if [[ " $2 " == *" $3 "* && ($3 != 7 || $why == busy) ]]; then
        [[ $3 != 7 ]] || echo "$1: inconclusive ($reason), which is accepted: this machine was too busy; on an idle one it passes" >&2
        return 0
    fi
    echo "error: $1: exit code $3 (${reason:-no result}), accepted: $2 (7 only where the machine was too busy)" >&2
    return 1
}
