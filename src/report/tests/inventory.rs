//! The inventory's status, from a small cluster and what its system nodes show.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodepool_kernel::{FieldValue, Owner, Phase, Pod, Taint, Template, Version};
use serde_json::json;

use super::*;
use crate::api::{ConditionStatus, FindingSeverity, NodePoolInventoryStatus};
use crate::observe::{Room, Sight, Tenancies, Tenant};
use crate::report::{Capacity, Survey, inventory};

const MONTH: Span = Span::from_secs(30 * 86_400);
/// Of the day before [`NOW`].
const NEW_IMAGE: &str = "AKSUbuntu-2204gen2containerd-202701.14.0";

type Change<'a> = &'a dyn Fn(&mut Snapshot, &mut Sight);

/// Three system nodes in two zones and a user pool, all of which have policies: nothing is worth a look.
fn cluster() -> (Snapshot, Sight) {
    let mut snapshot = super::world(&super::policy("apps", json!({})), |_| {});
    let system = super::policy("system", json!({}));
    edit(&mut snapshot.intents).push(api::intent(&system));
    let cluster = edit(&mut snapshot.cluster);
    (cluster.version, cluster.pools[0].count) = (Version::parse("1.33.5"), 3);
    cluster.id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/prod".into();
    let nodes = edit(&mut snapshot.nodes);
    nodes.push(super::node(&super::pool("system", Mode::System, 3), 2));
    for (node, zone) in nodes.iter_mut().zip(["westeurope-1", "westeurope-2", "westeurope-1", "westeurope-2"]) {
        (node.zone, node.image_version) = (Some(zone.to_owned()), Some(NEW_IMAGE.to_owned()));
    }
    let offers = Some(Room { cpu: 1900, memory: 4 << 30, pods: 30 });
    let tenant = |pod: &str, application| Tenant {
        pod: pod.to_owned(),
        application,
        room: Room { cpu: 250, memory: 1 << 29, pods: 1 },
    };
    let mut tenancies = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.labelled_system) {
        let tenants = Known::seen(NOW, vec![tenant("kube-system/coredns-1", false)]);
        tenancies.insert(node.name.clone(), Tenancies { offers, tenants });
    }
    (snapshot, Sight { tenancies, restarting: vec![] })
}

fn edit<T>(known: &mut Known<T>) -> &mut T {
    match known {
        Known::Seen { value, .. } => value,
        Known::Unknown { reason } => panic!("unknown: {reason}"),
    }
}

fn pool_mut<'a>(snapshot: &'a mut Snapshot, name: &str) -> &'a mut AgentPool {
    edit(&mut snapshot.cluster).pools.iter_mut().find(|pool| pool.name == name).unwrap()
}

pub(super) fn pod(name: &str, node: Option<&str>) -> Pod {
    Pod {
        namespace: "kube-system".into(),
        name: name.into(),
        node: node.map(Into::into),
        owner: Owner::Other,
        deleting: false,
        tolerations: Arc::default(),
        selects: Arc::default(),
        labels: Arc::default(),
        phase: if node.is_some() { Phase::Running } else { Phase::Pending },
        ready: node.is_some(),
        controller: None,
        created: Time::from_millis(NOW.as_millis() - 30_000),
    }
}

fn shown_after(old: &NodePoolInventoryStatus, change: Change<'_>) -> NodePoolInventoryStatus {
    let (mut snapshot, mut sight) = cluster();
    change(&mut snapshot, &mut sight);
    let settings = Settings::default();
    let about = Survey { snapshot: &snapshot, sight: &sight, settings: &settings, image_may_be: MONTH, generation: 2 };
    inventory(old, &about, &Capacity::of(&about))
}

fn shown(change: Change<'_>) -> NodePoolInventoryStatus {
    shown_after(&NodePoolInventoryStatus::default(), change)
}

/// The one finding that there is, which has this reason; its message.
fn only(reason: &str, change: Change<'_>) -> String {
    let status = shown(change);
    let reasons: Vec<&str> = status.findings.iter().map(|finding| finding.reason.as_str()).collect();
    assert_eq!(reasons, [reason], "{status:?}");
    assert!(!status.findings[0].remedy.is_empty());
    status.findings[0].message.clone()
}

fn nothing(change: Change<'_>) {
    assert_eq!(shown(change).findings, []);
}

/// The conditions by type, with their reasons.
fn told(status: &NodePoolInventoryStatus) -> Vec<String> {
    let of = |condition: &api::Condition| format!("{} {:?} {}", condition.type_, condition.status, condition.reason);
    status.conditions.iter().map(of).collect()
}

