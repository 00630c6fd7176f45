//! One commit, many changes: in whatever order policies are applied, and however long writes take, the pools come to be as
//! all of them ask, and a healthy system pool and the floor of system nodes are there all the while. Nothing fails here.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodepool_kernel::{
    AgentPool, Change, Deletion, Enforcement, FieldValue, InFlight, Intent, Known, Mode, Node, Os, PoolKind, Power,
    ProvisioningState, Readiness, Rows, Settings, Snapshot, Step, SystemPods, Template, UpgradeSettings, Verdict,
    Version, WantedVersion, Workload, decide, plan,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases;
use crate::clusters::{NOW, ago, assemble};
use crate::drained::occupancy;
use crate::reached::merge;
use crate::upgrades::upgradable;

/// Pools that are there, the first a system pool of two nodes at least, and pools that a commit may create.
const OLD: [&str; 3] = ["a", "b", "c"];
const NEW: [&str; 2] = ["m", "n"];

/// What a policy of the commit asks for.
#[derive(Debug, Clone)]
struct Wish {
    pool: &'static str,
    mode: Mode,
    count: u32,
    label: bool,
    upgrade: bool,
    delete: bool,
}

/// A cluster and a commit.
#[derive(Debug, Clone)]
struct Story {
    pools: Vec<(&'static str, Mode, u32)>,
    wishes: Vec<Wish>,
}

/// How a commit comes to the operator: each policy with the passes after it, and how many passes writes take, in turn.
#[derive(Debug, Clone)]
struct Course {
    order: Vec<(usize, u8)>,
    delays: Vec<u8>,
}

fn mode() -> impl Strategy<Value = Mode> {
    select(vec![Mode::System, Mode::User])
}

fn wish(pool: &'static str) -> impl Strategy<Value = Wish> {
    let is_old = OLD.contains(&pool);
    (mode(), 1_u32..4, any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.3)).prop_map(
        move |(mode, count, label, upgrade, delete)| {
            let delete = is_old && delete;
            Wish { pool, mode, count, label, upgrade: is_old && upgrade, delete }
        },
    )
}

/// A commit after which two nodes of system pools are left.
fn tale() -> impl Strategy<Value = Story> {
    let pools = (2_u32..4, mode(), 1_u32..4, mode(), 1_u32..4)
        .prop_map(|(a, of_b, b, of_c, c)| vec![(OLD[0], Mode::System, a), (OLD[1], of_b, b), (OLD[2], of_c, c)]);
    let wishes = OLD.into_iter().chain(NEW).map(|pool| prop::option::weighted(0.7, wish(pool))).collect::<Vec<_>>();
    (pools, wishes).prop_map(|(pools, wishes)| {
        let mut wishes: Vec<Wish> = wishes.into_iter().flatten().collect();
        let asked = |name: &str| wishes.iter().any(|wish| wish.pool == name);
        let untouched = pools.iter().filter(|(name, mode, _)| *mode == Mode::System && !asked(name));
        let kept = wishes.iter().filter(|wish| wish.mode == Mode::System && !wish.delete);
        let left = untouched.map(|(.., count)| count).chain(kept.map(|wish| &wish.count)).sum::<u32>();
        if left < 2 {
            wishes.retain(|wish| wish.pool != NEW[0]);
            let (label, upgrade, delete) = (false, false, false);
            wishes.push(Wish { pool: NEW[0], mode: Mode::System, count: 2, label, upgrade, delete });
        }
        Story { pools, wishes }
    })
}

fn told() -> impl Strategy<Value = (Story, Course, Course)> {
    tale().prop_flat_map(|story| {
        let all: Vec<usize> = (0..story.wishes.len()).collect();
        let course = move || {
            let (order, passes) = (Just(all.clone()).prop_shuffle(), prop::collection::vec(0..4_u8, all.len()));
            (order, passes, prop::collection::vec(0..4_u8, 1..6))
                .prop_map(|(order, passes, delays)| Course { order: order.into_iter().zip(passes).collect(), delays })
        };
        (Just(story), course(), course())
    })
}

