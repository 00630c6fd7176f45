//! The state file: written whole by an atomic rename, read at the start. A damaged file is reported, never replaced.
//!
//! A process that is killed at any point leaves the last state that was saved. A machine that loses power may leave an
//! older one: the file is not synced to the disk, because each change would then take as long as the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::State;
use crate::Error;

/// The format of the file; another one is refused.
const FORMAT: u64 = 1;

/// The file as it is written.
#[derive(Serialize)]
struct Written<'a> {
    format: u64,
    state: &'a State,
}

/// What can be read of a file of any format.
#[derive(Deserialize)]
struct Head {
    format: u64,
}

/// The file as it is read.
#[derive(Deserialize)]
struct Read {
    state: State,
}

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
        let head: Head = self.parse(&text)?;
        if head.format != FORMAT {
            return Err(Error::StateFormat { path: self.path.clone(), found: head.format, known: FORMAT });
        }
        let read: Read = self.parse(&text)?;
        Ok(Some(read.state))
    }

    fn parse<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, Error> {
        let mut json = serde_json::Deserializer::from_slice(text);
        let parsed = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| (error.path().to_string(), error.into_inner()))
            .and_then(|parsed| json.end().map_err(|error| (".".to_owned(), error)).map(|()| parsed));
        parsed.map_err(|(field, source)| Error::StateDamaged {
            path: self.path.clone(),
            line: source.line(),
            column: source.column(),
            field,
            source,
        })
    }

    /// Replaces the file, so that a reader finds either the old state or the new one.
    pub(crate) fn save(&self, state: &State) -> Result<(), Error> {
        self.write(state).map_err(|source| self.error(source))
    }

    fn write(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_vec(&Written { format: FORMAT, state })?;
        let mut temporary = self.path.as_os_str().to_owned();
        temporary.push(".new");
        File::create(&temporary)?.write_all(&text)?;
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
        let long = "x".repeat(70);
        for (content, expected) in [
            (
                "{\n \"format\": 1,\n \"state\": {\"clusters\": {\"a\": {\"id\": 7}}}}",
                "damaged at line 3, column 37, in state.clusters.a.id:",
            ),
            ("{\"format\": 1, \"state\": {\"clusters\": {}", "damaged at line 1, column 38, in "),
            ("{\"format\": 1}", "damaged at line 1, column 13, in .:"),
            (
                "{\"format\": 1, \"state\": {\"clusters\": {}, \"operations\": {}, \"populated\": true}} x",
                "column 79, in .",
            ),
            ("{\"format\": 2, \"state\": []}", "has format 2, and this emulator knows 1"),
            ("{\"clusters\": {}}", "damaged at line 1, column 16, in .:"),
            ("", "damaged at line 1, column 0, in .:"),
            ("\u{1}\u{7f}\u{0}\u{fffd}", "damaged at line 1, column 1, in .:"),
            (long.as_str(), "damaged at line 1, column 1, in .:"),
        ] {
            fs::write(&path, content).unwrap();
            let error = Store::new(&path).load().unwrap_err();
            assert!(error.to_string().contains(expected), "{content}: {error}");
            assert!(error.to_string().contains("state.json"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn every_truncation_is_a_damage() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("state.json"));
        store.save(&State::default()).unwrap();
        let whole = fs::read(&store.path).unwrap();
        for length in 0..whole.len() {
            fs::write(&store.path, whole.get(..length).unwrap()).unwrap();
            assert!(matches!(store.load(), Err(Error::StateDamaged { .. })), "{length}");
        }
    }

    #[test]
    fn a_folder_in_its_place_or_in_its_way_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = Store::new(folder.path()).load().unwrap_err().to_string();
        assert!(error.contains("cannot use the state file"), "{error}");
        fs::create_dir(folder.path().join("state.json.new")).unwrap();
        let store = Store::new(&folder.path().join("state.json"));
        assert!(matches!(store.save(&State::default()), Err(Error::StateFile { .. })));
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
