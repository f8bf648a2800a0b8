//! What can go wrong with a call to the API server: what its caller hears, and what became of the request all the same. What
//! follows from what is heard is said by the engine itself, by the same functions as on a real cluster.

use std::sync::LazyLock;

use chaos_engine::kube::CallError;
use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails};

use crate::seats::Dice;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It is not carried out.
    Never(Answer),
    /// It is carried out, and nobody hears that.
    Done(Answer),
    /// It is carried out some time later, and nobody hears that.
    Late(Answer),
}

/// What is heard of a call that went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is no connection.
    Unreached,
    /// Nothing, within its time.
    Lost,
    /// 403.
    Forbidden,
    /// 409, though nobody has written what was to be written.
    Conflict,
    /// 429 with `Retry-After`, of a server that has too much to do.
    Busy,
    /// 429 with `Retry-After`, of a disruption budget.
    Blocked,
    /// 500: a webhook could not be asked.
    Webhook,
    /// 500: the store behind the server did not answer in time.
    Internal,
    /// 503.
    Unavailable,
    /// 504.
    TimedOut,
}

impl Answer {
    const ALL: [Self; 10] = [
        Self::Unreached,
        Self::Lost,
        Self::Forbidden,
        Self::Conflict,
        Self::Busy,
        Self::Blocked,
        Self::Webhook,
        Self::Internal,
        Self::Unavailable,
        Self::TimedOut,
    ];

    /// Those that say nothing about what became of the request.
    const UNCLEAR: [Self; 4] = [Self::Lost, Self::Internal, Self::Unavailable, Self::TimedOut];

    /// The error that the engine makes of it.
    pub(crate) fn error(self) -> &'static CallError {
        &ERRORS[self as usize]
    }

    /// Whether the request came to the server, which has it in its audit log then.
    pub(crate) const fn is_of_server(self) -> bool {
        !matches!(self, Self::Unreached | Self::Lost)
    }
}

/// In the order of [`Answer::ALL`], which is that of the enum.
static ERRORS: LazyLock<[CallError; 10]> = LazyLock::new(|| Answer::ALL.map(error_of));

fn error_of(answer: Answer) -> CallError {
    let what = "call".to_owned();
    let (code, message, cause) = match answer {
        Answer::Unreached => return CallError::Unreached { what, message: "connection refused".to_owned() },
        Answer::Lost => return CallError::Lost { what, message: "no answer within 5 s".to_owned() },
        Answer::Forbidden => (403, "forbidden", None),
        Answer::Conflict => (409, "the object has been modified", None),
        Answer::Busy => (429, "too many requests, please try again later", None),
        Answer::Blocked => (429, "Cannot evict pod as it would violate its budget", Some("DisruptionBudget")),
        Answer::Webhook => (500, "Internal error occurred: failed calling webhook", None),
        Answer::Internal => (500, "etcdserver: request timed out", None),
        Answer::Unavailable => (503, "apiserver is shutting down", None),
        Answer::TimedOut => (504, "Timeout: request did not complete within its time", None),
    };
    let mut status = Status::failure(message, "Reason").with_code(code);
    let causes = cause.map(|reason: &str| StatusCause {
        reason: reason.to_owned(),
        message: String::new(),
        field: String::new(),
    });
    status.details = (code == 429).then(|| StatusDetails {
        causes: causes.into_iter().collect(),
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        retry_after_seconds: 1,
    });
    CallError::Refused { what, status: Box::new(status) }
}

impl Dice {
    /// What becomes of a call, of which so many in a thousand go wrong.
    pub(crate) fn fault(&mut self, per_mille: u32) -> Fault {
        if !self.chance(per_mille) {
            return Fault::None;
        }
        match self.below(4) {
            0 => Fault::Done(Answer::UNCLEAR[self.below(Answer::UNCLEAR.len())]),
            1 => Fault::Late(Answer::UNCLEAR[self.below(Answer::UNCLEAR.len())]),
            _ => Fault::Never(Answer::ALL[self.below(Answer::ALL.len())]),
        }
    }
}
