//! What holds for all worlds: order does not matter, to know less or to have more running never makes a place.

use proptest::prelude::*;

use crate::placement::testing::{app, labels, node, pod, spread, take_away, term};
use crate::placement::{
    Claim, HostPort, Labels, Listing, Namespaces, Node, Pod, PodTerm, Resources, Selector, Spread, Test, Unplaceable,
    Volume, World, place,
};
use crate::taint::{Taint, TaintEffect};

const NAMESPACES: [&str; 2] = ["apps", "other"];
const APPS: [&str; 2] = ["web", "db"];
const KEYS: [&str; 3] = ["host", "zone", "rack"];

/// A world in parts, so that it can be put together in other ways.
#[derive(Debug, Clone)]
struct Parts {
    nodes: Vec<Node>,
    running: Vec<(String, Pod)>,
    wanted: Vec<Pod>,
}

impl Parts {
    fn world(&self) -> World {
        self.world_with(Some(namespaces()), Listing::default())
    }

    fn world_with(&self, namespaces: Option<std::collections::BTreeMap<String, Labels>>, listing: Listing) -> World {
        let mut world = World::new(self.nodes.clone(), namespaces, listing);
        self.running.iter().for_each(|(node, pod)| world.add(node, pod.clone()));
        world
    }
}

fn namespaces() -> std::collections::BTreeMap<String, Labels> {
    NAMESPACES.map(|name| (name.to_owned(), labels(&[("team", name)]))).into()
}

fn a_node() -> impl Strategy<Value = Node> {
    let label = || proptest::option::weighted(0.8, 0..3_u8);
    let room = (1..4_i128, 1..6_i128, 0..3_u32);
    (label(), label(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.1), room).prop_map(
        |(zone, rack, tainted, cordoned, (cores, max_pods, limit))| {
            let mut node = node("", &[]);
            node.labels.extend(zone.map(|zone| ("zone".to_owned(), zone.to_string())));
            node.labels.extend(rack.map(|rack| ("rack".to_owned(), rack.to_string())));
            if tainted {
                node.taints = vec![Taint::new("team", "", TaintEffect::NoSchedule)];
            }
            node.unschedulable = cordoned;
            node.allocatable.cpu = cores * 1000;
            node.max_pods = max_pods;
            node.drivers = Some([("disk".to_owned(), Some(limit))].into());
            node
        },
    )
}

fn a_term() -> impl Strategy<Value = PodTerm> {
    (0..3_usize, 0..2_usize, 0..4_u8).prop_map(|(key, name, namespaces)| {
        let everything = Selector::everything();
        let namespaces = match namespaces {
            0 => Namespaces { names: [].into(), selector: everything.and("team", Test::In(vec!["other".into()])) },
            1 => Namespaces { names: [].into(), selector: everything },
            _ => Namespaces::named(["apps".to_owned()]),
        };
        PodTerm { namespaces, ..term(APPS[name], KEYS[key]) }
    })
}

fn a_spread() -> impl Strategy<Value = Spread> {
    (0..3_usize, 0..2_usize, 1..3_i64, 1..4_i64, any::<bool>(), any::<bool>()).prop_map(
        |(key, name, max_skew, min_domains, honor_affinity, honor_taints)| {
            let selector = app(APPS[name]);
            let spread = spread("", KEYS[key]);
            Spread { max_skew, min_domains, selector, honor_affinity, honor_taints, ..spread }
        },
    )
}

fn a_pod() -> impl Strategy<Value = Pod> {
    let identity = (0..2_usize, 0..2_usize, proptest::bool::weighted(0.1));
    let uses = (0..5_i128, proptest::bool::weighted(0.2), proptest::option::weighted(0.3, 0..4_u8), any::<bool>());
    let rules = (
        proptest::collection::vec(a_term(), 0..2),
        proptest::collection::vec(a_term(), 0..2),
        proptest::collection::vec(a_spread(), 0..2),
    );
    (identity, uses, rules).prop_map(|((namespace, name, deleting), (cpu, port, volume, exclusive), rules)| {
        let claim = |number: u8| {
            let name = format!("v{number}");
            let volume = Some(Volume { driver: "disk".into(), handle: name.clone() });
            Claim { name, exclusive, volume, ..Claim::default() }
        };
        Pod {
            namespace: NAMESPACES[namespace].into(),
            labels: labels(&[("app", APPS[name])]),
            deleting,
            requests: Resources { cpu: cpu * 300, ..Resources::default() },
            ports: if port { vec![HostPort { ip: String::new(), protocol: "TCP".into(), port: 53 }] } else { vec![] },
            claims: volume.map(claim).into_iter().collect(),
            affinity: rules.0,
            anti_affinity: rules.1,
            spread: rules.2,
            ..pod("")
        }
    })
}

