//! What a request asks for, read from its method, path and query. Nothing is looked up here.

use std::collections::HashMap;

use http::Method;

use super::error::{ApiError, ApiResult};

/// The part of an object that a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Status,
    Scale,
}

/// The verbs that authorization, audit and discovery speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// A request for objects: `/api/v1/…` and `/apis/GROUP/VERSION/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceRequest {
    pub(crate) verb: Verb,
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty when cluster-scoped or across all namespaces.
    pub(crate) namespace: String,
    pub(crate) resource: String,
    /// Empty for a collection.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
}

/// The two worlds of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Resource(ResourceRequest),
    Path { verb: &'static str },
}

/// Query parameters, decoded; of repeated ones the first counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let mut values = HashMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.entry(decode(key)).or_insert_with(|| decode(value));
        }
        Self(values)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there and not false. Without a value it is true, as in `?watch`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| matches!(value.as_str(), "" | "true" | "1" | "True" | "TRUE" | "t"))
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> ApiResult<Option<T>> {
        let Some(text) = self.get(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            ApiError::bad_request(format!(
                "{key}: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = (bytes[index] == b'%')
            .then(|| bytes.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = hex {
            decoded.push(byte);
            index += 3;
        } else {
            decoded.push(if bytes[index] == b'+' { b' ' } else { bytes[index] });
            index += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Reads method and path. Only the shape is judged: whether the resource exists is for the registry to say.
pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> ApiResult<Target> {
    let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(decode_path).collect();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    // `/api/v1/watch/…` is the old way to say `?watch=true`.
    let legacy_watch = matches!(words.as_slice(), ["api", _, "watch", ..] | ["apis", _, _, "watch", ..]);
    let words: Vec<&str> = words.into_iter().filter(|word| !legacy_watch || *word != "watch").collect();
    let (group, version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(Target::Path { verb: path_verb(method) }),
    };
    let (namespace, rest) = match rest {
        // `namespaces/NAME`, its status and its finalization are about the namespace itself.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let (resource, name, subresource) = match rest {
        [resource] => (*resource, "", ""),
        [resource, name] => (*resource, *name, ""),
        [resource, name, subresource, ..] => (*resource, *name, *subresource),
        [] => return Err(ApiError::no_such_resource()),
    };
    // A watch of one object is a watch of the collection with a selector on its name.
    let watch = method == Method::GET && (legacy_watch || query.flag("watch")) && subresource.is_empty();
    let verb = match (method, name.is_empty()) {
        (&Method::GET | &Method::HEAD, _) if watch => Verb::Watch,
        (&Method::GET | &Method::HEAD, true) => Verb::List,
        (&Method::GET | &Method::HEAD, false) => Verb::Get,
        (&Method::POST, _) => Verb::Create,
        (&Method::PUT, false) => Verb::Update,
        (&Method::PATCH, false) => Verb::Patch,
        (&Method::DELETE, true) => Verb::DeleteCollection,
        (&Method::DELETE, false) => Verb::Delete,
        _ => return Err(ApiError::method_not_supported()),
    };
    Ok(Target::Resource(ResourceRequest {
        verb,
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    }))
}

fn decode_path(segment: &str) -> String {
    decode(&segment.replace('+', "%2B"))
}

fn path_verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(method: &Method, path: &str, query: &str) -> ResourceRequest {
        match parse(method, path, &Query::parse(query)).unwrap() {
            Target::Resource(request) => request,
            Target::Path { .. } => panic!("{path} is about a resource"),
        }
    }

    #[test]
    fn paths_are_read_as_the_real_server_reads_them() {
        for (method, path, query, expected) in [
            (Method::GET, "/api/v1/pods", "", "list //v1 pods  "),
            (Method::GET, "/api/v1/namespaces/a/pods", "watch=true", "watch //v1 a/pods  "),
            (Method::GET, "/api/v1/namespaces/a", "", "get //v1 namespaces a "),
            (Method::PUT, "/api/v1/namespaces/a/finalize", "", "update //v1 namespaces a finalize"),
            (Method::POST, "/api/v1/namespaces/a/pods/p/eviction", "", "create //v1 a/pods p eviction"),
            (
                Method::PATCH,
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                "",
                "patch /apps/v1 a/deployments d scale",
            ),
            (Method::DELETE, "/apis/apps/v1/namespaces/a/deployments", "", "deletecollection /apps/v1 a/deployments  "),
        ] {
            let r = resource(&method, path, query);
            let slash = if r.namespace.is_empty() { String::new() } else { format!("{}/", r.namespace) };
            let shown = format!(
                "{} /{}/{} {slash}{} {} {}",
                r.verb.as_str(),
                r.group,
                r.version,
                r.resource,
                r.name,
                r.subresource
            );
            assert_eq!(shown, expected, "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_resources() {
        for path in ["/", "/api", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3"] {
            assert_eq!(parse(&Method::GET, path, &Query::default()).unwrap(), Target::Path { verb: "get" }, "{path}");
        }
    }

    #[test]
    fn queries_are_percent_decoded_and_the_first_value_counts() {
        let query = Query::parse("labelSelector=app%20in%20(a%2Cb)&limit=5&limit=6&force&bad=%zz+x");
        assert_eq!(query.get("labelSelector"), Some("app in (a,b)"));
        assert_eq!(query.number::<u64>("limit").unwrap(), Some(5));
        assert!(query.flag("force"));
        assert_eq!(query.get("bad"), Some("%zz x"));
        assert!(query.number::<u64>("bad").is_err());
    }
}
