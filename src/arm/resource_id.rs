//! The resource id of a managed cluster. Never guesses a missing part.

use std::fmt;
use std::str::FromStr;

/// `/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.ContainerService/managedClusters/{c}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterId {
    /// The subscription.
    pub subscription: String,
    /// The resource group that the cluster resource is in, not the one of its nodes.
    pub resource_group: String,
    /// The cluster's name.
    pub name: String,
}

/// Why a text is not the resource id of a managed cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the resource id of an AKS cluster: {problem}; it has the form /subscriptions/<subscription>/resourceGroups/<group>/providers/Microsoft.ContainerService/managedClusters/<name> and is printed by `az aks show --query id`"
)]
pub struct ClusterIdError {
    text: String,
    problem: String,
}

const SEGMENTS: [&str; 8] =
    ["subscriptions", "", "resourceGroups", "", "providers", "Microsoft.ContainerService", "managedClusters", ""];

impl FromStr for ClusterId {
    type Err = ClusterIdError;

    fn from_str(text: &str) -> Result<Self, ClusterIdError> {
        let error = |problem: String| ClusterIdError { text: text.to_owned(), problem };
        let path = text.strip_prefix('/').ok_or_else(|| error("it does not begin with a slash".to_owned()))?;
        let segments: Vec<&str> = path.split('/').collect();
        if segments.len() != SEGMENTS.len() {
            return Err(error(format!("it has {} segments instead of {}", segments.len(), SEGMENTS.len())));
        }
        let mut values = Vec::new();
        for (segment, wanted) in segments.into_iter().zip(SEGMENTS) {
            if wanted.is_empty() && !segment.is_empty() {
                values.push(segment.to_owned());
            } else if wanted.is_empty() {
                return Err(error("a segment is empty".to_owned()));
            } else if !segment.eq_ignore_ascii_case(wanted) {
                return Err(error(format!("{segment:?} should be {wanted:?}")));
            }
        }
        let mut values = values.into_iter();
        match (values.next(), values.next(), values.next()) {
            (Some(subscription), Some(resource_group), Some(name)) => Ok(Self { subscription, resource_group, name }),
            _ => Err(error("a part is missing".to_owned())),
        }
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
            self.subscription, self.resource_group, self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_in_any_case_of_its_fixed_parts() {
        let text = "/subscriptions/s/resourcegroups/g/providers/microsoft.containerservice/managedclusters/c";
        let id: ClusterId = text.parse().unwrap();
        assert_eq!((id.subscription.as_str(), id.resource_group.as_str(), id.name.as_str()), ("s", "g", "c"));
        assert_eq!(id.to_string().to_lowercase(), text);
    }

    #[test]
    fn anything_else_is_refused_with_what_is_wrong() {
        for (text, part) in [
            ("", "does not begin with a slash"),
            ("/subscriptions/s/resourceGroups/g", "4 segments"),
            (
                "/subscriptions/s/resourceGroups//providers/Microsoft.ContainerService/managedClusters/c",
                "a segment is empty",
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/managedClusters/c",
                "\"Microsoft.Compute\" should be",
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c/agentPools/p",
                "10 segments",
            ),
        ] {
            let error = text.parse::<ClusterId>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("az aks show"), "{error}");
        }
    }
}