prop_compose! {
    fn parts()(
        nodes in proptest::collection::vec(a_node(), 1..5),
        running in proptest::collection::vec((any::<prop::sample::Index>(), a_pod()), 0..7),
        wanted in proptest::collection::vec(a_pod(), 1..4),
    ) -> Parts {
        let nodes: Vec<Node> = nodes.into_iter().enumerate().map(|(index, mut node)| {
            node.name = format!("n{index}");
            node.labels.insert("host".into(), node.name.clone());
            node
        }).collect();
        let named = |kind: &str, index: usize, pod: Pod| Pod { name: format!("{kind}{index}"), ..pod };
        let running = running.into_iter().enumerate();
        let running = running.map(|(index, (node, pod))| (node.get(&nodes).name.clone(), named("r", index, pod))).collect();
        let wanted = wanted.into_iter().enumerate().map(|(index, pod)| named("p", index, pod)).collect();
        Parts { nodes, running, wanted }
    }
}

/// The nodes that `less` sees for a pod are among those that `more` sees.
fn sees_no_more(less: &World, more: &World, pod: &Pod) -> Result<(), TestCaseError> {
    let more = more.feasible(pod).unwrap_or_default();
    for node in less.feasible(pod).unwrap_or_default() {
        prop_assert!(more.contains(&node), "{} is feasible only for the one that knows less", node);
    }
    Ok(())
}

