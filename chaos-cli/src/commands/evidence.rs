//! The evidence of a run in the cluster: fetched as it comes, and in the end held to what the operator says that it judged.

use std::collections::BTreeMap;
use std::time::Duration;

use chaos_core::api::EvidenceRecord;
use chaos_core::forbidden::FORBIDDEN_AT_MOST;
use chaos_core::operated::merge;
use chaos_core::record::Event;
use chaos_engine::chunks::{ChunkReader, ReadError, Role, RunKey};
use chaos_engine::kube::Caller;
use chaos_engine::recorder::Recorder;
use chaos_engine::run::operated::digest;
use kube::Client;
use tokio::time::{Instant, sleep};

/// Time between two looks for what is missing.
const LOOK: Duration = Duration::from_millis(500);
/// Evidence of a run that is over and cannot be read whole by then cannot be judged here.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(30);

/// Both rows of a run's evidence.
pub(super) struct Evidence {
    operator: Row,
    prober: Row,
    /// Why not all was read at the last look, where a call failed.
    trouble: Option<String>,
    refusals: Refusals,
}

/// What is known of the permission to read.
#[derive(Debug, Default)]
struct Refusals {
    /// It was there: whoever was never answered has none to lose.
    was_there: bool,
    /// Since when it is said of a row that it is missing. One that can be read says nothing about the other.
    since: BTreeMap<Role, Instant>,
}

/// One row.
struct Row {
    reader: ChunkReader,
    read: Read,
}

/// What was read of a row.
#[derive(Debug, Default)]
struct Read {
    events: Vec<Event>,
    /// After how many ConfigMaps there were how many events.
    marks: Vec<(u64, usize)>,
}

impl Evidence {
    /// Of that run; nothing is read yet.
    pub(super) fn new(client: &Client, run: &RunKey) -> Self {
        let row = |role| Row {
            reader: ChunkReader::new(Caller::new(client.clone()), run.clone(), role),
            read: Read::default(),
        };
        Self { operator: row(Role::Operator), prober: row(Role::Prober), trouble: None, refusals: Refusals::default() }
    }

