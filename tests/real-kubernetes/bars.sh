# The bars of docs/performance.md by which `scale` judges what it has measured. Sourced, never run; it measures nothing.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the constants are used by the script that sources this file

IDLE_CPU_PERCENT=1
TAKEN_UP_MS=5000
BYTES_EACH_POD=4096
# Of all kills at most one of a hundred may be later than that.
LATE_SECONDS=0.1

verdicts=() missed=0 late=0

# memory_limit PODS: MiB that an operator may take that watches so many. Beyond ten thousand there is no bar.
memory_limit() {
  if (($1 <= 1000)); then
    echo 40
  elif (($1 <= 10000)); then
    echo 64
  fi
}

# at_most FIGURE LIMIT: whether the figure is one, and not above the limit.
at_most() { awk -v figure="$1" -v limit="$2" 'BEGIN { exit !(figure ~ /^[0-9]+([.][0-9]+)?$/ && figure + 0 <= limit + 0) }'; }

# bar WHAT FIGURE LIMIT UNIT: notes whether a bar is held. A figure that is none has not been measured, and holds nothing; without a limit
# there is no bar.
bar() {
  local verdict=held
  [[ -n $3 ]] || return 0
  at_most "$2" "$3" || { verdict=missed; missed=$((missed + 1)); }
  verdicts+=("$(printf '%-6s  %s: %s %s (bar: %s)' "$verdict" "$1" "${2:-nothing}" "$4" "$3")")
}

# late_bar WHAT KILLS LATER: the same of lateness, by how many of the kills were later than they may be. It is counted by itself.
late_bar() {
  local verdict=held
  { ((${2:-0} > 0)) && at_most "$3" "$(awk -v kills="$2" 'BEGIN { print kills / 100 }')"; } || { verdict=missed; late=$((late + 1)); }
  verdicts+=("$(printf '%-6s  %s: %s of %s kills later than %s s (bar: one of 100)' "$verdict" "$1" "${3:-nobody knows how many}" "${2:-0}" "$LATE_SECONDS")")
}

# judged BARS LATENESS: prints all of them, and fails if one is missed of those that count: of lateness where the second says `yes`, of
# everything else where the first does.
judged() {
  printf '## Bars\n'
  printf '%s\n' "${verdicts[@]}"
  printf '%d missed, and %d of lateness\n' "$missed" "$late"
  [[ $1 != yes ]] || ((missed == 0)) || return 1
  [[ $2 != yes ]] || ((late == 0))
}

# Bytes that each of so many more pods takes, by MiB at most with few and with all of them.
each_pod() { # MiB with few, MiB with all, how many more
  awk -v few="$1" -v all="$2" -v pods="$3" 'BEGIN { each = (all - few) * 1048576 / pods; printf "%.0f\n", (each > 0 ? each : 0) }'
}
