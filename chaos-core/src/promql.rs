//! What a PromQL query rests on: the series that it reads, and the windows over which it takes rates. Whoever asks a server
//! can then find out whether the answer rests on anything fresh. Parsing only: no server is asked here.

use std::collections::BTreeSet;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, VectorSelector};

use crate::units::Duration;

/// Functions that need two samples in their window.
const OF_TWO: [&str; 11] = [
    "rate",
    "irate",
    "increase",
    "delta",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "predict_linear",
    "holt_winters",
    "double_exponential_smoothing",
];

/// What a query rests on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Selectors of the series that it reads as of now, each once, as PromQL. What it reads as of another time (`offset`,
    /// `@`), or only asks whether it is absent, is left out.
    pub reads: Vec<String>,
    /// Windows of functions that need two samples in them: the selector and its window.
    pub windows: Vec<(String, Duration)>,
    /// The longest window of all, subqueries included.
    pub longest: Option<Duration>,
}

/// What a parsed query rests on.
pub fn facts(expr: &Expr) -> Facts {
    let mut visitor = Visitor::default();
    visitor.visit(expr, false);
    let Visitor { reads, windows, longest } = visitor;
    Facts { reads: reads.into_iter().collect(), windows, longest }
}

#[derive(Default)]
struct Visitor {
    reads: BTreeSet<String>,
    windows: Vec<(String, Duration)>,
    longest: Option<Duration>,
}

impl Visitor {
    fn visit(&mut self, expr: &Expr, needs_two: bool) {
        match expr {
            Expr::Aggregate(aggregate) => self.visit(&aggregate.expr, false),
            Expr::Unary(unary) => self.visit(&unary.expr, false),
            Expr::Paren(paren) => self.visit(&paren.expr, needs_two),
            Expr::Binary(binary) => {
                self.visit(&binary.lhs, false);
                self.visit(&binary.rhs, false);
            }
            Expr::Subquery(subquery) => {
                self.longest = self.longest.max(Some(subquery.range.into()));
                if subquery.offset.is_none() && subquery.at.is_none() {
                    self.visit(&subquery.expr, false);
                    // Between two scrapes a subquery repeats the last sample: a rate of that is 0, whatever happens.
                    if let Some(selector) = selector(&subquery.expr).filter(|_| needs_two) {
                        self.windows.push((of_now(selector), subquery.range.into()));
                    }
                }
            }
            Expr::Call(call) => {
                if !call.func.name.starts_with("absent") {
                    let needs_two = OF_TWO.contains(&call.func.name);
                    call.args.args.iter().for_each(|argument| self.visit(argument, needs_two));
                }
            }
            Expr::VectorSelector(selector) => self.read(selector),
            Expr::MatrixSelector(matrix) => {
                let window = Duration::from(matrix.range);
                self.longest = self.longest.max(Some(window));
                self.read(&matrix.vs);
                if needs_two {
                    self.windows.push((of_now(&matrix.vs), window));
                }
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }

    fn read(&mut self, selector: &VectorSelector) {
        if selector.offset.is_none() && selector.at.is_none() {
            self.reads.insert(of_now(selector));
        }
    }
}

/// The selector that an expression is, in parentheses or not.
fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::Paren(paren) => selector(&paren.expr),
        _ => None,
    }
}

fn of_now(selector: &VectorSelector) -> String {
    VectorSelector { offset: None, at: None, ..selector.clone() }.to_string()
}

/// The query for alerts that are firing and have these labels, and the matchers of it. `None`: that is no list of matchers,
/// or it says itself in which state they must be.
pub fn firing(matchers: &[String]) -> Option<(String, Vec<Matcher>)> {
    let listed = matchers.join(",");
    // A closing brace would end the list and begin another query.
    let quoted_alone = matchers.iter().all(|matcher| !matcher.is_empty() && !matcher.contains(['{', '}']));
    let text = format!("ALERTS{{alertstate=\"firing\",{listed}}}");
    match promql_parser::parser::parse(&text) {
        Ok(Expr::VectorSelector(selector)) if quoted_alone && !matchers.is_empty() => {
            let plain = selector.offset.is_none() && selector.at.is_none() && selector.matchers.or_matchers.is_empty();
            let own = |matcher: &&Matcher| matcher.name != "alertstate" && matcher.name != "__name__";
            let found: Vec<Matcher> = selector.matchers.matchers.iter().filter(own).cloned().collect();
            (plain && found.len() == matchers.len()).then_some((text, found))
        }
        _ => None,
    }
}

