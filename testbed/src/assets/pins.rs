//! What is built and from which pinned sources; never touches the file system.

use sha2::{Digest as _, Sha256};

/// Go's version stamp for Kubernetes: without it the server reports a version that clients refuse to parse.
const VERSION_STAMP: &str = "k8s.io/component-base/version.gitVersion";

/// A Go module of this crate that pins what is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
}

const CONTROL_PLANE: Module = Module {
    name: "control-plane",
    go_mod: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/control-plane/go.mod")),
    go_sum: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/control-plane/go.sum")),
};

const KWOK: Module = Module {
    name: "kwok",
    go_mod: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kwok/go.mod")),
    go_sum: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kwok/go.sum")),
};

/// The modules that pin everything.
pub(super) const MODULES: [Module; 2] = [CONTROL_PLANE, KWOK];

/// An executable that the testbed runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binary {
    /// The store of the API server.
    Etcd,
    /// The Kubernetes API server.
    ApiServer,
    /// The Kubernetes controllers, among them taint eviction, disruption and garbage collection.
    ControllerManager,
    /// The Kubernetes scheduler.
    Scheduler,
    /// The command line client.
    Kubectl,
    /// Plays the kubelets of nodes that have no machine.
    Kwok,
}

impl Binary {
    /// All of them, in the order in which they are built.
    pub const ALL: [Self; 6] =
        [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kubectl, Self::Kwok];

    /// The file name, the same everywhere.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
        }
    }

    pub(super) const fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::ApiServer => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::ControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Scheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
        }
    }

    pub(super) const fn module(self) -> Module {
        match self {
            Self::Kwok => KWOK,
            _ => CONTROL_PLANE,
        }
    }
}

/// Flags of `go build`, the same for each binary.
pub(super) fn build_flags() -> Vec<String> {
    let version = required_version(CONTROL_PLANE.go_mod, "k8s.io/kubernetes").unwrap_or_default();
    vec![
        "-mod=readonly".into(),
        "-trimpath".into(),
        "-buildvcs=false".into(),
        "-ldflags".into(),
        format!("-s -w -X {VERSION_STAMP}={version}"),
    ]
}

/// Names the cache folder: changes with any pin and any build flag.
pub(super) fn key() -> String {
    key_of(&MODULES, &build_flags())
}

fn key_of(modules: &[Module], flags: &[String]) -> String {
    let mut hash = Sha256::new();
    let texts = modules.iter().flat_map(|module| [module.name, module.go_mod, module.go_sum]);
    for text in texts.chain(flags.iter().map(String::as_str)) {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest.first_chunk().map_or_else(String::new, |first| format!("{:016x}", u64::from_be_bytes(*first)))
}

/// The Go version that all modules can be built with.
pub(super) fn needed_go() -> GoVersion {
    MODULES
        .iter()
        .filter_map(|module| module.go_mod.lines().find_map(|line| GoVersion::parse(line.strip_prefix("go ")?)))
        .max()
        .unwrap_or(GoVersion(1, 0, 0))
}

fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let rest = line.trim().trim_start_matches("require ").strip_prefix(module)?.strip_prefix(' ')?;
        rest.split_whitespace().next().filter(|version| version.starts_with('v'))
    })
}

/// A version of Go: major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GoVersion(u32, u32, u32);

impl GoVersion {
    /// Reads `1.26.8`, `1.26` or `1.27rc1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text
            .trim()
            .split('.')
            .map(|part| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().ok());
        Some(Self(parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
    }
}

impl std::fmt::Display for GoVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_pins_and_flags() {
        let flags = build_flags();
        let changed = Module { go_sum: "other", ..KWOK };
        assert_eq!(key_of(&MODULES, &flags), key());
        assert_ne!(key_of(&[CONTROL_PLANE, changed], &flags), key());
        assert_ne!(key_of(&MODULES, &["-race".into()]), key());
        assert_eq!(key().len(), 16);
    }

    #[test]
    fn the_server_is_stamped_with_the_pinned_version() {
        assert!(build_flags().iter().any(|flag| flag.ends_with("gitVersion=v1.35.4")), "{:?}", build_flags());
    }

    #[test]
    fn every_binary_is_a_tool_of_its_module() {
        for binary in Binary::ALL {
            assert!(binary.module().go_mod.contains(binary.package()), "{} is not pinned", binary.package());
        }
    }

    #[test]
    fn go_versions_are_ordered_by_number() {
        assert!(GoVersion::parse("1.9.2") < GoVersion::parse("1.26"));
        assert_eq!(GoVersion::parse("1.27rc1").map(|v| v.to_string()).as_deref(), Some("1.27.0"));
        assert_eq!(GoVersion::parse("devel"), None);
        assert!(needed_go() >= GoVersion(1, 25, 0));
    }
}
