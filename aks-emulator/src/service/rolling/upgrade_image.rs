//! Accepting a POST that brings a pool to the newest node image. Never touches a node.

use serde_json::Value;
use uuid::Uuid;

use super::super::operation::Kind;
use super::super::pools::{Accepted, PoolRef, cluster_idle, new_operation, pool_idle};
use super::super::refusal::Refusal;
use super::super::state::State;
use super::super::{document, images};
use super::{Asked, Rolling, show, target};
use crate::Settings;

/// Accepts or refuses the upgrade. With the newest image in place the operation runs all the same and finds nothing
/// to do.
pub(crate) fn upgrade_image(
    state: &mut State,
    settings: &Settings,
    at: &PoolRef,
    etags: bool,
) -> Result<Accepted, Refusal> {
    let Some(cluster) = state.clusters.get_mut(&at.cluster) else {
        return Err(Refusal::parent("write", &at.cluster));
    };
    let Some(pool) = cluster.pool(&at.pool) else {
        return Err(Refusal::pool(&cluster.subscription, &cluster.resource_group, &cluster.name, &at.pool));
    };
    let kind = Kind::UpgradeImage;
    pool_idle(pool, kind, state.time)?;
    cluster_idle(cluster)?;
    let now = target(pool);
    let image = images::latest(cluster, &pool.properties);
    let asked = Asked { upgrade: true, version: now.version, image, is_rollback: false };
    let rolling = (asked.image != now.image).then(|| Rolling::begin(pool, &asked));
    let duration = settings.scaled(kind.recorded_duration(0, 0));
    let operation = new_operation(cluster, at, kind, duration, state.time);
    if let Some(pool) = cluster.pool_mut(&at.pool) {
        pool.set("provisioningState", kind.provisioning_state());
        pool.set("eTag", Uuid::new_v4().to_string());
        if let Some(rolling) = rolling {
            if !settings.switches.versions_wait_for_nodes {
                show(&mut pool.properties, &rolling.to);
            }
            pool.rolling = Some(rolling);
        }
    }
    let document = cluster.pool(&at.pool).map_or(Value::Null, |pool| document::pool(cluster, pool, etags));
    state.operations.insert(operation.id.clone(), operation.clone());
    Ok(Accepted { created: false, document, operation, preempted: None })
}
