//! The CRDs as YAML, made from the types. Never reads or writes a file.

use kube::{CustomResourceExt, Resource};
use serde_json::{Value, json};

use super::inventory::NodePoolInventory;
use super::policy::NodePoolPolicy;

/// A CRD, and where the generated one is stored in the repository.
#[derive(Debug)]
pub struct Definition {
    /// The plural of the kind, for example `nodepoolpolicies`.
    pub plural: String,
    /// The file, for example `crds/nodepoolpolicies.aks.nodepool.dev.yaml`.
    pub stored_as: String,
    /// The CRD that the API server takes.
    pub yaml: String,
}

/// All CRDs.
///
/// # Errors
/// The types can't be expressed as YAML, which is a defect of this program.
pub fn definitions() -> Result<Vec<Definition>, Box<dyn std::error::Error>> {
    Ok(vec![definition::<NodePoolPolicy>()?, definition::<NodePoolInventory>()?])
}

/// All CRDs as one text, or that of one plural; nothing if there is none of that plural.
///
/// # Errors
/// As [`definitions`].
pub fn crd_yaml(plural: Option<&str>) -> Result<String, Box<dyn std::error::Error>> {
    let wanted = |definition: &Definition| plural.is_none_or(|plural| definition.plural == plural);
    let texts: Vec<String> = definitions()?.into_iter().filter(wanted).map(|definition| definition.yaml).collect();
    Ok(texts.join("---\n"))
}

fn definition<K: CustomResourceExt + Resource<DynamicType = ()>>() -> Result<Definition, Box<dyn std::error::Error>> {
    let mut crd = serde_json::to_value(K::crd())?;
    tidy(&mut crd);
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    if let Some(status) = crd.pointer_mut(&format!("{schema}/properties/status")).and_then(Value::as_object_mut) {
        // kstatus takes an object without a matching generation as in progress instead of as current.
        status.insert("default".into(), json!({"observedGeneration": -1}));
    }
    let (plural, group) = (K::plural(&()).into_owned(), K::group(&()));
    let stored_as = format!("crds/{plural}.{group}.yaml");
    Ok(Definition { plural, stored_as, yaml: serde_saphyr::to_string(&crd)? })
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
    fn the_stored_crds_are_the_generated_ones() {
        for Definition { stored_as, yaml, .. } in definitions().unwrap() {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&stored_as);
            let stored = std::fs::read_to_string(path).unwrap_or_default();
            assert_eq!(stored, yaml, "run `make crds` and commit {stored_as}");
        }
    }

    #[test]
    fn one_definition_or_all_are_printed() {
        let names = |plural| crd_yaml(plural).unwrap().matches("kind: CustomResourceDefinition").count();
        assert_eq!((names(None), names(Some("nodepoolinventories")), names(Some("pods"))), (2, 1, 0));
    }

    #[test]
    fn the_spec_has_no_defaults_and_nothing_is_nullable() {
        for Definition { yaml, .. } in definitions().unwrap() {
            let crd: Value = serde_saphyr::from_str(&yaml).unwrap();
            let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
            assert!(!spec.to_string().contains("\"default\""), "{spec}");
            assert!(!crd.to_string().contains("\"nullable\""), "{crd}");
        }
    }
}