    /// Fetches what was recorded since the last time, and tells `shown`. A call that failed is made again the next time, and so is for
    /// a while one that is refused to whoever could read it before; an error is one that time does not heal.
    pub(super) async fn fetch(&mut self, shown: &Recorder) -> Result<(), ReadError> {
        self.trouble = None;
        for (role, row) in [(Role::Operator, &mut self.operator), (Role::Prober, &mut self.prober)] {
            loop {
                match row.reader.next().await {
                    Ok(Some(chunk)) => {
                        chunk.events.iter().cloned().for_each(|event| shown.record(event));
                        row.read.take(chunk.events, row.reader.read_so_far());
                    }
                    Ok(None) => {
                        self.refusals.end(role);
                        break;
                    }
                    Err(ReadError::Call(error))
                        if !error.is_forbidden() || self.refusals.are_borne_with(role, Instant::now()) =>
                    {
                        tracing::debug!(%error, "evidence could not be read");
                        self.trouble = Some(error.to_string());
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// The record that was judged. What a look misses is looked for again, for so long; then an error says what is missing.
    pub(super) async fn whole(
        &mut self,
        judged: &EvidenceRecord,
        within: Duration,
        shown: &Recorder,
    ) -> Result<Vec<Event>, String> {
        let deadline = Instant::now() + within;
        loop {
            let fetched = self.fetch(shown).await;
            // What cannot be read may be no part of it.
            let missing = match whole(&self.operator.read, &self.prober.read, judged) {
                Ok(events) => return Ok(events),
                Err(missing) => missing,
            };
            let trouble = fetched.err().map(|error| error.to_string());
            if trouble.is_some() || Instant::now() >= deadline {
                return Err(match trouble.or_else(|| self.trouble.take()) {
                    Some(trouble) => format!("{missing}; {trouble}"),
                    None => missing,
                });
            }
            sleep(LOOK).await;
        }
    }
}

impl Read {
    fn take(&mut self, events: Vec<Event>, chunks: u64) {
        self.events.extend(events);
        self.marks.push((chunks, self.events.len()));
    }

    /// ConfigMaps that were read.
    fn chunks(&self) -> u64 {
        self.marks.last().map_or(0, |(chunks, _)| *chunks)
    }

    /// The events of the first so many ConfigMaps, once these were read.
    fn first(&self, chunks: u64) -> Option<&[Event]> {
        if chunks == 0 {
            return Some(&[]);
        }
        let (_, events) = self.marks.iter().find(|(read, _)| *read == chunks)?;
        self.events.get(..*events)
    }
}

impl Refusals {
    /// Takes notice of one of that row. Whether it may be one of a moment.
    fn are_borne_with(&mut self, role: Role, now: Instant) -> bool {
        let since = *self.since.entry(role).or_insert(now);
        self.was_there && now.duration_since(since) <= FORBIDDEN_AT_MOST
    }

    /// That row was read.
    fn end(&mut self, role: Role) {
        self.was_there = true;
        self.since.remove(&role);
    }
}

/// The record that was judged, if all of it was read, and what is missing if not. What a prober told after the end is no part of
/// it.
fn whole(operator: &Read, prober: &Read, judged: &EvidenceRecord) -> Result<Vec<Event>, String> {
    let (Some(done), Some(measured)) = (operator.first(judged.operator), prober.first(judged.prober)) else {
        return Err(format!(
            "{} of {} ConfigMaps of the operator could be read, and {} of {} of the prober",
            operator.chunks(),
            judged.operator,
            prober.chunks(),
            judged.prober
        ));
    };
    let events = merge(done, measured);
    match &judged.digest {
        Some(told) if is_written_alike(&events) && *told != digest(&events) => {
            Err(format!("its digest is {}, that of what was judged is {told}", digest(&events)))
        }
        _ => Ok(events),
    }
}

/// Whether this version writes events as the operator's does: a digest is one of bytes.
fn is_written_alike(events: &[Event]) -> bool {
    matches!(events.first(), Some(Event::Started(started)) if started.tool == env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use chaos_core::record::RunTime;

    use super::super::fetched::tests::started;
    use super::*;

    fn note(text: &str) -> Event {
        Event::Note { at: RunTime(1), text: text.to_owned() }
    }

    fn read(chunks: Vec<Event>) -> Read {
        let mut read = Read::default();
        for (number, event) in (1..).zip(chunks) {
            read.take(vec![event], number);
        }
        read
    }

    fn judged(operator: u64, prober: u64, digest: Option<String>) -> EvidenceRecord {
        EvidenceRecord { operator, prober, digest }
    }

    #[test]
    fn a_record_is_whole_if_it_is_what_was_judged() {
        let ours = || Event::Started(Box::new(started(env!("CARGO_PKG_VERSION"))));
        let (operator, prober) = (read(vec![ours(), note("a")]), read(vec![note("b"), note("too late")]));
        let events = whole(&operator, &prober, &judged(2, 1, None)).unwrap();
        assert_eq!(events, [ours(), note("a"), note("b")]);
        for (judged, missing) in [
            (judged(3, 1, None), "2 of 3 ConfigMaps of the operator"),
            (judged(2, 3, None), "2 of 3 of the prober"),
            (judged(2, 1, Some("other".into())), "of what was judged is other"),
        ] {
            let found = whole(&operator, &prober, &judged).unwrap_err();
            assert!(found.contains(missing), "{found}");
        }
        assert_eq!(whole(&operator, &prober, &judged(2, 1, Some(digest(&events)))), Ok(events));
        // Another version may not know all of it: then only the count can be compared.
        let theirs = read(vec![Event::Started(Box::new(started("0.0.0"))), note("a")]);
        assert!(whole(&theirs, &prober, &judged(2, 1, Some("other".into()))).is_ok());
        assert_eq!(whole(&operator, &prober, &EvidenceRecord::default()), Ok(Vec::new()), "nothing was judged");
    }

    #[test]
    fn what_is_refused_to_whoever_could_read_it_is_asked_for_again_for_a_while() {
        let now = Instant::now();
        let role = Role::Prober;
        assert!(!Refusals::default().are_borne_with(role, now), "it may not be read, and never could be");
        let mut refusals = Refusals::default();
        refusals.end(role);
        for (seconds, borne) in [(0, true), (30, true), (31, false)] {
            // Whether the other row can be read is another matter.
            refusals.end(Role::Operator);
            let now = now + Duration::from_secs(seconds);
            assert_eq!(refusals.are_borne_with(role, now), borne, "{seconds} s");
        }
        refusals.end(role);
        assert!(refusals.are_borne_with(role, now + Duration::from_secs(60)), "it could be read in between");
    }

    #[cfg(feature = "bundled")]
    #[tokio::test]
    async fn what_comes_late_is_waited_for_and_what_never_comes_is_told() {
        use chaos_engine::chunks::ChunkWriter;
        use chaos_engine::journal::Redactor;
        use local_cluster::api_server::{ApiServer, ApiServerConfig, Identity};

        let config = ApiServerConfig { admin_token: "admin".into(), ..ApiServerConfig::default() };
        let client = ApiServer::new(config).unwrap().client(Identity::admin());
        let caller = || Caller::new(client.clone());
        let run = RunKey { namespace: "default".into(), name: "r".into(), uid: "u-1".into() };
        let mut writer = ChunkWriter::new(caller(), caller(), run.clone(), Role::Operator, "w".into());
        writer.append(&[note("a")], None).await.unwrap();
        let (mut evidence, shown) = (Evidence::new(&client, &run), Recorder::in_memory(Redactor::default()));
        let two = judged(2, 0, None);
        let missing = evidence.whole(&two, Duration::ZERO, &shown).await.unwrap_err();
        assert!(missing.contains("1 of 2 ConfigMaps of the operator"), "{missing}");
        let late = async {
            sleep(Duration::from_millis(50)).await;
            writer.append(&[note("b")], None).await.unwrap();
        };
        let (events, ()) = tokio::join!(evidence.whole(&two, Duration::from_secs(30), &shown), late);
        assert_eq!(events, Ok(vec![note("a"), note("b")]));
    }
}