#[test]
fn a_cluster_at_rest_is_shown_whole() {
    let status = shown(&|_, _| {});
    assert_eq!(
        told(&status),
        [
            "Ready True Observed",
            "Reconciling False Observed",
            "Stalled False Observed",
            "SystemHealthy True Healthy",
            "Paused False NotPaused"
        ]
    );
    assert_eq!((&status.findings, &status.unknown), (&vec![], &vec![]));
    let summary = status.summary.as_ref().unwrap();
    assert_eq!((summary.pools, summary.system_pools.as_str(), summary.usable_nodes.as_str()), (2, "1/1", "3/3"));
    assert_eq!((summary.without_policy, summary.findings), (Some(0), 0));
    let cluster = status.cluster.as_ref().unwrap();
    assert!(cluster.proven && cluster.name == "prod" && cluster.proof.contains("resource group MC"), "{cluster:?}");
    let system = status.system.as_ref().unwrap();
    assert_eq!((system.healthy_pools, system.usable_nodes, system.floor, system.guaranteed_nodes), (1, 3, 2, 3));
    let room = system.headroom.as_ref().unwrap();
    assert_eq!((room.cpu.as_str(), room.memory.as_str()), ("4.9 of 5.7 cores", "10.5 of 12.0 GiB"));
    assert_eq!(room.pods, "87 of 90");
    assert_eq!(system.add_ons[0].ready, "2/2");
    let names: Vec<(&str, Option<&str>, Option<i32>)> =
        status.pools.iter().map(|pool| (pool.name.as_str(), pool.policy.as_deref(), pool.ready_nodes)).collect();
    assert_eq!(names, [("apps", Some("apps"), Some(1)), ("system", Some("system"), Some(3))]);
    assert_eq!(status.pools[1].node_images, [NEW_IMAGE]);
    assert_eq!(shown_after(&status, &|snapshot, _| snapshot.now = NOW.after(Span::from_secs(299))), status);
}

#[test]
fn application_pods_on_system_nodes_are_named() {
    let lodge = |sight: &mut Sight, node: &str| {
        let tenants = edit(&mut sight.tenancies.get_mut(node).unwrap().tenants);
        tenants.push(Tenant { pod: "shop/web-1".into(), application: true, room: Room::default() });
    };
    let found = only("ApplicationPodsOnSystemNodes", &|_, sight| lodge(sight, "system-1"));
    assert_eq!(found, "application pods run on system nodes system-1: shop/web-1");
    let unseen = shown(&|_, sight| sight.tenancies.clear());
    assert_eq!(unseen.findings, [], "nothing is guessed");
    assert!(unseen.unknown.iter().any(|it| it.contains("system-0, system-1, system-2")), "{:?}", unseen.unknown);
    assert_eq!(unseen.system.as_ref().unwrap().headroom, None);
    assert!(told(&unseen).contains(&"Ready True PartlyObserved".to_owned()), "{unseen:?}");
}

#[test]
fn pods_of_the_cluster_that_do_not_run_as_they_should_are_named() {
    let with = |pod: Pod| move |snapshot: &mut Snapshot, _: &mut Sight| edit(&mut snapshot.pods).push(pod.clone());
    let found = only("KubeSystemPodsPending", &with(pod("coredns-1", None)));
    assert!(found.contains("kube-system/coredns-1"), "{found}");
    let just_now = Pod { created: Time::from_millis(NOW.as_millis() - 29_999), ..pod("a", None) };
    nothing(&with(just_now));
    nothing(&with(Pod { deleting: true, ..pod("a", None) }));
    let started = Pod { phase: Phase::Pending, ..pod("a", Some("system-0")) };
    assert!(only("KubeSystemPodsPending", &with(started)).contains("kube-system/a"));

    let found = only("KubeSystemPodsOutsideSystemNodes", &with(pod("metrics-server-1", Some("apps-0"))));
    assert!(found.contains("on apps-0: kube-system/metrics-server-1"), "{found}");
    nothing(&with(pod("metrics-server-1", Some("system-0"))));
    nothing(&with(Pod { owner: Owner::DaemonSet, ..pod("kube-proxy-1", Some("apps-0")) }));
    nothing(&with(pod("metrics-server-1", Some("a-node-that-is-not-shown"))));

    let found = only("KubeSystemPodsRestarting", &|_, sight| sight.restarting = vec!["kube-system/coredns-1".into()]);
    assert!(found.contains("kube-system/coredns-1"), "{found}");
}

