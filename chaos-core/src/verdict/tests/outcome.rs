//! The precedence of findings and of exit codes, exhaustively.

use crate::verdict::{ExitCode, Outcome, ReasonCode, decisive};

/// The order of `verdict-rule.md`, written down apart from the code: the first of these that was found decides.
const ORDER: [&[ReasonCode]; 10] = [
    &[ReasonCode::WindDownIncomplete],
    &[
        ReasonCode::InvariantBroken,
        ReasonCode::WorstLossExceeded,
        ReasonCode::SloRefuted,
        ReasonCode::HarmlessKillsRefuted,
        ReasonCode::RecoveryRefuted,
        ReasonCode::ExpectationBroken,
    ],
    &[ReasonCode::NotSteady],
    &[
        ReasonCode::GuardTripped,
        ReasonCode::NotRecovered,
        ReasonCode::Switched,
        ReasonCode::Interrupted,
        ReasonCode::BlindTooLong,
        ReasonCode::KillerGaveUp,
        ReasonCode::JournalFailed,
        ReasonCode::Orphaned,
    ],
    &[ReasonCode::OutOfReach, ReasonCode::ProbesNotStarted],
    &[ReasonCode::Refused],
    &[ReasonCode::InvalidManifest],
    &[ReasonCode::NoVictim, ReasonCode::NoSample],
    &[
        ReasonCode::ProberLost,
        ReasonCode::TooFewKills,
        ReasonCode::RecordInconsistent,
        ReasonCode::ClockUncertain,
        ReasonCode::ProbeUnanswered,
        ReasonCode::ExpectationUndecided,
        ReasonCode::NothingChecked,
        ReasonCode::TooMuchLag,
        ReasonCode::TooLittleExposure,
        ReasonCode::BudgetExceeded,
        ReasonCode::TooLittleEvidence,
    ],
    &[ReasonCode::HypothesisHeld],
];
const CODES: [u8; 10] = [6, 1, 8, 5, 3, 4, 2, 8, 7, 0];

#[test]
fn every_set_of_findings_is_decided_by_the_first_place_in_the_order() {
    // Every subset of places, with each member of the deciding place once as the one that was found.
    for places in 0..1u32 << 9 {
        let present: Vec<usize> = (0..9).filter(|place| places & (1 << place) != 0).collect();
        let Some(first) = present.first() else {
            assert_eq!(decisive([]), ReasonCode::HypothesisHeld);
            continue;
        };
        for reason in ORDER[*first] {
            let mut findings: Vec<ReasonCode> = present[1..].iter().flat_map(|place| ORDER[*place]).copied().collect();
            findings.push(*reason);
            for _ in 0..findings.len() {
                findings.rotate_left(1);
                let decided = decisive(findings.iter().copied());
                assert_eq!(decided, *reason, "{findings:?}");
                assert_eq!(decided.exit_code().code(), CODES[*first]);
            }
        }
    }
}

#[test]
fn every_pair_of_findings_is_decided_alike_in_both_orders() {
    let place = |reason: ReasonCode| ORDER.iter().position(|place| place.contains(&reason)).unwrap();
    for a in ReasonCode::ALL {
        for b in ReasonCode::ALL {
            assert_eq!(decisive([a, b]), decisive([b, a]));
            assert_eq!(place(decisive([a, b])), place(a).min(place(b)), "{a:?} {b:?}");
        }
    }
}

#[test]
fn every_reason_has_a_place_and_is_listed_once() {
    let mut listed: Vec<ReasonCode> = ORDER.iter().flat_map(|place| place.iter().copied()).collect();
    assert_eq!(listed.len(), ReasonCode::ALL.len());
    listed.sort_unstable();
    let mut all = ReasonCode::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(listed, all);
}

#[test]
fn the_worst_of_several_files_wins() {
    let order = [6u8, 1, 5, 3, 4, 2, 8, 7, 0].map(|code| ExitCode::try_from(code).unwrap());
    for (i, worse) in order.iter().enumerate() {
        for better in &order[i..] {
            assert_eq!(ExitCode::worst([*better, *worse, *better]), *worse);
            assert_eq!(ExitCode::worst([*worse, *better]), *worse);
        }
    }
    assert_eq!(ExitCode::worst([]), ExitCode::Held);
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    let words = [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::Invalid,
        Outcome::Invalid,
        Outcome::Invalid,
        Outcome::Aborted,
        Outcome::Aborted,
        Outcome::Inconclusive,
        Outcome::Invalid,
    ];
    for (code, word) in (0u8..).zip(words) {
        let exit = ExitCode::try_from(code).unwrap();
        assert_eq!((exit.code(), exit.outcome()), (code, word));
        assert_eq!(serde_json::to_string(&exit).unwrap(), code.to_string());
        assert_eq!(serde_json::from_str::<ExitCode>(&code.to_string()).unwrap(), exit);
    }
    assert!(ExitCode::try_from(9).is_err());
}
