//! Which action a request to ARM takes, and over which scope, as roles name them. Never decides whether it may.

/// The action and the scope of a request; `None` for one that needs no role: lists of what the caller can see, and
/// operations, whose signed URLs are believed to be enough.
pub(super) fn of(method: &str, path: &str) -> Option<(String, String)> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let provider = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"));
    let (namespace, first) = match provider {
        Some(at) if segments.len() > at + 2 => (*segments.get(at + 1)?, at + 2),
        _ => return of_scope(method, &segments),
    };
    let names = segments.get(first..)?;
    let types: Vec<&str> = names.iter().step_by(2).copied().collect();
    if types.iter().any(|kind| kind.eq_ignore_ascii_case("operations") || kind.eq_ignore_ascii_case("operationresults"))
    {
        return None;
    }
    // A type without a name: what is listed, or what a POST does to the resource before it.
    let is_open = names.len() % 2 == 1;
    let length = if is_open { segments.len() - 1 } else { segments.len() };
    // Of the first type there is no resource before it, but a resource group or subscription.
    let scope = if is_open && names.len() == 1 { segments.get(..first - 2) } else { segments.get(..length) };
    Some((format!("{namespace}/{}/{}", types.join("/"), verb(method)), join(scope?)))
}

/// Of subscriptions, resource groups, and providers.
fn of_scope(method: &str, segments: &[&str]) -> Option<(String, String)> {
    let kind = match segments {
        [_, _] => "subscriptions",
        [_, _, kind, ..] if kind.eq_ignore_ascii_case("resourceGroups") => "subscriptions/resourceGroups",
        [_, _, kind, ..] if kind.eq_ignore_ascii_case("providers") => "subscriptions/providers",
        _ => return None,
    };
    Some((format!("Microsoft.Resources/{kind}/{}", verb(method)), join(segments)))
}

fn verb(method: &str) -> &'static str {
    match method {
        "PUT" | "PATCH" => "write",
        "DELETE" => "delete",
        "POST" => "action",
        _ => "read",
    }
}

fn join(segments: &[&str]) -> String {
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_roles_name_them() {
        const GROUP: &str = "/subscriptions/S/resourceGroups/G";
        let cluster = format!("{GROUP}/providers/Microsoft.ContainerService/managedClusters/C");
        let pool = format!("{cluster}/agentPools/p");
        for (method, path, action, scope) in [
            ("GET", cluster.clone(), "managedClusters/read", cluster.clone()),
            ("PUT", pool.clone(), "managedClusters/agentPools/write", pool.clone()),
            ("DELETE", pool.clone(), "managedClusters/agentPools/delete", pool.clone()),
            ("POST", format!("{pool}/abort"), "managedClusters/agentPools/abort/action", pool.clone()),
            ("GET", format!("{cluster}/agentPools"), "managedClusters/agentPools/read", cluster.clone()),
            (
                "GET",
                format!("{pool}/upgradeProfiles/default"),
                "managedClusters/agentPools/upgradeProfiles/read",
                format!("{pool}/upgradeProfiles/default"),
            ),
            (
                "GET",
                format!("{GROUP}/providers/Microsoft.ContainerService/managedClusters"),
                "managedClusters/read",
                GROUP.to_owned(),
            ),
        ] {
            let (found, over) = of(method, &path).unwrap();
            assert_eq!(found, format!("Microsoft.ContainerService/{action}"), "{method} {path}");
            assert_eq!(over, scope, "{method} {path}");
        }
        let group = of("GET", "/subscriptions/S/resourcegroups/G").unwrap();
        assert_eq!(group.0, "Microsoft.Resources/subscriptions/resourceGroups/read");
        let operation = "/subscriptions/S/providers/Microsoft.ContainerService/locations/l/operations/1";
        for path in [operation, "/subscriptions", "/tenants", "/", "/subscriptions/S/providers"] {
            let action = of("GET", path);
            assert!(action.is_none_or(|(action, _)| action.starts_with("Microsoft.Resources/")), "{path}");
        }
    }
}
