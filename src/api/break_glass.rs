//! The annotation by which a person lets one change pass one safety rule, and what the status keeps of it. Never decides whether
//! a step breaks a rule.

use kube::{KubeSchema, ResourceExt as _};
use nodepool_kernel as kernel;
use serde::{Deserialize, Serialize};

use super::intent::time;
use super::policy::NodePoolPolicy;

/// The annotation that breaks the glass: `rule=… pool=… until=… reason=…`.
pub const BREAK_GLASS: &str = "aks.nodepool.dev/break-glass";

/// So much of the value is compared and repeated in the status.
const LONGEST: usize = 512;

/// What is to be written there.
const FORM: &str = "write rule=<rule> pool=<pool> until=<time, as 2026-01-31T18:00:00Z> reason=<why, to the end>";

/// What the status says of the annotation.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlassUse {
    /// The annotation's value.
    pub request: String,
    /// `Armed` while no change has made use of it, `Passing` from when a step of one is about to be made until the pool is as
    /// the policy asks, `Used` afterwards; `Expired`, or `Invalid` if it can't be understood.
    pub state: String,
    /// What that means and what to do.
    pub message: String,
    /// The field whose change makes use of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The generation of the policy that asks for that change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

impl BreakGlassUse {
    /// Whether the change that makes use of it is one that the policy as it is asks for.
    #[must_use]
    pub fn is_about(&self, policy: &NodePoolPolicy) -> bool {
        self.generation == policy.metadata.generation
    }
}

/// The states of a break-glass annotation.
pub mod glass {
    /// No change has made use of it.
    pub const ARMED: &str = "Armed";
    /// A change is being made by it.
    pub const PASSING: &str = "Passing";
    /// A change was made by it.
    pub const USED: &str = "Used";
    /// Its time is over.
    pub const EXPIRED: &str = "Expired";
    /// It can't be understood, or can't be meant.
    pub const INVALID: &str = "Invalid";
}

/// A person's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The rule that may be broken.
    pub rule: kernel::Rule,
    /// Until when.
    pub until: kernel::Time,
    /// Why.
    pub reason: String,
}

/// The annotation's value, if it is there.
#[must_use]
pub fn glass_request(policy: &NodePoolPolicy) -> Option<String> {
    let value = policy.annotations().get(BREAK_GLASS)?.trim();
    (!value.is_empty()).then(|| value.chars().take(LONGEST).collect())
}

/// What the annotation says.
///
/// # Errors
/// What is wrong with it, with the field, its value and what to write instead.
#[must_use]
pub fn glass_word(policy: &NodePoolPolicy) -> Option<Result<Word, String>> {
    glass_request(policy).map(|request| read(&request, policy.pool_name()))
}

fn read(request: &str, pool: &str) -> Result<Word, String> {
    let (fields, reason) = request.split_once("reason=").unwrap_or((request, ""));
    let mut found = [("rule", None), ("pool", None), ("until", None)];
    for field in fields.split_whitespace() {
        let known = field.split_once('=').and_then(|(name, value)| {
            found.iter_mut().find(|(known, _)| *known == name).map(|(_, slot)| slot.replace(value).is_none())
        });
        if known != Some(true) {
            return Err(format!("{field:?} is not understood, or there twice; {FORM}"));
        }
    }
    let [rule, named, until] = found.map(|(name, value)| value.ok_or_else(|| format!("{name} is missing; {FORM}")));
    let (rule, named, until, reason) = (rule_of(rule?)?, named?, until?, reason.trim());
    if named != pool {
        return Err(format!("pool is {named:?}, and this policy's is {pool}; name the pool that is meant"));
    }
    let Some(until) = time(until) else {
        return Err(format!("until is {until:?}, which is no time; write one such as 2026-01-31T18:00:00Z"));
    };
    if reason.is_empty() {
        return Err(format!("reason is missing: it is told with what it lets pass; {FORM}"));
    }
    Ok(Word { rule, until, reason: reason.to_owned() })
}

fn rule_of(name: &str) -> Result<kernel::Rule, String> {
    let rule = kernel::Rule::ALL.into_iter().find(|rule| rule.name() == name);
    rule.filter(|rule| rule.may_be_passed()).ok_or_else(|| {
        let passable = kernel::Rule::ALL.into_iter().filter(|rule| rule.may_be_passed());
        let passable: Vec<&str> = passable.map(kernel::Rule::name).collect();
        let what = if rule.is_some() { "which nothing lets pass" } else { "which is no rule" };
        format!("rule is {name:?}, {what}; it may be one of {}", passable.join(", "))
    })
}

