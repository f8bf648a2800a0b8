//! SIGINT and SIGTERM: the first asks for an orderly end, the second leaves at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The name of the signal that asked for an end, once one did.
pub(crate) type Asked = watch::Receiver<Option<&'static str>>;

/// Listens from now on. The second signal ends the process with 130 or 143: whatever is to be left clean by then must not
/// depend on this process (the embedded cluster's supervisor does not).
pub(crate) fn listen() -> std::io::Result<Asked> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (asked, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let (name, _) = next(&mut interrupt, &mut terminate).await;
        asked.send_replace(Some(name));
        crate::output::warn(&format!("{name}: winding down; once more to leave at once"));
        let (name, code) = next(&mut interrupt, &mut terminate).await;
        crate::output::warn(&format!("{name} again: leaving at once"));
        leave(code);
    });
    Ok(receiver)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = interrupt.recv() => ("SIGINT", 130),
        _ = terminate.recv() => ("SIGTERM", 143),
    }
}

#[expect(clippy::exit, reason = "leaving at once is what the second signal asks for")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}
