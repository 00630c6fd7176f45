//! Going through the nodes of a pool, batch by batch, until all have what is asked. Every step is remembered before
//! its effect or can be done again, so that a restart goes on where it was. Never decides what nodes get.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::operation::{Operation, OperationError};
use super::super::work::{self, Failure};
use super::super::{Service, State};
use super::batch;
use super::settings::{Undrainable, UpgradeSettings};
use super::{Blocked, Rolling, surge};
use crate::{Instance, NodePool};

/// One operation's way through the nodes.
pub(super) struct Run<'a> {
    pub(super) service: &'a Service,
    pub(super) operation: &'a Operation,
    pub(super) pool: NodePool,
    pub(super) settings: UpgradeSettings,
    /// How long one node may take to drain, in real time.
    pub(super) drain: Duration,
}

impl<'a> Run<'a> {
    fn new(service: &'a Service, operation: &'a Operation) -> Option<Self> {
        let pool = work::pool_of(service, &operation.cluster, operation.subject())?;
        let settings = service.read(|state| {
            let pool = state.clusters.get(&operation.cluster)?.pool(operation.subject())?;
            pool.rolling.as_ref()?;
            Some(UpgradeSettings::of(&pool.properties))
        })?;
        let drain = service.settings.upgrade_drain_timeout(settings.drain_minutes);
        Some(Self { service, operation, pool, settings, drain })
    }

    /// What is remembered of the change.
    pub(super) fn rolling(&self) -> Option<Rolling> {
        self.service.read(|state| {
            let cluster = state.clusters.get(&self.operation.cluster)?;
            cluster.pool(self.operation.subject())?.rolling.clone()
        })
    }

    pub(super) fn remember(&self, edit: impl FnOnce(&mut Rolling)) {
        self.service.change(|state: &mut State| {
            let cluster = state.clusters.get_mut(&self.operation.cluster);
            let pool = cluster.and_then(|cluster| cluster.pool_mut(self.operation.subject()));
            if let Some(rolling) = pool.and_then(|pool| pool.rolling.as_mut()) {
                edit(rolling);
            }
        });
    }

    async fn look(&self) -> Result<Vec<Instance>, Failure> {
        let present = self.service.nodes.list(&self.pool).await?;
        self.remember(|rolling| rolling.look(&present));
        Ok(present)
    }

    /// The nodes that this operation could not drain.
    fn blocked(&self) -> Vec<Blocked> {
        let blocked = self.rolling().map(|rolling| rolling.blocked).unwrap_or_default();
        blocked.into_iter().filter(|blocked| blocked.operation == self.operation.id).collect()
    }
}

/// What comes before anything else on a pool in the middle of a change: a first look at its nodes, and those back whose
/// machine is being reimaged. Without a change nothing is done.
pub(in super::super) async fn settle(service: &Service, operation: &Operation) -> Result<(), Failure> {
    let Some(run) = Run::new(service, operation) else {
        return Ok(());
    };
    let present = run.look().await?;
    batch::bring_back(&run, &present).await
}

/// Brings all nodes of a pool to what is asked of them. Without a change nothing is done.
pub(in super::super) async fn roll(service: &Service, operation: &Operation) -> Result<(), Failure> {
    let Some(run) = Run::new(service, operation) else {
        return Ok(());
    };
    loop {
        batch::finish(&run).await?;
        batch::mark_blocked(&run).await?;
        let present = run.look().await?;
        let quarantined = batch::quarantined(&run).await?;
        let nodes = regular_of(&run, present.clone()).len();
        if let Some(ending) = ending(&run, nodes, quarantined.len()) {
            surge::shrink_if_possible(&run, quarantined.len()).await;
            return Err(Failure::Ended(ending));
        }
        let left = run.rolling().map(|rolling| rolling.left()).unwrap_or_default();
        let todo = next(present, &left, &quarantined);
        if todo.is_empty() {
            surge::shrink(&run, quarantined.len()).await?;
            return blocked_error(&run, quarantined.len());
        }
        let surge = run.settings.surge(nodes).min(todo.len());
        if surge > 0 {
            surge::ensure(&run, surge + quarantined.len()).await?;
        }
        let batch: Vec<Instance> = todo.into_iter().take(run.settings.batch(nodes)).collect();
        batch::take_down(&run, &batch).await?;
    }
}

/// The nodes that lack the change and may be taken down for it, lowest number first.
fn next(present: Vec<Instance>, left: &BTreeSet<u64>, quarantined: &BTreeSet<String>) -> Vec<Instance> {
    let mut todo = present;
    todo.retain(|instance| left.contains(&instance.number) && !quarantined.contains(&instance.name));
    todo.sort_by_key(|instance| instance.number);
    todo
}

fn regular_of(run: &Run<'_>, present: Vec<Instance>) -> Vec<Instance> {
    let surge = run.rolling().map(|rolling| rolling.surge).unwrap_or_default();
    present.into_iter().filter(|instance| !surge.contains(&instance.number)).collect()
}

/// Why the operation ends before all nodes were tried: one that stays schedulable, or more in quarantine than surge
/// nodes may stand in for.
fn ending(run: &Run<'_>, nodes: usize, quarantined: usize) -> Option<OperationError> {
    let blocked = run.blocked();
    if blocked.is_empty() {
        return None;
    }
    match run.settings.undrainable {
        Undrainable::Schedule => Some(failure(run, &blocked)),
        Undrainable::Cordon => {
            (quarantined > run.settings.batch(nodes)).then(|| failure(run, &blocked).into_canceled())
        }
    }
}

/// The outcome after all nodes were tried: canceled if quarantined ones have no surge node in their place.
fn blocked_error(run: &Run<'_>, quarantined: usize) -> Result<(), Failure> {
    let blocked = run.blocked();
    if blocked.is_empty() {
        return Ok(());
    }
    let stand_ins = run.rolling().map(|rolling| rolling.surge.len()).unwrap_or_default();
    let failure = failure(run, &blocked);
    Err(Failure::Ended(if stand_ins < quarantined { failure.into_canceled() } else { failure }))
}

fn failure(run: &Run<'_>, blocked: &[Blocked]) -> OperationError {
    let texts: Vec<String> =
        blocked.iter().map(|node| work::drain_failure(&node.node, &node.pods, run.settings.drain_minutes)).collect();
    OperationError::new("PodDrainFailure", texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_go_by_number_and_quarantined_or_done_ones_stay() {
        let present: Vec<Instance> = [3, 0, 2, 1, 7]
            .map(|number| Instance {
                name: format!("n{number}"),
                number,
                zone: None,
                ready: true,
                addresses: Vec::new(),
            })
            .to_vec();
        let todo = next(present, &BTreeSet::from([0, 2, 3, 9]), &BTreeSet::from(["n2".to_owned()]));
        assert_eq!(todo.iter().map(|instance| instance.number).collect::<Vec<_>>(), [0, 3]);
    }
}
