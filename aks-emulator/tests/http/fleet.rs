//! Nodes of a test's own: they write down what is done to them, and drain or turn Ready only as the test wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use aks_emulator::{Applied, Instance, Mark, NewInstance, NodeError, NodePool, NodeSide};
use async_trait::async_trait;
use tokio::sync::watch;

/// One node.
#[derive(Clone, Debug)]
pub struct Machine {
    pub instance: Instance,
    pub version: String,
    pub image: String,
    pub sku: String,
    pub uid: u64,
    pub cordoned: bool,
    pub quarantined: bool,
}

#[derive(Default)]
struct Inside {
    machines: BTreeMap<String, Machine>,
    log: Vec<String>,
    stuck: BTreeSet<String>,
    broken: bool,
    uids: u64,
}

/// The nodes; they outlive an emulator that restarts.
pub struct Fleet {
    inside: Mutex<Inside>,
    /// The step that waits, if any.
    held: watch::Sender<Option<String>>,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { inside: Mutex::default(), held: watch::Sender::new(None) }
    }
}

/// The end of a node's name, which is its number while there are few.
pub fn short(name: &str) -> String {
    let (pool, number) = name.strip_prefix("aks-").unwrap().split_once('-').unwrap();
    format!("{pool}{}", number.rsplit_once('0').map_or(number, |(_, last)| if last.is_empty() { "0" } else { last }))
}

impl Fleet {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    fn note(&self, step: &str, node: &str) {
        self.inside().log.push(format!("{step} {}", short(node)));
    }

    /// What was done since the last call.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.inside().log)
    }

    /// Whether a step was done since the last call of `log`.
    pub fn has(&self, step: &str) -> bool {
        self.inside().log.iter().any(|noted| noted == step)
    }

    /// The nodes of a pool by their short names.
    pub fn of(&self, pool: &str) -> BTreeMap<String, Machine> {
        let inside = self.inside();
        let of_pool = inside.machines.iter().filter(|(name, _)| name.starts_with(&format!("aks-{pool}-")));
        of_pool.map(|(name, machine)| (short(name), machine.clone())).collect()
    }

    /// The versions of a pool's nodes, each with how many have it.
    pub fn versions(&self, pool: &str) -> BTreeMap<String, usize> {
        let mut versions = BTreeMap::new();
        for machine in self.of(pool).into_values() {
            *versions.entry(machine.version).or_default() += 1;
        }
        versions
    }

    /// From now on these nodes, and only these, do not drain.
    pub fn stick(&self, nodes: &[&str]) {
        self.inside().stuck = nodes.iter().map(|name| (*name).to_owned()).collect();
    }

    /// From now on new nodes turn Ready or do not.
    pub fn break_new(&self, broken: bool) {
        let mut inside = self.inside();
        inside.broken = broken;
        if !broken {
            inside.machines.values_mut().for_each(|machine| machine.instance.ready = true);
        }
    }

    /// Takes the quarantine labels off, as a person would.
    pub fn release_quarantine(&self) {
        self.inside().machines.values_mut().for_each(|machine| machine.quarantined = false);
    }

    /// Lets one step wait, such as `drain apps0`, and all others go on. A `replace` waits when the old node is gone.
    pub fn hold(&self, step: Option<&str>) {
        self.held.send_replace(step.map(str::to_owned));
    }

    async fn pass(&self, step: &str, node: &str) {
        let step = format!("{step} {}", short(node));
        let mut held = self.held.subscribe();
        let _ = held.wait_for(|held| held.as_ref() != Some(&step)).await;
    }

    fn edit(&self, node: &str, edit: impl FnOnce(&mut Machine)) {
        if let Some(machine) = self.inside().machines.get_mut(node) {
            edit(machine);
        }
    }

    fn add(&self, pool: &NodePool, new: &NewInstance) -> String {
        let name = format!("{}{:06}", pool.scale_set, new.number);
        let mut inside = self.inside();
        inside.uids += 1;
        let instance = Instance {
            name: name.clone(),
            number: new.number,
            zone: new.zone.clone(),
            ready: !inside.broken,
            addresses: Vec::new(),
        };
        let machine = Machine {
            instance,
            version: pool.kubernetes_version.clone(),
            image: pool.node_image_version.clone(),
            sku: pool.os_sku.clone(),
            uid: inside.uids,
            cordoned: false,
            quarantined: false,
        };
        inside.machines.entry(name.clone()).or_insert(machine);
        name
    }
}

#[async_trait]
impl NodeSide for Fleet {
    async fn list(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        let inside = self.inside();
        let machines = inside.machines.values().filter(|machine| machine.instance.name.starts_with(&pool.scale_set));
        Ok(machines.map(|machine| machine.instance.clone()).collect())
    }

    async fn create(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        let name = self.add(pool, instance);
        self.note("create", &name);
        Ok(())
    }

    async fn write(&self, _pool: &NodePool, _applied: &Applied) -> Result<(), NodeError> {
        Ok(())
    }

    async fn cordon(&self, node: &str) -> Result<(), NodeError> {
        self.edit(node, |machine| machine.cordoned = true);
        self.note("cordon", node);
        Ok(())
    }

    async fn drain(&self, node: &str, _budgets: bool, timeout: Duration) -> Result<(), NodeError> {
        self.pass("drain", node).await;
        self.note("drain", node);
        if self.inside().stuck.contains(&short(node)) {
            return Err(NodeError::DrainTimedOut { node: node.to_owned(), pods: vec!["web-0".to_owned()], timeout });
        }
        Ok(())
    }

    async fn budgets_against(&self, _nodes: &[String]) -> Result<Vec<String>, NodeError> {
        Ok(Vec::new())
    }

    async fn delete(&self, node: &str) -> Result<(), NodeError> {
        self.inside().machines.remove(node);
        self.note("delete", node);
        Ok(())
    }

    async fn marks(&self, pool: &NodePool) -> Result<BTreeMap<String, Mark>, NodeError> {
        let inside = self.inside();
        let machines = inside.machines.iter().filter(|(name, _)| name.starts_with(&pool.scale_set));
        let mark = |machine: &Machine| Mark { uid: machine.uid.to_string(), quarantined: machine.quarantined };
        Ok(machines.map(|(name, machine)| (name.clone(), mark(machine))).collect())
    }

    async fn uncordon(&self, node: &str) -> Result<(), NodeError> {
        self.edit(node, |machine| machine.cordoned = false);
        self.note("uncordon", node);
        Ok(())
    }

    async fn quarantine(&self, node: &str) -> Result<(), NodeError> {
        self.edit(node, |machine| {
            machine.cordoned = true;
            machine.quarantined = true;
        });
        self.note("quarantine", node);
        Ok(())
    }

    async fn replace(&self, pool: &NodePool, instance: &NewInstance, uid: &str) -> Result<(), NodeError> {
        let name = format!("{}{:06}", pool.scale_set, instance.number);
        {
            let mut inside = self.inside();
            match inside.machines.get(&name) {
                Some(machine) if machine.uid.to_string() == uid => inside.machines.remove(&name),
                Some(_) => return Ok(()),
                None => None,
            };
        }
        self.pass("replace", &name).await;
        self.add(pool, instance);
        self.note("replace", &name);
        Ok(())
    }
}
