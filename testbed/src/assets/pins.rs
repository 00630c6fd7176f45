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

const HELM: Module = Module {
    name: "helm",
    go_mod: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/helm/go.mod")),
    go_sum: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/helm/go.sum")),
};

/// Executables that are built and kept together: a change of what pins one set builds no other anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// What a control plane runs on.
    ControlPlane,
    /// What installs the chart and tests its templates.
    Helm,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ControlPlane, Self::Helm];

    /// Its executables, in the order in which they are built.
    #[must_use]
    pub const fn binaries(self) -> &'static [Binary] {
        match self {
            Self::ControlPlane => &Binary::CONTROL_PLANE,
            Self::Helm => &[Binary::Helm, Binary::HelmUnittest],
        }
    }

    /// The modules that pin it.
    pub(super) const fn modules(self) -> &'static [Module] {
        match self {
            Self::ControlPlane => &[CONTROL_PLANE, KWOK],
            Self::Helm => &[HELM],
        }
    }

    /// The name of its cache folder, before the key.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Helm => "helm",
        }
    }

    /// What it is called in messages.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::ControlPlane => "the control plane",
            Self::Helm => "Helm",
        }
    }

    /// How long the first build takes, in minutes on 2 cores.
    pub(super) const fn minutes(self) -> u8 {
        match self {
            Self::ControlPlane => 11,
            Self::Helm => 3,
        }
    }

    /// Flags of `go build`, the same for each binary of the set.
    pub(super) fn build_flags(self) -> Vec<String> {
        let stamps = match self {
            Self::ControlPlane => kubernetes_stamps(),
            Self::Helm => helm_stamps(),
        };
        let stamps = stamps.iter().map(|(name, value)| format!("-X {name}={value}"));
        let linker = ["-s".to_owned(), "-w".to_owned()].into_iter().chain(stamps).collect::<Vec<_>>().join(" ");
        let flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags"].map(str::to_owned);
        flags.into_iter().chain([linker]).collect()
    }

    /// Names the cache folder: changes with any pin and any build flag.
    pub(super) fn key(self) -> String {
        key_of(self.modules(), &self.build_flags())
    }

    /// The Go version that all its modules can be built with.
    pub(super) fn needed_go(self) -> GoVersion {
        let of = |module: &Module| module.go_mod.lines().find_map(|line| GoVersion::parse(line.strip_prefix("go ")?));
        self.modules().iter().filter_map(of).max().unwrap_or(GoVersion(1, 0, 0))
    }
}

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
    /// The package manager of Kubernetes.
    Helm,
    /// Runs the tests of a chart's templates.
    HelmUnittest,
}

impl Binary {
    /// Those of the control plane, in the order in which they are built.
    pub const CONTROL_PLANE: [Self; 6] =
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
            Self::Helm => "helm",
            Self::HelmUnittest => "helm-unittest",
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
            Self::Helm => "helm.sh/helm/v3/cmd/helm",
            Self::HelmUnittest => "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
        }
    }

    pub(super) const fn module(self) -> Module {
        match self {
            Self::Kwok => KWOK,
            Self::Helm | Self::HelmUnittest => HELM,
            _ => CONTROL_PLANE,
        }
    }
}

fn kubernetes_stamps() -> Vec<(&'static str, String)> {
    let version = required_version(CONTROL_PLANE.go_mod, "k8s.io/kubernetes").unwrap_or_default();
    vec![(VERSION_STAMP, version.to_owned())]
}

/// Its own version, and the Kubernetes whose client it has: unstamped it renders for one that no chart takes any more.
fn helm_stamps() -> Vec<(&'static str, String)> {
    let version = required_version(HELM.go_mod, "helm.sh/helm/v3").unwrap_or_default();
    let client = required_version(HELM.go_mod, "k8s.io/client-go").unwrap_or_default();
    let minor = client.split('.').nth(1).unwrap_or_default();
    vec![
        ("helm.sh/helm/v3/internal/version.version", version.to_owned()),
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", "1".to_owned()),
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", minor.to_owned()),
    ]
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
    fn the_key_changes_with_pins_and_flags_of_its_own_set() {
        let set = Set::ControlPlane;
        let flags = set.build_flags();
        let changed = Module { go_sum: "other", ..KWOK };
        assert_eq!(key_of(set.modules(), &flags), set.key());
        assert_ne!(key_of(&[CONTROL_PLANE, changed], &flags), set.key());
        assert_ne!(key_of(set.modules(), &["-race".into()]), set.key());
        assert_ne!(Set::Helm.key(), set.key());
        assert_eq!(set.key().len(), 16);
    }

    #[test]
    fn what_reports_a_version_is_stamped_with_the_pinned_one() {
        for (set, stamps) in [
            (Set::ControlPlane, &["gitVersion=v1.35.4"][..]),
            (Set::Helm, &["version.version=v3.22.0", "k8sVersionMajor=1", "k8sVersionMinor=37"]),
        ] {
            let flags = set.build_flags();
            let stamped = |stamp: &&str| flags.iter().any(|flag| flag.contains(stamp));
            assert!(stamps.iter().all(stamped), "{flags:?}");
        }
    }

    #[test]
    fn every_binary_is_a_tool_of_a_module_of_its_set() {
        for set in Set::ALL {
            for binary in set.binaries() {
                assert!(binary.module().go_mod.contains(binary.package()), "{} is not pinned", binary.package());
                assert!(set.modules().contains(&binary.module()), "{} is of another set", binary.package());
            }
        }
    }

    #[test]
    fn go_versions_are_ordered_by_number() {
        assert!(GoVersion::parse("1.9.2") < GoVersion::parse("1.26"));
        assert_eq!(GoVersion::parse("1.27rc1").map(|v| v.to_string()).as_deref(), Some("1.27.0"));
        assert_eq!(GoVersion::parse("devel"), None);
        assert!(Set::ALL.iter().all(|set| set.needed_go() >= GoVersion(1, 25, 0)));
    }
}