#[test]
fn pools_that_are_not_as_they_should_be_are_named() {
    let sized = |taint: Option<&'static str>| {
        move |snapshot: &mut Snapshot, _: &mut Sight| {
            let apps = pool_mut(snapshot, "apps");
            let size = FieldValue::Text("Standard_NC6s_v3".into());
            apps.settings = Arc::new(Template::from_fields(|field| (field.name == "vmSize").then(|| size.clone())));
            apps.taints = taint.iter().map(|taint| taint.parse::<Taint>().unwrap()).collect();
        }
    };
    let found = only("GpuPoolsWithoutTaints", &sized(None));
    assert!(found.ends_with("apps (Standard_NC6s_v3)"), "{found}");
    assert!(only("GpuPoolsWithoutTaints", &sized(Some("a=b:PreferNoSchedule"))).contains("apps"));
    nothing(&sized(Some("sku=gpu:NoSchedule")));

    let bounded = |min| {
        move |snapshot: &mut Snapshot, _: &mut Sight| {
            pool_mut(snapshot, "system").autoscaling = Some(Autoscaling { min, max: 9 });
        }
    };
    assert!(only("FewSystemNodes", &bounded(2)).ends_with("system 2"));
    nothing(&bounded(3));

    let versioned = |version: &'static str| {
        move |snapshot: &mut Snapshot, _: &mut Sight| {
            edit(&mut snapshot.cluster).version = Version::parse(version);
        }
    };
    assert!(only("PoolsBehindControlPlane", &versioned("1.34.0")).ends_with("apps (1.33.5), system (1.33.5)"));
    assert!(shown(&versioned("1.34.0")).pools.iter().all(|pool| pool.behind_control_plane));
    nothing(&versioned("1.33.4"));
    let unknown = shown(&|snapshot, _| edit(&mut snapshot.cluster).version = None);
    assert!(unknown.findings.is_empty() && unknown.unknown[0].contains("does not report its version"), "{unknown:?}");

    let found = only("PoolsWithoutPolicy", &|snapshot, _| edit(&mut snapshot.intents).truncate(1));
    assert!(found.contains("no policy names system"), "{found}");
    let free = shown(&|snapshot, _| edit(&mut snapshot.intents).truncate(1));
    assert_eq!(free.findings[0].severity, FindingSeverity::Information);
    let summary = free.summary.unwrap();
    assert_eq!((summary.without_policy, summary.findings), (Some(1), 0), "it is no warning");
}

#[test]
fn what_azure_does_not_tell_of_a_pool_is_left_out() {
    let status = shown(&|snapshot, _| pool_mut(snapshot, "apps").kind = PoolKind::Other("VirtualMachines".into()));
    let counts: Vec<Option<i32>> = status.pools.iter().map(|pool| pool.count).collect();
    assert_eq!(counts, [None, Some(3)], "zero would be a guess");
    assert_eq!(status.pools[0].vm_size, None);
}

#[test]
fn nodes_that_are_not_as_they_should_be_are_named() {
    let zoned = |zones: [Option<&'static str>; 4]| {
        move |snapshot: &mut Snapshot, _: &mut Sight| {
            for (node, zone) in edit(&mut snapshot.nodes).iter_mut().zip(zones) {
                node.zone = zone.map(str::to_owned);
            }
        }
    };
    let (one, two) = (Some("westeurope-1"), Some("westeurope-2"));
    // The third is the user pool's.
    let found = only("SystemNodesInOneZone", &zoned([one, one, two, one]));
    assert!(found.ends_with("in westeurope-1"), "{found}");
    nothing(&zoned([one, two, one, one]));
    let none = shown(&zoned([Some("0"), Some("1"), two, None]));
    assert_eq!(none.findings[0].severity, FindingSeverity::Information, "a region may have no zones");

    let imaged = |image: Option<&'static str>| {
        move |snapshot: &mut Snapshot, _: &mut Sight| {
            edit(&mut snapshot.nodes).iter_mut().next().unwrap().image_version = image.map(str::to_owned);
        }
    };
    let found = only("NodeImagesOld", &imaged(Some("AKSUbuntu-2204gen2containerd-202612.15.0")));
    assert!(found.contains("more than 30 days old: system (AKSUbuntu-2204gen2containerd-202612.15.0)"), "{found}");
    nothing(&imaged(Some("AKSUbuntu-2204gen2containerd-202612.17.0")));
    for odd in [None, Some("custom")] {
        let status = shown(&imaged(odd));
        assert!(status.findings.is_empty() && status.unknown[0].contains("node images of system"), "{status:?}");
    }
}

