//! A process in an image's files and nothing else, run by runc with the rights that a restricted Pod has; never pulls or
//! builds an image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::Image;
use crate::operator::GRACE;
use crate::supervise::Launch;

/// Files of the machine that a container sees at paths of its own, which it can't write.
pub(crate) type Mounts = BTreeMap<String, PathBuf>;

/// Rights of a container, as the security contexts of its Pod say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    pub user: i64,
    pub group: i64,
    pub read_only_root: bool,
    pub no_new_privileges: bool,
}

/// A container to be: what is run in it, with which variables and rights.
pub(crate) struct Container<'a> {
    pub name: &'a str,
    pub image: &'a Image,
    pub arguments: &'a [String],
    pub environment: &'a BTreeMap<String, String>,
    pub mounts: &'a Mounts,
    pub rights: Rights,
}

impl Container<'_> {
    /// Writes the bundle that runc reads into a folder, and says how it is started. It shares the machine's network, so that
    /// it reaches an API server on this machine, and has no capabilities.
    pub fn launch(&self, folder: &Path) -> anyhow::Result<Launch> {
        let bundle = folder.join("bundle");
        std::fs::create_dir_all(&bundle).with_context(|| format!("{} can't be made", bundle.display()))?;
        let config = bundle.join("config.json");
        std::fs::write(&config, serde_json::to_string_pretty(&self.specification())?)
            .with_context(|| format!("{} can't be written", config.display()))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let arguments =
            ["--root".to_owned(), text(&folder.join("runc")), "run".to_owned(), "--bundle".to_owned(), text(&bundle)];
        Ok(Launch {
            name: self.name.to_owned(),
            program: "runc".into(),
            arguments: arguments.into_iter().chain([self.name.to_owned()]).map(Into::into).collect(),
            environment: Vec::new(),
            log: folder.join("operator.log"),
            grace: GRACE,
        })
    }

    /// The bundle's `config.json`, after the OCI runtime specification.
    fn specification(&self) -> Value {
        let image = self.image.config();
        let run: Vec<&String> = image.entrypoint.iter().chain(self.arguments).collect();
        let own = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let variables: Vec<String> = image.env.iter().cloned().chain(own).collect();
        let bound = self.mounts.iter().map(|(path, source)| {
            json!({"destination": path, "type": "bind", "source": source, "options": ["rbind", "ro", "nosuid", "nodev"]})
        });
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]}),
        ];
        mounts.extend(bound);
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": {"uid": self.rights.user, "gid": self.rights.group},
                "args": run,
                "env": variables,
                "cwd": "/",
                "capabilities": {},
                "noNewPrivileges": self.rights.no_new_privileges,
            },
            "root": {"path": self.image.root(), "readonly": self.rights.read_only_root},
            "hostname": self.name,
            "mounts": mounts,
            "linux": {
                "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        })
    }
}

impl Image {
    /// Runs what the image runs with these arguments, as its own user, and returns what it prints.
    ///
    /// # Errors
    /// When runc is not installed, or the run fails: with what it said.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let (user, group) = self.config().user.split_once(':').context("the image names no user and group")?;
        let rights =
            Rights { user: user.parse()?, group: group.parse()?, read_only_root: true, no_new_privileges: true };
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (environment, mounts) = (BTreeMap::new(), Mounts::new());
        let name = format!("once-{}", std::process::id());
        let once = Container {
            name: &name,
            image: self,
            arguments: &arguments,
            environment: &environment,
            mounts: &mounts,
            rights,
        };
        let launch = once.launch(folder)?;
        let said = Command::new(&launch.program).args(&launch.arguments).stdin(Stdio::null()).output();
        let said = said.context("runc can't be started; install it")?;
        ensure!(said.status.success(), "{arguments:?} failed: {}", String::from_utf8_lossy(&said.stderr).trim());
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }
}
