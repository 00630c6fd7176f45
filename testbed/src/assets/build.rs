//! Builds the executables from the pinned Go modules into a folder; resumable, and safe when two builds race. Never
//! builds what is there.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::pins::{Binary, GoVersion, Set};
use super::{ASSETS_VARIABLE, KUBEBUILDER_VARIABLE, is_executable};

/// How often a build that takes long says that it is still at work.
const SAY_EVERY: Duration = Duration::from_secs(15);

/// Builds those of `needed` that `folder` lacks, with the Go found in `path`.
pub(super) fn build(
    folder: &Path,
    set: Set,
    needed: &[Binary],
    path: &OsStr,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cache folder {} can't be made", folder.display()))?;
    let _lock = lock(folder, say)?;
    let missing: Vec<Binary> =
        needed.iter().copied().filter(|binary| !is_executable(&folder.join(binary.file_name()))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let modules = write_modules(folder, set)?;
    let go = Go::find(path, &modules, set)?;
    say(&format!(
        "building {} executables of {} into {}: about {} minutes in all on 2 cores the first time",
        missing.len(),
        set.words(),
        folder.display(),
        set.minutes()
    ));
    let started = Instant::now();
    for (index, binary) in missing.iter().enumerate() {
        let step = format!("{} ({} of {})", binary.file_name(), index + 1, missing.len());
        let mut progress = || say(&format!("{step}: building, {} s so far in all", started.elapsed().as_secs()));
        go.build(*binary, &modules, folder, &mut progress)?;
        say(&format!("{step}: built, {} s so far in all", started.elapsed().as_secs()));
    }
    Ok(())
}

/// Keeps a second builder out for as long as the file is open.
fn lock(folder: &Path, say: &mut dyn FnMut(&str)) -> anyhow::Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).with_context(|| format!("lock {} can't be made", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            say(&format!("another process builds into {}: waiting for it", folder.display()));
        }
        Err(TryLockError::Error(error)) => {
            return Err(anyhow!(error).context(format!("lock {} can't be taken", path.display())));
        }
    }
    file.lock().with_context(|| format!("lock {} can't be taken", path.display()))?;
    Ok(file)
}

/// Writes the modules as compiled in, so that what is built is what the folder's key says, whatever happens to the
/// checkout meanwhile.
fn write_modules(folder: &Path, set: Set) -> anyhow::Result<PathBuf> {
    let modules = folder.join("modules");
    for module in set.modules() {
        let own = modules.join(module.name);
        std::fs::create_dir_all(&own)
            .and_then(|()| std::fs::write(own.join("go.mod"), module.go_mod))
            .and_then(|()| std::fs::write(own.join("go.sum"), module.go_sum))
            .with_context(|| format!("module {} can't be written", own.display()))?;
    }
    Ok(modules)
}

/// A Go that is new enough.
struct Go {
    program: PathBuf,
    flags: Vec<String>,
}

impl Go {
    fn find(path: &OsStr, modules: &Path, set: Set) -> anyhow::Result<Self> {
        let (needed, what) = (set.needed_go(), set.words());
        let alternatives = format!(
            "install Go {needed} or newer, or name a folder that has the executables in {ASSETS_VARIABLE} or \
             {KUBEBUILDER_VARIABLE}"
        );
        let program = std::env::split_paths(path).map(|folder| folder.join("go")).find(|go| is_executable(go));
        let Some(program) = program else {
            bail!("{what} is built from source with Go {needed} or newer, and PATH has no go: {alternatives}");
        };
        // Asked inside a module, a Go that may fetch a newer toolchain does so, and one that may not fails here.
        let answer = Command::new(&program)
            .arg("version")
            .current_dir(set.modules().last().map_or_else(|| modules.to_owned(), |module| modules.join(module.name)))
            .output()
            .with_context(|| format!("{} can't be run: {alternatives}", program.display()))?;
        let text = format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        let version = text.split_whitespace().find_map(|word| GoVersion::parse(word.strip_prefix("go")?));
        if !answer.status.success() || version.is_none_or(|version| version < needed) {
            bail!("{} is too old ({}): {alternatives}", program.display(), text.trim());
        }
        Ok(Self { program, flags: set.build_flags() })
    }

