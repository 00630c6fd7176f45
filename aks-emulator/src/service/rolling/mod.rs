//! Changes that roll through the nodes of a pool: what a pool remembers of one until its last node has it. Never
//! touches a node except in `roll`.

mod batch;
mod plan;
mod roll;
mod settings;
mod surge;
mod upgrade_image;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) use plan::ROLLBACK_SINCE;
pub(super) use plan::{Asked, Request, asked, check, check_new};
pub(super) use roll::{roll, settle};
pub(super) use surge::{regular, victims};
pub(crate) use upgrade_image::upgrade_image;

use super::state::{Pool, text};
use super::syntax;
use crate::{Instance, Settings};

/// A version and an image that all nodes of a pool ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) version: String,
    pub(crate) image: String,
}

/// A pair that a pool ran until a time, and may be rolled back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    #[serde(flatten)]
    pub(crate) pair: Pair,
    pub(crate) until: Timestamp,
}

/// A change that has not reached every node. It outlives the operation that began it: any later PUT goes on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rolling {
    /// What all nodes ran before.
    from: Pair,
    /// What new and reimaged nodes get.
    pub(crate) to: Pair,
    is_rollback: bool,
    /// Instances that do not have it yet, by number; unknown until the first look at the nodes.
    left: Option<BTreeSet<u64>>,
    /// Instances whose reimage has begun. Whatever is there under another UID is the reimaged node.
    replacing: BTreeMap<u64, Replaced>,
    /// Instances beyond the pool's count.
    surge: BTreeSet<u64>,
    /// Nodes that an operation could not drain.
    blocked: Vec<Blocked>,
    /// Whether every node but the quarantined ones has it.
    settled: bool,
}

/// A node that is being reimaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Replaced {
    /// Of the node before.
    uid: String,
    zone: Option<String>,
    /// When it was empty.
    since: Timestamp,
}

/// A node that could not be drained in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Blocked {
    /// The operation that tried.
    operation: String,
    node: String,
    /// The pods that stayed.
    pods: Vec<String>,
}

impl Rolling {
    /// A change to `to` that starts where the pool is, which may be in the middle of another.
    pub(super) fn begin(pool: &Pool, asked: &Asked) -> Self {
        let (from, replacing, surge) = match &pool.rolling {
            Some(old) => (old.from.clone(), old.replacing.clone(), old.surge.clone()),
            None => (shown(&pool.properties), BTreeMap::new(), BTreeSet::new()),
        };
        let to = Pair { version: asked.version.clone(), image: asked.image.clone() };
        let (left, blocked) = (None, Vec::new());
        Self { from, to, is_rollback: asked.is_rollback, left, replacing, surge, blocked, settled: false }
    }

    /// Writes into a pool's properties what a PUT is answered with.
    pub(super) fn write(&self, properties: &mut Map<String, Value>, settings: &Settings) {
        if self.is_rollback && syntax::minor(text(properties, "orchestratorVersion")) != syntax::minor(&self.to.version)
        {
            properties.insert("orchestratorVersion".to_owned(), json!(self.to.version));
        }
        if !settings.switches.versions_wait_for_nodes {
            show(properties, &self.to);
        }
    }

    /// Whether an operation has to go through nodes for it.
    pub(super) fn is_pending(&self) -> bool {
        !self.settled
    }

    /// Takes note of the nodes at the first look. Those whose reimage began under an earlier change start anew,
    /// unless they are gone.
    fn look(&mut self, present: &[Instance]) {
        let numbers: BTreeSet<u64> = present.iter().map(|instance| instance.number).collect();
        if self.left.is_none() {
            self.replacing.retain(|number, _| !numbers.contains(number));
            self.left = Some(numbers);
        } else if let Some(left) = &mut self.left {
            left.retain(|number| numbers.contains(number) || self.replacing.contains_key(number));
        }
    }

    /// Takes note that instances are about to be taken away for good.
    pub(super) fn forget(&mut self, gone: &[Instance]) {
        for instance in gone {
            self.replacing.remove(&instance.number);
        }
    }

    /// The instances that do not have it yet.
    fn left(&self) -> BTreeSet<u64> {
        self.left.clone().unwrap_or_default()
    }

    fn done(&mut self, number: u64) {
        self.replacing.remove(&number);
        if let Some(left) = &mut self.left {
            left.remove(&number);
        }
    }
}

/// What the nodes of a pool get that are created now.
pub(super) fn target(pool: &Pool) -> Pair {
    pool.rolling.as_ref().map_or_else(|| shown(&pool.properties), |rolling| rolling.to.clone())
}