/// What the kernel may count on: nothing once it has been made use of.
pub(super) fn break_glass(policy: &NodePoolPolicy) -> Option<kernel::BreakGlass> {
    let (Ok(word), request) = (glass_word(policy)?, glass_request(policy)?) else { return None };
    let status = policy.status.as_ref().and_then(|status| status.break_glass.as_ref());
    let used = status.filter(|used| used.request == request);
    let field = match used.map(|used| used.state.as_str()) {
        Some(glass::USED) => return None,
        Some(glass::PASSING) if !used.is_some_and(|used| used.is_about(policy)) => return None,
        Some(glass::PASSING) => used.and_then(|used| used.field.clone()),
        _ => None,
    };
    Some(kernel::BreakGlass { rule: word.rule, until: word.until, field })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NodePoolPolicySpec, NodePoolPolicyStatus};

    const GOOD: &str =
        "rule=SystemCapacityFloor pool=apps until=2026-01-31T18:00:00Z reason=INC-7: rule=this is a drill";

    #[test]
    fn a_word_names_a_rule_a_pool_a_time_and_a_reason() {
        let word = read(GOOD, "apps").unwrap();
        assert_eq!(word.rule, kernel::Rule::SystemCapacityFloor);
        assert_eq!(
            (word.reason.as_str(), Some(word.until)),
            ("INC-7: rule=this is a drill", time("2026-01-31T18:00:00Z"))
        );
        assert_eq!(
            read(
                "until=2026-01-31T18:00:00Z pool=apps rule=SystemCapacityFloor reason=INC-7: rule=this is a drill",
                "apps"
            ),
            Ok(word)
        );
    }

    #[test]
    fn whatever_else_it_says_what_is_wrong_and_what_to_write() {
        for (given, instead, expected) in [
            ("rule=SystemCapacityFloor ", "", "rule is missing; write rule=<rule> pool="),
            ("pool=apps", "", "pool is missing"),
            ("until=2026-01-31T18:00:00Z", "", "until is missing"),
            ("reason=INC-7: rule=this is a drill", "", "reason is missing"),
            ("reason=INC-7: rule=this is a drill", "reason= ", "reason is missing"),
            ("pool=apps", "pool=web", r#"pool is "web", and this policy's is apps"#),
            ("2026-01-31T18:00:00Z", "tomorrow", r#"until is "tomorrow", which is no time; write one such as"#),
            ("SystemCapacityFloor", "Floor", r#"rule is "Floor", which is no rule; it may be one of VersionSkew, "#),
            (
                "SystemCapacityFloor",
                "WrongCluster",
                r#"rule is "WrongCluster", which nothing lets pass; it may be one of"#,
            ),
            ("pool=apps", "pool=apps force", r#""force" is not understood"#),
            ("pool=apps", "pool=apps pool=apps", r#""pool=apps" is not understood, or there twice"#),
        ] {
            let error = read(&GOOD.replacen(given, instead, 1), "apps").unwrap_err();
            assert!(error.contains(expected), "{given} -> {instead}: {error}");
        }
    }

    #[test]
    fn the_kernel_counts_on_it_until_it_was_made_use_of() {
        let mut policy = NodePoolPolicy::new("apps", NodePoolPolicySpec::default());
        assert_eq!(break_glass(&policy), None);
        policy.annotations_mut().insert(BREAK_GLASS.into(), format!(" {GOOD} "));
        policy.metadata.generation = Some(4);
        let said = |request: &str, state: &str| {
            let (request, state, message) = (request.to_owned(), state.to_owned(), String::new());
            let used = BreakGlassUse { request, state, message, field: Some("count".to_owned()), generation: Some(4) };
            Some(NodePoolPolicyStatus { break_glass: Some(used), ..Default::default() })
        };
        for (status, expected) in [
            (None, Some(None)),
            (said(GOOD, glass::ARMED), Some(None)),
            (said(GOOD, glass::PASSING), Some(Some("count".to_owned()))),
            (said(GOOD, glass::USED), None),
            (said("another", glass::USED), Some(None)),
        ] {
            policy.status = status;
            assert_eq!(break_glass(&policy).map(|glass| glass.field), expected, "{:?}", policy.status);
        }
        (policy.status, policy.metadata.generation) = (said(GOOD, glass::PASSING), Some(5));
        assert_eq!(break_glass(&policy), None, "the policy asks for another change");
        policy.annotations_mut().insert(BREAK_GLASS.into(), "please".into());
        assert_eq!(break_glass(&policy), None);
    }
}
