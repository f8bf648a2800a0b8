//! Expressions in other languages: JSONPath and PromQL. Both are parsed here, so that a typo is an error before anything
//! is killed. Their parsers recurse: what could exhaust a stack is refused before they see it.

use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;
use serde_json_path::JsonPath;

use super::path::Path;
use super::problem::Problems;
use crate::promql::{Facts, facts};
use crate::units::Duration;

const MAX_JSON_PATH: usize = 512;
/// Characters that can open a level, in either language.
const MAX_LEVELS: usize = 200;
/// Selectors of one query: each is asked for its age.
const MAX_READS: usize = 20;

/// An RFC 9535 path.
pub(super) fn json_path(text: &str, at: &Path, problems: &mut Problems) -> Option<JsonPath> {
    if text.len() > MAX_JSON_PATH || text.chars().filter(|c| matches!(c, '(' | '[' | '!')).count() > 32 {
        problems.add(at, "this path is too long or too deep");
        return None;
    }
    let parsed = JsonPath::parse(text).map_err(|error| {
        let problem = problems.add(at, format!("{text:?} is no JSONPath: {error}"));
        problem.hint("paths start with $, as in $.status.readyReplicas");
    });
    parsed.ok()
}

/// A PromQL query that gives one value, rests on some series, and does not look past the fault; what it rests on.
pub(super) fn promql(query: &str, fault: Duration, at: &Path, problems: &mut Problems) -> Option<Facts> {
    if is_too_deep(query) {
        problems.add(at, "this query is too complex to be checked").hint("record it as a rule and query that");
        return None;
    }
    let expr = match promql_parser::parser::parse(query) {
        Ok(expr) => expr,
        Err(error) => {
            problems.add(at, format!("this is no PromQL: {}", error.trim()));
            return None;
        }
    };
    if !matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar) {
        problems
            .add(at, format!("this query gives a {}, and a probe needs one value", expr.value_type()))
            .hint("for a range, take rate(…), increase(…) or an …_over_time(…) of it");
    }
    let facts = facts(&expr);
    if facts.reads.is_empty() {
        problems
            .add(at, "it reads nothing as of now, so it would say the same if the platform were gone")
            .hint("read a series without offset and @; that one is absent proves nothing, a misspelt one is too");
    }
    if let Some(window) = facts.longest.filter(|window| *window > fault) {
        problems
            .add(at, format!("it looks back over {window}, longer than the fault phase of {fault}"))
            .hint("a window longer than the fault averages it away: shorten it");
    }
    if facts.reads.len() > MAX_READS {
        problems
            .add(at, format!("it reads {} selectors, more than {MAX_READS}", facts.reads.len()))
            .hint("record it as a rule and query that");
    }
    Some(facts)
}

/// The expression, where it can be checked and is PromQL.
pub(super) fn parsed(query: &str) -> Option<Expr> {
    if is_too_deep(query) { None } else { promql_parser::parser::parse(query).ok() }
}

fn is_too_deep(query: &str) -> bool {
    let levels = query.chars().filter(|c| "([{+-*/%^<>=!~".contains(*c)).count();
    let words = query.split_whitespace().filter(|word| matches!(*word, "and" | "or" | "unless" | "atan2")).count();
    levels + words > MAX_LEVELS
}
