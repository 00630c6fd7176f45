//! What the policies ask for, as ordered single-purpose steps. Never judges whether a step is safe.

mod create;
mod drain;
mod image;
mod power;
mod problem;
mod release;
mod repair;
mod steps;
mod uncordon;
mod version;
mod victims;

use foldhash::HashMap;

pub use problem::Problem;
pub use release::Release;
pub use steps::Drift;
use uncordon::Wish;
pub use version::Ahead;
use version::Course;

use crate::intent::{Intent, winner};
use crate::names::capped_list;
use crate::settings::Settings;
use crate::snapshot::{AgentPool, Cluster, Node, Snapshot};
use crate::step::{Change, Step};
use crate::template::TemplateDrift;

/// What all policies ask for, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// One entry a policy.
    pub policies: Vec<PolicyPlan>,
    /// What is left to do for policies that are gone, or govern no pool any more.
    pub left_behind: Vec<Step>,
}

impl Plan {
    /// What the policy of that name asks for.
    #[must_use]
    pub fn of(&self, policy: &str) -> Option<&PolicyPlan> {
        let index = self.policies.binary_search_by(|plan| plan.policy.as_str().cmp(policy)).ok()?;
        self.policies.get(index)
    }
}

/// What one policy asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPlan {
    /// The policy.
    pub policy: String,
    /// The pool that it names.
    pub pool: String,
    /// Why some or all of it can't be planned.
    pub problems: Vec<Problem>,
    /// The steps to the wanted state, in the order in which they are to be made; empty when it is reached.
    pub steps: Vec<Step>,
    /// What differs, field by field.
    pub drift: Vec<Drift>,
    /// What differs and is left as it is until the pool runs.
    pub kept_back: Vec<Drift>,
    /// In what the pool is another than the template; never a step.
    pub template_drift: Vec<TemplateDrift>,
    /// That the pool runs a newer version than the policy asks for; never a step.
    pub ahead: Option<Ahead>,
    /// Whether the node image that was asked for is there, so that nothing is left to be done about the request.
    pub image_answered: bool,
    /// Why the policy's object is let go, if it is being deleted and need not wait for its pool to go.
    pub release: Option<Release>,
}

/// Plans every policy against the snapshot. The same facts give the same plan, whatever order they come in.
#[must_use]
pub fn plan(snapshot: &Snapshot, settings: &Settings) -> Plan {
    let Some(intents) = snapshot.intents.value() else { return Plan::default() };
    let nodes = by_pool(snapshot);
    let planned = intents.iter().map(|intent| plan_policy(intent, intents, snapshot, (settings, &nodes)));
    let (mut policies, wishes): (Vec<PolicyPlan>, Vec<Wish>) = planned.unzip();
    let left_behind = uncordon::add(&mut policies, wishes, snapshot);
    policies.sort_by(|a, b| a.policy.cmp(&b.policy));
    Plan { policies, left_behind }
}

/// The nodes of each pool, if nodes are known: there may be thousands, and hundreds of policies.
type ByPool<'a> = Option<HashMap<&'a str, Vec<&'a Node>>>;

fn by_pool(snapshot: &Snapshot) -> ByPool<'_> {
    let mut by_pool: HashMap<&str, Vec<&Node>> = HashMap::default();
    for node in snapshot.nodes.value()? {
        if let Some(pool) = &node.pool {
            by_pool.entry(pool).or_default().push(node);
        }
    }
    Some(by_pool)
}

/// The nodes of the pool, if nodes are known.
fn nodes_of<'a, 'b>(nodes: &'b ByPool<'a>, pool: &AgentPool) -> Option<&'b [&'a Node]> {
    nodes.as_ref().map(|nodes| nodes.get(pool.name.as_str()).map_or(&[][..], Vec::as_slice))
}

