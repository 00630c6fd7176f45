//! Files with keys and certificates that outlive the emulator: read, or made once. Never replaces one.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Why a key or certificate could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error("cannot use {}: check that its folder may be written and the file read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else. It is kept as it is.
    #[error("{} is not {wanted}: move it away to have a new one made", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// A key could not be made, or a certificate not be signed.
    #[error("cannot make {wanted}")]
    Make {
        /// What was wanted.
        wanted: &'static str,
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl KeyError {
    pub(crate) fn make(wanted: &'static str) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Make { wanted, source }
    }
}

/// Only the owner may read a file.
pub(crate) const PRIVATE: u32 = 0o600;
/// Everybody may read a file.
pub(crate) const PUBLIC: u32 = 0o644;

/// The text of a file, made with these rights if it is not there. Of several processes that make it at once, all get
/// the one that was first.
pub(crate) fn kept(
    path: &Path,
    mode: u32,
    make: impl FnOnce() -> Result<String, KeyError>,
) -> Result<String, KeyError> {
    let error = |source| KeyError::File { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(source) if source.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(error(source)),
    }
    let text = make()?;
    write_new(path, mode, &text).map_err(error)?;
    fs::read_to_string(path).map_err(error)
}

/// Puts a whole file where there is none.
fn write_new(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(Uuid::new_v4().to_string());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let linked = file.write_all(text.as_bytes()).and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&temporary)?;
    linked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_once_with_its_rights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/token.key");
        assert_eq!(kept(&path, PRIVATE, || Ok("first".to_owned())).unwrap(), "first");
        assert_eq!(kept(&path, PRIVATE, || Ok("second".to_owned())).unwrap(), "first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = kept(&folder.path().join("file/ca.key"), PRIVATE, || Ok(String::new())).unwrap_err();
        assert!(error.to_string().contains("file/ca.key"), "{error}");
    }
}
