//! Acts: executes what `chaos-core` decided, with a Kubernetes client, probes, load and files. It must not decide: whatever
//! can be computed from facts is a pure function of `chaos-core`.
//!
//! ```text
//! drive ── the one loop of every state machine: observe, step, save, act or wait; what differs is the world handed in
//!   ├ kill ── the world of strikes: budgets, kill calls, what came of them
//!   ├ run ── the world of a run from this machine; run::operated: of one that the operator drives
//!   ├ prober ── the world of the process that measures for an operated run
//!   └ gameday ── the world of a calendar of runs
//! kube ── the API server, for all of them
//! probe, load ── what is asked of the application, and how fast
//! clock, recorder, journal, chunks ── when a thing happened, and where it is kept: in memory, in a file, on the cluster
//! report ── a result for people and machines
//! sources, asker ── metrics that an operator may ask for
//! given ── files that somebody names
//! program ── which program this is
//! ```

pub mod asker;
pub mod chunks;
pub mod clock;
pub mod drive;
pub mod gameday;
pub mod given;
pub mod journal;
pub mod kill;
pub mod kube;
pub mod load;
pub mod probe;
pub mod prober;
pub mod program;
pub mod recorder;
pub mod report;
pub mod run;
pub mod sources;
