//! What holds under any interleaving of valid and invalid requests, faults, and restarts.

#[cfg(test)]
mod nodes;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use crate::steps::step;
    use crate::world::World;

    fn config() -> ProptestConfig {
        ProptestConfig { cases: 64, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(config())]

        /// After each step: no operation is lost, none ends twice or differently, one pool has one at a time, states
        /// only follow allowed transitions, no instance is created twice. Once quiet: the pools and their nodes agree,
        /// and each pool takes a change.
        #[test]
        fn operations_run_once_and_locks_are_released(steps in vec(step(), 1..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut world = World::start().await;
                for step in &steps {
                    world.take(step).await;
                    world.check(step).await;
                }
                world.settle().await;
            });
        }
    }
}
