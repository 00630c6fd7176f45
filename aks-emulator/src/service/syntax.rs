//! Forms that values must have: names, labels, taints, versions. Never knows a pool.

/// Splits a taint, `key=value:Effect` or `key:Effect`, into its parts; `None` if it is malformed.
pub(crate) fn taint(text: &str) -> Option<(&str, &str, &str)> {
    let (pair, effect) = text.rsplit_once(':')?;
    if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return None;
    }
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (is_label_key(key) && is_label_value(value)).then_some((key, value, effect))
}

/// The prefix of a label key, if it has one.
pub(crate) fn prefix(key: &str) -> Option<&str> {
    key.split_once('/').map(|(prefix, _)| prefix)
}

/// Whether a label or taint key is one that Kubernetes accepts.
pub(crate) fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_qualified_name(key),
        Some((prefix, name)) => is_dns_name(prefix) && is_qualified_name(name),
    }
}

/// Whether a label or taint value is one that Kubernetes accepts.
pub(crate) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_qualified_name(value)
}

fn is_qualified_name(name: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.len() <= 63
        && ends(name.bytes().next())
        && ends(name.bytes().last())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_dns_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            ends(part.bytes().next())
                && ends(part.bytes().last())
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

/// Whether a pool may have this name: `^[a-z][a-z0-9]{0,11}$`.
pub(crate) fn is_pool_name(name: &str) -> bool {
    name.len() <= 12
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Major and minor of a version, `1.33` or `1.33.5`.
pub(crate) fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    match parts.next() {
        Some(patch) if patch.parse::<u32>().is_err() => None,
        _ if parts.next().is_some() => None,
        _ => Some((major, minor)),
    }
}

/// Major and minor of a version as text, `1.33` of `1.33.5`.
pub(crate) fn without_patch(version: &str) -> String {
    version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

/// Whether a version comes before another, patch included; `false` if either is malformed.
pub(crate) fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>();
    matches!((numbers(version), numbers(than)), (Some(a), Some(b)) if a < b)
}

/// The version that runs when `requested` is asked for: a version without a patch takes that of `current` if it is
/// of the same minor.
pub(crate) fn resolve_version(requested: &str, current: &str) -> String {
    if requested.split('.').count() >= 3 {
        return requested.to_owned();
    }
    if minor(requested) == minor(current) {
        return current.to_owned();
    }
    format!("{requested}.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_have_a_key_perhaps_a_value_and_an_effect() {
        for (text, parts) in [
            ("a=b:NoSchedule", Some(("a", "b", "NoSchedule"))),
            ("a:NoExecute", Some(("a", "", "NoExecute"))),
            ("x.io/a=b.c:PreferNoSchedule", Some(("x.io/a", "b.c", "PreferNoSchedule"))),
            ("a=b", None),
            ("a=b:noschedule", None),
            ("=b:NoSchedule", None),
            ("a b=c:NoSchedule", None),
            ("a=-:NoSchedule", None),
        ] {
            assert_eq!(taint(text), parts, "{text}");
        }
    }

    #[test]
    fn pool_names_are_short_and_lower_case() {
        for (name, good) in [
            ("apps", true),
            ("a", true),
            ("abcdefghijkl", true),
            ("abcdefghijklm", false),
            ("", false),
            ("1a", false),
            ("Apps", false),
            ("a-b", false),
        ] {
            assert_eq!(is_pool_name(name), good, "{name}");
        }
    }

    #[test]
    fn a_version_without_a_patch_takes_the_clusters() {
        assert_eq!(resolve_version("1.33", "1.33.5"), "1.33.5");
        assert_eq!(resolve_version("1.33.2", "1.33.5"), "1.33.2");
        assert_eq!(resolve_version("1.32", "1.33.5"), "1.32.0");
        assert!(is_older("1.9.12", "1.33.5") && is_older("1.33.4", "1.33.5"));
        assert!(!is_older("1.33.5", "1.33.5") && !is_older("1.33", "new"));
        assert_eq!(minor("1.33.x"), None);
        assert_eq!(minor("1.33.5.6"), None);
    }
}
