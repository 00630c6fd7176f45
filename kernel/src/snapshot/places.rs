//! What it takes to say where pods could run. Never half of it: a world in which pods are missing has too much room.

use std::collections::BTreeMap;

use crate::placement;

/// Nodes with everything that runs on them, and the pods that may need another place.
#[derive(Debug, Clone)]
pub struct Places {
    /// All nodes of the cluster and all pods that run on them.
    pub world: placement::World,
    /// By `namespace/name`: a pod that runs as its workload would start it again, one that waits for a node as it is.
    /// Whoever reads them says for which pods ([`crate::Refusal::lacks_places_of`]).
    pub pods: BTreeMap<String, placement::Pod>,
}
