//! SIGINT and SIGTERM: the first asks for an orderly end, the second leaves at once. SIGHUP asks for an orderly end, too: who
//! lost a connection wants no run that nobody drives. (One that the operator drives is left to it.)

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The name of the signal that asked for an end, once one did.
pub(crate) type Asked = watch::Receiver<Option<&'static str>>;

/// The name of the signal that says that a terminal is gone.
pub(crate) const HANGUP: &str = "SIGHUP";

/// A second signal that comes as soon as this after the first is of the same wish: whoever sends one to a process and to its group
/// sends it twice (`timeout`), and so does a wrapper that passes on what a terminal has told everybody.
const SAME_WISH: Duration = Duration::from_millis(500);

/// What is listened to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

/// Listens from now on. The second signal, if it is another wish, ends the process with 130 or 143: whatever is to be left clean by
/// then must not depend on this process (the embedded cluster's supervisor does not).
pub(crate) fn listen() -> std::io::Result<Asked> {
    let hangup = if heeds_hangup() { Some(signal(SignalKind::hangup())?) } else { None };
    let mut signals =
        Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup };
    let (asked, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let name = signals.first().await;
        let since = Instant::now();
        asked.send_replace(Some(name));
        crate::output::warn(&format!("{name}: winding down; once more to leave at once"));
        let (name, code) = signals.insistent(since).await;
        crate::output::warn(&format!("{name} again: leaving at once"));
        leave(code);
    });
    Ok(receiver)
}

impl Signals {
    /// The name of the next one.
    async fn first(&mut self) -> &'static str {
        let Self { interrupt, terminate, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            _ = hung_up => HANGUP,
        }
    }

    /// The next one that a person sends on purpose, after the first of that instant. A SIGHUP comes twice where kernel and
    /// shell both tell of a terminal that is gone.
    async fn insistent(&mut self, first: Instant) -> (&'static str, i32) {
        loop {
            let next = tokio::select! {
                _ = self.interrupt.recv() => ("SIGINT", 130),
                _ = self.terminate.recv() => ("SIGTERM", 143),
            };
            if first.elapsed() > SAME_WISH {
                return next;
            }
        }
    }
}

/// Whether SIGHUP ends this process: whoever started it with `nohup` has it ignored, and listening would undo that. Where it is not
/// known, nothing is changed.
fn heeds_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignored(&status).is_some_and(|mask| mask & 1 == 0))
}

/// The signals that are ignored: the bit of SIGHUP is the lowest.
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[expect(clippy::exit, reason = "leaving at once is what the second signal asks for")]
fn leave(code: i32) -> ! {
    // Programs of probes run in groups of their own: the terminal's Ctrl-C did not reach them.
    chaos_engine::probe::kill_commands();
    std::process::exit(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_kernel() {
        let status = |mask: &str| {
            format!("Name:\tchaos\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n")
        };
        assert_eq!(ignored(&status("0000000000001001")), Some(0x1001), "under nohup");
        assert_eq!(ignored(&status("0000000000001000")), Some(0x1000), "as Rust starts programs: SIGPIPE alone");
        assert_eq!(ignored("Name:\tchaos\n"), None);
        assert!(ignored(&std::fs::read_to_string("/proc/self/status").unwrap()).is_some());
    }
}
