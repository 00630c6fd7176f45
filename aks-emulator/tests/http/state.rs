//! The state file: what is damaged is told with its place and kept, and the emulator refuses to start on it.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use aks_emulator::{Emulator, Error, NoNodes, Settings};

use crate::support::two_pools;

async fn start_on(path: &Path) -> Result<Emulator, Error> {
    let settings = Settings { state_file: Some(path.to_owned()), ..Settings::default() };
    Emulator::start(settings, two_pools(), Arc::new(NoNodes::new())).await
}

#[tokio::test]
async fn a_damaged_state_file_keeps_the_emulator_from_starting_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    start_on(&path).await.unwrap().stop().await;
    let whole = std::fs::read_to_string(&path).unwrap();
    for (content, expected) in [
        (whole.replacen("\"next_instance\":", "\"next_instance\":-", 1), ".pools[0].next_instance"),
        (whole.replacen("\"format\":1", "\"format\":99", 1), "has format 99"),
        (whole[..whole.len() / 2].to_owned(), "damaged at line 1, column"),
        (String::from("%PDF-1.4\n\u{0}\u{1}"), "damaged at line 1, column 1"),
    ] {
        std::fs::write(&path, &content).unwrap();
        let error = start_on(&path).await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("state.json"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    std::fs::write(&path, &whole).unwrap();
    start_on(&path).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    start_on(&path).await.unwrap().stop().await;
    // Root may write anywhere, so that only something in the way keeps it from writing.
    std::fs::create_dir(folder.path().join("state.json.new")).unwrap();
    for path in [path.as_path(), folder.path(), &path.join("below"), &folder.path().join("absent/state.json")] {
        let error = start_on(path).await.unwrap_err();
        assert!(matches!(error, Error::StateFile { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_program_says_where_the_damage_is_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    std::fs::write(&path, "{\"format\": 1, \"state\": {\"clusters\": []}}").unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_aks-emulator"))
        .args(["--no-nodes", "--state-file"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        told.contains("line 1, column 36, in state.clusters: ") && told.contains("invalid type: sequence"),
        "{told}"
    );
}
