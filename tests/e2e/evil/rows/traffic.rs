//! Traffic that proves nothing, and what it carries that nobody may read.

use super::super::draft::Draft;
use super::super::script::Play;
use super::super::stand_in::App;
use super::Row;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("credentials in the manifest, which nobody may read in what is kept", 0, "HypothesisHeld")
            .files(|draft| {
                let secret = |draft: &mut Draft| {
                    draft.headers = "{Authorization: Bearer very-secret-1, X-Api-Key: very-secret-2, Token: very-secret-3, \
                                     Session: very-secret-4, accept: \"*/*\"} # Token: very-secret-3";
                };
                vec![draft.with(secret).yaml()]
            })
            .after(|play| {
                let folder = play.journals()[0].parent().expect("a folder").to_path_buf();
                for file in
                    std::fs::read_dir(&folder).expect("the folder of the run").map(|file| file.expect("a file").path())
                {
                    let bytes = std::fs::read(&file).expect("a file of the run");
                    assert!(!String::from_utf8_lossy(&bytes).contains("very-secret"), "{}", file.display());
                }
                is_judged_again(play);
            }),
        Row::new("names in the manifest that look like those of credentials", 0, "HypothesisHeld")
            .files(|draft| {
                let (stand_in, row) = (draft.stand_in, draft.row.clone());
                let flow = format!(
                    "success: {{headers: {{set-cookie: {{exists: false}}}}}}, extract: {{access_token: {{jsonPath: $.id}}}}, \
                     then: [{{path: /{row}/ride, headers: {{Authorization: \"Bearer {{{{access_token}}}}\"}}}}]"
                );
                let http = format!(
                    "http: {{url: \"http://{stand_in}\", path: /{row}/ride, rate: 20/s, timeout: 5s, maxLag: 3s, \
                     exposure: {{header: x-served-by}}, {flow}}}"
                );
                let slo = "slo: {availability: 90%, confidence: 95%, evidence: {observed: {}}}";
                vec![draft.probe(&format!("{{name: user-auth, {http}, {slo}}}")).yaml()]
            })
            .after(is_judged_again),
        Row::new("the probe's target is never up", 8, "NotSteady")
            .files(|draft| vec![draft.with(|draft| draft.url = Some("http://127.0.0.1:1".into())).yaml()]),
        Row::new("the baseline is red already", 8, "NotSteady").scene(|scene| scene.app = App::LosesEvery(2)),
        Row::new("no request is due while pods die", 8, "NoSample").files(|draft| {
            // It may last long enough for the ten requests that the promise takes, and does not.
            let seldom = |draft: &mut Draft| {
                (draft.rate, draft.phases) = ("1/m", "{baseline: 1s, fault: 600s, recovery: 1s}");
            };
            vec![draft.with(seldom).yaml()]
        }),
        Row::new("one sample", 7, "TooLittleExposure").files(|draft| {
            let one = |draft: &mut Draft| {
                draft.rate = "10/m";
                draft.phases = "{baseline: 1s, fault: 60s, recovery: 6s}";
                draft.evidence = "harmlessKills: {share: 20%, maxLoss: 0}";
            };
            vec![draft.with(one).yaml()]
        }),
    ]
}

/// What is hidden costs no evidence: the journal is still judged, and planned, the same.
fn is_judged_again(play: &Play<'_>) {
    for command in ["report", "replay"] {
        let end = play.chaos.run([command, play.journals()[0].to_str().expect("a path")]);
        assert_eq!(end.code, Some(0), "{command}: {}{}", end.stdout, end.stderr);
    }
}
