//! Which pods a refusal names: the first of them. Never lets a refusal grow with the cluster.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::names::capped_list_of;
use crate::snapshot::Pod;

/// How many pods a refusal names at most. There may be tens of thousands.
const MOST: usize = 100;

/// The pods that a rule is about.
pub(super) struct Evidence {
    /// The first by namespace and name, `namespace/name`.
    pub(super) pods: Vec<String>,
    /// How many there are besides.
    beyond: usize,
}

impl Evidence {
    pub(super) fn of<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Self {
        // Mostly they share their namespace, so that it need not be compared.
        let by_name = |a: &&Pod, b: &&Pod| {
            let alike = Arc::ptr_eq(&a.namespace, &b.namespace);
            let namespaces = if alike { Ordering::Equal } else { a.namespace.cmp(&b.namespace) };
            namespaces.then_with(|| a.name.cmp(&b.name))
        };
        let mut pods: Vec<&Pod> = pods.into_iter().collect();
        let beyond = pods.len().saturating_sub(MOST);
        if beyond > 0 {
            pods.select_nth_unstable_by(MOST, by_name);
            pods.truncate(MOST);
        }
        pods.sort_unstable_by(by_name);
        Self { pods: pods.into_iter().map(Pod::full_name).collect(), beyond }
    }

    /// The same of pods by their names, `namespace/name`.
    pub(super) fn named(pods: impl IntoIterator<Item = String>) -> Self {
        let mut pods: Vec<String> = pods.into_iter().collect();
        pods.sort_unstable();
        pods.dedup();
        let beyond = pods.len().saturating_sub(MOST);
        pods.truncate(MOST);
        Self { pods, beyond }
    }

    /// The pods in a message.
    pub(super) fn in_words(&self) -> String {
        capped_list_of(&self.pods, self.beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    #[test]
    fn the_first_pods_by_name_are_named_whatever_their_order_and_all_are_counted() {
        let node = node("sys", 0);
        let mut pods: Vec<Pod> = (0..250).map(|number| pod(&format!("p{number:03}"), &node)).collect();
        pods.rotate_left(77);
        let many = Evidence::of(&pods);
        assert_eq!(many.pods, (0..MOST).map(|number| format!("kube-system/p{number:03}")).collect::<Vec<_>>());
        assert_eq!(Evidence::named(pods.iter().map(Pod::full_name)).pods, many.pods);
        assert!(many.in_words().ends_with("kube-system/p004 and 245 more"), "{}", many.in_words());
        pods.retain(|pod| &*pod.name < "p100");
        let few = Evidence::of(&pods);
        let twice = pods.iter().rev().chain(&pods).map(Pod::full_name);
        assert_eq!(Evidence::named(twice).in_words(), few.in_words());
        assert_eq!((few.pods == many.pods, few.in_words().ends_with("and 95 more")), (true, true));
        assert_eq!(Evidence::of([]).in_words(), "");
    }
}