fn plan_policy(
    intent: &Intent,
    intents: &[Intent],
    snapshot: &Snapshot,
    (settings, nodes): (&Settings, &ByPool<'_>),
) -> (PolicyPlan, Wish) {
    let mut plan = PolicyPlan {
        policy: intent.policy.clone(),
        pool: intent.pool.clone(),
        problems: Vec::new(),
        steps: Vec::new(),
        drift: Vec::new(),
        kept_back: Vec::new(),
        template_drift: Vec::new(),
        ahead: None,
        image_answered: false,
        release: release::of(intent, intents, snapshot, settings),
    };
    if plan.release.is_some() {
        return (plan, Wish::open("the policy is being deleted"));
    }
    if intent.deletion.is_some() {
        let wish = farewell(&mut plan, intent, snapshot, (settings, nodes));
        return (plan, wish);
    }
    let wish = match target(intent, intents, snapshot) {
        Err(problem) => {
            let wish = match &problem {
                Problem::NotObserved { .. } | Problem::ClusterNotRunning { .. } => Wish::AsItIs,
                other => Wish::open(&format!("the policy can't be planned ({})", other.reason())),
            };
            create_or_tell(&mut plan, problem, intent, snapshot, settings);
            wish
        }
        Ok(pool) => plan_pool(&mut plan, intent, pool, snapshot, (settings, nodes)),
    };
    (plan, wish)
}

/// Plans what differs between the policy and its pool.
fn plan_pool(
    plan: &mut PolicyPlan,
    intent: &Intent,
    pool: &AgentPool,
    snapshot: &Snapshot,
    (settings, nodes): (&Settings, &ByPool<'_>),
) -> Wish {
    plan.template_drift = intent
        .template
        .as_ref()
        .map(|template| template.drift(&pool.settings, &settings.api_version))
        .unwrap_or_default();
    if steps::is_of_somebody_else(intent, pool) && !power::is_off(intent, pool) {
        plan.problems.push(Problem::Autoscaled);
    }
    let nodes = nodes_of(nodes, pool);
    let upgrade = upgrade(plan, intent, pool, snapshot);
    let image = image(plan, intent, (pool, nodes), snapshot);
    let all = steps::toward(intent, pool).into_iter().chain(upgrade).chain(image).collect();
    let power::Powered { steps, kept_back } = power::applied(intent, pool, all);
    plan.kept_back = steps::drift(&kept_back);
    plan.drift = steps::drift(&steps);
    let (upgrade, steps): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| step.change.upgrades());
    let attempt = Problem::of_attempt(intent, pool, snapshot.now, settings);
    let held = uncordon::held(intent, pool, snapshot, attempt.as_ref());
    let refined = drain::refine(intent, (pool, nodes), snapshot, settings, steps, held.as_deref());
    plan.steps = refined.steps;
    plan.problems.extend(refined.problem);
    // Cheaper changes come first, and a smaller pool is upgraded sooner.
    plan.steps.extend(upgrade);
    if plan.steps.is_empty() {
        plan.steps.extend(repair::of(intent, pool, snapshot, settings));
    }
    if !plan.steps.is_empty() {
        plan.problems.extend(attempt);
    }
    Wish::Keep { nodes: refined.kept, opened: refined.opened }
}

/// The upgrade that the policy asks for, if any; or a note of why there is none.
fn upgrade(plan: &mut PolicyPlan, intent: &Intent, pool: &AgentPool, snapshot: &Snapshot) -> Option<Step> {
    match version::course(intent, pool, snapshot.cluster.value()?) {
        Course::Upgrade(change) => return Some(steps::on_its_own(intent, pool, change)),
        Course::Ahead(ahead) => plan.ahead = Some(ahead),
        Course::Unknown => {
            let reason = "it does not tell which Kubernetes version the control plane runs".to_owned();
            plan.problems.push(Problem::NotObserved { reason });
        }
        Course::Stay => {}
    }
    None
}

/// The upgrade of the node image that somebody asks for, if any; or a note of why there is none.
fn image(
    plan: &mut PolicyPlan,
    intent: &Intent,
    (pool, nodes): (&AgentPool, Option<&[&Node]>),
    snapshot: &Snapshot,
) -> Option<Step> {
    match image::course(intent, pool, nodes, snapshot) {
        image::Course::Upgrade(change) => return Some(steps::on_its_own(intent, pool, change)),
        image::Course::Answered => plan.image_answered = true,
        image::Course::Unknown => {
            let reason = format!("it does not tell which node image pool {} has", pool.name);
            plan.problems.push(Problem::NotObserved { reason });
        }
        image::Course::Stay => {}
    }
    None
}

/// Plans the creation of the pool if that is all there is against the policy.
fn create_or_tell(plan: &mut PolicyPlan, problem: Problem, intent: &Intent, snapshot: &Snapshot, settings: &Settings) {
    let is_absent = matches!(problem, Problem::PoolNotFound { .. });
    let (Some(template), Some(cluster), true) = (&intent.template, snapshot.cluster.value(), is_absent) else {
        plan.problems.push(problem);
        return;
    };
    match create::of(intent, template, cluster) {
        Err(problems) => plan.problems.extend(problems),
        Ok(step) => {
            plan.steps.push(step);
            plan.drift = steps::drift(&plan.steps);
            plan.problems.extend(create::held_back(intent, snapshot.now, settings));
        }
    }
}

/// The deletion of the pool of a policy that is being deleted. A pool that is on its way out is waited for; one that ARM
/// does not show is left to the guard, which says what is not certain about that.
fn farewell(
    plan: &mut PolicyPlan,
    intent: &Intent,
    snapshot: &Snapshot,
    (settings, nodes): (&Settings, &ByPool<'_>),
) -> Wish {
    let cluster = match &snapshot.cluster {
        crate::Known::Seen { value, .. } => value,
        crate::Known::Unknown { reason } => {
            plan.problems.push(Problem::NotObserved { reason: reason.clone() });
            return Wish::AsItIs;
        }
    };
    let delete = vec![Step { policy: intent.policy.clone(), pool: intent.pool.clone(), change: Change::Delete }];
    let Some(pool) = cluster.pool(&intent.pool) else {
        plan.drift = steps::drift(&delete);
        plan.steps = delete;
        return Wish::AsItIs;
    };
    if pool.is_being_deleted() {
        return Wish::AsItIs;
    }
    if let Some(problem) = Problem::of_deletion(pool) {
        plan.problems.push(problem);
        return Wish::open("the pool is not deleted");
    }
    plan.drift = steps::drift(&delete);
    let attempt = Problem::of_attempt(intent, pool, snapshot.now, settings);
    let held = uncordon::held(intent, pool, snapshot, attempt.as_ref());
    let refined = drain::refine(intent, (pool, nodes_of(nodes, pool)), snapshot, settings, delete, held.as_deref());
    plan.steps = refined.steps;
    if attempt.as_ref().is_some_and(Problem::ends_drain) {
        // What was turned off for the drain that was given up.
        plan.steps.extend(steps::autoscaler_back(intent, pool));
    }
    plan.problems.extend(attempt);
    Wish::Keep { nodes: refined.kept, opened: refined.opened }
}

/// The pool that the policy drives, or why there is none.
fn target<'a>(intent: &Intent, intents: &[Intent], snapshot: &'a Snapshot) -> Result<&'a AgentPool, Problem> {
    let governs = winner(intents, &intent.pool).map(|winner| winner.policy.as_str());
    if let Some(winner) = governs
        && winner != intent.policy
    {
        return Err(Problem::ConflictingPolicy { winner: winner.to_owned() });
    }
    let cluster: &Cluster = match &snapshot.cluster {
        crate::Known::Seen { value, .. } => value,
        crate::Known::Unknown { reason } => return Err(Problem::NotObserved { reason: reason.clone() }),
    };
    let Some(pool) = cluster.pool(&intent.pool) else {
        let pools = capped_list(cluster.pools.iter().map(|pool| &pool.name));
        return Err(Problem::PoolNotFound { pools });
    };
    power::hindrance(intent, pool, cluster).map_or(Ok(pool), Err)
}

#[cfg(test)]
mod tests;
