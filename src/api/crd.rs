//! The CRD as YAML, made from the types. Never reads or writes a file.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::policy::NodePoolPolicy;

/// Where the generated CRD is stored in the repository.
#[must_use]
pub const fn stored_as() -> &'static str {
    "crds/nodepoolpolicies.aks.nodepool.dev.yaml"
}

/// The CRD that the API server takes.
///
/// # Errors
/// The types can't be expressed as YAML, which is a defect of this program.
pub fn crd_yaml() -> Result<String, Box<dyn std::error::Error>> {
    Ok(serde_saphyr::to_string(&definition()?)?)
}

/// The same as a value.
pub(super) fn definition() -> Result<Value, serde_json::Error> {
    let mut crd = serde_json::to_value(NodePoolPolicy::crd())?;
    tidy(&mut crd);
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    if let Some(status) = crd.pointer_mut(&format!("{schema}/properties/status")).and_then(Value::as_object_mut) {
        // kstatus takes an object without a matching generation as in progress instead of as current.
        status.insert("default".into(), json!({"observedGeneration": -1}));
    }
    Ok(crd)
}

/// Removes what the API server does not know or would warn about: `nullable` (an absent field is not `null`), titles
/// and integer formats of other languages, all at any depth.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("nullable");
            // The line breaks of doc comments mean nothing to `kubectl explain`.
            if let Some(Value::String(description)) = object.get_mut("description") {
                let paragraphs: Vec<String> = description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
                *description = paragraphs.join("\n\n");
            }
            if object.get("title").is_some_and(Value::is_string) {
                object.remove("title");
            }
            if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                object.remove("format");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_crd_is_the_generated_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(stored_as());
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(stored, crd_yaml().unwrap(), "run `make crds` and commit {}", stored_as());
    }

    #[test]
    fn the_spec_has_no_defaults_and_nothing_is_nullable() {
        let crd: Value = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
        let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
        assert!(!spec.to_string().contains("\"default\""), "{spec}");
        assert!(!crd.to_string().contains("\"nullable\""), "{crd}");
    }
}
