//! A container image in buildah's store, mounted to look at and to run; never builds one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// A mounted image. It is unmounted when this value is dropped.
#[derive(Debug)]
pub struct Image {
    container: String,
    root: PathBuf,
    config: ImageConfig,
}

/// What the image says of itself, in the words of the OCI image specification.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// Who runs it, such as `65532:65532`.
    pub user: String,
    /// What is run.
    pub entrypoint: Vec<String>,
    /// Variables, `NAME=VALUE` each.
    pub env: Vec<String>,
    /// Labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

impl Image {
    /// Mounts an image of the local store.
    ///
    /// # Errors
    /// When buildah is not installed, there is no such image, or it can't be mounted, as for somebody who is not root.
    pub fn mount(name: &str) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Inspected {
            #[serde(rename = "OCIv1")]
            oci: Oci,
        }
        #[derive(Deserialize)]
        struct Oci {
            config: ImageConfig,
        }
        let inspected: Inspected = serde_json::from_str(&buildah(&["inspect", "--type", "image", name])?)
            .with_context(|| format!("what buildah tells of image {name} is not understood"))?;
        let container = buildah(&["from", "--pull-never", name])?;
        let mut image = Self { container, root: PathBuf::new(), config: inspected.oci.config };
        image.root = buildah(&["mount", &image.container])?.into();
        Ok(image)
    }

    /// Where its files are.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What it says of itself.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Every file with its size in bytes, by its path in the image.
    ///
    /// # Errors
    /// When a folder can't be read.
    pub fn files(&self) -> anyhow::Result<Vec<(PathBuf, u64)>> {
        let mut folders = vec![self.root.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).with_context(|| format!("{} can't be read", folder.display()))? {
                let entry = entry?;
                let (path, about) = (entry.path(), entry.metadata()?);
                if about.is_dir() {
                    folders.push(path);
                } else {
                    files.push((Path::new("/").join(path.strip_prefix(&self.root)?), about.len()));
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // The store keeps what can't be removed, and `buildah containers` lists it.
        buildah(&["rm", &self.container]).ok();
    }
}

/// What buildah prints.
fn buildah(arguments: &[&str]) -> anyhow::Result<String> {
    let said = Command::new("buildah").args(arguments).output().context("buildah can't be started; install it")?;
    if !said.status.success() {
        bail!("buildah {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&said.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}
