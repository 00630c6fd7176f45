use super::*;
use crate::placement::Resources;

/// A node of a pool with room for so many thousandths of a core.
fn site(name: &str, pool: &str, cpu: i64) -> Site {
    let allocatable = Resources { cpu: cpu.into(), memory: 8 << 30, ..Resources::default() };
    let node = Node {
        name: name.into(),
        labels: [("pool".to_owned(), pool.to_owned())].into(),
        taints: vec![],
        unschedulable: false,
        allocatable,
        max_pods: 10,
        drivers: None,
        attached: BTreeSet::new(),
        unavailable: None,
        all_pods_listed: true,
    };
    Site { node, pool: Some(pool.to_owned()), foreign: false }
}

/// A pod of a controller that asks for half a core.
fn tenant(name: &str, node: &str) -> Tenant {
    let requests = Resources { cpu: 500, ..Resources::default() };
    let pod = Pod { namespace: "shop".into(), name: name.into(), requests, ..Pod::default() };
    Tenant { pod: Arc::new(pod), node: node.into(), tenancy: Tenancy::Controlled, local_data: None }
}

/// The pool `apps` of one node beside the pool `web` of one node with room for two pods of which one is taken.
fn census(here: Vec<Tenant>) -> Census {
    let nodes = vec![site("a", "apps", 4000), site("w", "web", 1000)];
    let tenants = here.into_iter().chain([tenant("other", "w")]).collect();
    Census { nodes, tenants, namespaces: [("shop".to_owned(), Labels::new())].into() }
}

fn names(census: &Census) -> Vec<String> {
    census.dependents("apps").unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn pods_that_find_another_place_do_not_depend_on_their_pool() {
    assert_eq!(names(&census(vec![])), [""; 0]);
    assert_eq!(names(&census(vec![tenant("one", "a")])), [""; 0]);
}

#[test]
fn pods_must_find_a_place_all_together() {
    let two = names(&census(vec![tenant("one", "a"), tenant("two", "a")]));
    assert_eq!(two, ["shop/two (0 of 1 node: 1 lacks cpu (wants 500m, free 0))"]);
}

#[test]
fn what_goes_with_its_node_does_not_count_and_what_nobody_starts_again_does() {
    let of = |tenancy| names(&census(vec![Tenant { tenancy, ..tenant("one", "a") }]));
    assert_eq!(of(Tenancy::OfNode), [""; 0]);
    assert_eq!(of(Tenancy::Controlled), [""; 0]);
    assert_eq!(of(Tenancy::Alone), ["shop/one (nothing would start it again)"]);
    let mut going = tenant("one", "a");
    (going.tenancy, going.local_data) = (Tenancy::Alone, Some("data".into()));
    Arc::make_mut(&mut going.pod).deleting = true;
    assert_eq!(names(&census(vec![going])), [""; 0], "it is lost already");
}

#[test]
fn data_on_a_disk_of_the_node_ties_a_pod_to_it() {
    let data = Tenant { local_data: Some("data".into()), ..tenant("one", "a") };
    assert_eq!(names(&census(vec![data.clone()])), ["shop/one (its volume data is on a disk of its node)"]);
    assert_eq!(names(&census(vec![Tenant { tenancy: Tenancy::OfNode, ..data }])), [""; 0]);
}

#[test]
fn nodes_that_take_no_pods_are_no_place() {
    let mut cordoned = census(vec![tenant("one", "a")]);
    cordoned.nodes.last_mut().unwrap().node.unschedulable = true;
    assert_eq!(names(&cordoned), ["shop/one (0 of 1 node: 1 is cordoned)"]);
    let mut unready = census(vec![tenant("one", "a")]);
    unready.nodes.last_mut().unwrap().node.unavailable = Some("not Ready".into());
    assert_eq!(names(&unready), ["shop/one (0 of 1 node: 1 is not Ready)"]);
    let mut selects = tenant("one", "a");
    Arc::make_mut(&mut selects.pod).node_selector = [("pool".to_owned(), "apps".to_owned())].into();
    assert_eq!(
        names(&census(vec![selects])),
        ["shop/one (0 of 1 node: 1 is not selected by its node selector or affinity)"]
    );
}

#[test]
fn half_a_picture_tells_nothing() {
    let lost = census(vec![tenant("one", "elsewhere"), tenant("two", "nowhere")]);
    assert_eq!(lost.dependents("apps").unwrap_err(), "Kubernetes does not show node elsewhere, on which shop/one runs");
    let mut homeless = census(vec![]);
    homeless.nodes.last_mut().unwrap().pool = None;
    assert_eq!(homeless.dependents("apps").unwrap_err(), "Kubernetes does not show which pool node w belongs to");
    homeless.nodes.last_mut().unwrap().foreign = true;
    assert_eq!(names(&homeless), [""; 0], "a virtual node belongs to no pool");
}
