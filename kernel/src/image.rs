//! Node images: that a person asks once for the latest one, and whether a pool has come to it. Never chooses an image: AKS
//! takes its latest.

use crate::facts::has_stopped_upgrade;
use crate::snapshot::{AgentPool, Node, ProvisioningState};

/// A person's wish, not answered yet, that the nodes of a pool get the latest image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageRequest {
    /// The image that the pool had when Azure was asked for the upgrade; `None` before.
    pub from: Option<String>,
    /// Whether Azure has taken the upgrade, and no operation has failed since.
    pub taken: bool,
}

impl ImageRequest {
    /// Whether nothing is left to be done about the request, on a pool that no operation is known to run on. `latest` is what
    /// AKS was told to have, if it was asked.
    ///
    /// An image counts as another only when the pool is well: AKS may show the new one while nodes still have the old one.
    pub(crate) fn is_answered(&self, pool: &AgentPool, nodes: Option<&[&Node]>, latest: Option<&str>) -> bool {
        let Some(image) = pool.node_image.as_deref() else { return false };
        let is_latest = latest == Some(image);
        match pool.state {
            ProvisioningState::Succeeded => {
                is_latest || self.taken || self.from.as_deref().is_some_and(|from| from != image)
            }
            // What failed may have been an upgrade that left nodes with the old image.
            ProvisioningState::Failed | ProvisioningState::Canceled => {
                is_latest && self.from.is_none() && nodes.is_some_and(|nodes| !has_stopped_upgrade(pool, nodes))
            }
            ProvisioningState::Busy(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Mode;
    use crate::testing::{node, pool};

    const OLD: &str = "AKSUbuntu-2204gen2containerd-202601.07.0";
    const NEW: &str = "AKSUbuntu-2204gen2containerd-202602.10.0";

    fn asked(from: Option<&str>, taken: bool) -> ImageRequest {
        ImageRequest { from: from.map(str::to_owned), taken }
    }

    #[test]
    fn a_request_is_answered_by_the_latest_image_by_another_one_or_by_an_upgrade_that_succeeded() {
        let (unasked, sent, taken) = (asked(None, false), asked(Some(OLD), false), asked(Some(OLD), true));
        let busy = || ProvisioningState::Busy("UpgradingNodeImageVersion".into());
        let (well, failed, canceled) =
            (ProvisioningState::Succeeded, ProvisioningState::Failed, ProvisioningState::Canceled);
        for (request, state, image, latest, answered) in [
            (&unasked, well.clone(), Some(OLD), None, false),
            (&unasked, well.clone(), Some(OLD), Some(NEW), false),
            (&unasked, well.clone(), Some(NEW), None, false),
            (&unasked, well.clone(), Some(NEW), Some(NEW), true),
            (&unasked, well.clone(), None, Some(NEW), false),
            (&unasked, failed.clone(), Some(NEW), Some(NEW), true),
            (&unasked, canceled.clone(), Some(OLD), Some(NEW), false),
            (&unasked, busy(), Some(NEW), Some(NEW), false),
            (&sent, well.clone(), Some(OLD), None, false),
            (&sent, well.clone(), Some(NEW), None, true),
            (&sent, failed.clone(), Some(NEW), Some(NEW), false),
            (&sent, canceled, Some(NEW), None, false),
            (&taken, well, Some(OLD), Some(NEW), true),
            (&taken, failed, Some(OLD), Some(NEW), false),
            (&taken, busy(), Some(NEW), Some(NEW), false),
        ] {
            let mut pool = pool("apps", Mode::User, 2);
            (pool.state, pool.node_image) = (state, image.map(str::to_owned));
            let found = request.is_answered(&pool, Some(&[]), latest);
            assert_eq!(found, answered, "{request:?} {} {image:?} {latest:?}", pool.state);
        }
    }

    #[test]
    fn a_failed_pool_has_the_latest_image_only_if_all_its_nodes_are_known_to_have_it() {
        let mut pool = pool("apps", Mode::User, 2);
        (pool.state, pool.node_image) = (ProvisioningState::Failed, Some(NEW.into()));
        let (old, mut new) = (node("apps", 0), node("apps", 1));
        new.image_version = Some(NEW.into());
        let unasked = asked(None, false);
        assert!(unasked.is_answered(&pool, Some(&[&new, &new]), Some(NEW)));
        assert!(!unasked.is_answered(&pool, Some(&[&old, &new]), Some(NEW)));
        assert!(!unasked.is_answered(&pool, None, Some(NEW)));
    }
}
