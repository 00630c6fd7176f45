//! Memory and processor time at 100 pools with a policy each. Never counts the emulator's.

use crate::latency::everywhere;
use crate::rest;
use crate::scene::Scene;
use crate::table::{Table, mebibytes};

pub(crate) async fn measure(scene: &mut Scene, table: &mut Table) -> anyhow::Result<()> {
    let mut operator = scene.operator(&["--arm-refresh-seconds", "1"]).await?;
    scene.apply_all(everywhere()).await?;
    scene.at_rest().await?;
    scene.looks(5).await?;
    let memory = operator.memory()?;
    let figure = format!("{}, at most {}", mebibytes(memory.now), mebibytes(memory.peak));
    table.add("resident memory, 100 pools with policies", figure, "< 40 MB");
    operator.terminate().await?;
    let mut operator = scene.operator(&[]).await?;
    scene.at_rest().await?;
    table.add("processor at rest, 100 pools with policies", rest::at_rest(&operator).await?, "");
    operator.terminate().await?;
    Ok(())
}
