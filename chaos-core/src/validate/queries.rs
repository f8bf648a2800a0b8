//! Expressions in other languages: JSONPath and PromQL. Both are parsed here, so that a typo is an error before anything
//! is killed. Their parsers recurse: what could exhaust a stack is refused before they see it.

use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json_path::JsonPath;

use super::path::Path;
use super::problem::Problems;
use crate::units::Duration;

const MAX_JSON_PATH: usize = 512;
/// Characters that can open a level, in either language.
const MAX_LEVELS: usize = 200;

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

/// A PromQL query that gives one value, and does not look past the fault.
pub(super) fn promql(query: &str, fault: Duration, at: &Path, problems: &mut Problems) {
    let levels = query.chars().filter(|c| "([{+-*/%^<>=!~".contains(*c)).count();
    let words = query.split_whitespace().filter(|word| matches!(*word, "and" | "or" | "unless" | "atan2")).count();
    if levels + words > MAX_LEVELS {
        problems.add(at, "this query is too complex to be checked").hint("record it as a rule and query that");
        return;
    }
    let expr = match promql_parser::parser::parse(query) {
        Ok(expr) => expr,
        Err(error) => {
            problems.add(at, format!("this is no PromQL: {}", error.trim()));
            return;
        }
    };
    if !matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar) {
        problems
            .add(at, format!("this query gives a {}, and a probe needs one value", expr.value_type()))
            .hint("for a range, take rate(…), increase(…) or an …_over_time(…) of it");
    }
    let mut longest = LongestWindow(None);
    if walk_expr(&mut longest, &expr).is_ok()
        && let Some(window) = longest.0.filter(|window| *window > fault.std())
    {
        problems
            .add(at, format!("it looks back over {}, longer than the fault phase of {fault}", Duration::from(window)))
            .hint("a window longer than the fault averages it away: shorten it");
    }
}

/// Finds the longest range of a query.
struct LongestWindow(Option<std::time::Duration>);

impl ExprVisitor for LongestWindow {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        let range = match expr {
            Expr::MatrixSelector(matrix) => Some(matrix.range),
            Expr::Subquery(subquery) => Some(subquery.range),
            _ => None,
        };
        self.0 = self.0.max(range);
        Ok(true)
    }
}
