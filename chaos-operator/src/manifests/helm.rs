//! The Helm chart: the very objects of an installation as templates, with the few values that an owner of a cluster sets.
//! Pure: whoever calls writes files. What `helm template` makes of it is held equal to `chaos install --print` by a test, but for
//! the stop switch: it is no part of the chart.

use chaos_core::api::{labels, switch};
use serde_json::{Value, json};

use super::{IMAGE, Installation, RBAC_FILE, REPLICAS, accounts, base, delete_role, network_policy, prober, yaml};

/// Stand-ins for values in an installation, before its text becomes a template.
const ENVIRONMENT: &str = "THE-ENVIRONMENT";
const IMAGE_NAME: &str = "THE-IMAGE";
const REPLICA_COUNT: u32 = 123_456_789;
const WATCHED: &str = "THE-WATCHED-NAMESPACE";

/// Objects that an uninstall leaves: removing a definition would remove every object of that kind.
const KEEP: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// The files of the chart: name below its folder, and content.
pub(super) fn files() -> Vec<(String, String)> {
    let installation = Installation {
        environment: Some(ENVIRONMENT),
        image: IMAGE_NAME,
        replicas: REPLICA_COUNT,
        namespace: Some(WATCHED),
    };
    let mut files = vec![
        ("Chart.yaml".to_owned(), generated(&yaml(&chart()))),
        ("values.yaml".to_owned(), values()),
        ("values.schema.json".to_owned(), format!("{:#}\n", schema())),
        ("templates/NOTES.txt".to_owned(), NOTES.to_owned()),
        ("templates/crds.yaml".to_owned(), generated(&documents(&crds()))),
    ];
    // Argo CD applies what the chart renders again and again, which would turn a stopped switch back on: there a hook of the first
    // installation is one of every sync, and `lookup` finds nothing.
    for (name, objects) in base(&installation).into_iter().filter(|(name, _)| name != super::SWITCH_FILE) {
        let text = if name == RBAC_FILE { of_one_or_all(accounts) } else { documents(&objects) };
        files.push((format!("templates/{name}"), generated(&text)));
    }
    let policies = [network_policy(), prober::network_policy()];
    files.push((
        "templates/network-policy.yaml".to_owned(),
        generated(&only_if("networkPolicy", &documents(&policies))),
    ));
    files.push((
        "templates/delete-mode.yaml".to_owned(),
        generated(&only_if("deleteMode", &of_one_or_all(delete_role))),
    ));
    files
}

const NOTES: &str = "\
Nothing is killed until the stop switch of the cluster says Running; a missing one counts as stopped. The chart neither makes nor
changes it, so that no upgrade and no sync turns chaos back on. After the first installation, turn it on:
  chaos resume --all
or, without the program (this changes no switch that there is):
  kubectl create configmap chaos-switch --namespace chaos-system --from-literal=state=Running
Then opt in a namespace and the pod templates in it: chaos.dispatch.dev/enabled=true
And: chaos status, chaos plan FILE, chaos run FILE
";

/// Where the chart is refused: the namespace is part of it, so a release cannot be kept in it.
const GUARD: &str = "{{- if eq .Release.Namespace \"chaos-system\" }}
{{- fail \"the chart makes namespace chaos-system itself; hint: keep the release elsewhere, --namespace default\" }}
{{- end }}
";

fn chart() -> Value {
    json!({
        "apiVersion": "v2", "name": "chaos", "type": "application",
        "version": env!("CARGO_PKG_VERSION"), "appVersion": env!("CARGO_PKG_VERSION"),
        "description": "Kills pods on purpose, and says with evidence whether the platform kept its promise.",
        // Admission policies, the second lock, are part of Kubernetes from then on.
        "kubeVersion": ">=1.30.0-0",
    })
}

fn values() -> String {
    generated(&format!(
        "# The environment that this cluster is; manifests may ask for it (target.environment).\n\
         environment: \"\"\n\
         # The operator's and the prober's image.\n\
         image: {IMAGE}\n\
         # Operators, one of which works; at most 5.\n\
         replicas: {REPLICAS}\n\
         # The only namespace that is worked on, with rights in no other but the operator's own; it must exist. Empty: all.\n\
         watchNamespace: \"\"\n\
         # What may be reached from the operator and the prober, and from where they may be.\n\
         networkPolicy: true\n\
         # Whether pods may be deleted past their disruption budgets, by manifests that ask for it (killMode: Delete).\n\
         deleteMode: false\n"
    ))
}

fn schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object", "additionalProperties": false,
        "required": ["environment", "image", "replicas", "watchNamespace", "networkPolicy", "deleteMode"],
        "properties": {
            "environment": {"type": "string", "pattern": "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"},
            "image": {"type": "string", "minLength": 1},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 5},
            "watchNamespace": {
                "type": "string", "pattern": "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$", "not": {"const": switch::NAMESPACE},
            },
            "networkPolicy": {"type": "boolean"},
            "deleteMode": {"type": "boolean"},
            "global": {"type": "object"},
        },
    })
}

