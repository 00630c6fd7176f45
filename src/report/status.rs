//! The status of one policy, from everything that is known of it. Pure: never reads a clock, never writes.

use nodepool_kernel::{
    AgentPool, Broken, Keys, Known, Node, PolicyPlan, Problem, Refusal, Rows, Standing, Step, Time, Verdict, Version,
};

use super::conditions::{draft, merge};
use super::ownership::{owned, owns_autoscaler};
use super::{attempt, break_glass, drift, history, operation, plan, pool, successor, summary};
use crate::api::{self, Enforcement, NodePoolPolicy, NodePoolPolicyStatus, Operation, RefusedStep, condition};

const POD_LIMIT: usize = 10;
const MESSAGE_LIMIT: usize = 1000;
const ENTRY_LIMIT: usize = 300;

/// Why nothing is done for a policy, by somebody's will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// All writes are paused.
    Paused,
    /// `spec.suspend` is true.
    Suspended,
    /// `spec.enforcement` is `Observe`.
    ObserveOnly,
}

impl Hold {
    /// The hold that the policy asks for, or that holds for all.
    #[must_use]
    pub fn of(policy: &NodePoolPolicy, paused: bool) -> Option<Self> {
        if paused {
            return Some(Self::Paused);
        }
        match (policy.spec.suspend, policy.spec.enforcement) {
            (Some(true), _) => Some(Self::Suspended),
            (_, Some(Enforcement::Observe)) => Some(Self::ObserveOnly),
            _ => None,
        }
    }
}

/// Everything that a policy's status is made of.
pub struct Circumstances<'a> {
    /// The time of the pass.
    pub now: Time,
    /// Why nothing is done, if the policy says so.
    pub hold: Option<Hold>,
    /// The policy's plan.
    pub plan: &'a PolicyPlan,
    /// The verdicts on its steps, in the order in which they are to be made.
    pub verdicts: Vec<&'a Verdict>,
    /// The pool as ARM reports it.
    pub pool: Option<&'a AgentPool>,
    /// The nodes, as far as they are known.
    pub nodes: &'a Known<Rows<Node>>,
    /// A write of this policy that ARM accepted and that has not ended.
    pub in_flight: Option<&'a Step>,
    /// Whether the policies have settled, so that a refusal may be reported as lasting.
    pub settled: bool,
    /// The reason for which the policy has waited for too long.
    pub overdue: Option<String>,
    /// Why an approved step is not carried out at once.
    pub delayed: Option<&'a str>,
    /// How many attempts on the policy as it is have failed in a row.
    pub failures: i32,
    /// How many times as long as usual an operation may take before it is overdue.
    pub patience: f64,
    /// How often a failed operation is repaired.
    pub repairs: u32,
    /// The versions that AKS offers the pool, as far as they were asked for.
    pub offered: Vec<Version>,
    /// What the nodes of the pool lack, in words after its name, while the last step is over in ARM and not in Kubernetes.
    pub joining: Option<String>,
    /// Whether ARM has been read since somebody last wrote a policy.
    pub looked: bool,
    /// Why ARM has not been readable for longer than a decision may rest on an old view, if so.
    pub stale: Option<String>,
}

impl<'a> Circumstances<'a> {
    /// Whether ARM has not been read, so that what was known of the pool is all that is known.
    pub(super) fn is_unobserved(&self) -> bool {
        self.plan.problems.iter().any(|problem| matches!(problem, Problem::NotObserved { .. }))
    }

    /// The steps that the policy still needs, if nothing keeps them from being known.
    fn needed(&self) -> Option<&'a [Step]> {
        let is_known = self.plan.problems.is_empty() || !self.plan.steps.is_empty();
        is_known.then_some(&*self.plan.steps)
    }

    /// Whether what failed before is of no account any more: the pool is at rest, well, and as the policy asks. Without a
    /// view of ARM an empty plan says nothing.
    fn is_over(&self, operation: Option<&Operation>) -> bool {
        let well = self.pool.is_none_or(|pool| !pool.ended_badly());
        operation.is_none() && well && self.plan.steps.is_empty() && !self.is_unobserved()
    }

    /// The refused steps.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &'a Refusal> {
        self.verdicts.iter().filter_map(|verdict| match *verdict {
            Verdict::Refused(refusal) => Some(&**refusal),
            Verdict::Waits { .. } | Verdict::Approved(_) => None,
        })
    }
}

