//! The part of a pass that is about the inventory: its object is created if there is none, and its status kept up to date.
//! Never writes its spec, and never more often than a person can read.

use std::time::Duration;

use nodepool_kernel::{Known, Snapshot, Span};
use tokio::time::Instant;

use super::pass::Pass;
use crate::api::NodePoolInventoryStatus;
use crate::metrics::Untold;
use crate::observe::InventoryRow;
use crate::report::{Capacity, Survey, inventory};

/// The shortest time between two writes.
const INTERVAL: Duration = Duration::from_secs(1);

/// For how long a picture with gaps is not shown, since what is missing may be on its way.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one process remembers of the inventory.
#[derive(Default)]
pub(super) struct Bulletin {
    /// The status that this process wrote last, and the uid of the object.
    published: Option<(Option<String>, NodePoolInventoryStatus)>,
    /// No write before.
    not_before: Option<Instant>,
    /// Since when there have been gaps.
    gaps_since: Option<Instant>,
    /// When the picture is to be looked at again, if it may differ from what is shown.
    due: Option<Instant>,
}

impl Bulletin {
    /// When the picture is to be looked at again.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The status that the API server has, as far as this process knows.
    fn published(&self, row: &InventoryRow) -> NodePoolInventoryStatus {
        match &self.published {
            Some((uid, status)) if *uid == row.uid => status.clone(),
            _ => row.status.clone(),
        }
    }

    /// Until when nothing is written, for the write before.
    fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|until| *until > now)
    }

    /// Until when a picture with gaps is held back, since they may close.
    fn held_back(&mut self, has_gaps: bool, now: Instant) -> Option<Instant> {
        self.gaps_since = has_gaps.then(|| self.gaps_since.unwrap_or(now));
        self.gaps_since.map(|since| since + PATIENCE).filter(|until| *until > now)
    }
}

impl Pass {
    /// Writes the inventory's status if a person would read something else than before.
    pub(super) async fn report_inventory(&mut self, snapshot: &Snapshot) {
        let sight = self.observer.sight(snapshot, &self.watched_lists, &self.wake);
        let now = Instant::now();
        self.bulletin.due = self.bulletin.rests_until(now);
        if self.bulletin.due.is_some() {
            return;
        }
        let mut survey = Survey {
            snapshot,
            sight: &sight,
            settings: &self.settings,
            image_may_be: Span::from_secs(u64::from(self.arguments.node_image_max_age_days) * 86_400),
            generation: 0,
        };
        let capacity = Capacity::of(&survey);
        self.figures.can_carry(&capacity);
        let row = match self.store.inventory(snapshot.now) {
            // The log of the watch says why.
            Known::Unknown { .. } => return,
            Known::Seen { value: Some(row), .. } => row,
            Known::Seen { value: None, .. } => return self.create_inventory(now).await,
        };
        let old = self.bulletin.published(&row);
        survey.generation = row.generation;
        let status = inventory(&old, &survey, &capacity);
        if status == old {
            self.bulletin.gaps_since = None;
            return;
        }
        self.bulletin.due = self.bulletin.held_back(!status.unknown.is_empty(), now);
        if self.bulletin.due.is_some() {
            return;
        }
        self.bulletin.not_before = Some(now + INTERVAL);
        if let Err(error) = self.publisher.inventory(row.uid.as_deref(), &status).await {
            tracing::warn!(%error, "it is written again");
            self.figures.untold(Untold::Inventory);
            self.bulletin.due = self.bulletin.not_before;
            return;
        }
        self.bulletin.published = Some((row.uid, status));
    }

    async fn create_inventory(&mut self, now: Instant) {
        self.bulletin.not_before = Some(now + INTERVAL);
        if let Err(error) = self.publisher.create_inventory().await {
            tracing::warn!(%error, "it is tried again");
            self.figures.untold(Untold::Inventory);
            self.bulletin.not_before = Some(now + PATIENCE);
            self.bulletin.due = self.bulletin.not_before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_picture_with_gaps_is_shown_after_a_while_and_one_without_at_once() {
        let mut bulletin = Bulletin::default();
        let began = Instant::now();
        assert_eq!(bulletin.held_back(false, began), None);
        assert_eq!(bulletin.held_back(true, began), Some(began + PATIENCE));
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(bulletin.held_back(true, Instant::now()), Some(began + PATIENCE), "it does not begin anew");
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(bulletin.held_back(true, Instant::now()), None);
        assert_eq!(bulletin.held_back(false, Instant::now()), None);
        assert_eq!(bulletin.held_back(true, Instant::now()), Some(Instant::now() + PATIENCE), "other gaps");
    }

    #[test]
    fn what_this_process_wrote_is_newer_than_what_the_watch_shows_of_the_same_object() {
        let status =
            |generation| NodePoolInventoryStatus { observed_generation: Some(generation), ..Default::default() };
        let row = |uid: &str| InventoryRow {
            log: None,
            uid: Some(uid.into()),
            generation: 1,
            paused: Ok(false),
            status: status(1),
            bulk: Ok(vec![]),
        };
        let mut bulletin = Bulletin::default();
        assert_eq!(bulletin.published(&row("a")), status(1));
        bulletin.published = Some((Some("a".into()), status(2)));
        assert_eq!((bulletin.published(&row("a")), bulletin.published(&row("b"))), (status(2), status(1)));
    }
}