fn crds() -> Vec<Value> {
    let mut crds: Vec<_> = chaos_core::schema::crds().into_iter().map(|crd| json!(crd)).collect();
    crds.iter_mut().for_each(|crd| crd["metadata"]["annotations"] = json!({(KEEP.0): KEEP.1}));
    crds
}

fn only_if(value: &str, text: &str) -> String {
    format!("{{{{- if .Values.{value} }}}}\n{text}{{{{- end }}}}\n")
}

/// What an installation for one namespace is granted, or one for all.
fn of_one_or_all(granted: fn(Option<&str>) -> Vec<Value>) -> String {
    let (one, all) = (documents(&granted(Some(WATCHED))), documents(&granted(None)));
    format!("{{{{- if .Values.watchNamespace }}}}\n{one}{{{{- else }}}}\n{all}{{{{- end }}}}\n")
}

fn generated(text: &str) -> String {
    format!("# Generated by chaos-operator/src/manifests/helm.rs; do not edit.\n{text}")
}

/// Objects as a template: what looks like one is escaped, and values stand where the stand-ins were.
fn documents(objects: &[Value]) -> String {
    let text = objects.iter().map(yaml).collect::<Vec<_>>().join("---\n");
    let label = labels::ENVIRONMENT;
    let guard = if text.contains(ENVIRONMENT) { GUARD } else { "" };
    let text = text
        .replace("{{", "{{ \"{{\" }}")
        .replace(&format!("image: {IMAGE_NAME}\n"), "image: {{ .Values.image | quote }}\n")
        .replace(&format!("replicas: {REPLICA_COUNT}\n"), "replicas: {{ int .Values.replicas }}\n")
        .replace(&format!("namespace: {WATCHED}\n"), "namespace: {{ .Values.watchNamespace | quote }}\n")
        .replace(
            &format!("        - --watch-namespace={WATCHED}\n"),
            "        {{- with .Values.watchNamespace }}\n        - {{ printf \"--watch-namespace=%s\" . | quote }}\n        {{- end }}\n",
        )
        .replace(
            &format!("    {label}: {ENVIRONMENT}\n"),
            &format!("    {{{{- with .Values.environment }}}}\n    {label}: {{{{ . | quote }}}}\n    {{{{- end }}}}\n"),
        );
    format!("{guard}{text}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_stand_in_has_become_a_value() {
        let text: String = files().into_iter().map(|(_, text)| text).collect();
        for stand_in in [ENVIRONMENT, IMAGE_NAME, WATCHED, &REPLICA_COUNT.to_string()] {
            assert!(!text.contains(stand_in), "{stand_in}");
        }
        for value in [".Values.environment", ".Values.image", ".Values.replicas"] {
            assert!(text.contains(value), "{value}");
        }
    }

    #[test]
    fn with_a_namespace_to_watch_the_chart_grants_nothing_in_the_cluster_and_both_processes_know_it() {
        let files: BTreeMap<_, _> = files().into_iter().collect();
        for name in ["rbac", "delete-mode"] {
            let text = &files[&format!("templates/{name}.yaml")];
            let start = text.find("{{- if .Values.watchNamespace }}").expect("a condition");
            let (one, all) = text[start..].split_once("{{- else }}").expect("two cases");
            assert!(one.contains("kind: Role\n") && !one.contains("ClusterRole"), "{one}");
            assert!(all.contains("kind: ClusterRole\n") && !all.contains("watchNamespace"), "{all}");
        }
        for name in ["operator", "prober"] {
            let text = &files[&format!("templates/{name}.yaml")];
            assert_eq!(text.matches("{{- with .Values.watchNamespace }}\n        - {{ printf").count(), 1, "{text}");
        }
    }

    #[test]
    fn the_chart_never_writes_the_stop_switch_and_says_who_does() {
        for (name, text) in files() {
            assert!(!text.contains(&format!("name: {}\n", switch::NAME)), "{name}");
        }
        let by_hand = format!("{} --namespace {} --from-literal={}=", switch::NAME, switch::NAMESPACE, switch::KEY);
        assert!(NOTES.contains("chaos resume --all\n") && NOTES.contains(&(by_hand + switch::RUNNING)));
    }
}
