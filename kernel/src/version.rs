//! Kubernetes versions as AKS writes them, with or without a patch. Never knows which ones a service supports.

use std::fmt;

/// A version: `1.34`, which stands for all of its patches, or `1.34.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, if it is named.
    pub patch: Option<u32>,
}

/// The Kubernetes version that a policy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedVersion {
    /// This one, or any patch of it where it names none.
    Exactly(Version),
    /// Whatever the control plane runs.
    ControlPlane,
}

impl Version {
    /// The version of that text; `None` if it is not two or three numbers. A leading `v`, as kubelets have it, is dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Only digits: `parse` would take a sign as well.
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
        let mut parts = text.trim_start_matches('v').split('.').map(number);
        let (major, minor) = (parts.next()??, parts.next()??);
        let patch = match parts.next() {
            Some(patch) => Some(patch?),
            None => None,
        };
        parts.next().is_none().then_some(Self { major, minor, patch })
    }

    /// Whether `other` is this version, component by component as far as this one names them.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.is_of_the_minor(other) && (self.patch.is_none() || self.patch == other.patch)
    }

    /// Whether both are of one minor.
    #[must_use]
    pub const fn is_of_the_minor(self, other: Self) -> bool {
        self.major == other.major && self.minor == other.minor
    }

    /// Whether this version is older, by the components that both name.
    #[must_use]
    pub fn is_older_than(self, other: Self) -> bool {
        let minors = (self.major, self.minor).cmp(&(other.major, other.minor));
        let patches = self.patch.zip(other.patch);
        minors.is_lt() || (minors.is_eq() && patches.is_some_and(|(own, others)| own < others))
    }

    /// By how many minors this version is behind; `None` across majors.
    #[must_use]
    pub fn minors_behind(self, other: Self) -> Option<u32> {
        (self.major == other.major).then(|| other.minor.saturating_sub(self.minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn two_or_three_numbers_are_a_version() {
        for (text, printed) in [
            ("1.34", Some("1.34")),
            ("1.34.2", Some("1.34.2")),
            ("v1.34.2", Some("1.34.2")),
            ("1.034", Some("1.34")),
            ("", None),
            ("1", None),
            ("1.", None),
            ("1.34.", None),
            ("1.+4", None),
            ("1.34.2.1", None),
            ("1.34-alpha", None),
            ("1.99999999999", None),
        ] {
            assert_eq!(Version::parse(text).map(|version| version.to_string()).as_deref(), printed, "{text}");
        }
    }

    #[test]
    fn a_minor_covers_all_of_its_patches_and_is_neither_older_nor_newer() {
        for (one, other, covers, older) in [
            ("1.34", "1.34.5", true, false),
            ("1.34.5", "1.34", false, false),
            ("1.34.5", "1.34.5", true, false),
            ("1.34.4", "1.34.5", false, true),
            ("1.34.10", "1.34.9", false, false),
            ("1.9", "1.34", false, true),
            ("1.34", "1.35.0", false, true),
            ("1.35", "1.34.9", false, false),
            ("1.35", "2.0", false, true),
        ] {
            let (one, other) = (version(one), version(other));
            assert_eq!((one.covers(other), one.is_older_than(other)), (covers, older), "{one} and {other}");
        }
        assert_eq!(version("1.32").minors_behind(version("1.35.1")), Some(3));
        assert_eq!(version("1.36").minors_behind(version("1.35.1")), Some(0));
        assert_eq!(version("1.32").minors_behind(version("2.0")), None);
    }
}
