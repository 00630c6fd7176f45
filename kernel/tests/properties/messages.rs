//! A refusal says what is wrong and what would help, in a few lines, however large the cluster.

use nodepool_kernel::{Known, Refusal, Settings, Snapshot, Verdict, decide, guard, plan};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::cases;
use crate::clusters::{NOW, cluster, cluster_and_step};

/// What is wrong with the texts of a refusal.
fn complaint(refusal: &Refusal) -> Option<String> {
    let bad = |text: &str| text.trim().is_empty() || text.len() >= 1000;
    if refusal.broken.is_empty() || refusal.leading().is_none() {
        return Some("no rule".to_owned());
    }
    refusal.broken.iter().find(|broken| bad(&broken.finding) || bad(&broken.remedy)).map(|broken| format!("{broken:?}"))
}

fn complaints(snapshot: &Snapshot) -> Vec<String> {
    let verdicts = decide(&plan(snapshot, &Settings::default()), snapshot, &Settings::default());
    let of = |verdict: &Verdict| match verdict {
        Verdict::Approved(_) => None,
        Verdict::Waits { reason, .. } => (reason.is_empty() || reason.len() >= 1000).then(|| reason.clone()),
        Verdict::Refused(refusal) => complaint(refusal),
    };
    verdicts.iter().filter_map(of).collect()
}

/// The same cluster twenty times over, each with names as long as Kubernetes takes.
fn enlarged(snapshot: &Snapshot) -> Snapshot {
    let long = |name: &str, copy: usize| format!("{name}-{copy}-{}", "x".repeat(240));
    let mut cluster = snapshot.cluster.value().unwrap().clone();
    let (mut nodes, mut pods) = (vec![], vec![]);
    let pools = std::mem::take(&mut cluster.pools);
    for copy in 0..20 {
        let pool_name = |name: &str| if copy == 0 { name.to_owned() } else { format!("{name}{copy}") };
        cluster.pools.extend(pools.iter().cloned().map(|mut pool| {
            pool.name = pool_name(&pool.name);
            pool
        }));
        nodes.extend(snapshot.nodes.value().unwrap().iter().cloned().map(|mut node| {
            (node.name, node.pool) = (long(&node.name, copy), node.pool.as_deref().map(pool_name));
            node
        }));
        pods.extend(snapshot.pods.value().unwrap().iter().cloned().flat_map(|pod| {
            (0..3).map(move |twin| {
                let mut pod = pod.clone();
                (pod.name, pod.node) = (long(&pod.name, twin).into(), pod.node.map(|node| long(&node, copy).into()));
                pod
            })
        }));
    }
    Snapshot {
        cluster: Known::seen(NOW, cluster),
        nodes: Known::seen(NOW, nodes.into()),
        pods: Known::seen(NOW, pods.into()),
        ..snapshot.clone()
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_refusal_always_says_why_and_what_would_help((snapshot, step) in cluster_and_step()) {
        if let Err(refusal) = guard(step, &snapshot, &Settings::default()) {
            prop_assert_eq!(complaint(&refusal), None);
        }
        prop_assert_eq!(complaints(&snapshot), Vec::<String>::new());
    }
}

#[test]
fn large_clusters_give_no_longer_messages() {
    let mut runner = TestRunner::new_with_rng(cases(1), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    for _ in 0..60 {
        let snapshot = cluster().new_tree(&mut runner).unwrap().current();
        assert_eq!(complaints(&enlarged(&snapshot)), Vec::<String>::new());
    }
}