/// What a GET of the pool says that runs.
fn shown(properties: &Map<String, Value>) -> Pair {
    let text = |name: &str| text(properties, name).to_owned();
    Pair { version: text("currentOrchestratorVersion"), image: text("nodeImageVersion") }
}

/// Lets a GET of the pool show what a change comes to.
fn show(properties: &mut Map<String, Value>, pair: &Pair) {
    properties.insert("currentOrchestratorVersion".to_owned(), json!(pair.version));
    properties.insert("nodeImageVersion".to_owned(), json!(pair.image));
}

/// Ends the change of a pool whose operation succeeded. It stays remembered while quarantined nodes lack it.
pub(super) fn complete(pool: &mut Pool, now: Timestamp) {
    let Some(rolling) = &mut pool.rolling else {
        return;
    };
    let (from, to) = (rolling.from.clone(), rolling.to.clone());
    if !rolling.settled && from != to {
        // The manual: no rollback of a rollback.
        pool.recently_used = if rolling.is_rollback { Vec::new() } else { vec![Used { pair: from, until: now }] };
    }
    rolling.from = to.clone();
    rolling.settled = true;
    let over = rolling.left.as_ref().is_none_or(BTreeSet::is_empty);
    if over {
        pool.rolling = None;
    }
    show(&mut pool.properties, &to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let properties = json!({"currentOrchestratorVersion": "1.32.9", "nodeImageVersion": "old"});
        Pool {
            name: "apps".to_owned(),
            properties: properties.as_object().cloned().unwrap(),
            applied: crate::Applied::default(),
            count_when_started: None,
            next_instance: 0,
            deallocated: 0,
            deletion_started: None,
            rolling: None,
            recently_used: Vec::new(),
        }
    }

    fn asked(version: &str, image: &str) -> Asked {
        Asked { upgrade: true, version: version.to_owned(), image: image.to_owned(), is_rollback: false }
    }

    fn instances(numbers: &[u64]) -> Vec<Instance> {
        let one = |number: &u64| Instance {
            name: format!("n{number}"),
            number: *number,
            zone: None,
            ready: true,
            addresses: Vec::new(),
        };
        numbers.iter().map(one).collect()
    }

    #[test]
    fn a_change_is_shown_when_every_node_has_it() {
        let mut pool = pool();
        let mut rolling = Rolling::begin(&pool, &asked("1.33.5", "new"));
        rolling.look(&instances(&[0, 4]));
        rolling.done(0);
        assert_eq!(rolling.left(), BTreeSet::from([4]));
        rolling.look(&instances(&[0, 4, 5]));
        assert_eq!(rolling.left(), BTreeSet::from([4]), "a node that came later has it");
        rolling.done(4);
        pool.rolling = Some(rolling);
        assert_eq!(target(&pool).version, "1.33.5");
        complete(&mut pool, Timestamp::UNIX_EPOCH);
        assert_eq!(shown(&pool.properties), Pair { version: "1.33.5".to_owned(), image: "new".to_owned() });
        assert_eq!(pool.recently_used.first().unwrap().pair.version, "1.32.9");
        assert_eq!(pool.rolling, None);
    }

    #[test]
    fn a_quarantined_node_keeps_the_change_remembered() {
        let mut pool = pool();
        let mut rolling = Rolling::begin(&pool, &asked("1.33.5", "new"));
        rolling.look(&instances(&[0]));
        pool.rolling = Some(rolling);
        complete(&mut pool, Timestamp::UNIX_EPOCH);
        assert!(pool.rolling.as_ref().is_some_and(|rolling| !rolling.is_pending()));
        complete(&mut pool, Timestamp::UNIX_EPOCH);
        assert_eq!(pool.recently_used.first().unwrap().pair.version, "1.32.9", "and its past too");
    }

    #[test]
    fn a_second_change_takes_over_in_the_middle_of_the_first() {
        let mut pool = pool();
        let mut first = Rolling::begin(&pool, &asked("1.33.5", "new"));
        first.look(&instances(&[0, 1, 2]));
        first.done(0);
        first.surge.insert(9);
        for number in [1, 2] {
            first.replacing.insert(number, Replaced { uid: "u".to_owned(), zone: None, since: Timestamp::UNIX_EPOCH });
        }
        pool.rolling = Some(first);
        let mut second = Rolling::begin(&pool, &asked("1.33.5", "newer"));
        second.look(&instances(&[0, 1, 9]));
        assert_eq!(second.left(), BTreeSet::from([0, 1, 9]));
        assert_eq!(second.replacing.keys().collect::<Vec<_>>(), [&2], "only what is gone is still to come back");
        assert_eq!((second.from.version.as_str(), second.surge), ("1.32.9", BTreeSet::from([9])));
    }
}
