//! The folder of one control plane, and those that killed processes left behind; never removes one that is in use or kept.

use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

const PREFIX: &str = "nodepool-testbed-";
/// A file that says that the folder was kept on purpose.
const KEPT: &str = "kept";

/// A new folder in the folder for temporary files. Those of processes that were killed before they could clean up go.
pub(super) fn make() -> anyhow::Result<TempDir> {
    let parent = std::env::temp_dir();
    sweep(&parent, &|process| Path::new("/proc").join(process).exists());
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent).context("no temporary folder could be made")
}

/// Marks a folder as kept on purpose.
pub(super) fn mark_kept(folder: &Path) {
    // Without the mark a later run clears the folder away, which is no reason to fail.
    let _ = std::fs::write(folder.join(KEPT), "kept with its logs; remove it when it is not needed any more\n");
}

/// Removes the folders whose processes are gone.
fn sweep(parent: &Path, runs: &dyn Fn(&str) -> bool) {
    // Without /proc nothing tells which processes run.
    if !runs(&std::process::id().to_string()) {
        return;
    }
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()).filter(|path| is_abandoned(path, runs)) {
        // Somebody else's folder, or another run is at it already.
        let _ = std::fs::remove_dir_all(folder);
    }
}

fn is_abandoned(folder: &Path, runs: &dyn Fn(&str) -> bool) -> bool {
    let process = folder
        .file_name()
        .and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.split_once('-'))
        .map(|(process, _)| process)
        .filter(|process| process.parse::<u32>().is_ok());
    process.is_some_and(|process| !runs(process) && !folder.join(KEPT).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_processes_go_unless_they_are_kept() {
        let parent = tempfile::tempdir().unwrap();
        for name in
            ["nodepool-testbed-1-a", "nodepool-testbed-2-b", "nodepool-testbed-2-c", "nodepool-testbed-x-d", "e"]
        {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        mark_kept(&parent.path().join("nodepool-testbed-2-c"));
        let own = std::process::id().to_string();
        sweep(parent.path(), &|process| process == "1" || process == own);
        let mut left: Vec<String> = std::fs::read_dir(&parent)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["e", "nodepool-testbed-1-a", "nodepool-testbed-2-c", "nodepool-testbed-x-d"]);
    }
}
