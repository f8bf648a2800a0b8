//! How long it is borne with that the API server says that something may not be done.

use std::time::Duration;

/// What is refused for lack of a permission counts as refused once that has been so for this long.
///
/// A kube-apiserver serves before it has read all accounts, roles and bindings, and tells everybody until then that it does not know
/// them, or that they may do nothing: for a second or two as a rule, and for half a minute where a read fails, which is the longest
/// that it waits before the next one. Whoever could do the same a moment ago cannot tell that from a permission that was taken away.
/// One that was is told half a minute later for it, and nothing is killed meanwhile.
pub const FORBIDDEN_AT_MOST: Duration = Duration::from_secs(30);