fn pool((name, mode, count): &(&'static str, Mode, u32)) -> AgentPool {
    AgentPool {
        name: (*name).to_owned(),
        mode: mode.clone(),
        kind: PoolKind::ScaleSet,
        os: Os::Linux,
        power: Power::Running,
        state: ProvisioningState::Succeeded,
        count: *count,
        autoscaling: None,
        taints: vec![],
        labels: BTreeMap::new(),
        tags: BTreeMap::new(),
        requested_version: Some("1.33".into()),
        current_version: Some("1.33.5".into()),
        node_image: None,
        max_surge: Some("1".into()),
        max_unavailable: Some("0".into()),
        drain_timeout_minutes: 30,
        node_soak_minutes: 0,
        undrainable_nodes: None,
        failure: None,
        settings: Arc::default(),
    }
}

fn intent(number: usize, wish: &Wish) -> Intent {
    let size = || FieldValue::Text("Standard_D4ds_v5".into());
    let is_new = NEW.contains(&wish.pool);
    Intent {
        policy: format!("p{number}"),
        generation: 1,
        created: ago(600),
        pool: wish.pool.to_owned(),
        enforcement: Enforcement::Enforce,
        suspended: false,
        mode: Some(wish.mode.clone()),
        count: Some(wish.count),
        autoscaling: None,
        owns_autoscaler: false,
        taints: None,
        labels: wish.label.then(|| [("tier".to_owned(), "x".to_owned())].into()),
        owned_labels: [].into(),
        tags: None,
        owned_tags: [].into(),
        version: wish.upgrade.then_some(WantedVersion::Exactly(Version { major: 1, minor: 34, patch: Some(2) })),
        image: None,
        upgrade: UpgradeSettings::default(),
        attempt: None,
        stalled: false,
        waits_since: None,
        template: is_new.then(|| Arc::new(Template::from_fields(|field| (field.name == "vmSize").then(size)))),
        creating: false,
        power: None,
        deletion: wish.delete.then_some(Deletion::Delete),
        may_lose_workloads: false,
        may_exceed_fuse: false,
        break_glass: None,
        system_pods: SystemPods::Relocate,
    }
}

/// A cluster in which a commit comes true.
struct Play {
    snapshot: Snapshot,
    settings: Settings,
    delays: std::iter::Cycle<std::vec::IntoIter<u8>>,
    /// Writes that Azure has taken, with the passes until they are made.
    flying: Vec<(Step, u8)>,
}

impl Play {
    fn begin(story: &Story, course: &Course) -> Self {
        let (namespace, name) = ("kube-system".to_owned(), "coredns".to_owned());
        let coredns = Workload { namespace, name, wished: 2, ready: 2, updated: 2, well_since: Some(ago(3600)) };
        let pools = story.pools.iter().map(|it| (pool(it), Vec::new())).collect();
        let snapshot = assemble(pools, vec![], vec![], vec![], ProvisioningState::Succeeded, coredns);
        let settings = Settings { bulk_changes: 100, ..Settings::default() };
        let mut play =
            Self { snapshot, settings, delays: course.delays.clone().into_iter().cycle(), flying: Vec::new() };
        play.follow();
        play
    }

    fn apply(&mut self, intent: Intent) {
        let mut intents = self.snapshot.intents.value().unwrap().clone();
        intents.push(intent);
        self.snapshot.intents = Known::seen(NOW, intents);
    }

    fn pools(&self) -> &[AgentPool] {
        &self.snapshot.cluster.value().unwrap().pools
    }

    /// Lets Kubernetes and what is read for steps follow the pools: as many nodes as these count, the highest go first.
    fn follow(&mut self) {
        let pools = self.pools().to_vec();
        let mut nodes = self.snapshot.nodes.value().unwrap().clone();
        nodes.retain(|node| pools.iter().any(|pool| node.pool.as_ref() == Some(&pool.name)));
        for pool in &pools {
            let of_pool = |node: &&Node| node.pool.as_ref() == Some(&pool.name);
            let there = nodes.iter().filter(of_pool).count();
            let wanted = usize::try_from(pool.count).unwrap();
            let free =
                (0..).filter(|index| !nodes.iter().any(|node| node.name == format!("aks-{}-{index}", pool.name)));
            let fresh: Vec<Node> = free.take(wanted.saturating_sub(there)).map(|index| node(pool, index)).collect();
            nodes.extend(fresh);
            let surplus: Vec<String> =
                nodes.iter().filter(of_pool).skip(wanted).map(|node| node.name.clone()).collect();
            nodes.retain(|node| !surplus.contains(&node.name));
            for node in nodes.iter_mut().filter(|node| node.pool.as_ref() == Some(&pool.name)) {
                node.labelled_system = pool.mode == Mode::System;
                node.kubelet_version = format!("v{}", pool.current_version.as_deref().unwrap());
            }
        }
        let named = |pool: &AgentPool| pool.name.clone();
        self.snapshot.dependents = pools.iter().map(|pool| (named(pool), Known::seen(NOW, vec![]))).collect();
        let occupied =
            pools.iter().filter_map(|pool| Some((named(pool), occupancy(&pool.name, &nodes, &Rows::default(), 2)?)));
        self.snapshot.occupancy = occupied.collect();
        let offered = pools.iter().filter_map(|pool| Some((named(pool), upgradable(&pool.name, &nodes, 2)?)));
        self.snapshot.upgradable = offered.collect();
        self.snapshot.nodes = Known::seen(NOW, nodes);
        let flying = self.flying.iter().map(|(step, _)| InFlight { step: step.clone(), since: ago(5) });
        self.snapshot.in_flight = flying.collect();
    }

    /// What Azure shows of a pool that is being written.
    fn busy(&mut self, step: &Step) {
        let mut cluster = self.snapshot.cluster.value().unwrap().clone();
        if let Some(pool) = cluster.pools.iter_mut().find(|pool| pool.name == step.pool) {
            let operation = match step.change {
                Change::Delete => "Deleting",
                Change::Version { .. } => "Upgrading",
                _ => "Updating",
            };
            pool.state = ProvisioningState::Busy(operation.to_owned());
        }
        self.snapshot.cluster = Known::seen(NOW, cluster);
    }

    /// A pass of the operator, and what becomes of the writes meanwhile. Tells whether anything happened.
    fn pass(&mut self) -> bool {
        let verdicts = decide(&plan(&self.snapshot, &self.settings), &self.snapshot, &self.settings);
        let approved = verdicts.into_iter().filter_map(|verdict| match verdict {
            Verdict::Approved(step) => Some(step.into_inner()),
            Verdict::Waits { .. } | Verdict::Refused(_) => None,
        });
        let approved: Vec<Step> = approved.collect();
        let happens = !approved.is_empty() || !self.flying.is_empty();
        for step in approved {
            let in_kubernetes =
                matches!(&step.change, Change::Drain(drain) if drain.aim().is_some() || step.change.ends_drain());
            if in_kubernetes {
                merge(&mut self.snapshot, &step);
            } else {
                self.busy(&step);
                let delay = self.delays.next().unwrap();
                self.flying.push((step, delay));
            }
        }
        self.is_safe();
        let (landed, flying) = std::mem::take(&mut self.flying).into_iter().partition(|(_, delay)| *delay == 0);
        self.flying = flying;
        self.flying.iter_mut().for_each(|(_, delay)| *delay -= 1);
        let landed: Vec<(Step, u8)> = landed;
        for (step, _) in landed {
            merge(&mut self.snapshot, &step);
        }
        self.tell_versions();
        self.follow();
        happens
    }

    /// Azure tells of a new pool which version was asked for, also where none was.
    fn tell_versions(&mut self) {
        let mut cluster = self.snapshot.cluster.value().unwrap().clone();
        for pool in &mut cluster.pools {
            pool.requested_version = pool.requested_version.take().or_else(|| pool.current_version.clone());
        }
        self.snapshot.cluster = Known::seen(NOW, cluster);
    }

    /// Whatever is on its way may be made at any moment, or not yet.
    fn is_safe(&self) {
        let worst = |pool: &AgentPool| {
            let on_way = self.flying.iter().map(|(step, _)| step).filter(|step| step.pool == pool.name);
            let mut least = pool.count;
            for step in on_way {
                least = match &step.change {
                    Change::Delete | Change::Mode { .. } => 0,
                    Change::Count { to, .. } => least.min(*to),
                    Change::Drain(nodepool_kernel::Drain::RemoveMachines { machines, .. }) => {
                        least - u32::try_from(machines.len()).unwrap()
                    }
                    _ => least,
                };
            }
            least - u32::try_from(self.closed(pool)).unwrap().min(least)
        };
        let system = self.pools().iter().filter(|pool| pool.mode == Mode::System);
        let left: Vec<(&str, u32)> = system.map(|pool| (pool.name.as_str(), worst(pool))).collect();
        assert!(left.iter().map(|(_, nodes)| nodes).sum::<u32>() >= 2, "{left:?}, {:?}", self.flying);
    }

    /// Nodes that a drain has cordoned and that are still counted.
    fn closed(&self, pool: &AgentPool) -> usize {
        let removing =
            self.flying.iter().any(|(step, _)| step.pool == pool.name && matches!(step.change, Change::Drain(_)));
        let nodes = self.snapshot.nodes.value().unwrap().iter();
        nodes.filter(|node| node.pool.as_ref() == Some(&pool.name) && node.cordoned && !removing).count()
    }

    /// Tells everything, and what the pools are in the end.
    fn told(story: &Story, course: &Course) -> Vec<String> {
        let mut play = Self::begin(story, course);
        for (number, passes) in &course.order {
            play.apply(intent(*number, &story.wishes[*number]));
            for _ in 0..*passes {
                play.pass();
            }
        }
        let mut passes = 0;
        while play.pass() {
            passes += 1;
            assert!(passes < 300, "it does not end");
        }
        let left = plan(&play.snapshot, &play.settings);
        let left: Vec<&Step> = left.policies.iter().flat_map(|policy| &policy.steps).collect();
        let verdicts = || decide(&plan(&play.snapshot, &play.settings), &play.snapshot, &play.settings);
        assert!(left.is_empty(), "{:?}", verdicts());
        let cordoned = play.snapshot.nodes.value().unwrap().iter().filter(|node| node.cordoned).count();
        assert_eq!(cordoned, 0, "nodes stay closed");
        let mut pools: Vec<String> = play
            .pools()
            .iter()
            .map(|pool| {
                format!("{} {} {} {:?} {:?}", pool.name, pool.mode, pool.count, pool.labels, pool.current_version)
            })
            .collect();
        pools.sort();
        pools
    }
}

/// A node that has been Ready for long.
fn node(pool: &AgentPool, index: usize) -> Node {
    Node {
        name: format!("aks-{}-{index}", pool.name),
        pool: Some(pool.name.clone()),
        labelled_system: false,
        quarantined: false,
        readiness: Readiness::Ready { since: ago(3600) },
        joined: ago(7200),
        cordoned: false,
        deleting: false,
        taints: vec![],
        provider_id: Some(format!("azure:///subscriptions/sub/resourceGroups/MC_rg/{}/{index}", pool.name)),
        kubelet_version: String::new(),
        image_version: None,
        zone: None,
        drain: None,
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn every_order_of_a_commit_comes_to_the_same_end_and_is_safe_on_its_way((story, one, other) in told()) {
        let (one, other) = (Play::told(&story, &one), Play::told(&story, &other));
        prop_assert_eq!(&one, &other);
        for wish in &story.wishes {
            let there = one.iter().find(|pool| pool.starts_with(&format!("{} ", wish.pool)));
            let expected = format!("{} {} {} ", wish.pool, wish.mode, wish.count);
            prop_assert_eq!(there.is_none(), wish.delete, "{:?}", one);
            prop_assert!(there.is_none_or(|pool| pool.starts_with(&expected)), "{expected}: {one:?}");
        }
    }
}
