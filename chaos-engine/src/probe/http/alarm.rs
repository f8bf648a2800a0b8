//! Wakes the thread of the load in the middle of a millisecond, which the timers of its runtime cannot. It must not decide when.

use std::io;
use std::time::Duration;

/// Sleeps for spans that are told in nanoseconds. For one sleeper at a time.
#[derive(Debug)]
pub(super) struct Alarm(platform::Timer);

impl Alarm {
    /// Must be called within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        platform::Timer::new().map(Self)
    }

    /// Sleeps for so long, or less: callers look at the clock again.
    pub(super) async fn sleep(&self, span: Duration) {
        self.0.sleep(span).await;
    }
}

#[cfg(target_os = "linux")]
mod platform {
    //! A timer of the kernel that the runtime waits for together with its sockets.

    use std::future::poll_fn;
    use std::io;
    use std::os::fd::{AsFd as _, AsRawFd, RawFd};
    use std::time::Duration;

    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<Descriptor>);

    #[derive(Debug)]
    struct Descriptor(TimerFd);

    impl AsRawFd for Descriptor {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }

    impl Timer {
        #[expect(
            deprecated,
            reason = "what took its place is unsafe, for whose descriptor may be closed meanwhile: ours is closed with it"
        )]
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
            AsyncFd::with_interest(Descriptor(timer), Interest::READABLE).map(Self)
        }

        pub(super) async fn sleep(&self, span: Duration) {
            let expiration = Expiration::OneShot(TimeSpec::from_duration(span));
            if self.0.get_ref().0.set(expiration, TimerSetTimeFlags::empty()).is_err() {
                return tokio::time::sleep(span).await;
            }
            // Setting the timer anew forgets that it went off, so that nobody needs to read that from it.
            match poll_fn(|context| self.0.poll_read_ready(context)).await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is about to end.
                Err(_) => tokio::time::sleep(span).await,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    //! The timers of the runtime, which may be late by a millisecond: the rest is waited for awake.

    use std::io;
    use std::time::Duration;

    /// What a timer of the runtime may be late by.
    const GRAIN: Duration = Duration::from_millis(2);

    #[derive(Debug)]
    pub(super) struct Timer;

    impl Timer {
        #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn sleep(&self, span: Duration) {
            match span.checked_sub(GRAIN) {
                Some(rest) if !rest.is_zero() => tokio::time::sleep(rest).await,
                _ => tokio::task::yield_now().await,
            }
        }
    }
}
