//! Surge nodes: instances beyond a pool's count that stand in while others are taken down. Each is remembered before
//! it exists, so that none is ever mistaken for a node of the count. Never touches any other node.

use super::super::operation::Operation;
use super::super::work::{self, Failure};
use super::super::{Service, State};
use super::batch::wait_ready;
use super::roll::Run;
use crate::nodes::victims::choose;
use crate::{Instance, NodeError, NodePool};

/// The instances of a pool that its count is about.
pub(in super::super) fn regular(service: &Service, cluster: &str, pool: &str, present: Vec<Instance>) -> Vec<Instance> {
    let surge = service.read(|state: &State| {
        let pool = state.clusters.get(cluster)?.pool(pool)?;
        Some(pool.rolling.as_ref()?.surge.clone())
    });
    let surge = surge.unwrap_or_default();
    present.into_iter().filter(|instance| !surge.contains(&instance.number)).collect()
}

/// The instances that go when a pool must lose some: quarantined ones first, as the manual has it, then as a scale set
/// chooses. None of them is brought back.
pub(in super::super) async fn victims(
    service: &Service,
    operation: &Operation,
    pool: &NodePool,
    present: &[Instance],
    how_many: usize,
) -> Result<Vec<Instance>, NodeError> {
    let marks = service.nodes.marks(pool).await?;
    let quarantined = |node: &Instance| marks.get(&node.name).is_some_and(|mark| mark.quarantined);
    let (mut gone, others): (Vec<Instance>, Vec<Instance>) = present.iter().cloned().partition(quarantined);
    gone.truncate(how_many);
    gone.extend(choose(&others, how_many - gone.len()));
    service.change(|state| {
        let cluster = state.clusters.get_mut(&operation.cluster);
        let pool = cluster.and_then(|cluster| cluster.pool_mut(operation.subject()));
        if let Some(rolling) = pool.and_then(|pool| pool.rolling.as_mut()) {
            rolling.forget(&gone);
        }
    });
    Ok(gone)
}

/// Returns when the pool has this many surge nodes and they are Ready. Those of an earlier try count.
pub(super) async fn ensure(run: &Run<'_>, wanted: usize) -> Result<(), Failure> {
    let present = run.service.nodes.list(&run.pool).await?;
    run.remember(|rolling| rolling.surge.retain(|number| present.iter().any(|node| node.number == *number)));
    let there = run.rolling().map(|rolling| rolling.surge.len()).unwrap_or_default();
    let (cluster, pool) = (&run.operation.cluster, run.operation.subject());
    let new = work::reserve(run.service, cluster, pool, &present, &run.pool.zones, wanted.saturating_sub(there));
    run.remember(|rolling| rolling.surge.extend(new.iter().map(|instance| instance.number)));
    let mut creations = Vec::new();
    for instance in &new {
        creations.push(run.service.nodes.create(&run.pool, instance));
    }
    work::all(creations).await?;
    let surge = run.rolling().map(|rolling| rolling.surge).unwrap_or_default();
    wait_ready(run, &surge).await
}

/// Takes surge nodes away until this many are left, the newest first: cordoned, drained, deleted.
pub(super) async fn shrink(run: &Run<'_>, wanted: usize) -> Result<(), Failure> {
    let present = run.service.nodes.list(&run.pool).await?;
    let surge = run.rolling().map(|rolling| rolling.surge).unwrap_or_default();
    let mut surplus: Vec<&Instance> = present.iter().filter(|node| surge.contains(&node.number)).collect();
    surplus.sort_by_key(|instance| instance.number);
    for node in surplus.split_off(wanted.min(surplus.len())) {
        run.service.nodes.cordon(&node.name).await?;
        match run.service.nodes.drain(&node.name, true, run.drain).await {
            Ok(()) => {}
            Err(NodeError::DrainTimedOut { node, pods, .. }) => {
                run.service.nodes.uncordon(&node).await?;
                return Err(Failure::Drain { node, pods, minutes: run.settings.drain_minutes });
            }
            Err(error) => return Err(error.into()),
        }
        run.service.nodes.delete(&node.name).await?;
        run.remember(|rolling| {
            rolling.surge.remove(&node.number);
        });
    }
    Ok(())
}

/// The same at the end of an upgrade that failed: what cannot go stays, and the next try takes it over.
pub(super) async fn shrink_if_possible(run: &Run<'_>, wanted: usize) {
    if let Err(failure) = shrink(run, wanted).await {
        let error = failure.into_error();
        tracing::warn!(pool = run.pool.name, error.message, "surge nodes of a failed upgrade stay");
    }
}
