//! What a replica makes of the lease as it sees it. Pure: the time comes in, and times that somebody else wrote into the lease
//! are never compared with it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// The lease as this replica last saw it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sighting {
    lease: Option<Lease>,
    /// When what it says was first seen.
    since: Option<Instant>,
}

/// What a replica does next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Move {
    /// Creates the lease.
    Create(Lease),
    /// Writes over the lease as it was seen.
    Replace(Lease),
    /// Leaves it to its holder.
    Wait {
        /// Who holds it.
        holder: String,
    },
}

impl Sighting {
    /// Takes note of the lease. One that is gone is taken for what was last seen of it: its holder may not know yet.
    pub(super) fn saw(&mut self, lease: Option<Lease>, now: Instant) {
        match lease {
            Some(lease) => {
                if self.lease.as_ref().is_none_or(|known| known.spec != lease.spec) {
                    self.since = Some(now);
                }
                self.lease = Some(lease);
            }
            None => {
                // Without a version: the next write creates it.
                if let Some(known) = &mut self.lease {
                    known.metadata.resource_version = None;
                }
            }
        }
    }

    /// Who holds the lease, as far as it says so.
    pub(super) fn holder(&self) -> Option<&str> {
        let holder = self.lease.as_ref()?.spec.as_ref()?.holder_identity.as_deref()?;
        Some(holder).filter(|holder| !holder.is_empty())
    }

    /// What `identity` does next, for a lease of this length.
    pub(super) fn next(&self, name: &str, identity: &str, length: Duration, now: Instant) -> Move {
        if let Some(holder) = self.holder().filter(|holder| *holder != identity && !self.has_expired(length, now)) {
            return Move::Wait { holder: holder.to_owned() };
        }
        let version = self.lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        let taken = self.taken_by(name, identity, length);
        if version.is_some() { Move::Replace(taken) } else { Move::Create(taken) }
    }

    /// Whether the holder was not heard of for as long as its lease lasts, by this machine's clock alone.
    fn has_expired(&self, length: Duration, now: Instant) -> bool {
        let spec = self.lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let stated = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
        let length = length.max(Duration::from_secs(stated.unwrap_or_default()));
        self.since.is_none_or(|since| now.saturating_duration_since(since) >= length)
    }

    /// The lease as `identity` writes it: whatever else stands in it stays.
    fn taken_by(&self, name: &str, identity: &str, length: Duration) -> Lease {
        let mut lease = self.lease.clone().unwrap_or_default();
        if lease.metadata.resource_version.is_none() {
            // It is created: what the API server gave to the one before does not go with it.
            lease.metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        }
        let now = MicroTime(Timestamp::now());
        let is_new = self.holder() != Some(identity);
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if is_new {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |before| before.saturating_add(1)));
        }
        spec.holder_identity = Some(identity.to_owned());
        spec.lease_duration_seconds = Some(i32::try_from(length.as_secs()).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        lease
    }

    /// The lease as its holder leaves it: anybody may take it at once. `None` if `identity` does not hold it.
    pub(super) fn released_by(&self, identity: &str) -> Option<Lease> {
        let mut lease = self.lease.clone().filter(|_| self.holder() == Some(identity))?;
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        lease.metadata.resource_version.is_some().then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(45);

    fn held(holder: &str, version: &str, renewed: i64) -> Lease {
        let mut lease = Lease::default();
        lease.metadata.name = Some("lease".to_owned());
        lease.metadata.resource_version = Some(version.to_owned());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(45),
            lease_transitions: Some(3),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        });
        lease
    }

    fn next(sighting: &Sighting, now: Instant) -> Move {
        sighting.next("lease", "me", LENGTH, now)
    }

    #[test]
    fn a_lease_that_nobody_has_is_created_and_one_that_is_free_is_taken() {
        let (mut sighting, now) = (Sighting::default(), Instant::now());
        sighting.saw(None, now);
        let Move::Create(lease) = next(&sighting, now) else { panic!() };
        let spec = lease.spec.unwrap();
        assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("me"), Some(0)));
        assert_eq!(spec.lease_duration_seconds, Some(45));
        sighting.saw(Some(held("", "7", 0)), now);
        let Move::Replace(lease) = next(&sighting, now) else { panic!() };
        assert_eq!(lease.metadata.resource_version.as_deref(), Some("7"), "only if nobody else takes it in between");
        assert_eq!(lease.spec.unwrap().lease_transitions, Some(4));
    }

    #[test]
    fn what_another_holds_expires_by_the_time_since_it_last_changed_and_by_no_clock() {
        let now = Instant::now();
        // Renewed long ago by its holder's clock, or far in the future: both count from when it was seen.
        for renewed in [0, 10_000_000_000] {
            let mut sighting = Sighting::default();
            sighting.saw(Some(held("other", "1", renewed)), now);
            let waits = Move::Wait { holder: "other".to_owned() };
            assert_eq!(next(&sighting, now + Duration::from_secs(44)), waits, "{renewed}");
            assert!(matches!(next(&sighting, now + LENGTH), Move::Replace(_)), "{renewed}");
            // It is renewed: the time begins anew. A change of anything else is no renewal.
            sighting.saw(Some(held("other", "2", renewed + 1)), now + Duration::from_secs(40));
            sighting.saw(Some(held("other", "3", renewed + 1)), now + Duration::from_secs(80));
            assert_eq!(next(&sighting, now + Duration::from_secs(84)), waits, "{renewed}");
            assert!(matches!(next(&sighting, now + Duration::from_secs(85)), Move::Replace(_)), "{renewed}");
        }
    }

    #[test]
    fn the_longer_one_of_two_lengths_is_waited_for() {
        let (mut sighting, now) = (Sighting::default(), Instant::now());
        let mut lease = held("other", "1", 0);
        lease.spec.as_mut().unwrap().lease_duration_seconds = Some(120);
        sighting.saw(Some(lease), now);
        assert!(matches!(next(&sighting, now + Duration::from_secs(119)), Move::Wait { .. }));
        assert!(matches!(next(&sighting, now + Duration::from_mins(2)), Move::Replace(_)));
    }

    #[test]
    fn a_lease_that_somebody_deleted_is_not_taken_before_its_holder_has_stopped() {
        let (mut sighting, now) = (Sighting::default(), Instant::now());
        sighting.saw(Some(held("other", "1", 0)), now);
        sighting.saw(None, now + Duration::from_secs(1));
        assert!(matches!(next(&sighting, now + Duration::from_secs(44)), Move::Wait { .. }));
        let Move::Create(lease) = next(&sighting, now + LENGTH) else { panic!() };
        assert_eq!(lease.metadata.resource_version, None);
        // Its holder puts it there again at once.
        let mut mine = Sighting::default();
        mine.saw(Some(held("me", "1", 0)), now);
        mine.saw(None, now);
        assert!(
            matches!(next(&mine, now), Move::Create(lease) if lease.spec.as_ref().unwrap().lease_transitions == Some(3))
        );
    }

    #[test]
    fn the_holder_renews_and_releases_its_own_lease_only() {
        let (mut sighting, now) = (Sighting::default(), Instant::now());
        sighting.saw(Some(held("me", "5", 0)), now);
        let Move::Replace(lease) = next(&sighting, now) else { panic!() };
        assert_eq!(lease.spec.unwrap().lease_transitions, Some(3), "a renewal is no transition");
        let released = sighting.released_by("me").unwrap();
        assert_eq!(released.metadata.resource_version.as_deref(), Some("5"));
        assert_eq!(released.spec.unwrap().holder_identity.as_deref(), Some(""));
        assert_eq!(sighting.released_by("another"), None);
    }
}
