//! From a policy as people write it to what the kernel plans with. Never fills in what is absent.

use std::sync::Arc;

use nodepool_kernel as kernel;

use super::break_glass::break_glass;
use super::bulk::may_exceed_fuse;
use super::deletion::{deletion, may_lose_workloads};
use super::node_image::image_request;
use super::policy::{Enforcement, Mode, NodePoolPolicy, PowerState, SystemPods, Taint, TaintEffect};
use super::status::{Attempt, ConditionStatus, Operation, condition, outcome};
use super::template::PoolTemplate;
use super::upgrade::{upgrade, version};

/// What the policy asks for.
#[must_use]
pub fn intent(policy: &NodePoolPolicy) -> kernel::Intent {
    let (spec, metadata) = (&policy.spec, &policy.metadata);
    let status = policy.status.as_ref();
    let generation = metadata.generation.unwrap_or_default();
    let stalled = status
        .and_then(|status| status.condition(condition::STALLED))
        .is_some_and(|stalled| stalled.status == ConditionStatus::True && stalled.observed_generation == generation);
    kernel::Intent {
        policy: metadata.name.clone().unwrap_or_default(),
        generation,
        created: metadata
            .creation_timestamp
            .as_ref()
            .map_or(kernel::Time::default(), |created| kernel::Time::from_millis(created.0.as_millisecond())),
        pool: policy.pool_name().to_owned(),
        enforcement: match spec.enforcement {
            Some(Enforcement::Observe) => kernel::Enforcement::Observe,
            Some(Enforcement::Enforce) | None => kernel::Enforcement::Enforce,
        },
        suspended: spec.suspend.unwrap_or(false),
        mode: spec.mode.map(|mode| match mode {
            Mode::System => kernel::Mode::System,
            Mode::User => kernel::Mode::User,
        }),
        count: spec.count.and_then(|count| u32::try_from(count).ok()),
        autoscaling: spec.autoscaling.and_then(|bounds| {
            let [min, max] = [bounds.min_count, bounds.max_count].map(|count| u32::try_from(count).ok());
            Some(kernel::Autoscaling { min: min?, max: max? })
        }),
        owns_autoscaler: status.is_some_and(|status| status.owns_autoscaler),
        taints: spec.taints.as_ref().map(|taints| taints.iter().map(taint).collect()),
        labels: spec.labels.clone(),
        owned_labels: status.map(|status| status.owned_labels.iter().cloned().collect()).unwrap_or_default(),
        tags: spec.tags.clone(),
        owned_tags: status.map(|status| status.owned_tags.iter().cloned().collect()).unwrap_or_default(),
        version: spec.kubernetes_version.as_deref().and_then(version),
        image: image_request(policy),
        upgrade: spec.upgrade.as_ref().map(upgrade).unwrap_or_default(),
        attempt: status.and_then(|status| status.attempt.as_ref()).and_then(attempt),
        stalled,
        waits_since: None,
        template: spec.template.as_ref().map(template),
        creating: status.and_then(|status| status.operation.as_ref()).is_some_and(Operation::brings_nodes),
        power: spec.power_state.map(|power| match power {
            PowerState::Running => kernel::PowerWish::Running,
            PowerState::Stopped => kernel::PowerWish::Stopped,
        }),
        deletion: deletion(policy),
        may_lose_workloads: may_lose_workloads(policy),
        may_exceed_fuse: may_exceed_fuse(policy),
        break_glass: break_glass(policy),
        system_pods: match spec.disruption.and_then(|disruption| disruption.system_pods) {
            Some(SystemPods::Relocate) => kernel::SystemPods::Relocate,
            Some(SystemPods::Protect) | None => kernel::SystemPods::Protect,
        },
    }
}

fn taint(taint: &Taint) -> kernel::Taint {
    let effect = match taint.effect {
        TaintEffect::NoSchedule => kernel::TaintEffect::NoSchedule,
        TaintEffect::PreferNoSchedule => kernel::TaintEffect::PreferNoSchedule,
        TaintEffect::NoExecute => kernel::TaintEffect::NoExecute,
    };
    kernel::Taint::new(&taint.key, taint.value.clone().unwrap_or_default(), effect)
}

fn template(template: &PoolTemplate) -> Arc<kernel::Template> {
    Arc::new(kernel::Template::from_fields(|field| template.value(field.name)))
}

fn attempt(attempt: &Attempt) -> Option<kernel::Attempt> {
    Some(kernel::Attempt {
        // An outcome that is not known, as of an older version, is the one that asks for most care.
        cause: match attempt.outcome.as_str() {
            outcome::FAILED => kernel::Cause::Failed,
            outcome::CANCELED => kernel::Cause::Canceled,
            outcome::GIVEN_UP => kernel::Cause::Drain,
            _ => kernel::Cause::Refused,
        },
        failures: u32::try_from(attempt.failures).ok()?,
        generation: attempt.generation,
        next: attempt.next.as_deref().and_then(time),
        code: attempt.code.clone(),
        message: attempt.message.clone(),
        remedy: attempt.remedy.clone().unwrap_or_default(),
    })
}

/// The point in time that an RFC 3339 text names.
#[must_use]
pub fn time(text: &str) -> Option<kernel::Time> {
    text.parse::<jiff::Timestamp>().ok().map(|at| kernel::Time::from_millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NodePoolPolicySpec;

    #[test]
    fn an_empty_spec_manages_nothing() {
        let intent = intent(&NodePoolPolicy::new("apps", NodePoolPolicySpec::default()));
        assert_eq!((intent.pool.as_str(), intent.enforcement), ("apps", kernel::Enforcement::Enforce));
        assert!(intent.mode.is_none() && intent.count.is_none() && intent.taints.is_none());
        assert!(intent.labels.is_none() && intent.tags.is_none());
    }

    #[test]
    fn an_empty_collection_is_managed() {
        let spec: NodePoolPolicySpec =
            serde_json::from_value(serde_json::json!({"taints": [], "labels": {}, "tags": {}})).unwrap();
        let intent = intent(&NodePoolPolicy::new("apps", spec));
        assert_eq!((intent.taints, intent.labels, intent.tags), (Some(vec![]), Some([].into()), Some([].into())));
    }

    #[test]
    fn what_is_written_is_what_is_asked_for() {
        let spec: NodePoolPolicySpec = serde_json::from_value(serde_json::json!({
            "poolName": "web", "enforcement": "Observe", "suspend": true, "mode": "System", "count": 3,
            "taints": [{"key": "a", "effect": "NoExecute"}], "labels": {"tier": "web"},
        }))
        .unwrap();
        let intent = intent(&NodePoolPolicy::new("apps", spec));
        assert_eq!(intent.pool, "web");
        assert!(intent.suspended && intent.enforcement == kernel::Enforcement::Observe);
        assert_eq!((intent.mode, intent.count), (Some(kernel::Mode::System), Some(3)));
        assert_eq!(intent.taints.unwrap()[0].to_string(), "a:NoExecute");
    }
}
