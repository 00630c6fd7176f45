//! Patterns of actions, as roles have them. Never knows which actions there are.

/// Whether a pattern, in which `*` stands for any text, describes an action; both in any case.
pub(super) fn covers(pattern: &str, action: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_patterns_in_any_case() {
        let write = "Microsoft.ContainerService/managedClusters/agentPools/write";
        for (pattern, expected) in [
            ("*", true),
            ("*/write", true),
            ("*/read", false),
            ("microsoft.containerservice/managedclusters/agentpools/write", true),
            ("Microsoft.ContainerService/*/agentPools/*", true),
            ("Microsoft.ContainerService/*/agentPools/*/action", false),
            ("Microsoft.ContainerService/managedClusters/write", false),
            ("Microsoft.ContainerService/managedClusters/agentPools/writ", false),
            ("", false),
        ] {
            assert_eq!(covers(pattern, write), expected, "{pattern}");
        }
    }
}
