//! Reads a cluster's description from a file and says where in it a mistake is. Never starts anything.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::service::document;
use crate::{ClusterSpec, Error, Role};

/// The example of the README, with everything that a description can say.
pub(crate) const EXAMPLE: &str = include_str!("../examples/cluster.yaml");

impl ClusterSpec {
    /// Reads a description, YAML or JSON, and checks it as [`Emulator::start`](crate::Emulator::start) would.
    ///
    /// # Errors
    /// [`Error::DescriptionFile`] if the file cannot be read; [`Error::Description`] with the place of the first
    /// mistake, the field, its value and what to give instead.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::DescriptionFile { path: path.to_owned(), source })?;
        let mistake = |place: Location, problem: String| Error::Description {
            path: path.to_owned(),
            line: place.line(),
            column: place.column(),
            problem,
        };
        let mut spec: Self = serde_saphyr::from_str(&text).map_err(|error| {
            let place = error.location().unwrap_or(Location::UNKNOWN);
            mistake(place, told(&text, place, &error.without_snippet().to_string()))
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for role in spec.identities.iter_mut().filter_map(|identity| identity.role.as_mut()) {
            *role = folder.join(&*role);
            Role::read(role)?;
        }
        match spec.check().and_then(|()| document::cluster_from(&spec)) {
            Ok(_) => Ok(spec),
            Err(Error::Setting { field, value, fix }) => {
                Err(mistake(place_of(&text, &field), format!("{field} is {value}: {fix}")))
            }
            Err(other) => Err(other),
        }
    }

    /// A description as a file, with everything that one can say.
    #[must_use]
    pub fn example() -> &'static str {
        EXAMPLE
    }
}

type Fields = BTreeMap<String, Spanned<Value>>;

#[derive(Deserialize)]
struct Pools {
    #[serde(default)]
    pools: Vec<Spanned<Fields>>,
}

/// What the parser said of a place, with the field and the value that are there.
fn told(text: &str, place: Location, said: &str) -> String {
    let said = said.trim_end_matches(&format!(" at line {}, column {}", place.line(), place.column()));
    let top: Fields = serde_saphyr::from_str(text).unwrap_or_default();
    let pools = serde_saphyr::from_str(text).map_or_else(|_| Vec::new(), |pools: Pools| pools.pools);
    let of_pools = pools.iter().enumerate().flat_map(|(index, pool)| {
        pool.value.iter().map(move |(name, given)| (format!("pools[{index}].{name}"), given))
    });
    let mut found = top.iter().map(|(name, given)| (name.clone(), given)).chain(of_pools);
    match found.rfind(|(_, given)| given.referenced == place) {
        Some((field, given)) => format!("{field} is {}: {said}", given.value),
        None => said.to_owned(),
    }
}

/// Where a field such as `name` or `pools[1].count` is given; the nearest place around it if it is not.
fn place_of(text: &str, field: &str) -> Location {
    let top: Fields = serde_saphyr::from_str(text).unwrap_or_default();
    let of_top = |name: &str| top.get(name).map_or(Location::UNKNOWN, |given| given.referenced);
    let in_pool = field.strip_prefix("pools[").and_then(|rest| rest.split_once(']'));
    let Some((index, below)) = in_pool else {
        return of_top(field);
    };
    let pools = serde_saphyr::from_str(text).map_or_else(|_| Vec::new(), |pools: Pools| pools.pools);
    let pool = index.parse().ok().and_then(|index: usize| pools.get(index));
    let Some(pool) = pool else {
        return of_top("pools");
    };
    let name = below.split('.').nth(1).unwrap_or_default();
    pool.value.get(name).map_or(pool.referenced, |given| given.referenced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ClusterSpec, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.yaml");
        std::fs::write(&path, text).unwrap();
        ClusterSpec::read(&path)
    }

    #[test]
    fn a_mistake_is_told_with_file_line_field_value_and_fix() {
        let pool = "name: c\npools:\n- name: system\n  mode: System\n  count: 3\n- name: apps\n  mode: User\n";
        for (text, place, problem) in [
            ("name: c\npool: []\n".to_owned(), "line 2,", "unknown field `pool`"),
            ("pools:\n- {name: a, count: many}\n".to_owned(), "line 2,", "pools[0].count is \"many\": invalid u32"),
            ("name: [\n".to_owned(), "line ", ""),
            ("pools: []\n".to_owned(), "line 1,", "pools is empty: give at least one pool"),
            (format!("{pool}  count: 2000\n"), "line 8,", "pools[1].count is 2000: "),
            (format!("{pool}  taints: [\"a b\"]\n"), "line 8,", "pools[1].taints is [\"a b\"]: "),
            (format!("{pool}  labels: {{kubernetes.azure.com/x: y}}\n"), "line 6,", "'kubernetes.azure.com' prefix"),
            (format!("{pool}  autoscaling: [5, 2]\n"), "line 8,", "pools[1].autoscaling is [5,2]: "),
            (format!("{pool}  properties: {{maxSurge: 1}}\n"), "line 8,", "maxSurge"),
            (
                format!("{pool}  properties: {{count: 4}}\n"),
                "line 8,",
                "pools[1].properties.count is 4: give it as count",
            ),
            (format!("{pool}  properties: {{eTag: x}}\n"), "line 8,", "leave it out, as the service sets it"),
            (format!("{pool}- name: apps\n"), "line 8,", "pools[2].name is apps: name each pool once"),
            (format!("{pool}- name: Bad\n"), "line 8,", "pools[2].name is Bad: "),
            (pool.replace("mode: System", "mode: System\n  stopped: true"), "line 5,", "pools[0].stopped is true: "),
            (
                "kubernetesVersion: new\npools: [{name: a}]\n".to_owned(),
                "line 1,",
                "kubernetesVersion is \"new\": give",
            ),
        ] {
            let told = read(&text).unwrap_err().to_string();
            let expected = told.contains("cluster.yaml, ") && told.contains(place) && told.contains(problem);
            assert!(expected, "{told}\n{text}");
        }
    }

    #[test]
    fn an_absent_file_is_told() {
        let error = ClusterSpec::read(Path::new("/nonexistent/cluster.yaml")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/cluster.yaml"), "{error}");
    }
}
