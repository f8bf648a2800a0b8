//! Acts: executes what `chaos-core` decided, with a Kubernetes client, probes, load and files. It must not decide: whatever
//! can be computed from facts is a pure function of `chaos-core`.

pub mod asker;
pub mod chunks;
pub mod clock;
pub mod drive;
pub mod gameday;
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
