//! Snapshots of any form, as the fuzz target has them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::cases;

#[path = "../../fuzz/hold.rs"]
mod hold;

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn no_snapshot_brings_the_kernel_down_and_less_of_it_never_approves_more(bytes in vec(any::<u8>(), 0..1500)) {
        hold::hold(&bytes);
    }
}

/// The property above means something only if steps pass and are refused.
#[test]
fn any_snapshot_is_worth_judging() {
    let mut runner = TestRunner::new_with_rng(cases(1), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut all = hold::Judged::default();
    for _ in 0..500 {
        let bytes = vec(any::<u8>(), 500..1500).new_tree(&mut runner).unwrap().current();
        let judged = hold::hold(&bytes);
        all.approved += judged.approved;
        all.drains += judged.drains;
        all.refused += judged.refused;
    }
    assert!(all.approved > 100 && all.drains > 4 && all.refused > 500, "{all:?}");
}