/// The nodes of the pods, each compared with every node anew; and why those without one have none.
fn one_by_one(mut world: World, pods: &[Pod], to_the_emptiest: bool) -> (Vec<String>, Vec<Unplaceable>) {
    let (mut placed, mut nowhere) = (Vec::new(), Vec::new());
    for pod in pods {
        let room = |name: &str| {
            let (_, site) = world.sites().find(|(_, site)| site.node.name == name).expect("it is feasible");
            let free = |of: fn(&Resources) -> i128| of(&site.node.allocatable) - of(&site.used);
            let free = (free(|all| all.cpu), free(|all| all.memory));
            if to_the_emptiest { (-free.0, -free.1) } else { free }
        };
        match world.feasible(pod).map(|nodes| nodes.into_iter().min_by_key(|name| room(name)).map(str::to_owned)) {
            Ok(node) => {
                let node = node.expect("feasible without a node");
                world.add(&node, pod.clone());
                placed.push(node);
            }
            Err(reason) => nowhere.push(reason),
        }
    }
    (placed, nowhere)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_things_are_listed_does_not_matter(parts in parts(), turn in any::<prop::sample::Index>()) {
        let mut turned = parts.clone();
        turned.nodes.reverse();
        turned.running.rotate_left(turn.index(parts.running.len().max(1)).min(parts.running.len()));
        turned.running.reverse();
        let (world, turned) = (parts.world(), turned.world());
        for pod in &parts.wanted {
            prop_assert_eq!(world.feasible(pod), turned.feasible(pod));
        }
        prop_assert_eq!(place(&world, &parts.wanted), place(&turned, &parts.wanted));
    }

    /// Replicas are placed as if each were the only one of its form.
    #[test]
    fn pods_that_are_alike_are_placed_one_by_one(parts in parts(), replicas in 1..5_usize, barred in any::<prop::sample::Index>()) {
        let named = |pod: &Pod, index| Pod { name: format!("{}-{index}", pod.name), ..pod.clone() };
        let pods: Vec<Pod> =
            parts.wanted.iter().flat_map(|pod| (0..replicas).map(move |index| named(pod, index))).collect();
        let mut world = parts.world();
        world.bar(&barred.get(&parts.nodes).name, "closed");
        let [likely, unlikely] = [true, false].map(|emptiest| one_by_one(world.clone(), &pods, emptiest));
        let expected = match (likely, unlikely) {
            ((placed, likely), (_, unlikely)) if likely.is_empty() && (unlikely.is_empty() || pods.len() == 1) => Ok(placed),
            ((_, likely), (_, unlikely)) => Err(if likely.is_empty() { unlikely } else { likely }),
        };
        prop_assert_eq!(place(&world, &pods), expected);
    }

    #[test]
    fn what_comes_and_goes_leaves_no_trace(parts in parts()) {
        let mut world = parts.world();
        for (node, pod) in &parts.running {
            world.add(node, Pod { name: "guest".into(), ..pod.clone() });
            prop_assert!(take_away(&mut world, &pod.namespace, "guest"));
        }
        let untouched = parts.world();
        for pod in &parts.wanted {
            prop_assert_eq!(untouched.feasible(pod), world.feasible(pod));
        }
    }

    /// What comes to a copy and goes from it changes the copy alone.
    #[test]
    fn a_copy_changes_as_a_world_of_its_own(parts in parts(), fates in proptest::collection::vec(0..4_u8, 8)) {
        let fate = |index: usize| fates.get(index).copied().unwrap_or_default();
        let of = |kept: fn(u8) -> bool| {
            let mut those = parts.clone();
            let mut index = 0..;
            those.running.retain(|_| index.next().is_some_and(|index| kept(fate(index))));
            those
        };
        let (before, after) = (of(|fate| fate < 2), of(|fate| fate % 2 == 0));
        let world = before.world();
        let mut copy = world.clone();
        for (index, (node, pod)) in parts.running.iter().enumerate() {
            if fate(index) >= 2 {
                copy.add(node, pod.clone());
            }
            if fate(index) % 2 == 1 {
                prop_assert!(take_away(&mut copy, &pod.namespace, &pod.name));
            }
        }
        let (before, after) = (before.world(), after.world());
        for pod in &parts.wanted {
            prop_assert_eq!(world.feasible(pod), before.feasible(pod));
            prop_assert_eq!(copy.feasible(pod), after.feasible(pod));
        }
        prop_assert_eq!(place(&copy, &parts.wanted), place(&after, &parts.wanted));
    }

    #[test]
    fn a_world_without_nodes_is_one_that_never_had_them(parts in parts(), gone in proptest::collection::vec(any::<bool>(), 5)) {
        let goes = |name: &str| parts.nodes.iter().zip(&gone).any(|(node, gone)| node.name == name && *gone);
        let mut rest = parts.clone();
        rest.nodes.retain(|node| !goes(&node.name));
        rest.running.retain(|(node, _)| !goes(node));
        let names = parts.nodes.iter().map(|node| node.name.as_str()).filter(|name| goes(name)).collect();
        let mut world = parts.world().without(&names);
        for (node, pod) in parts.running.iter().filter(|(node, _)| goes(node)) {
            prop_assert_eq!(world.remove(&[(pod.namespace.as_str(), pod.name.as_str())].into(), &names), 0);
            world.add(node, pod.clone());
        }
        let rest = rest.world();
        prop_assert!(world.nodes().eq(rest.nodes()));
        for pod in &parts.wanted {
            prop_assert_eq!(world.feasible(pod), rest.feasible(pod));
        }
        prop_assert_eq!(place(&world, &parts.wanted), place(&rest, &parts.wanted));
    }

    #[test]
    fn to_list_fewer_pods_never_makes_a_place(parts in parts(), hidden in any::<prop::sample::Index>(), kept in 0..4_u8) {
        let host = hidden.index(parts.nodes.len());
        let listing = Listing {
            namespaces: if kept & 1 == 1 { ["apps".to_owned()].into() } else { [].into() },
            repelling: kept & 2 == 2,
        };
        let mut less = parts.clone();
        less.nodes[host].all_pods_listed = false;
        let name = less.nodes[host].name.clone();
        less.running.retain(|(node, pod)| {
            let listed = listing.namespaces.contains(&pod.namespace) || (listing.repelling && !pod.anti_affinity.is_empty());
            *node != name || listed
        });
        for pod in &parts.wanted {
            sees_no_more(&less.world_with(Some(namespaces()), listing.clone()), &parts.world(), pod)?;
        }
    }

    #[test]
    fn to_know_less_of_namespaces_drivers_and_nodes_never_makes_a_place(parts in parts(), node in any::<prop::sample::Index>()) {
        let host = node.index(parts.nodes.len());
        let mut without_drivers = parts.clone();
        without_drivers.nodes[host].drivers = None;
        let mut unavailable = parts.clone();
        unavailable.nodes[host].unavailable = Some("gone".into());
        for pod in &parts.wanted {
            sees_no_more(&parts.world_with(None, Listing::default()), &parts.world(), pod)?;
            sees_no_more(&without_drivers.world(), &parts.world(), pod)?;
            sees_no_more(&unavailable.world(), &parts.world(), pod)?;
        }
    }

    /// Of a pod whose labels, namespace and volumes concern nobody: others may make a place, by affinity, by evening a
    /// spread, or because the volume is attached already.
    #[test]
    fn more_load_never_makes_a_place(parts in parts(), node in any::<prop::sample::Index>(), load in a_pod()) {
        let mut load = load;
        load.claims.iter_mut().flat_map(|claim| &mut claim.volume).for_each(|volume| volume.handle.push_str("-own"));
        let stranger = Pod { namespace: "third".into(), name: "load".into(), labels: Labels::new(), ..load };
        let mut more = parts.world();
        more.add(&node.get(&parts.nodes).name, stranger);
        for pod in &parts.wanted {
            sees_no_more(&more, &parts.world(), pod)?;
        }
    }

    #[test]
    fn to_ask_for_more_never_makes_a_place(parts in parts(), term in a_term()) {
        for pod in &parts.wanted {
            let mut demanding = pod.clone();
            demanding.requests.cpu += 1;
            demanding.anti_affinity.push(term.clone());
            let world = parts.world();
            let (less, more) = (world.feasible(&demanding).unwrap_or_default(), world.feasible(pod).unwrap_or_default());
            prop_assert!(less.iter().all(|node| more.contains(node)));
        }
    }
}
