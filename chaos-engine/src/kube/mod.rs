//! The Kubernetes API as this toolkit uses it: slim reads for decisions, budget Leases, kill calls sent once, Events, leader
//! election. It answers and obeys; what to do is decided in `chaos-core`.

mod answered;
mod budget;
mod call;
mod client;
mod event;
#[cfg(test)]
pub(crate) mod fixture;
mod kill;
pub mod leader;
mod lookup;
mod owners;
mod population;
mod shallow;
mod status;
mod survey;
mod switch;
mod wire;

pub use answered::Unanswered;
pub(crate) use budget::budget_of;
pub use budget::{BudgetStore, budget_answer, lease_name};
pub use call::{
    CallError, Caller, done, is_forbidden, is_of_a_moment, is_passing, is_turned_away, is_unserved, may_have_happened,
    said, told,
};
pub use client::{Clients, ConnectError, answering};
pub use event::{EventSink, Happening, short};
pub use kill::{Hand, kill_answer};
pub(crate) use lookup::look_up;
pub use population::{Environment, PopulationReader};
pub use shallow::Shallow;
pub use status::{StatusDesk, StatusStore, StoreError, Tended, is_newer, say_unreadable};
#[cfg(test)]
pub(crate) use survey::SURVEYS;
pub(crate) use survey::{SurveyOf, Surveys};
pub use switch::{read_switch, see_switch};
