//! How long a prober may take for what it is told to do: as long as its probes may take, and a while more.

use std::time::Duration;

use chaos_core::model::{Experiment, Probe, ProbeKind};

/// For orders and reports on their way.
const WAY: Duration = Duration::from_secs(30);

/// Longest that a look of any probe may take.
fn longest(experiment: &Experiment, timeout: impl Fn(&Probe) -> Duration) -> Duration {
    experiment.probes.iter().map(timeout).max().unwrap_or_default()
}

/// For load to go off: requests in flight are waited for.
pub(super) fn of_load(experiment: &Experiment) -> Duration {
    WAY + longest(experiment, |probe| probe.http().map(|http| http.load.timeout.std()).unwrap_or_default())
}

/// For the probes that look once.
pub(super) fn of_looks(experiment: &Experiment) -> Duration {
    WAY + longest(experiment, |probe| match &probe.kind {
        ProbeKind::Http(_) => Duration::ZERO,
        ProbeKind::Prometheus(query) => query.timeout.std(),
        // Whatever asks the API server gives up after that long.
        ProbeKind::Kubernetes(_) => Duration::from_secs(10),
        ProbeKind::Command(command) => command.timeout.std(),
        ProbeKind::Tcp(tcp) => tcp.timeout.std(),
        ProbeKind::Grpc(grpc) => grpc.timeout.std(),
        ProbeKind::Invariants(checker) => checker.timeout.std(),
    })
}
