//! Two replicas of the operator: whichever holds the lease works, the other one waits and takes over. Never trusts what a replica
//! says of itself: the doors tell who asked for what, and when.

use std::time::{Duration, SystemTime};

use aks_emulator::PoolSpec;
use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::Value;
use testbed::bed::Builder;
use testbed::door::{Door, Fate, Passage};
use testbed::{KubeSystem, Operator, OperatorOptions, Testbed, probe, wait_for};

use super::metrics::{served_by, value};
use super::support::{DEADLINE, QUICK, Scene, binary};

/// The namespace and the name of the lease.
const LEASE: &str = "nodepool-operator";

/// How long the lease of these stories lasts.
pub const LASTS: Duration = Duration::from_secs(6);

/// Settings of a replica of these stories, beside the quick ones.
const SETTINGS: [&str; 6] =
    ["--lease-seconds", "6", "--arm-write-timeout-seconds", "2", "--arm-read-timeout-seconds", "2"];

/// A second replica behind doors of its own.
pub struct Second {
    operator: Operator,
    api: Door,
    arm: Door,
}

/// A cluster with two replicas.
pub struct Pair {
    /// The cluster with the first replica in it.
    pub scene: Scene,
    second: Second,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that was started first.
    First,
    /// The other one.
    Second,
}

impl Which {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// The one that it is not.
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A system pool of two nodes, a user pool `apps` of one, nothing in kube-system, and two replicas of which the first leads.
pub async fn plain_pair(builder: Builder) -> anyhow::Result<Pair> {
    pair(plain_bed(builder).await?).await
}

/// The same before there is a replica.
pub async fn plain_bed(builder: Builder) -> anyhow::Result<Testbed> {
    let builder = builder.kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    builder.pool(PoolSpec::user("apps", 1)).start().await
}

/// Two replicas in a cluster, of which the first leads.
pub async fn pair(bed: Testbed) -> anyhow::Result<Pair> {
    pair_of(bed, |_, options| options).await
}

/// The same, each with options of its own.
pub async fn pair_of(bed: Testbed, own: impl Fn(Which, OperatorOptions) -> OperatorOptions) -> anyhow::Result<Pair> {
    let options = bed.operator_options(binary()).arguments(&QUICK).arguments(&SETTINGS);
    let first = bed.start_operator(own(Which::First, options.clone())).await?;
    let scene = Scene::of(bed, first);
    held_by(&scene.operator).await?;
    let api = Door::to_api_server(scene.bed.control_plane()).await?;
    let arm = Door::to_arm(scene.bed.emulator.endpoint().as_str()).await?;
    let operator = Operator::start(scene.bed.control_plane(), &api, &arm, own(Which::Second, options)).await?;
    let pair = Pair { scene, second: Second { operator, api, arm } };
    pair.waits(Which::Second).await?;
    Ok(pair)
}

async fn held_by(operator: &Operator) -> anyhow::Result<()> {
    wait_for("a replica to hold the lease", DEADLINE, async || {
        let holder = holder(&operator.lease()).await?;
        Ok(if operator.is_called(&holder) { Ok(()) } else { Err(format!("it is held by {holder:?}")) })
    })
    .await
}

/// Who holds the lease; nothing if nobody does.
async fn holder(lease: &Api<Lease>) -> anyhow::Result<String> {
    let found = lease.get_opt(LEASE).await?.and_then(|lease| lease.spec);
    Ok(found.and_then(|spec| spec.holder_identity).unwrap_or_default())
}

impl Pair {
    /// The replica's process.
    pub fn operator(&mut self, which: Which) -> &mut Operator {
        match which {
            Which::First => &mut self.scene.operator,
            Which::Second => &mut self.second.operator,
        }
    }

    const fn replica(&self, which: Which) -> &Operator {
        match which {
            Which::First => &self.scene.operator,
            Which::Second => &self.second.operator,
        }
    }

    /// What the replica wrote to its log.
    pub fn log(&self, which: Which) -> String {
        self.replica(which).log()
    }

    /// The door between the replica and the API server.
    pub const fn api(&self, which: Which) -> &Door {
        match which {
            Which::First => &self.scene.bed.api,
            Which::Second => &self.second.api,
        }
    }

    /// The door between the replica and ARM.
    pub const fn arm(&self, which: Which) -> &Door {
        match which {
            Which::First => &self.scene.bed.arm,
            Which::Second => &self.second.arm,
        }
    }

    /// The lease.
    pub fn lease(&self) -> Api<Lease> {
        self.scene.operator.lease()
    }

    /// Waits until the replica holds the lease.
    pub async fn leads(&self, which: Which) -> anyhow::Result<()> {
        let held = held_by(self.replica(which)).await;
        held.map_err(|error| error.context(format!("the log of {which:?} ends: {}", tail(&self.log(which)))))
    }

    /// Waits until one of the two holds the lease, and tells which.
    pub async fn leader(&self) -> anyhow::Result<Which> {
        wait_for("one of the two to hold the lease", DEADLINE, async || {
            let holder = holder(&self.lease()).await?;
            let found = Which::BOTH.into_iter().find(|which| self.replica(*which).is_called(&holder));
            Ok(found.ok_or_else(|| format!("{holder:?} holds it")))
        })
        .await
    }

