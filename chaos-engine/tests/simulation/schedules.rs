//! How many schedules are played, on all processors, and how a mistake is looked for in them.

use std::cell::Cell;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use crate::history;

/// How many schedules of strikes are played, unless the environment says another number: in CI ten times as many.
const SCHEDULES: u64 = 10_000;

thread_local! {
    /// A panic on this thread is what is looked for.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Plays the schedules of these seeds on all processors, and adds up what they came to.
pub(crate) fn total<const N: usize>(schedules: u64, play: impl Fn(u64) -> [u64; N] + Sync) -> [u64; N] {
    let next = AtomicU64::new(0);
    let sums = Mutex::new([0; N]);
    let work = || {
        let mut own = [0; N];
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= schedules {
                break;
            }
            let figures = told(seed, &play).unwrap_or_else(|story| {
                // The others need not go on.
                next.store(schedules, Ordering::Relaxed);
                panic!("{story}")
            });
            own.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        }
        sums.lock().unwrap().iter_mut().zip(own).for_each(|(sum, figure)| *sum += figure);
    };
    on_all_processors(&work);
    sums.into_inner().unwrap()
}

/// Plays each of these schedules twice: what happens in it is the same from the first turn to the last, and so is what it comes to.
pub(crate) fn each_is_repeated<T: PartialEq + Debug>(schedules: u64, play: impl Fn(u64) -> T + Sync) {
    let told = |seed| {
        let mut outcome = None;
        let notes = history::all(|| outcome = Some(play(seed)));
        (outcome, notes)
    };
    let [notes] = total(schedules, |seed| {
        let (first, second) = (told(seed), told(seed));
        let other = first.1.iter().zip(&second.1).find(|(one, other)| one != other);
        assert_eq!(other, None, "seed {seed} is not the same history twice");
        assert_eq!(first.1.len(), second.1.len(), "the history of seed {seed} is not as long twice");
        assert_eq!(first.0, second.0, "seed {seed} does not come to the same twice");
        [first.1.len() as u64]
    });
    assert!(notes > schedules, "histories without events prove nothing: {notes}");
}

/// Plays the schedules of seeds that broke an invariant once, until the product was mended.
pub(crate) fn hold(seeds: &[u64], play: impl Fn(u64)) {
    for seed in seeds {
        told(*seed, &play).unwrap_or_else(|story| panic!("{story}"));
    }
}

/// Plays the schedule of a seed. If it breaks an invariant: what happened in it.
fn told<T>(seed: u64, play: impl Fn(u64) -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(|| play(seed))).map_err(|panicked| {
        let history = history::of(|| _ = broken(|| _ = play(seed)));
        format!("{history}\nseed {seed} breaks an invariant: {}", words(panicked.as_ref()))
    })
}

/// Switches each mistake on alone and looks for a schedule that it breaks: that of the seed which this chapter of
/// `docs/simulation.md` shows, or else the first of these. All must be caught; what is printed are the rows of the table there.
#[expect(clippy::print_stdout, reason = "rows to be copied into the table")]
pub(crate) fn each_is_caught<B: Debug + Copy + Sync>(
    chapter: &str,
    bugs: &[B],
    seeds: impl Iterator<Item = u64> + Clone + Sync,
    play: impl Fn(B, u64) + Sync,
) {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![None; bugs.len()]);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/simulation.md")).unwrap();
    let work = || {
        while let Some((index, bug)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, bugs.get(i)?)))
        {
            let mut tried = shown(&page, chapter, &format!("{bug:?}")).into_iter().chain(seeds.clone());
            let hit = tried.find_map(|seed| Some((seed, broken(|| play(*bug, seed))?)));
            found.lock().unwrap()[index] = hit;
        }
    };
    on_all_processors(&work);
    let found = found.into_inner().unwrap();
    for (bug, hit) in bugs.iter().zip(&found) {
        match hit {
            Some((seed, why)) => println!("| `{bug:?}` | {seed} | {} |", why.lines().next().unwrap_or_default()),
            None => println!("| `{bug:?}` | NOT CAUGHT | |"),
        }
    }
    let missed: Vec<_> = bugs.iter().zip(&found).filter(|(_, hit)| hit.is_none()).map(|(bug, _)| bug).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// The seed by which a chapter of that page shows that a mistake is caught.
fn shown(page: &str, chapter: &str, mistake: &str) -> Option<u64> {
    let chapter = page.split("\n## ").find(|text| text.starts_with(chapter))?;
    let row = chapter.lines().find_map(|line| line.strip_prefix(&format!("| `{mistake}` | ")))?;
    row.split_once(' ')?.0.parse().ok()
}

/// How many schedules to play of a kind of which so many in a hundred are played beside those of strikes.
pub(crate) fn share(percent: u64) -> u64 {
    let wanted = std::env::var("CHAOS_SIMULATIONS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(SCHEDULES) * percent / 100
}

/// What broke, if something did.
pub(crate) fn broken(play: impl FnOnce()) -> Option<String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panicked| {
            if !QUIET.get() {
                loud(panicked);
            }
        }));
    });
    QUIET.set(true);
    let played = catch_unwind(AssertUnwindSafe(play));
    QUIET.set(false);
    played.err().map(|panicked| words(panicked.as_ref()))
}

fn words(panicked: &(dyn std::any::Any + Send)) -> String {
    let text = panicked.downcast_ref::<String>().cloned();
    text.or_else(|| panicked.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn on_all_processors(work: &(impl Fn() + Sync)) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        // A failed schedule has told its seed in its own thread's panic.
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().expect("every schedule holds"));
    });
}
