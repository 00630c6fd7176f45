//! Two replicas, one lease, requests that are lost or late, crashes and operations that fail: every order in which that can happen
//! in a small cluster. The steps are those that the guard approves on what the replica that leads sees.

#[cfg(test)]
mod model;
#[cfg(test)]
#[path = "../worlds/show.rs"]
mod show;
#[cfg(test)]
#[expect(dead_code, reason = "written for the enumeration of all small worlds")]
#[path = "../worlds/world.rs"]
mod world;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use stateright::{Checker as _, HasDiscoveries, Model as _};

    use crate::model::{FLOOR, Flaw, ONE_LEADER, Replicas};

    /// Explores everything and says how much that was.
    fn explored(replicas: &Replicas) -> usize {
        let checker = replicas.clone().checker().threads(2).spawn_bfs().join();
        let _ = writeln!(std::io::stderr(), "{replicas:?}: {} states", checker.unique_state_count());
        checker.assert_properties();
        checker.unique_state_count()
    }

    #[test]
    fn the_floor_holds_and_one_replica_leads_whatever_is_lost_late_or_crashes() {
        for etags in [true, false] {
            let states = explored(&Replicas { etags, crashes: 3, losses: 3, failures: 2, flaw: None });
            assert!(states > 10_000, "{states}");
        }
    }

    /// The model would notice: without it there is a state that must not be.
    #[test]
    fn each_part_of_the_protocol_and_what_it_takes_for_granted_is_needed() {
        let needed = [
            (Flaw::TakenTooEarly, ONE_LEADER),
            (Flaw::TakenTooEarly, FLOOR),
            (Flaw::LateBeyondTheLease, FLOOR),
            (Flaw::ReleasedWithAnUnknownOutcome, FLOOR),
            (Flaw::OneThatCrashedGoesOnAtOnce, FLOOR),
            (Flaw::HandledAfterTheNextLook, FLOOR),
        ];
        for (flaw, broken) in needed {
            let replicas = Replicas { etags: true, crashes: 1, losses: 2, failures: 0, flaw: Some(flaw) };
            let found = HasDiscoveries::AnyOf([broken].into());
            let checker = replicas.checker().threads(2).finish_when(found).spawn_bfs().join();
            assert!(checker.discovery(broken).is_some(), "{flaw:?} breaks nothing");
        }
    }
}
