//! What metrics show of single monkeys. Whoever looks after one may end when somebody else looks after another one of that name
//! already, as a monkey has that is deleted and made anew: of each name only who began last shows something, and takes it away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chaos_core::api::ChaosMonkey;
use jiff::Timestamp;

use crate::keeper::names;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// Namespace and name of a monkey.
type Name = (String, String);

/// Who shows something of which name.
#[derive(Default)]
pub(crate) struct Showing(Mutex<Last>);

#[derive(Default)]
struct Last {
    /// How many have begun.
    begun: u64,
    /// The number of the one who began last.
    by: BTreeMap<Name, u64>,
}

impl Showing {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What metrics show of one monkey. It is taken away with whoever looks after it, however that ends.
pub(crate) struct Shown {
    shared: Arc<Shared>,
    name: Name,
    number: u64,
}

impl Shown {
    /// Somebody begins to look after that monkey.
    pub(crate) fn of(shared: &Arc<Shared>, object: &ChaosMonkey) -> Arc<Self> {
        let (namespace, monkey) = names(object);
        let name = (namespace.to_owned(), monkey.to_owned());
        let mut last = shared.showing.last();
        last.begun += 1;
        let number = last.begun;
        if last.by.insert(name.clone(), number).is_some() {
            // It is of the one before.
            clear(&shared.metrics, &name);
        }
        Arc::new(Self { shared: shared.clone(), name, number })
    }

    /// The next strike; `None`: there is none.
    pub(crate) fn next_kill(&self, at: Option<Timestamp>) {
        let (namespace, monkey) = &self.name;
        self.if_last(|metrics| metrics.next_kill(namespace, monkey, at));
    }

    /// Whether its guards held when they were asked; `None`: they were not, or there are none any more.
    pub(crate) fn guards_held(&self, held: Option<bool>) {
        let (namespace, monkey) = &self.name;
        self.if_last(|metrics| metrics.guards_held(namespace, monkey, held));
    }

    fn if_last(&self, show: impl FnOnce(&Metrics)) {
        // It is held meanwhile: nobody begins between the question and what is shown.
        let last = self.shared.showing.last();
        if last.by.get(&self.name) == Some(&self.number) {
            show(&self.shared.metrics);
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut last = self.shared.showing.last();
        if last.by.get(&self.name) == Some(&self.number) {
            last.by.remove(&self.name);
            clear(&self.shared.metrics, &self.name);
        }
    }
}

fn clear(metrics: &Metrics, (namespace, monkey): &Name) {
    metrics.next_kill(namespace, monkey, None);
    metrics.guards_held(namespace, monkey, None);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::shared::tests::shared;
    use crate::watched::tests::{admin, monkey};

    #[tokio::test]
    async fn whoever_ends_late_neither_takes_away_nor_changes_what_is_shown_of_the_next_monkey_of_that_name() {
        let (shared, _teller) = shared(admin());
        let monkey = monkey("m", &json!({}));
        let at = |second: i64| Some(Timestamp::from_second(second).unwrap());
        let shows =
            |what: &str| shared.metrics.text().contains(&format!("{{namespace=\"default\",monkey=\"m\"}} {what}"));
        let before = Shown::of(&shared, &monkey);
        before.next_kill(at(1_000));
        before.guards_held(Some(true));
        let now = Shown::of(&shared, &monkey);
        assert!(!shows(""), "nothing of it is known yet: {}", shared.metrics.text());
        now.next_kill(at(2_000));
        before.next_kill(at(3_000));
        drop(before);
        assert!(shows("2000") && !shows("3000"), "{}", shared.metrics.text());
        drop(now);
        assert!(!shows(""), "nobody looks after it: {}", shared.metrics.text());
        assert!(shared.showing.last().by.is_empty());
    }
}
