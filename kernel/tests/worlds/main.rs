//! Every small world: clusters of up to three pools with up to three nodes each, every operation in flight and every
//! step. The guard approves none that could leave the cluster without a healthy system pool or below the floor, and
//! refuses by these rules only what could.
//!
//! A seeded sample, or all with `NODEPOOL_WORLDS=all` (`make worlds`). `NODEPOOL_WORLDS_SEED` sets the seed.

#[cfg(test)]
mod enumerate;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod model;
#[cfg(test)]
mod show;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use crate::enumerate::{everything, sample};
    use crate::judge::{Strictness, Tally};

    /// Why the guard may refuse what could do no harm, and how often it does over all small worlds.
    const ACCEPTED: [(Strictness, u64, &str); 4] = [
        (
            Strictness::MayComeBack,
            8_286_456,
            "with more of the pool's nodes in order the step would do harm; nodes that are out of order may come back, \
             those that are gone do not, and a moment in which a node is not Ready must not let pass what is refused \
             while it is",
        ),
        (
            Strictness::Narrowed,
            62_899,
            "how many of the nodes beyond a lowered maximum the autoscaler takes is not known: all that its minimum does \
             not hold count as gone",
        ),
        (Strictness::Empty, 334_125, "AKS has no system pool that counts no node unless it is stopped"),
        (Strictness::Stopped, 18_343, "AKS stops no system pool; one that is shown as stopped may run again"),
    ];

    #[test]
    fn the_guard_approves_what_is_safe_in_every_small_world_and_refuses_what_is_not() {
        let all = std::env::var("NODEPOOL_WORLDS").is_ok_and(|worlds| worlds == "all");
        let tally = if all { everything() } else { sample() };
        say(&format!(
            "{} worlds, {} steps: {} approved, {} refused by LastHealthySystemPool and SystemCapacityFloor alone ({} \
             times a rule that would be broken indeed), {} by other rules",
            tally.worlds, tally.steps, tally.approved, tally.refused, tally.needed, tally.otherwise
        ));
        check(&tally);
    }

    /// Says what was counted, also when the test passes.
    fn say(text: &str) {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn check(tally: &Tally) {
        assert_eq!(tally.unsafe_approvals, 0, "{:#?}", tally.told);
        let accepted = |kind| ACCEPTED.iter().find(|(accepted, ..)| accepted == kind);
        let of = |kind| accepted(kind).map_or((0, "not accepted"), |(_, most, why)| (*most, *why));
        for (kind, number) in &tally.strict {
            say(&format!("stricter than needed: {number} {kind:?} ({})", of(kind).1));
        }
        for (kind, number) in &tally.strict {
            let (most, _) = of(kind);
            assert!(*number <= most, "{kind:?}: {number}, no more than {most} are accepted\n{:#?}", tally.told);
        }
        assert!(tally.approved > 1000 && tally.refused > 1000, "too little was judged: {tally:?}");
    }
}
