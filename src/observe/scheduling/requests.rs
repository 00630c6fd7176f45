//! What a pod asks for and what a node offers. Never counts a request lower, or an offer higher, than it may be.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use nodepool_kernel::placement::{Amount, Resources};

use super::quantity::Quantity;

/// A list of resources as an object holds it.
type List = Option<BTreeMap<String, Written>>;

/// Exact sums by resource.
#[derive(Debug, Clone, Default)]
struct Sums(BTreeMap<String, Quantity>);

impl Sums {
    /// A list; what can't be read counts as the largest quantity.
    fn of(list: &List) -> Self {
        let read =
            |(name, written): (&String, &Written)| (name.clone(), Quantity::parse(&written.0).unwrap_or(Quantity::MAX));
        Self(list.iter().flatten().map(read).collect())
    }

    fn add(&mut self, other: &Self) {
        for (name, quantity) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.plus(*quantity);
        }
    }

    fn raise(&mut self, other: &Self) {
        for (name, quantity) in &other.0 {
            let own = self.0.entry(name.clone()).or_insert(*quantity);
            *own = (*own).max(*quantity);
        }
    }

    /// Adds what the other has and this lacks.
    fn complete(&mut self, other: Self) {
        for (name, quantity) in other.0 {
            self.0.entry(name).or_insert(quantity);
        }
    }

    /// Rounded up, each by itself, as the scheduler counts a pod (upstream `Resource.SetMaxResource`).
    fn rounded_up(&self) -> Resources {
        let amount = |name: &str, quantity: Quantity| {
            if name == "cpu" { quantity.thousandths_up() } else { quantity.units_up() }
        };
        // A request below zero is refused by the API server; it must not make room.
        resources(self.0.iter().map(|(name, quantity)| (name.as_str(), amount(name, *quantity).max(0))))
    }
}

fn resources<'a>(amounts: impl Iterator<Item = (&'a str, Amount)>) -> Resources {
    let mut resources = Resources::default();
    for (name, amount) in amounts {
        match name {
            "cpu" => resources.cpu = amount,
            "memory" => resources.memory = amount,
            "ephemeral-storage" => resources.ephemeral_storage = amount,
            "pods" => {}
            other => {
                resources.others.insert(other.to_owned(), amount);
            }
        }
    }
    resources
}

