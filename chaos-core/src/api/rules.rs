//! What several definitions say in the same words, for API servers: patterns of names, and rules in CEL about durations and
//! shares. It decides nothing: `validate` has the same rules, in Rust and with hints, and `tests/clusters/rules` asks both.
//!
//! A pattern must mean the same to Go, Rust and ECMAScript. A rule is only taken by an API server that can bound its cost: every
//! text, list and map that it reads has a greatest length, and no text is put together. `namespace` and `for` are words of CEL:
//! fields of that name are `__namespace__` and `__for__` there.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A DNS label; with at most 63 characters.
pub(super) const LABEL: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// DNS labels with dots between them; with at most 253 characters.
pub(super) const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$";
/// A kind, such as Deployment; with at most 63 characters.
pub(super) const KIND: &str = r"^[A-Z][0-9A-Za-z]*$";
/// The value of a label, but for the empty one; with at most 63 characters.
pub(super) const LABEL_VALUE: &str = r"^[0-9A-Za-z]([-0-9A-Za-z_.]*[0-9A-Za-z])?$";
/// The key of a label; with at most 317 characters.
pub(super) const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[0-9A-Za-z]([-0-9A-Za-z_.]{0,61}[0-9A-Za-z])?$";
/// The name of a header; with at most 100 characters.
pub(super) const HEADER: &str = r"^[-0-9A-Za-z!#$%&'*+.^_`|~]+$";
/// Text in one line.
pub(super) const ONE_LINE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";
/// Text in one line with something to read in it.
pub(super) const SENTENCE: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f]*$";
/// An argument of a program.
pub(super) const ARGUMENT: &str = r"^[^\x00]*$";
/// A method of HTTP.
pub(super) const METHOD: &str = r"^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$";
/// A path with its query; placeholders may hold anything.
pub(super) const PATH: &str = r#"^/([!"$-~]|\{\{[^}]*\}\})*$"#;
/// The same of a later request, which may begin with what was extracted.
pub(super) const LATER_PATH: &str = r#"^(/|\{\{[^}]*\}\})([!"$-~]|\{\{[^}]*\}\})*$"#;
/// The type of a condition.
pub(super) const CONDITION: &str = r"^[-0-9A-Za-z_./]+$";
/// `group/version/Kind`, or `version/Kind` of the core group.
pub(super) const RESOURCE: &str = r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/)?v([-a-z0-9]{0,61}[a-z0-9])?/[A-Z][0-9A-Za-z]{0,62}$";
/// A day.
pub(super) const DAY: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$";

