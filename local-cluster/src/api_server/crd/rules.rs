//! The CEL rules of a schema, compiled. It must not evaluate them: that is done where objects are checked.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use kube_cel::{CompiledSchema, compile_schema};
use serde_json::Value;

/// So many schemas are kept compiled: those of a few definitions, some versions of each.
const KEPT: usize = 64;

/// The rules of that schema, if it has any. Compiling hundreds of them takes longer than all else about a definition, which is checked, served, and
/// written once more with every condition: the same schema is compiled once in a process, however many clusters it runs.
pub(super) fn compiled(schema: &Value) -> Option<Arc<CompiledSchema>> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Arc<CompiledSchema>>>> = LazyLock::new(Mutex::default);
    let key = schema.to_string();
    if !key.contains("x-kubernetes-validations") {
        return None;
    }
    let mut known = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = known.get(&key) {
        return Some(Arc::clone(compiled));
    }
    if known.len() >= KEPT {
        known.clear();
    }
    let compiled = Arc::new(compile_schema(schema));
    known.insert(key, Arc::clone(&compiled));
    Some(compiled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_compiled_once_and_another_one_is_another() {
        let schema =
            |rule: &str| json!({"type": "object", "x-kubernetes-validations": [{"rule": rule, "message": "no"}]});
        let compiled = |rule: &str| compiled(&schema(rule)).unwrap();
        let first = compiled("self.a > 1");
        assert!(Arc::ptr_eq(&first, &compiled("self.a > 1")));
        let broken = compiled("self.a >");
        assert_eq!((first.validations[0].is_ok(), broken.validations[0].is_ok()), (true, false));
        for bound in 0..=KEPT {
            compiled(&format!("self.a > {bound}"));
        }
        assert!(compiled("self.a > 1").validations[0].is_ok());
    }
}
