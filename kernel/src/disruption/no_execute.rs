//! Which of a pool's `NoExecute` taints would evict a pod. Never asks whether it may be evicted.

use std::marker::PhantomData;
use std::sync::Arc;

use foldhash::HashMap;

use crate::snapshot::Pod;
use crate::taint::{Taint, TaintEffect, Toleration};

/// The `NoExecute` taints of a pool, asked about many pods: those of one workload share their tolerations, which are
/// compared with the taints once.
pub(crate) struct Evicting<'t, 'p> {
    /// In order.
    taints: Vec<&'t Taint>,
    /// Those that tolerations do not tolerate for good, by where the tolerations are.
    untolerated: HashMap<*const Vec<Toleration>, Vec<&'t Taint>>,
    /// Pods that have been asked about stay, so that nothing else comes to be where their tolerations are.
    pods: PhantomData<&'p Pod>,
}

impl<'t, 'p> Evicting<'t, 'p> {
    /// Of all taints of a pool.
    pub(crate) fn of(taints: &'t [Taint]) -> Self {
        let mut taints: Vec<&Taint> = taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute).collect();
        taints.sort_unstable();
        Self { taints, untolerated: HashMap::default(), pods: PhantomData }
    }

    /// The first taint that the pod's node does not carry yet and that would evict the pod, now or later.
    pub(crate) fn first(&mut self, pod: &'p Pod, on_node: &[Taint]) -> Option<&'t Taint> {
        if self.taints.is_empty() {
            return None;
        }
        let taints = &self.taints;
        let untolerated = self.untolerated.entry(Arc::as_ptr(&pod.tolerations));
        let untolerated =
            untolerated.or_insert_with(|| taints.iter().copied().filter(|taint| !pod.stays_under(taint)).collect());
        untolerated.iter().copied().find(|taint| !on_node.contains(taint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taint::TolerationOperator;
    use crate::testing::{node, pod, taint};

    fn tolerating(keys: &[&str]) -> Pod {
        let tolerate = |key: &&str| Toleration {
            key: Some((*key).to_owned()),
            operator: TolerationOperator::Exists,
            value: String::new(),
            effect: None,
            limited: false,
        };
        Pod { tolerations: Arc::new(keys.iter().map(tolerate).collect()), ..pod("p", &node("apps", 0)) }
    }

    #[test]
    fn the_first_taint_that_is_new_and_not_tolerated_evicts() {
        let [a, b, c] = ["a=x:NoExecute", "b=x:NoExecute", "c=x:NoSchedule"].map(taint);
        let all = [c, b.clone(), a.clone()];
        let (none, some, both) = (tolerating(&[]), tolerating(&["a"]), tolerating(&["b", "a"]));
        let alike = none.clone();
        let mut evicting = Evicting::of(&all);
        for (pod, on_node, evicts) in [
            (&none, vec![], Some(&a)),
            (&none, vec![a.clone()], Some(&b)),
            (&alike, vec![b.clone()], Some(&a)),
            (&alike, vec![b.clone(), a.clone()], None),
            (&some, vec![], Some(&b)),
            (&some, vec![b.clone()], None),
            (&both, vec![], None),
            (&none, vec![], Some(&a)),
        ] {
            assert_eq!(evicting.first(pod, &on_node), evicts, "{:?} {on_node:?}", pod.tolerations);
        }
        assert_eq!(Evicting::of(&[taint("a=x:NoSchedule")]).first(&none, &[]), None);
    }
}
