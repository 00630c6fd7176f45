//! Takes the lease, renews it, and gives it back. Never writes anything but the lease.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::permit::Standing;
use super::record::{Move, Sighting};
use super::{Leadership, Terms};
use crate::denied::in_words;
use crate::health::Health;

/// One replica's part in the election.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    terms: Terms,
    sighting: Sighting,
    standing: watch::Sender<Standing>,
    /// The holder that was last told of in the log.
    told: Option<String>,
    /// Why it could not be renewed the last time.
    failed: Option<Failure>,
}

/// How an election ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was given up, as asked.
    GivenUp,
    /// Another replica has the lease, or may have it.
    Lost(String),
}

/// Why the lease could not be read or written this time.
type Failure = String;

impl Election {
    /// An election of `identity` for the lease `name` of a namespace. `client` should not retry.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, terms: Terms) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            terms,
            sighting: Sighting::default(),
            standing: watch::channel(Standing::Waiting).0,
            told: None,
            failed: None,
        }
    }

    /// Whether this replica leads, as the election goes on.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        Leadership::following(self.standing.subscribe())
    }

    /// Takes part until the lease is lost, or until told to give it up: then it is released, so that another replica need
    /// not wait. `health` is told of it until this replica leads.
    pub async fn run(mut self, give_up: &CancellationToken, health: &Health) -> Ended {
        loop {
            let began = Instant::now();
            if !self.leads() {
                health.lives();
            }
            let attempt = match timeout(self.terms.request_timeout(), self.attempt()).await {
                Ok(attempt) => attempt,
                Err(_) => Err(format!("no answer within {:.1} s", self.terms.request_timeout().as_secs_f64())),
            };
            let again = match attempt {
                Ok(None) => {
                    self.failed = None;
                    if !self.leads() {
                        health.leads();
                    }
                    self.lead_until(began + self.terms.validity());
                    self.terms.renewal()
                }
                Ok(Some(holder)) if self.leads() => return self.lost(format!("{holder} has it")),
                Ok(Some(holder)) => {
                    health.waits_for(&holder, began + self.terms.lease());
                    self.tell_of(holder);
                    self.terms.look()
                }
                Err(failure) => {
                    health.lacks_the_lease(&failure);
                    tracing::warn!(
                        lease = self.name,
                        failure,
                        "the lease could not be read or written; it is tried again"
                    );
                    self.failed = Some(failure);
                    self.terms.look()
                }
            };
            tokio::select! {
                () = give_up.cancelled() => break,
                () = sleep_until(began + again) => {}
                () = self.end_of_term() => return self.lost(self.not_renewed()),
            }
        }
        self.release().await;
        Ended::GivenUp
    }

    /// Looks at the lease and takes or renews it if that is due. Tells who holds it, if another replica does.
    async fn attempt(&mut self) -> Result<Option<String>, Failure> {
        if !self.leads() {
            self.look().await?;
        }
        let (name, identity) = (self.name.clone(), self.identity.clone());
        let written = match self.sighting.next(&name, &identity, self.terms.lease(), Instant::now()) {
            Move::Wait { holder } => return Ok(Some(holder)),
            Move::Create(lease) => self.api.create(&PostParams::default(), &lease).await,
            Move::Replace(lease) => self.api.replace(&name, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => {
                self.sighting.saw(Some(lease), Instant::now());
                Ok(None)
            }
            // Somebody was quicker, or it is gone: whose it is now decides.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
                self.look().await?;
                let other = self.sighting.holder().filter(|holder| *holder != identity).map(str::to_owned);
                other.map_or_else(|| Err("it was written by somebody else".to_owned()), |holder| Ok(Some(holder)))
            }
            Err(error) => Err(in_words(&error)),
        }
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let lease = self.api.get_opt(&self.name).await.map_err(|error| in_words(&error))?;
        self.sighting.saw(lease, Instant::now());
        Ok(())
    }

    fn leads(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Leading { .. })
    }

    fn lead_until(&mut self, until: Instant) {
        if !self.leads() {
            tracing::info!(lease = self.name, identity = self.identity, "this replica leads");
        }
        self.standing.send_replace(Standing::Leading { until });
    }

    /// Ends when the lease may have been lost; never while this replica does not lead.
    async fn end_of_term(&self) {
        let standing = *self.standing.borrow();
        match standing {
            Standing::Leading { until } => sleep_until(until).await,
            Standing::Sole | Standing::Waiting => std::future::pending().await,
        }
    }

    fn not_renewed(&self) -> String {
        let why = self.failed.as_ref().map_or_else(String::new, |failure| format!(": {failure}"));
        format!("it could not be renewed in time{why}")
    }

    fn lost(&self, why: String) -> Ended {
        self.standing.send_replace(Standing::Waiting);
        Ended::Lost(why)
    }

    fn tell_of(&mut self, holder: String) {
        if self.told.as_ref() != Some(&holder) {
            tracing::info!(lease = self.name, holder, "another replica leads; this one waits");
            self.told = Some(holder);
        }
    }

    /// Gives the lease back. Nothing may be written any more by then.
    async fn release(&mut self) {
        self.standing.send_replace(Standing::Waiting);
        let Some(lease) = self.sighting.released_by(&self.identity) else { return };
        let parameters = PostParams::default();
        match timeout(self.terms.request_timeout(), self.api.replace(&self.name, &parameters, &lease)).await {
            Ok(Ok(_)) => tracing::info!(lease = self.name, "the lease was released"),
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name, error = in_words(&error), "the lease could not be released");
            }
            Err(_) => tracing::warn!(lease = self.name, "the lease could not be released: no answer"),
        }
    }
}
