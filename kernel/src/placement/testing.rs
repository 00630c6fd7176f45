//! Small nodes and pods for the tests of placement. Never compiled into the product.

use super::*;

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A node with room for 4 cores, 8 GiB and ten pods, with its name as hostname.
pub(crate) fn node(name: &str, extra: &[(&str, &str)]) -> Node {
    let mut labels = labels(extra);
    labels.insert("host".into(), name.into());
    Node {
        name: name.into(),
        labels,
        taints: vec![],
        unschedulable: false,
        allocatable: Resources { cpu: 4000, memory: 8 << 30, ..Resources::default() },
        max_pods: 10,
        drivers: Some([("disk".to_owned(), Some(2))].into()),
        attached: [].into(),
        unavailable: None,
        all_pods_listed: true,
    }
}

/// A pod that asks for 100m in the namespace `apps`, with its name as label `app`.
pub(crate) fn pod(name: &str) -> Pod {
    Pod {
        namespace: "apps".into(),
        name: name.into(),
        labels: labels(&[("app", name)]),
        requests: Resources { cpu: 100, ..Resources::default() },
        ..Pod::default()
    }
}

/// A selector of pods with the label `app`.
pub(crate) fn app(name: &str) -> Selector {
    Selector::everything().and("app", Test::In(vec![name.into()]))
}

/// A term about pods of the namespace `apps` with the label `app`, by a topology key.
pub(crate) fn term(name: &str, topology_key: &str) -> PodTerm {
    PodTerm {
        namespaces: Namespaces::named(["apps".to_owned()]),
        selector: app(name),
        topology_key: topology_key.into(),
    }
}

/// A spread of pods with the label `app` over a key, skew 1.
pub(crate) fn spread(name: &str, topology_key: &str) -> Spread {
    Spread {
        topology_key: topology_key.into(),
        max_skew: 1,
        min_domains: 1,
        selector: app(name),
        match_label_keys: vec![],
        honor_affinity: true,
        honor_taints: false,
    }
}

/// A world of these nodes in which every namespace and pod is known.
pub(crate) fn world(nodes: Vec<Node>) -> World {
    let namespaces = ["apps", "other"].map(|name| (name.to_owned(), labels(&[("team", name)])));
    World::new(nodes, Some(namespaces.into()), Listing::default())
}

/// Takes a pod away from wherever it runs, and tells whether it was there.
pub(crate) fn take_away(world: &mut World, namespace: &str, name: &str) -> bool {
    let nodes: Vec<String> = world.nodes().map(|node| node.name.clone()).collect();
    world.remove(&[(namespace, name)].into(), &nodes.iter().map(String::as_str).collect()) == 1
}

/// The feasible nodes; none when it is unplaceable.
pub(crate) fn feasible<'a>(world: &'a World, pod: &Pod) -> Vec<&'a str> {
    world.feasible(pod).unwrap_or_default()
}

/// Why it is unplaceable.
pub(crate) fn why(world: &World, pod: &Pod) -> String {
    world.feasible(pod).unwrap_err().why()
}
