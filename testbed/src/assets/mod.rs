//! Finds the executables of the control plane and of Helm, or has them built once for this machine; never starts one.

mod build;
mod pins;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use pins::{Binary, Set};

/// Names a folder with ready executables.
pub const ASSETS_VARIABLE: &str = "NODEPOOL_TESTBED_ASSETS";
/// The same, as other Kubernetes test tools name it.
pub const KUBEBUILDER_VARIABLE: &str = "KUBEBUILDER_ASSETS";
/// Names the folder under which executables are built and kept.
pub const CACHE_VARIABLE: &str = "NODEPOOL_TESTBED_CACHE";

/// Where to look and where to build.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folders with ready executables, best first, each with the name of the setting that it came from.
    pub ready: Vec<(&'static str, PathBuf)>,
    /// The folder under which executables are built and kept.
    pub cache: PathBuf,
    /// `PATH`, in which `go` is looked for.
    pub path: OsString,
}

impl Places {
    /// As this process's environment says: `NODEPOOL_TESTBED_ASSETS`, then `KUBEBUILDER_ASSETS`; built under
    /// `NODEPOOL_TESTBED_CACHE`, else `$XDG_CACHE_HOME/nodepool-operator`, else `~/.cache/nodepool-operator`.
    ///
    /// # Errors
    /// When none of the variables that could name a cache folder is set.
    pub fn of_environment() -> anyhow::Result<Self> {
        Self::of(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Self> {
        let ready = [ASSETS_VARIABLE, KUBEBUILDER_VARIABLE]
            .into_iter()
            .filter_map(|name| Some((name, PathBuf::from(variable(name)?))))
            .collect();
        let cache = variable(CACHE_VARIABLE)
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(variable("XDG_CACHE_HOME")?).join("nodepool-operator")))
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache/nodepool-operator")))
            .with_context(|| format!("no cache folder is known: set {CACHE_VARIABLE} to one"))?;
        Ok(Self { ready, cache, path: variable("PATH").unwrap_or_default() })
    }

    /// The folder in which the executables of these pins are built and kept.
    #[must_use]
    pub fn built(&self, set: Set) -> PathBuf {
        self.cache.join(format!("{}-{}", set.name(), set.key()))
    }
}

/// The executables, each known to exist.
#[derive(Debug, Clone)]
pub struct Assets {
    paths: BTreeMap<Binary, PathBuf>,
    folder: PathBuf,
}

impl Assets {
    /// Finds all executables of the control plane; builds what is missing, which takes about 11 minutes on 2 cores the
    /// first time. `say` gets progress, a line at a time.
    ///
    /// Blocks: call it outside of an async runtime's workers.
    ///
    /// # Errors
    /// When something has to be built and can't be: no Go, one too old, or a build that failed.
    pub fn find_or_build(places: &Places, say: &mut dyn FnMut(&str)) -> anyhow::Result<Self> {
        Self::find_or_build_set(Set::ControlPlane, places, say)
    }

    /// The same for a set of executables.
    ///
    /// # Errors
    /// As [`find_or_build`](Self::find_or_build).
    pub fn find_or_build_set(set: Set, places: &Places, say: &mut dyn FnMut(&str)) -> anyhow::Result<Self> {
        let mut paths = BTreeMap::new();
        for (variable, folder) in &places.ready {
            let (there, missing) = look(folder, set);
            if !missing.is_empty() {
                say(&format!("{variable}={} has no {}: looking further", folder.display(), names(&missing)));
            }
            for (binary, path) in there {
                paths.entry(binary).or_insert(path);
            }
        }
        let built = places.built(set);
        let needed: Vec<Binary> = set.binaries().iter().copied().filter(|binary| !paths.contains_key(binary)).collect();
        if needed.iter().any(|binary| !is_executable(&built.join(binary.file_name()))) {
            build::build(&built, set, &needed, &places.path, say)?;
        }
        let folder = match places.ready.first() {
            Some((_, ready)) if needed.is_empty() => ready.clone(),
            _ => built.clone(),
        };
        for binary in needed {
            paths.insert(binary, built.join(binary.file_name()));
        }
        Ok(Self { paths, folder })
    }