/// A number from 1 to 65535.
macro_rules! port {
    () => {
        "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
    };
}
/// `host:port`.
pub(super) const ADDRESS: &str = concat!(r"^([-0-9A-Za-z._~:%]+|\[[-0-9A-Za-z._~:%]+\]):", port!(), "$");
/// An absolute http or https URL without user, query or fragment.
pub(super) const BASE_URL: &str =
    concat!(r"^https?://([-0-9A-Za-z._~%]+|\[[-0-9A-Za-z._~:%]+\])(:", port!(), r#")?(/[!"$->@-~]*)?$"#);

/// All that a percentage of nothing can be written as.
const ZERO_PERCENTS: &str =
    "['0%', '0.0%', '0.00%', '0.000%', '0.0000%', '00%', '00.0%', '00.00%', '00.000%', '00.0000%']";
/// A percentage above 0% and below 100%.
const PROVABLE: &str = "^(([1-9][0-9]?|0[1-9])[.%]|00?[.]0*[1-9])";
/// Labels and values that one selector may name.
const MOST_NAMED: u32 = 200;
/// Headers of one request, or of one answer that are looked at.
const MOST_HEADERS: u32 = 50;

fn rule(text: impl Into<String>, message: &str) -> Rule {
    Rule::new(text).message(message)
}

/// Such a rule where a schema is written by hand.
fn json_rule(text: &str, message: &str) -> Value {
    json!({"rule": text, "message": message})
}

/// A duration from `least` to `most`.
pub(super) fn between(field: &str, least: &str, most: &str) -> Rule {
    let span = format!("duration(self.{field})");
    let text = format!("{span} >= duration('{least}') && {span} <= duration('{most}')");
    rule(text, &format!("{field} must be between {least} and {most}"))
}

/// The same where it may be absent.
pub(super) fn between_if_given(field: &str, least: &str, most: &str) -> Rule {
    let Rule { rule: text, message, .. } = between(field, least, most);
    Rule { rule: format!("!has(self.{field}) || ({text})"), message, ..Rule::default() }
}

/// A duration above zero.
pub(super) fn above_zero(field: &str) -> Rule {
    rule(format!("duration(self.{field}) > duration('0s')"), &format!("{field} must be above zero"))
}

/// A duration above zero that is no longer than `most`.
pub(super) fn above_zero_to(field: &str, most: &str) -> Rule {
    let span = format!("duration(self.{field})");
    let text = format!("{span} > duration('0s') && {span} <= duration('{most}')");
    rule(text, &format!("{field} must be above zero, and no longer than {most}"))
}

/// How long an answer is waited for, of whoever measures.
pub(super) fn timeout() -> Rule {
    above_zero_to("timeout", "10m")
}

/// A grace period as Kubernetes counts it.
pub(super) fn grace_period() -> Rule {
    let span = "duration(self.gracePeriod)";
    let text = format!("!has(self.gracePeriod) || ({span} <= duration('24h') && {span}.getMilliseconds() % 1000 == 0)");
    rule(text, "gracePeriod must be whole seconds, and no longer than 24h")
}

/// Gaps between kills: the least is below the mean, and the mean is no typo.
pub(super) fn gaps() -> Rule {
    let text = "duration(self.minTimeBetweenKills) < duration(self.meanTimeBetweenKills) && duration(self.meanTimeBetweenKills) <= duration('2160h')";
    rule(text, "minTimeBetweenKills must be below meanTimeBetweenKills, and that no longer than 90 days (2160h)")
}

/// A share that can be proven and refuted.
pub(super) fn provable(field: &str) -> Rule {
    rule(format!("self.{field}.matches('{PROVABLE}')"), &format!("{field} must be above 0% and below 100%"))
}

/// The same where it may be absent.
pub(super) fn provable_if_given(field: &str) -> Rule {
    let Rule { rule: text, message, .. } = provable(field);
    Rule { rule: format!("!has(self.{field}) || {text}"), message, ..Rule::default() }
}

/// A count or percentage that is not `0%`; a count of 0 is refused by its bounds.
pub(super) fn some(field: &str) -> Rule {
    rule(format!("!(string(self.{field}) in {ZERO_PERCENTS})"), &format!("{field} must be above 0%"))
}

/// Victims of one strike.
pub(super) fn some_victim() -> Rule {
    let text = format!("self.atLeastOne || !(string(self.victims) in {ZERO_PERCENTS})");
    rule(text, "a strike without a victim proves nothing: give victims, or atLeastOne: true")
}

/// Namespaces that are never a target.
pub(super) fn no_denied_namespace() -> Rule {
    let denied = crate::eligible::DENIED_NAMESPACES.iter().chain([&super::switch::NAMESPACE]);
    let denied = denied.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let text = format!("!has(self.names) || self.names.all(name, !(name in [{denied}]))");
    rule(text, &format!("a namespace is never a target: {}", denied.replace('\'', "")))
}

/// Where a probe is not of that kind, or does not look continuously.
fn unless_continuous(kind: &str) -> String {
    format!("!has(self.{kind}) || !has(self.{kind}.every) || self.when != 'Continuous'")
}

/// How often a probe of a kind looks, and how long it may be off: nothing that fits between two looks.
pub(super) fn looks(kind: &str) -> Rule {
    let (absent, every) = (unless_continuous(kind), format!("duration(self.{kind}.every)"));
    let off = "duration(self.expect.__for__)";
    let text = format!(
        "{absent} || ({every} >= duration('100ms') && (!has(self.expect) || !has(self.expect.__for__) || {off} == duration('0s') || {off} >= {every}))"
    );
    rule(text, &format!("{kind}.every must be at least 100ms, and expect.for no shorter than that"))
}

/// That a look of a kind whose answer is whether there is one waits no outage out.
pub(super) fn outage(kind: &str) -> Rule {
    let (absent, timeout) = (unless_continuous(kind), format!("duration(self.{kind}.timeout)"));
    let text = format!(
        "{absent} || {timeout} <= duration(self.{kind}.every) || (has(self.expect) && has(self.expect.__for__) && {timeout} <= duration(self.expect.__for__))"
    );
    rule(text, &format!("a look that waits longer than every or expect.for waits an outage out: lower {kind}.timeout"))
}

/// That all attempts of a kind together are no longer than one look may take.
pub(super) fn attempts(kind: &str) -> Rule {
    let text = format!(
        "!has(self.attempts) || !has(self.{kind}) || duration(self.{kind}.timeout).getSeconds() * self.attempts <= 600"
    );
    rule(text, "all attempts together may take 10m")
}

/// What says which Service is meant belongs to one.
pub(super) fn of_service() -> Rule {
    rule("has(self.service) || (!has(self.__namespace__) && !has(self.port))", "namespace and port belong to service")
}

/// Of what the operator writes: no rule of ours keeps a status from being written, and lists of it may be long.
pub(super) fn written(schema: &mut Schema) {
    schema.remove("x-kubernetes-validations");
}

/// That requests without a body have none.
pub(super) fn no_body() -> Rule {
    rule("!has(self.body) || !(self.method in ['GET', 'HEAD'])", "GET and HEAD send no body")
}

/// A map by names of headers, of values with that schema.
fn by_header(values: &Value) -> Schema {
    let text = format!("self.all(name, size(name) <= 100 && name.matches(\"{HEADER}\"))");
    json_schema!({
        "type": "object", "maxProperties": MOST_HEADERS, "additionalProperties": values,
        "x-kubernetes-validations": [json_rule(&text, "the name of a header is letters, digits and dashes, at most 100")],
    })
}

/// Headers of a request.
pub(super) fn headers(_: &mut SchemaGenerator) -> Schema {
    by_header(&json!({"type": "string", "pattern": ONE_LINE}))
}

/// Headers that follow from a request itself are none of its own.
pub(super) fn no_own_headers() -> Rule {
    let own = "['connection', 'content-length', 'host', 'te', 'transfer-encoding']";
    let text = format!("!has(self.headers) || self.headers.all(name, !(name.lowerAscii() in {own}))");
    rule(text, "connection, content-length, host, te and transfer-encoding follow from the request: leave them out")
}

/// What headers of an answer must be.
pub(super) fn checked_headers(generator: &mut SchemaGenerator) -> Schema {
    let check = generator.subschema_for::<super::http::HeaderCheck>().to_value();
    by_header(&check)
}

/// What later requests take from an answer.
pub(super) fn extracts(generator: &mut SchemaGenerator) -> Schema {
    let extract = generator.subschema_for::<super::http::Extract>().to_value();
    let free =
        "self.all(name, name.matches('^[A-Za-z][-0-9A-Za-z_]{0,62}$') && !(name in ['uuid', 'seq', 'choice', 'int']))";
    json_schema!({
        "type": "object", "maxProperties": 20, "additionalProperties": extract,
        "x-kubernetes-validations": [json_rule(free, "a name is a letter, then letters, digits, dashes and underscores; not uuid, seq, choice or int")],
    })
}

/// Labels that are asked for: some, and not more than people would write.
pub(super) fn selector(_: &mut SchemaGenerator) -> Schema {
    let key = format!("self.all(key, key.indexOf('/') <= 253 && key.matches('{LABEL_KEY}'))");
    let is_empty = "(!has(self.matchLabels) || size(self.matchLabels) == 0) && (!has(self.matchExpressions) || size(self.matchExpressions) == 0)";
    let in_expressions = "self.matchExpressions.map(it, has(it.values) ? 1 + size(it.values) : 1).sum()";
    let most = format!(
        "(has(self.matchLabels) ? size(self.matchLabels) : 0) + (has(self.matchExpressions) ? {in_expressions} : 0) <= {MOST_NAMED}"
    );
    let values = "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0";
    let value = json!({"type": "string", "maxLength": 63, "pattern": "^([0-9A-Za-z]([-0-9A-Za-z_.]*[0-9A-Za-z])?)?$"});
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": MOST_NAMED, "additionalProperties": value,
                "description": "Labels with their values.",
                "x-kubernetes-validations": [json_rule(&key, "a key is a name of at most 63 letters, digits, dashes, dots and underscores, perhaps after a domain and a slash")],
            },
            "matchExpressions": {
                "type": "array", "maxItems": MOST_NAMED,
                "description": "What labels must be, or must not be.",
                "items": {
                    "type": "object", "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "maxLength": 317, "pattern": LABEL_KEY, "description": "The key of the label."},
                        "operator": {"type": "string", "maxLength": 16, "description": "In, NotIn, Exists or DoesNotExist."},
                        "values": {"type": "array", "maxItems": MOST_NAMED, "items": value, "description": "Values for In and NotIn."},
                    },
                    "x-kubernetes-validations": [
                        json_rule("self.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist']", "operator is In, NotIn, Exists or DoesNotExist"),
                        json_rule(values, "In and NotIn need values, Exists and DoesNotExist take none"),
                    ],
                },
            },
        },
        "x-kubernetes-validations": [
            json_rule(&format!("!({is_empty})"), "an empty selector would select everything"),
            json_rule(&most, "a selector names at most 200 labels and values"),
        ],
    })
}

/// The same where it may be absent, or null in a file.
pub(super) fn selector_if_given(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = selector(generator);
    schema.insert("nullable".to_owned(), true.into());
    schema
}
