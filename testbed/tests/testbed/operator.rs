//! The operator's process: its rights, its doors, its end. A script stands in for the executable.

use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::ensure;
use testbed::{KubeSystem, Lanes, OPERATOR_USER, Testbed, wait_for};

const SCRIPT: &str = r#"#!/bin/sh
trap 'echo told to end; exit 7' TERM
echo "arguments: $*"
"$KUBECTL" auth whoami -o jsonpath='user: {.status.userInfo.username}' && echo
echo "extra: $EXTRA"
while :; do sleep 0.05; done
"#;

pub async fn the_operator_is_a_process_with_its_own_rights(lanes: Lanes) -> anyhow::Result<()> {
    let bed = Testbed::builder(lanes.lease().await?)
        .pool(PoolSpec::system("system", 1))
        .kube_system(KubeSystem::None)
        .start()
        .await?;
    let folder = tempfile::tempdir()?;
    let binary = folder.path().join("operator");
    let plain = folder.path().join("script");
    std::fs::write(&plain, SCRIPT)?;
    // A file that was just open for writing in this process can't be run for certain.
    let installed = std::process::Command::new("install").args(["-m", "755"]).arg(&plain).arg(&binary).status()?;
    ensure!(installed.success(), "the script can't be installed");
    let kubectl = bed.control_plane().kubectl();
    let options = bed
        .operator_options(&binary)
        .arguments(&["--log", "debug"])
        .environment("EXTRA", "given")
        .environment("KUBECTL", &kubectl.as_std().get_program().to_string_lossy());
    let mut operator = bed.start_operator(options).await?;
    let started = async |operator: &testbed::Operator, times: usize| {
        wait_for("the script to be up", Duration::from_mins(1), async || {
            let log = operator.log();
            Ok(if log.matches("extra: given").count() == times { Ok(()) } else { Err(log) })
        })
        .await
    };
    started(&operator, 1).await?;
    let log = operator.log();
    let arguments = format!(
        "arguments: run --cluster-resource-id {} --arm-endpoint {} --azure-auth none --log debug",
        bed.emulator.cluster_id(),
        bed.arm.url()
    );
    ensure!(log.contains(&arguments), "{log}");
    ensure!(log.contains(&format!("user: {OPERATOR_USER}")), "{log}");
    ensure!(!bed.api.journal().is_empty(), "it came through the door");
    ensure!(operator.exited()?.is_none(), "it runs");
    ensure!(operator.terminate().await? == 7, "its own exit code is told");
    operator.restart().await?;
    started(&operator, 2).await?;
    operator.kill().await?;
    ensure!(operator.exited()? == Some(128 + 9), "{:?}", operator.exited()?);
    ensure!(operator.log().matches("told to end").count() == 1, "SIGKILL leaves no time for words");
    Ok(())
}