/// Resources that a pod may ask for as a whole (upstream `IsSupportedPodLevelResource`).
fn of_pod(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

/// What the pod asks for (upstream `component-helpers/resource` `PodRequests`): containers and sidecars together, no less
/// than any init container beside the sidecars before it; the pod's own requests instead where it has some; its overhead.
///
/// With a status, what containers were given counts where it is more, whether or not a resize is thought feasible.
/// Without one the specification is a template: limits become requests where there is none, as they do for pods.
pub(in crate::observe) fn requests(spec: &core::PodSpec, status: Option<&core::PodStatus>) -> Resources {
    let template = status.is_none();
    let mut sums = Sums::default();
    for container in &spec.containers {
        sums.add(&of_container(container, status));
    }
    let (mut sidecars, mut initial) = (Sums::default(), Sums::default());
    for container in spec.init_containers.iter().flatten() {
        let mut asks = of_container(container, status);
        if container.restart_policy.as_deref() == Some("Always") {
            sums.add(&asks);
            sidecars.add(&asks);
            asks.clone_from(&sidecars);
        } else {
            asks.add(&sidecars);
        }
        initial.raise(&asks);
    }
    sums.raise(&initial);
    if let Some(own) = &spec.resources {
        let supported = |sums: Sums| Sums(sums.0.into_iter().filter(|(name, _)| of_pod(name)).collect());
        let requests = supported(Sums::of(&own.requests));
        if template {
            let limits = supported(Sums::of(&own.limits));
            sums.raise(&Sums(limits.0.into_iter().filter(|(name, _)| !requests.0.contains_key(name)).collect()));
        }
        sums.0.extend(requests.0);
    }
    sums.add(&Sums::of(&spec.overhead));
    sums.rounded_up()
}

fn of_container(container: &core::Container, status: Option<&core::PodStatus>) -> Sums {
    let asked = container.resources.as_ref();
    let mut sums = asked.map(|resources| Sums::of(&resources.requests)).unwrap_or_default();
    let Some(status) = status else {
        sums.complete(asked.map(|resources| Sums::of(&resources.limits)).unwrap_or_default());
        return sums;
    };
    let statuses = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    for given in statuses.filter(|given| given.name == container.name) {
        sums.raise(&given.resources.as_ref().map(|resources| Sums::of(&resources.requests)).unwrap_or_default());
        sums.raise(&Sums::of(&given.allocated_resources));
    }
    sums
}

/// What a node offers and how many pods it may run. What is absent or can't be read is zero; what is finer than a unit is
/// left out.
pub(in crate::observe) fn allocatable(status: Option<&core::NodeStatus>) -> (Resources, Amount) {
    let read = |name: &str, written: &Written| {
        Quantity::parse(&written.0)
            .filter(|quantity| *quantity < Quantity::MAX)
            .map_or(0, |quantity| if name == "cpu" { quantity.thousandths_down() } else { quantity.units_down() })
    };
    let list = status.and_then(|status| status.allocatable.as_ref());
    let amounts = || list.into_iter().flatten().map(|(name, written)| (name.as_str(), read(name, written)));
    let pods = amounts().find(|(name, _)| *name == "pods").map_or(0, |(_, pods)| pods);
    (resources(amounts()), pods)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asks(spec: Value) -> Resources {
        requests(&serde_json::from_value(spec).unwrap(), Some(&core::PodStatus::default()))
    }

    fn container(name: &str, requests: &Value) -> Value {
        json!({"name": name, "resources": {"requests": requests}})
    }

    fn sidecar(name: &str, requests: &Value) -> Value {
        json!({"name": name, "restartPolicy": "Always", "resources": {"requests": requests}})
    }

    #[test]
    fn containers_add_up_and_init_containers_do_not() {
        let sum = asks(json!({
            "containers": [container("a", &json!({"cpu": "2", "memory": "1G"})), container("b", &json!({"cpu": "1", "memory": "1G"}))],
            "initContainers": [container("i", &json!({"cpu": "2", "memory": "1G"})), container("j", &json!({"cpu": "2", "memory": "3G"}))],
            "overhead": {"cpu": "10m"}
        }));
        assert_eq!((sum.cpu, sum.memory), (3010, 3_000_000_000));
    }

    #[test]
    fn a_sidecar_counts_beside_containers_and_beside_the_init_containers_after_it() {
        let sum = asks(json!({
            "containers": [container("a", &json!({"cpu": "1"}))],
            "initContainers": [
                container("before", &json!({"cpu": "3"})), sidecar("s", &json!({"cpu": "2"})), container("after", &json!({"cpu": "2500m"}))
            ]
        }));
        assert_eq!(sum.cpu, 4500, "sidecar and the init container after it");
        let sum = asks(json!({
            "containers": [container("a", &json!({"cpu": "2"}))],
            "initContainers": [sidecar("s", &json!({"cpu": "2"})), sidecar("t", &json!({"cpu": "1"}))]
        }));
        assert_eq!(sum.cpu, 5000);
    }

    #[test]
    fn the_pods_own_requests_replace_those_of_containers() {
        let sum = asks(json!({
            "containers": [container("a", &json!({"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"}))],
            "resources": {"requests": {"cpu": "500m", "nvidia.com/gpu": "9"}},
            "overhead": {"cpu": "1m"}
        }));
        assert_eq!((sum.cpu, sum.memory), (501, 1 << 30));
        assert_eq!(sum.others, [("nvidia.com/gpu".to_owned(), 1)].into(), "devices can't be asked for as a whole");
    }

    #[test]
    fn what_a_container_was_given_counts_where_it_is_more() {
        let spec = serde_json::from_value(json!({"containers": [container("a", &json!({"cpu": "1"}))]})).unwrap();
        let status = serde_json::from_value(json!({"containerStatuses": [{
            "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "resources": {"requests": {"cpu": "1500m"}}, "allocatedResources": {"cpu": "2"}
        }]}))
        .unwrap();
        assert_eq!(requests(&spec, Some(&status)).cpu, 2000);
        assert_eq!(requests(&spec, None).cpu, 1000);
    }

    #[test]
    fn in_a_template_limits_become_requests() {
        let spec = serde_json::from_value(json!({
            "containers": [{"name": "a", "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}}],
            "resources": {"limits": {"memory": "2Gi"}}
        }))
        .unwrap();
        let template = requests(&spec, None);
        assert_eq!((template.cpu, template.memory), (1000, 2 << 30));
        let pod = requests(&spec, Some(&core::PodStatus::default()));
        assert_eq!((pod.cpu, pod.memory), (1000, 0));
    }

    #[test]
    fn what_cannot_be_read_never_makes_room() {
        let sum =
            asks(json!({"containers": [container("a", &json!({"cpu": "lots", "memory": "-5", "x.dev/y": "0.5"}))]}));
        assert_eq!((sum.cpu, sum.memory), (i128::from(i64::MAX) * 1000, 0));
        assert_eq!(sum.others["x.dev/y"], 1);
        let status =
            json!({"allocatable": {"cpu": "2.0005", "memory": "?", "pods": "1.9", "ephemeral-storage": "1e99"}});
        let (offers, pods) = allocatable(Some(&serde_json::from_value(status).unwrap()));
        assert_eq!((offers.cpu, offers.memory, offers.ephemeral_storage, pods), (2000, 0, 0, 1));
        assert_eq!(allocatable(None), (Resources::default(), 0));
    }
}