    /// Starts a replica again that has ended, as kubelet would.
    pub async fn restart_what_ended(&mut self) -> anyhow::Result<()> {
        for which in Which::BOTH {
            if self.operator(which).exited()?.is_some() {
                self.operator(which).restart().await?;
            }
        }
        Ok(())
    }

    /// Waits until the replica has looked at a lease that the other one holds, and says that it waits.
    pub async fn waits(&self, which: Which) -> anyhow::Result<()> {
        wait_for(&format!("{which:?} to say that it waits"), DEADLINE, async || {
            let told = self.probe(which, "readyz").await.unwrap_or_else(|error| (0, format!("{error:#}")));
            Ok(if told.0 == 200 && told.1.contains("waits to take over") { Ok(()) } else { Err(format!("{told:?}")) })
        })
        .await
    }

    /// What the replica answers a probe.
    pub async fn probe(&self, which: Which, path: &str) -> anyhow::Result<(u16, String)> {
        probe(&self.log(which), path).await
    }

    /// What the replica's metrics say of whether it leads.
    pub async fn leader_metric(&self, which: Which) -> anyhow::Result<Option<f64>> {
        Ok(value(&served_by(self.replica(which)).await?, "nodepool_operator_leader"))
    }

    /// Every request of the replica that asked for a change, with the time at which it reached its door.
    pub fn writes_of(&self, which: Which) -> Vec<Passage> {
        let passages = self.api(which).journal().into_iter().chain(self.arm(which).journal());
        passages.filter(|passage| passage.request.is_write()).collect()
    }

    /// Sees that every change was asked for by the replica that held the lease then: it had written the lease for itself less
    /// than the lease's time ago, and nobody else had written it since.
    pub fn one_worked_at_a_time(&self) -> anyhow::Result<()> {
        for which in Which::BOTH {
            let mine = self.terms_of(which);
            let others = self.terms_of(which.other());
            for write in self.writes_of(which) {
                let term = mine.iter().rev().find(|term| term.from <= write.at);
                let about = || format!("{which:?}: {} {}", write.request.method, write.request.path);
                let Some(term) = term else { bail!("{} before it held the lease", about()) };
                ensure!(term.holds, "{} after it had given the lease back", about());
                let age = write.at.duration_since(term.from)?;
                ensure!(age < LASTS, "{} {age:?} after it had last renewed the lease", about());
                let taken = others.iter().any(|other| other.holds && other.from > term.from && other.from <= write.at);
                ensure!(!taken, "{} after the other one had taken the lease", about());
            }
        }
        Ok(())
    }

    /// When the replica wrote the lease: for itself, or to give it back.
    fn terms_of(&self, which: Which) -> Vec<Term> {
        let written = |passage: &Passage| {
            let request = &passage.request;
            let is_it = request.is_about_a_lease() && matches!(request.method.as_str(), "PUT" | "POST");
            let done = matches!(passage.fate, Fate::Answered(200 | 201));
            let body: Value = serde_json::from_slice(&request.body).ok()?;
            let holder = body["spec"]["holderIdentity"].as_str().unwrap_or_default();
            let holds = self.replica(which).is_called(holder);
            (is_it && done).then_some(Term { from: passage.at, holds })
        };
        self.api(which).journal().iter().filter_map(written).collect()
    }

    /// How often the replica looked at the lease before it took it, since the other one last wrote it; and after how long it did.
    pub fn takeover_by(&self, which: Which) -> anyhow::Result<(usize, Duration)> {
        let last = self.terms_of(which.other()).last().context("the other one never wrote the lease")?.from;
        let taken = self.terms_of(which).into_iter().find(|term| term.from > last).context("it was not taken")?.from;
        let looks = self.api(which).journal().into_iter().filter(|passage| {
            let is_look = passage.request.is_about_a_lease() && passage.request.method == "GET";
            is_look && passage.at > last && passage.at < taken
        });
        Ok((looks.count(), taken.duration_since(last)?))
    }

    /// How often the replica has written the lease for itself.
    pub fn renewals_of(&self, which: Which) -> usize {
        self.terms_of(which).iter().filter(|term| term.holds).count()
    }

    /// Takes the second replica away, and gives the story what every story must leave behind.
    pub async fn ends(mut self) -> anyhow::Result<Scene> {
        self.one_worked_at_a_time()?;
        if self.scene.operator.exited()?.is_some() {
            self.scene.operator.restart().await?;
        }
        if self.second.operator.exited()?.is_none() {
            let code = self.second.operator.terminate().await?;
            ensure!(code == 0, "the second replica ended with {code}: {}", tail(&self.log(Which::Second)));
        }
        self.leads(Which::First).await?;
        self.scene.looks_again().await?;
        Ok(self.scene)
    }
}

/// A moment at which a replica wrote the lease.
struct Term {
    from: SystemTime,
    /// Whether it holds the lease from then on.
    holds: bool,
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.split_at(lines.len().saturating_sub(20)).1.join("\n")
}