    /// The path of an executable.
    #[must_use]
    pub fn path(&self, binary: Binary) -> &Path {
        self.paths.get(&binary).map_or(Path::new(binary.file_name()), PathBuf::as_path)
    }

    /// The folder that holds them; where they come from several, the one that was built.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn look(folder: &Path, set: Set) -> (Vec<(Binary, PathBuf)>, Vec<Binary>) {
    let (there, missing): (Vec<_>, Vec<_>) = set
        .binaries()
        .iter()
        .map(|binary| (*binary, folder.join(binary.file_name())))
        .partition(|(_, path)| is_executable(path));
    (there, missing.into_iter().map(|(binary, _)| binary).collect())
}

fn names(binaries: &[Binary]) -> String {
    binaries.iter().map(|binary| binary.file_name()).collect::<Vec<_>>().join(", ")
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process writes the final file: one that this process has open for writing, or a child that another test
    /// starts at that moment, can't be run.
    pub(super) fn put_script(path: &Path, text: &str) {
        let plain = path.with_extension("plain");
        std::fs::write(&plain, text).unwrap();
        let installed =
            std::process::Command::new("install").args(["-m", "755"]).arg(&plain).arg(path).status().unwrap();
        assert!(installed.success());
    }

    fn put(folder: &Path, binaries: &[Binary]) {
        std::fs::create_dir_all(folder).unwrap();
        for binary in binaries {
            put_script(&folder.join(binary.file_name()), "#!/bin/sh\n");
        }
    }

    #[test]
    fn the_cache_is_named_by_the_first_variable_that_is_set() {
        let set = |names: &'static [(&str, &str)]| {
            move |name: &str| names.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
        };
        let cache = |names| Places::of(set(names)).unwrap().cache;
        assert_eq!(cache(&[("HOME", "/h")]), PathBuf::from("/h/.cache/nodepool-operator"));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/x/nodepool-operator"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), (CACHE_VARIABLE, "/c")]), PathBuf::from("/c"));
        assert!(Places::of(set(&[])).unwrap_err().to_string().contains(CACHE_VARIABLE));
    }

    #[test]
    fn a_named_folder_that_has_everything_is_used_and_nothing_is_built() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &Binary::CONTROL_PLANE);
        let places = Places { ready: vec![(ASSETS_VARIABLE, folder.path().into())], ..Places::default() };
        let mut said = Vec::new();
        let assets = Assets::find_or_build(&places, &mut |line| said.push(line.to_owned())).unwrap();
        assert_eq!(assets.path(Binary::Etcd), folder.path().join("etcd"));
        assert_eq!(assets.folder(), folder.path());
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn what_a_named_folder_lacks_comes_from_the_next_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first");
        put(&first, &[Binary::Etcd, Binary::ApiServer]);
        let places = Places {
            ready: vec![(ASSETS_VARIABLE, first.clone()), (KUBEBUILDER_VARIABLE, folder.path().join("absent"))],
            cache: folder.path().into(),
            ..Places::default()
        };
        put(&places.built(Set::ControlPlane), &Binary::CONTROL_PLANE);
        let mut said = String::new();
        let assets = Assets::find_or_build(&places, &mut |line| said.push_str(line)).unwrap();
        assert_eq!(assets.path(Binary::ApiServer), first.join("kube-apiserver"));
        assert_eq!(assets.path(Binary::Kwok), places.built(Set::ControlPlane).join("kwok"));
        assert!(said.contains("has no kube-controller-manager, kube-scheduler, kubectl, kwok"), "{said}");
    }

    #[test]
    fn without_go_the_error_names_the_version_and_the_alternatives() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { cache: folder.path().into(), path: folder.path().into(), ..Places::default() };
        let error = format!("{:#}", Assets::find_or_build(&places, &mut |_| ()).unwrap_err());
        for part in ["Go 1.26.0", ASSETS_VARIABLE, KUBEBUILDER_VARIABLE] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[test]
    fn an_old_go_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        put_script(&go, "#!/bin/sh\necho go version go1.20.3 linux/amd64\n");
        let places = Places { cache: folder.path().into(), path: folder.path().into(), ..Places::default() };
        let error = format!("{:#}", Assets::find_or_build(&places, &mut |_| ()).unwrap_err());
        assert!(error.contains("1.20.3") && error.contains("1.26.0"), "{error}");
    }
}