/// Whether a rule with these static labels may give alerts that the matchers select. Labels that only its series have are
/// not known, and stand in nobody's way.
pub fn may_select(matchers: &[Matcher], label: impl Fn(&str) -> Option<String>) -> bool {
    matchers.iter().all(|matcher| match label(&matcher.name) {
        Some(value) => matcher.is_match(&value),
        None => matcher.name != "alertname" || matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRe(_)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Facts {
        facts(&promql_parser::parser::parse(query).unwrap())
    }

    #[test]
    fn what_is_read_now_is_told_once() {
        let both = of("sum(rate(good{job=\"a\"}[30s])) / sum(rate(good{job=\"a\"}[30s]) + rate(all[1m]))");
        assert_eq!(both.reads, ["all", "good{job=\"a\"}"]);
        let windows: Vec<_> =
            both.windows.iter().map(|(selector, window)| (selector.as_str(), window.to_string())).collect();
        let good = ("good{job=\"a\"}", "30s".to_owned());
        assert_eq!(windows, [good.clone(), good, ("all", "1m".to_owned())]);
        assert_eq!(both.longest, Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_rate_of_a_subquery_needs_two_scrapes_in_it() {
        let window = |query: &str| {
            let windows = of(query).windows;
            windows.into_iter().map(|(selector, window)| format!("{selector} {window}")).collect::<Vec<_>>()
        };
        assert_eq!(window("rate(good[20s:5s])"), ["good 20s"]);
        assert_eq!(window("sum(increase((good)[20s:5s]))"), ["good 20s"]);
        assert_eq!(window("max_over_time(good[20s:5s])"), Vec::<String>::new());
        assert_eq!(window("deriv(sum(good)[1m:5s])"), Vec::<String>::new(), "of a sum it is not known");
    }

    #[test]
    fn other_times_and_absence_are_not_read_now() {
        assert_eq!(of("up - up offset 1h").reads, ["up"]);
        assert_eq!(of("up offset 1h"), Facts::default());
        assert_eq!(of("absent(up) or vector(1)").reads, Vec::<String>::new());
        assert_eq!(of("max_over_time(up[5m])").windows, [], "one sample is enough for it");
        assert_eq!(of("max_over_time(rate(up[30s])[5m:10s])").longest, Some(Duration::from_secs(300)));
        assert_eq!(of("1 + 1").reads, Vec::<String>::new());
    }

    #[test]
    fn matchers_of_alerts_are_matchers_and_nothing_else() {
        let strings = |matchers: &[&str]| matchers.iter().map(|&matcher| matcher.to_owned()).collect::<Vec<_>>();
        let (query, matchers) = firing(&strings(&["alertname=\"Lost\"", "severity=~\"page|critical\""])).unwrap();
        assert_eq!(query, "ALERTS{alertstate=\"firing\",alertname=\"Lost\",severity=~\"page|critical\"}");
        let rule = |severity: &'static str| {
            move |name: &str| match name {
                "alertname" => Some("Lost".to_owned()),
                "severity" => Some(severity.to_owned()),
                _ => None,
            }
        };
        assert!(may_select(&matchers, rule("page")) && !may_select(&matchers, rule("info")));
        assert!(!may_select(&matchers, |_| None), "every alert has a name");
        for wrong in [
            &[][..],
            &[""],
            &["Lost"],
            &["alertname=Lost"],
            &["alertstate=\"pending\""],
            &["a=\"b\"} or up{c=\"d\""],
            &["a=\"b\",c=\"d\""],
            &["a=~\"(\""],
        ] {
            assert_eq!(firing(&strings(wrong)).map(|(query, _)| query), None, "{wrong:?}");
        }
    }
}
