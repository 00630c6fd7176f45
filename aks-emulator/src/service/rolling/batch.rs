//! One batch of nodes: cordoned, drained, soaked, reimaged and awaited. Never chooses the nodes.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join_all, try_join_all};
use tokio::time::Instant;

use super::super::work::{Failure, LOOK};
use super::roll::Run;
use super::settings::Undrainable;
use super::{Blocked, Replaced};
use crate::{Instance, NewInstance, NodeError};

/// Names of the nodes that wear the quarantine label, which people may take off.
pub(super) async fn quarantined(run: &Run<'_>) -> Result<BTreeSet<String>, Failure> {
    let marks = run.service.nodes.marks(&run.pool).await?;
    Ok(marks.into_iter().filter(|(_, mark)| mark.quarantined).map(|(name, _)| name).collect())
}

/// Empties nodes. What could be drained is remembered as being reimaged, and what could not as blocked, in one step.
pub(super) async fn take_down(run: &Run<'_>, nodes: &[Instance]) -> Result<(), Failure> {
    for node in nodes {
        run.service.nodes.cordon(&node.name).await?;
    }
    let mut undrained: BTreeMap<u64, Blocked> = BTreeMap::new();
    if run.settings.drains() {
        let drains = nodes.iter().map(|node| run.service.nodes.drain(&node.name, true, run.drain));
        for (node, drained) in nodes.iter().zip(join_all(drains).await) {
            match drained {
                Ok(()) => {}
                Err(NodeError::DrainTimedOut { pods, .. }) => {
                    let (operation, name) = (run.operation.id.clone(), node.name.clone());
                    undrained.insert(node.number, Blocked { operation, node: name, pods });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let marks = run.service.nodes.marks(&run.pool).await?;
    let since = run.service.clock.now();
    run.remember(|rolling| {
        for node in nodes.iter().filter(|node| !undrained.contains_key(&node.number)) {
            let uid = marks.get(&node.name).map(|mark| mark.uid.clone()).unwrap_or_default();
            rolling.replacing.insert(node.number, Replaced { uid, zone: node.zone.clone(), since });
        }
        rolling.blocked.retain(|blocked| blocked.operation == run.operation.id);
        rolling.blocked.extend(undrained.into_values());
    });
    Ok(())
}

/// Leaves the nodes that this operation could not drain as the pool's settings say.
pub(super) async fn mark_blocked(run: &Run<'_>) -> Result<(), Failure> {
    let blocked = run.rolling().map(|rolling| rolling.blocked).unwrap_or_default();
    for node in blocked.iter().filter(|blocked| blocked.operation == run.operation.id) {
        match run.settings.undrainable {
            Undrainable::Schedule => run.service.nodes.uncordon(&node.node).await?,
            Undrainable::Cordon => run.service.nodes.quarantine(&node.node).await?,
        }
    }
    Ok(())
}

/// Reimages what was drained once its soak is over, and waits until it is Ready.
pub(super) async fn finish(run: &Run<'_>) -> Result<(), Failure> {
    let replacing = run.rolling().map(|rolling| rolling.replacing).unwrap_or_default();
    if replacing.is_empty() {
        return Ok(());
    }
    let soak = run.service.settings.scaled(run.settings.soak);
    if let Some(last) = replacing.values().map(|replaced| replaced.since).max() {
        run.service.clock.sleep_until(last, soak).await;
    }
    replace(run, &replacing).await?;
    let numbers: BTreeSet<u64> = replacing.keys().copied().collect();
    wait_ready(run, &numbers).await?;
    run.remember(|rolling| numbers.iter().for_each(|number| rolling.done(*number)));
    Ok(())
}

/// Lets nodes join again whose machine was taken away for its reimage.
pub(super) async fn bring_back(run: &Run<'_>, present: &[Instance]) -> Result<(), Failure> {
    let mut gone = run.rolling().map(|rolling| rolling.replacing).unwrap_or_default();
    gone.retain(|number, _| !present.iter().any(|instance| instance.number == *number));
    replace(run, &gone).await
}

async fn replace(run: &Run<'_>, nodes: &BTreeMap<u64, Replaced>) -> Result<(), Failure> {
    let replacements = nodes.iter().map(async |(number, replaced)| {
        let instance = NewInstance { number: *number, zone: replaced.zone.clone() };
        run.service.nodes.replace(&run.pool, &instance, &replaced.uid).await
    });
    try_join_all(replacements).await?;
    Ok(())
}

/// Returns when all of these instances report Ready.
pub(super) async fn wait_ready(run: &Run<'_>, numbers: &BTreeSet<u64>) -> Result<(), Failure> {
    let deadline = Instant::now() + run.service.settings.ready_timeout();
    loop {
        let present = run.service.nodes.list(&run.pool).await?;
        let ready = present.iter().filter(|instance| instance.ready && numbers.contains(&instance.number)).count();
        if ready >= numbers.len() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Failure::NotReady { expected: numbers.len(), actual: ready });
        }
        tokio::time::sleep(LOOK).await;
    }
}
