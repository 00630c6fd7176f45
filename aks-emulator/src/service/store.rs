//! The state file: written whole by an atomic rename, read at the start. A damaged file is reported, never replaced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::State;
use crate::Error;

/// Where the state is kept.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The state of an earlier run, if there was one.
    pub(crate) fn load(&self) -> Result<Option<State>, Error> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.error(source)),
        };
        let state = serde_json::from_slice(&text).map_err(|source| Error::StateDamaged {
            path: self.path.clone(),
            line: source.line(),
            column: source.column(),
            source,
        })?;
        Ok(Some(state))
    }

    /// Replaces the file, so that a reader finds either the old state or the new one.
    pub(crate) fn save(&self, state: &State) -> Result<(), Error> {
        self.write(state).map_err(|source| self.error(source))
    }

    fn write(&self, state: &State) -> io::Result<()> {
        let mut temporary = self.path.as_os_str().to_owned();
        temporary.push(".new");
        let mut file = File::create(&temporary)?;
        serde_json::to_writer(&mut file, state)?;
        file.flush()?;
        fs::rename(&temporary, &self.path)
    }

    fn error(&self, source: io::Error) -> Error {
        Error::StateFile { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_reported_with_its_place_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "{\n  \"clusters\": 7 }").unwrap();
        let error = Store::new(&path).load().unwrap_err().to_string();
        assert!(error.contains("state.json is damaged at line 2"), "{error}");
        assert!(fs::read_to_string(&path).unwrap().contains("clusters"));
    }

    #[test]
    fn an_absent_file_is_a_fresh_start_and_a_saved_state_returns() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("state.json"));
        assert!(store.load().unwrap().is_none());
        store.save(&State::default()).unwrap();
        assert!(store.load().unwrap().unwrap().clusters.is_empty());
    }
}
