//! Requests to ARM, and writes to the API server, in an hour in which nothing happens, by the number of policies. Counted
//! over some refreshes at a short interval and told for the default one.

use std::time::Duration;

use serde_json::json;
use testbed::OPERATOR_USER;

use crate::scene::{Scene, USER_POOLS, pool};
use crate::table::Table;

/// The default of `--arm-refresh-seconds`.
const DEFAULT_REFRESH: Duration = Duration::from_mins(2);
/// The interval here.
const REFRESH: Duration = Duration::from_millis(500);
/// How many intervals are watched.
const INTERVALS: u32 = 20;

pub(crate) async fn measure(scene: &mut Scene, table: &mut Table) -> anyhow::Result<()> {
    scene.delete_all().await?;
    let mut operator = scene.operator(&["--arm-refresh-seconds", "0.5"]).await?;
    let mut policies = 0;
    for wanted in [1, 10, 100, 1000] {
        let new = (policies..wanted).map(|number| (name(number), json!({"mode": mode(number)})));
        scene.apply_all(new.collect()).await?;
        policies = wanted;
        scene.at_rest().await?;
        scene.looks(3).await?;
        let (passed, written) = (scene.bed.arm.journal().len(), scene.bed.audit.writes_by(OPERATOR_USER)?.len());
        tokio::time::sleep(REFRESH * INTERVALS).await;
        let requests = scene.bed.arm.journal().len() - passed;
        let written = scene.bed.audit.writes_by(OPERATOR_USER)?.len() - written;
        let an_hour = Duration::from_hours(1).as_secs_f64() / DEFAULT_REFRESH.as_secs_f64();
        let figure = f64::from(u32::try_from(requests)?) / f64::from(INTERVALS) * an_hour;
        let absent = if wanted > 100 { " (900 of absent pools)" } else { "" };
        let what = format!("requests to ARM an hour at rest, {wanted} policies{absent}");
        table.add(&what, format!("{figure:.0} reads, {written} writes to the API server"), "<= 60 reads, 0 writes");
    }
    let memory = crate::table::mebibytes(operator.memory()?.peak);
    table.add("resident memory with 1,000 policies", format!("at most {memory}"), "");
    operator.terminate().await?;
    Ok(())
}

/// The pools that there are come first.
fn name(number: usize) -> String {
    if number == 0 { "system".to_owned() } else { pool(number - 1) }
}

fn mode(number: usize) -> &'static str {
    if number == 0 || number > USER_POOLS { "System" } else { "User" }
}