    /// Builds to a name of its own and renames, so that a file with the final name is always whole.
    fn build(&self, binary: Binary, modules: &Path, folder: &Path, progress: &mut dyn FnMut()) -> anyhow::Result<()> {
        let unfinished = folder.join(format!(".{}.unfinished", binary.file_name()));
        let output = folder.join(format!(".{}.output", binary.file_name()));
        let output_file = File::create(&output).with_context(|| format!("{} can't be written", output.display()))?;
        let mut child = Command::new(&self.program)
            .arg("build")
            .args(&self.flags)
            .arg("-o")
            .arg(&unfinished)
            .arg(binary.package())
            .current_dir(modules.join(binary.module().name))
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .stdout(output_file.try_clone()?)
            .stderr(output_file)
            .spawn()
            .with_context(|| format!("{} can't be run", self.program.display()))?;
        let status = wait(&mut child, progress)?;
        if !status.success() {
            let text = std::fs::read_to_string(&output).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n");
            bail!(
                "go build {} failed ({status}); what is built so far is kept. Its last words:\n{tail}",
                binary.package()
            );
        }
        let _ = std::fs::remove_file(&output);
        std::fs::rename(&unfinished, folder.join(binary.file_name()))
            .with_context(|| format!("{} can't be put in its place", binary.file_name()))
    }
}

fn wait(child: &mut Child, progress: &mut dyn FnMut()) -> anyhow::Result<ExitStatus> {
    let mut said = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("the build can't be waited for")? {
            return Ok(status);
        }
        if said.elapsed() > SAY_EVERY {
            progress();
            said = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::tests::put_script;
    use std::sync::{Arc, Barrier};

    /// A Go that writes what it is asked to build, and counts; it fails for packages that contain its own `FAIL`.
    fn fake_go(folder: &Path, fail: &str) {
        let script = format!(
            r#"#!/bin/sh
[ "$1" = version ] && {{ echo go version go9.1.2 linux/amd64; exit; }}
while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
case "$1" in *{fail}*) echo "undefined: everything"; exit 1;; esac
echo "$1" >> {}/built; sleep 0.05; : > "$out"; chmod +x "$out"
"#,
            folder.display()
        );
        put_script(&folder.join("go"), &script);
    }

    fn path(folder: &Path) -> std::ffi::OsString {
        std::env::join_paths([folder, Path::new("/usr/bin"), Path::new("/bin")]).unwrap()
    }

    fn built(folder: &Path) -> usize {
        std::fs::read_to_string(folder.join("built")).unwrap_or_default().lines().count()
    }

    #[test]
    fn of_two_builders_one_builds_and_the_other_waits() {
        let folder = tempfile::tempdir().unwrap();
        fake_go(folder.path(), "nothing");
        let start = Arc::new(Barrier::new(2));
        let builders: Vec<_> = (0..2)
            .map(|_| {
                let (folder, start) = (folder.path().to_owned(), start.clone());
                std::thread::spawn(move || {
                    let mut said = String::new();
                    start.wait();
                    build(
                        &folder.join("cache"),
                        Set::ControlPlane,
                        &Binary::CONTROL_PLANE,
                        &path(&folder),
                        &mut |line| said.push_str(line),
                    )
                    .unwrap();
                    said
                })
            })
            .collect();
        let said: Vec<String> = builders.into_iter().map(|builder| builder.join().unwrap()).collect();
        assert_eq!(built(folder.path()), Binary::CONTROL_PLANE.len());
        assert_eq!(said.iter().filter(|said| said.contains("waiting for it")).count(), 1, "{said:?}");
        assert_eq!(said.iter().filter(|said| said.contains("kwok (6 of 6): built")).count(), 1, "{said:?}");
    }

    #[test]
    fn a_failed_build_shows_why_and_the_next_goes_on_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        fake_go(folder.path(), "kubectl");
        let error = build(&cache, Set::ControlPlane, &Binary::CONTROL_PLANE, &path(folder.path()), &mut |_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("kubectl") && error.contains("undefined: everything"), "{error}");
        assert!(!cache.join("kubectl").exists());
        assert_eq!(built(folder.path()), 4);
        fake_go(folder.path(), "nothing");
        build(&cache, Set::ControlPlane, &Binary::CONTROL_PLANE, &path(folder.path()), &mut |_| ()).unwrap();
        assert_eq!(built(folder.path()), 6);
    }
}