#[test]
fn the_health_of_the_system_pools_is_a_condition_of_its_own() {
    let sick = |names: &'static [&'static str]| {
        move |snapshot: &mut Snapshot, _: &mut Sight| {
            let nodes = edit(&mut snapshot.nodes).iter_mut();
            nodes.filter(|node| names.contains(&node.name.as_str())).for_each(|node| node.cordoned = true);
        }
    };
    let health = |status: &NodePoolInventoryStatus| {
        let condition = status.condition(condition::SYSTEM_HEALTHY).unwrap();
        (condition.status, condition.reason.clone(), condition.message.clone())
    };
    let (status, reason, message) = health(&shown(&sick(&["system-0"])));
    assert_eq!((status, reason.as_str()), (ConditionStatus::True, "Healthy"));
    assert!(message.contains("2 usable of 3 nodes (system-0 is cordoned)"), "{message}");
    let (status, reason, message) = health(&shown(&sick(&["system-0", "system-1"])));
    assert_eq!((status, reason.as_str()), (ConditionStatus::False, "BelowFloor"));
    assert!(message.starts_with("1 system node is usable, fewer than the 2 that must remain"), "{message}");
    let (_, reason, _) = health(&shown(&sick(&["system-0", "system-1", "system-2"])));
    assert_eq!(reason, "NoHealthySystemPool");
    let unwell = |snapshot: &mut Snapshot, _: &mut Sight| edit(&mut snapshot.workloads)[0].ready = 1;
    let (_, reason, message) = health(&shown(&unwell));
    assert_eq!((reason.as_str(), message.as_str()), ("AddOnsNotReady", "kube-system/coredns has 1/2 pods Ready"));
    let missing = |snapshot: &mut Snapshot, _: &mut Sight| edit(&mut snapshot.workloads).clear();
    assert!(health(&shown(&missing)).2.contains("the Deployment does not exist"));
    assert!(
        told(&shown(&unwell)).contains(&"Ready True Observed".to_owned()),
        "an unhealthy cluster is seen all the same"
    );
}

#[test]
fn what_is_not_proven_or_not_seen_is_not_ready() {
    let told = |change: Change<'_>| super::inventory::told(&shown(change))[..3].join(", ");
    let elsewhere = |snapshot: &mut Snapshot, _: &mut Sight| {
        edit(&mut snapshot.nodes).iter_mut().next().unwrap().provider_id =
            Some("azure:///subscriptions/s/resourceGroups/OTHER/1".into());
    };
    let wrong = "Ready False WrongCluster, Reconciling False WrongCluster, Stalled True WrongCluster";
    assert_eq!(told(&elsewhere), wrong);
    let cluster = shown(&elsewhere).cluster.unwrap();
    assert!(!cluster.proven && cluster.proof.starts_with("not proven: node system-0"), "{cluster:?}");
    let unseen = "Ready False NotObserved, Reconciling True NotObserved, Stalled False NotObserved";
    for change in [
        &(|snapshot: &mut Snapshot, _: &mut Sight| snapshot.cluster = Known::unknown("no answer")) as Change<'_>,
        &|snapshot, _| snapshot.pods = Known::unknown("no answer"),
        &|snapshot, _| snapshot.now = NOW.after(Span::from_secs(301)),
    ] {
        assert_eq!(told(change), unseen);
        let status = shown(change);
        assert!(status.system.is_none() && !status.unknown.is_empty(), "{status:?}");
    }
    let before = shown(&|_, _| {});
    let after = shown_after(&before, &|snapshot, _| snapshot.cluster = Known::unknown("no answer"));
    assert_eq!((&after.pools, &after.cluster), (&before.pools, &before.cluster), "what was known of Azure stays");
    assert_eq!(after.summary, None);
    let paused = shown(&|snapshot, _| snapshot.paused = Known::seen(NOW, true));
    assert!(super::inventory::told(&paused).contains(&"Paused True Paused".to_owned()));
    assert!(super::inventory::told(&paused).contains(&"Ready True Observed".to_owned()));
}

#[test]
fn the_status_is_bounded_whatever_the_cluster_is_like() {
    let status = shown(&|snapshot, sight| {
        let cluster = edit(&mut snapshot.cluster);
        for number in 0..119 {
            let mut pool = super::pool(&format!("pool{number}"), Mode::System, 50);
            pool.taints = (0..30).map(|key| format!("key{key}=value:NoSchedule").parse().unwrap()).collect();
            cluster.pools.push(pool);
        }
        let long = "x".repeat(60);
        let nodes = edit(&mut snapshot.nodes);
        for number in 0..5000 {
            let mut node = super::node(&super::pool(&format!("pool{}", number % 119), Mode::System, 50), number);
            (node.name, node.image_version) = (format!("{long}{number}"), Some(format!("custom-{number}")));
            nodes.push(node);
        }
        edit(&mut snapshot.pods).extend((0..2000).map(|number| pod(&format!("{long}{number}"), None)));
        sight.restarting = (0..2000).map(|number| format!("kube-system/{long}{number}")).collect();
    });
    assert_eq!((status.pools.len(), status.more_pools), (100, Some(21)));
    assert!(status.pools.iter().all(|pool| pool.taints.len() <= 10 && pool.node_images.len() <= 3));
    let pending = status.finding("KubeSystemPodsPending").unwrap();
    assert!(pending.message.contains(" more") && pending.message.len() < 400, "{}", pending.message);
    let size = serde_json::to_string(&status).unwrap().len();
    assert!(size < 200_000, "{size} bytes");
}
