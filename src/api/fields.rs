//! The reference of all fields that people can write, as Markdown, made from the types. Never reads or writes a file.

use std::fmt::Write as _;

use nodepool_kernel::{Mutability, TEMPLATE_FIELDS};
use serde_json::Value;

use super::crd;
use super::policy::NodePoolPolicy;

/// Where the generated reference is stored in the repository.
#[must_use]
pub const fn fields_stored_as() -> &'static str {
    "docs/fields.md"
}

/// The api-version that the page is about: the default.
const API_VERSION: &str = "2025-10-01";

const HEAD: &str = "\
# Fields of a NodePoolPolicy

Every field of `spec`, made from the program's types by `make fields`. A field that is absent is not managed: it is neither
compared nor changed. `kubectl explain nodepoolpolicy.spec --recursive` tells the same.

**Change** says how AKS takes a change of a pool that exists, in the api-version that the operator speaks by default
(2025-10-01):

| | |
| --- | --- |
| InPlace | on the nodes that are there |
| Rolling | node by node: each is drained and made anew |
| Replace | not at all: another pool has to take the place of this one |
| Forbidden | never: it says which pool it is |
| no write | nothing in Azure changes: it is an instruction to the operator |

The operator changes a pool that exists only for fields outside of `template`. What differs from `template` is told in
`status.drift` with its class, and never carried out, also where AKS could roll it ([create.md](create.md)).

| field | values | property in ARM | change | what it does |
| --- | --- | --- | --- | --- |
";

/// The fields outside of `template` and the properties in ARM that they drive; none for an instruction to the operator.
const PROPERTIES: [(&str, Option<&str>); 19] = [
    ("autoscaling.maxCount", Some("maxCount")),
    ("autoscaling.minCount", Some("minCount")),
    ("count", Some("count")),
    ("deletionPolicy", None),
    ("disruption.systemPods", None),
    ("enforcement", None),
    ("kubernetesVersion", Some("orchestratorVersion")),
    ("labels", Some("nodeLabels")),
    ("mode", Some("mode")),
    ("poolName", Some("name")),
    ("powerState", Some("powerState")),
    ("suspend", None),
    ("tags", Some("tags")),
    ("taints", Some("nodeTaints")),
    ("upgrade.drainTimeoutMinutes", Some("upgradeSettings")),
    ("upgrade.maxSurge", Some("upgradeSettings")),
    ("upgrade.maxUnavailable", Some("upgradeSettings")),
    ("upgrade.nodeSoakMinutes", Some("upgradeSettings")),
    ("upgrade.undrainableNodes", Some("upgradeSettings")),
];

/// A field of the spec.
struct Field {
    /// The names on the way to it, with dots between.
    path: String,
    schema: Value,
}

/// The page.
///
/// # Errors
/// A field that is not in the table, or the types can't be expressed: defects of this program.
pub fn fields_page() -> Result<String, Box<dyn std::error::Error>> {
    let crd = crd::value::<NodePoolPolicy>()?;
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").cloned().unwrap_or_default();
    let mut fields = Vec::new();
    collect("", &spec, &mut fields);
    let mut page = HEAD.to_owned();
    for Field { path, schema } in fields {
        let (property, change) = change(&path).ok_or_else(|| format!("spec.{path} is in no table of properties"))?;
        let property = property.map_or_else(|| "none".to_owned(), |property| format!("`{property}`"));
        let text = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('|', "\\|");
        writeln!(page, "| `{path}` | {} | {property} | {change} | {text} |", values(&schema))?;
    }
    Ok(page)
}

/// The fields below, those of objects one by one. The items of a list are one field with it.
fn collect(above: &str, schema: &Value, found: &mut Vec<Field>) {
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if schema.get("properties").is_some() {
            collect(&path, schema, found);
        } else {
            found.push(Field { path, schema: schema.clone() });
        }
    }
}

/// The property that a field drives, and how AKS takes a change of it.
fn change(path: &str) -> Option<(Option<&'static str>, String)> {
    let of_template = || {
        let field = TEMPLATE_FIELDS.iter().find(|field| path.strip_prefix("template.") == Some(field.name))?;
        Some(Some(field.property))
    };
    let listed = PROPERTIES.iter().find(|(listed, _)| *listed == path).map(|(_, property)| *property);
    match listed.or_else(of_template)? {
        None => Some((None, "no write".to_owned())),
        Some(property) => {
            let top = property.split_once('.').map_or(property, |(top, _)| top);
            Some((Some(property), Mutability::of(top, API_VERSION)?.to_string()))
        }
    }
}

/// Which values the API server takes, as far as the schema tells it in a few words.
fn values(schema: &Value) -> String {
    let number = |name: &str| schema.get(name).and_then(Value::as_f64).map(|number| format!("{number:.0}"));
    if let Some(named) = schema.get("enum").and_then(Value::as_array) {
        let named: Vec<String> = named.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
        return named.join(", ");
    }
    match (schema.get("type").and_then(Value::as_str).unwrap_or_default(), number("minimum"), number("maximum")) {
        ("integer", Some(least), Some(most)) => format!("{least} to {most}"),
        ("integer", ..) => "number".to_owned(),
        ("boolean", ..) => "`true`, `false`".to_owned(),
        ("array", ..) if schema.pointer("/items/properties").is_some() => "list of objects".to_owned(),
        ("array", ..) => "list of texts".to_owned(),
        ("object", ..) => "texts by key".to_owned(),
        _ => "text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_page_is_the_generated_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(fields_stored_as());
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(stored, fields_page().unwrap(), "run `make fields` and commit {}", fields_stored_as());
    }

    #[test]
    fn every_row_of_the_table_is_a_field() {
        let page = fields_page().unwrap();
        for (path, _) in PROPERTIES {
            assert!(page.contains(&format!("\n| `{path}` |")), "spec.{path} is no field");
        }
    }
}