/// The status that the policy is to have.
#[must_use]
pub fn status(policy: &NodePoolPolicy, about: &Circumstances<'_>) -> NodePoolPolicyStatus {
    let old = policy.status.clone().unwrap_or_default();
    let generation = policy.metadata.generation.unwrap_or_default();
    let now = rfc3339(about.now);
    let before = (old.node_image_upgrade.clone(), old.last_handled_node_image_upgrade.clone());
    let (node_image_upgrade, last_handled_node_image_upgrade) =
        api::image_upgrade_kept(policy, before, about.plan.image_answered);
    let operation = operation::operation(old.operation.as_ref(), &old.history, about, &now);
    let drift = drift::drift(policy, &old, about, &now);
    NodePoolPolicyStatus {
        observed_generation: Some(generation),
        conditions: merge(&old.conditions, bounded(summary::conditions(about, operation.as_ref())), generation, &now),
        desired: desired(policy),
        pool: about
            .pool
            .map(|pool| pool::observed(pool, about))
            .or_else(|| if about.is_unobserved() { old.pool } else { None }),
        plan: plan::planned(&about.plan.policy, &about.plan.steps, about.pool),
        // What is under way is no longer to be judged.
        refusals: about.refusals().filter(|it| about.in_flight != Some(&it.step)).flat_map(refused).collect(),
        successor: successor::successor(policy, about),
        drift,
        history: history::newest(old.history),
        node_image_upgrade,
        last_handled_node_image_upgrade,
        last_handled_reconcile_at: api::requested_at(policy).filter(|_| about.looked).or(old.last_handled_reconcile_at),
        owned_labels: {
            let (named, present) = (policy.spec.labels.as_ref(), about.pool.map(|pool| &pool.labels));
            owned(Keys::Exact, named, &old.owned_labels, present, about)
        },
        owned_tags: {
            let (named, present) = (policy.spec.tags.as_ref(), about.pool.map(|pool| &pool.tags));
            owned(Keys::AnyCase, named, &old.owned_tags, present, about)
        },
        break_glass: break_glass::kept(policy, old.break_glass, about.now, about.needed()),
        bulk_allowance_used: old.bulk_allowance_used && api::allows_bulk_change(policy),
        owns_autoscaler: owns_autoscaler(policy, old.owns_autoscaler, about),
        attempt: old
            .attempt
            .filter(|attempt| attempt.generation == generation && !about.is_over(operation.as_ref()))
            .map(|attempt| attempt::hopeless(attempt, about)),
        operation,
    }
}

/// The status of an object that is not a policy of this version. What is not about its spec is kept: its history, and what
/// it owns in the pool.
#[must_use]
pub fn malformed(old: &NodePoolPolicyStatus, generation: Option<i64>, error: &str, now: Time) -> NodePoolPolicyStatus {
    let message = format!(
        "the object is not a NodePoolPolicy that this operator understands, and its pool is left alone: {error}. To do: \
         correct the field; if it is one of a newer version, update the operator to that of the \
         CustomResourceDefinition"
    );
    let drafts = vec![
        draft(condition::READY, false, "InvalidSpec", message.clone()),
        draft(condition::RECONCILING, false, "InvalidSpec", ""),
        draft(condition::STALLED, true, "InvalidSpec", message),
    ];
    NodePoolPolicyStatus {
        observed_generation: generation,
        conditions: merge(&old.conditions, bounded(drafts), generation.unwrap_or_default(), &rfc3339(now)),
        desired: None,
        pool: None,
        plan: None,
        refusals: Vec::new(),
        successor: None,
        operation: None,
        drift: Vec::new(),
        ..old.clone()
    }
}

/// The number of nodes that the policy asks for, as people read it.
fn desired(policy: &NodePoolPolicy) -> Option<String> {
    let bounds = policy.spec.autoscaling.map(|bounds| format!("{}-{}", bounds.min_count, bounds.max_count));
    bounds.or_else(|| policy.spec.count.map(|count| count.to_string()))
}

fn refused(refusal: &Refusal) -> Vec<RefusedStep> {
    let step = refusal.step.change.to_string();
    let of = |broken: &Broken| RefusedStep {
        step: step.clone(),
        rule: broken.rule.name().to_owned(),
        message: shortened(&broken.finding),
        remedy: broken.remedy.clone(),
        pods: broken.pods.iter().take(POD_LIMIT).cloned().collect(),
    };
    // A hold is the policy's own will and stands in the conditions; nothing is refused by it.
    refusal.broken.iter().filter(|broken| broken.standing != Standing::Held).map(of).collect()
}

fn bounded(mut drafts: Vec<super::conditions::Draft>) -> Vec<super::conditions::Draft> {
    for draft in &mut drafts {
        draft.message = shortened(&draft.message);
    }
    drafts
}

/// The text, cut to what a status may hold.
pub(super) fn shortened(text: &str) -> String {
    cut(text, MESSAGE_LIMIT)
}

/// The text, cut to what one of many entries may hold.
pub(super) fn brief(text: &str) -> String {
    cut(text, ENTRY_LIMIT)
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

/// A point in time as people and the API server read it, in whole seconds.
pub(super) fn rfc3339(time: Time) -> String {
    let at = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
