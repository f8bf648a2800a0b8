# The cells of one row: what a `result.json` of `chaos run`, or the JSON of `chaos load`, says.
def thousands: tostring | gsub("(?<digit>[0-9])(?=([0-9]{3})+$)"; "\(.digit),");
def took: if . < 1000000 then "\(. / 1000 | round) ms" else "\(. / 10000 | round / 100) s" end;
# Rounded down: 100 % is all of them.
def share(good; all): if all == 0 then "none" else "\(good / all * 10000 | floor / 100) % of \(all | thousands)" end;
def and_some(count; what): if count > 0 then ", \(count | thousands) \(what)" else "" end;

if .kind == "RunResult" then
  .kills as $kills
  | .recovery.ready as $ready
  # A run that ended before its first kill has measured the baseline alone.
  | (.probes[0] // {} | if .judged.slots > 0 then .judged else .baseline end) as $counts
  | [
      "\(.verdict.outcome): \(.verdict.reasonCode)",
      "\($kills.done) of \($kills.planned)",
      "\($kills.bad)\(and_some($kills.unknown; "unknown"))",
      if $counts == null then "–"
      else ($counts.slots - $counts.unknown) as $known
        | share($known - $counts.failed; $known) + and_some($counts.slow; "too slow") + and_some($counts.unknown; "unknown")
      end,
      if $ready.count > 0 then "\($ready.p50Us | took) / \($ready.p95Us | took)" else "–" end,
      if .invariants == [] then "–"
      else "\([.invariants[].violations] | add | thousands) of \([.invariants[].checked] | add | thousands)"
      end,
      (.run.durationUs / 1000000 | round)
    ]
else
  .flows[0] as $flow
  | ($flow.late + $flow.unsent + $flow.unknownOutcome) as $unknown
  | ($flow.due - $unknown) as $known
  | [
      ({"0": "pass", "1": "fail", "7": "inconclusive"}[.exitCode | tostring] // "exit code \(.exitCode)")
        + ": \([.thresholds[] | select(.decision == "held")] | length) of \(.thresholds | length) thresholds hold",
      "–",
      "–",
      share($flow.good; $known) + and_some($unknown; "unknown"),
      "–",
      "–",
      (.seconds | round)
    ]
end
| map(tostring) | join(" | ")
