//! `ImmutableField`: what AKS does not make of a pool that exists, but only of another one. Never asks what it would do to pods.
//!
//! Sources: AKS's manual of system pools (Linux, regular priority, 30 pods a node, 2 cores and 4 GB), and the answer "Spot pools
//! can't set max surge".

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::snapshot::{AgentPool, Os};
use crate::step::{Change, Step};
use crate::template::FieldValue;
use crate::vm_size;

/// The fewest pods that AKS lets a node of a system pool take (`maxPods`).
pub const LEAST_PODS: i64 = 30;

/// Refuses to make a system pool of one that AKS does not take for it, since what stands against it can't be changed, and a surge
/// of a Spot pool.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let pool = facts.observed.pool(&step.pool)?;
    let (finding, remedy) = match &step.change {
        change if change.promotes() => (no_system_pool(pool)?, another_pool(step)),
        Change::UpgradeSettings { to, .. } if to.max_surge.is_some() && pool.settings.is_spot() => (
            format!("pool {} is of priority Spot, and AKS lets Spot pools have no surge", pool.name),
            format!("take upgrade.maxSurge out of policy {}", step.policy),
        ),
        _ => return None,
    };
    Some(Broken { rule: Rule::ImmutableField, standing: Standing::Lasting, finding, remedy, pods: Vec::new() })
}

/// Why AKS does not take the pool for a system pool, in words, if so.
fn no_system_pool(pool: &AgentPool) -> Option<String> {
    let mut whys = Vec::new();
    if let Os::Other(os) = &pool.os {
        whys.push(format!("its nodes run {os}, not Linux"));
    }
    if pool.settings.is_spot() {
        whys.push("it is of priority Spot".to_owned());
    }
    let pods = pool.settings.values().find_map(|(field, value)| match value {
        FieldValue::Number(pods) if field.name == "maxPods" => Some(*pods),
        _ => None,
    });
    if let Some(pods) = pods.filter(|pods| *pods < LEAST_PODS) {
        whys.push(format!("its nodes take {pods} pods at most, {LEAST_PODS} are needed"));
    }
    let size = pool.settings.text("vmSize");
    if vm_size::is_too_small_for_system(size) {
        whys.push(format!("its machines ({size}) have less than 2 cores or 4 GB"));
    }
    (!whys.is_empty()).then(|| {
        let whys = whys.join("; ");
        format!("AKS takes pool {} for no system pool, and does not change what is against it: {whys}", pool.name)
    })
}

/// What a person can do: `status.successor` is made by whoever reports the refusal.
fn another_pool(step: &Step) -> String {
    let policy = &step.policy;
    format!(
        "create another pool by another policy, which is ready in the status (kubectl get nodepoolpolicy {policy} -o \
         jsonpath='{{.status.successor}}', to be looked at and piped to kubectl apply -f -), and set spec.mode of policy \
         {policy} to User"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::template::Template;
    use crate::testing::{broken, governed, pool, pool_mut, promote, put_label, rules, template};
    use crate::{Mode, Snapshot, UpgradeSettings};

    fn cluster() -> Snapshot {
        governed(vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 3)], "apps")
    }

    fn with_pods(number: i64) -> Arc<Template> {
        let read = |field: &crate::TemplateField| (field.name == "maxPods").then_some(FieldValue::Number(number));
        Arc::new(Template::from_fields(read))
    }

    fn surge(snapshot: &mut Snapshot, text: Option<&str>) -> Step {
        let wish = UpgradeSettings { max_surge: text.map(str::to_owned), ..UpgradeSettings::default() };
        let wish = UpgradeSettings { node_soak_minutes: Some(1), ..wish };
        let (from, to) = wish.toward(pool_mut(snapshot, "apps")).unwrap();
        Step { change: Change::UpgradeSettings { from, to }, ..promote("apps") }
    }

    #[test]
    fn a_pool_that_aks_takes_for_no_system_pool_is_not_promoted() {
        type Edit = Box<dyn Fn(&mut AgentPool)>;
        let cases: Vec<(Edit, &str)> = vec![
            (Box::new(|pool| pool.os = Os::Other("Windows".into())), "its nodes run Windows, not Linux"),
            (Box::new(|pool| pool.settings = template(&[("priority", "spot")])), "it is of priority Spot"),
            (Box::new(|pool| pool.settings = with_pods(29)), "its nodes take 29 pods at most, 30 are needed"),
            (
                Box::new(|pool| pool.settings = template(&[("vmSize", "Standard_B1s")])),
                "its machines (Standard_B1s) have less than 2 cores or 4 GB",
            ),
        ];
        for (change, why) in cases {
            let mut snapshot = cluster();
            change(pool_mut(&mut snapshot, "apps"));
            assert_eq!(rules(&snapshot, &promote("apps")), [Rule::ImmutableField], "{why}");
            let found = broken(&snapshot, &promote("apps"), Rule::ImmutableField).unwrap();
            assert!(
                found.finding.ends_with(&format!("does not change what is against it: {why}")),
                "{}",
                found.finding
            );
            assert_eq!(found.standing, Standing::Lasting);
            assert!(found.remedy.contains("kubectl get nodepoolpolicy p -o jsonpath='{.status.successor}'"));
            assert_eq!(rules(&snapshot, &put_label("apps", "x")), [], "anything else may be changed");
        }
        let mut fits = cluster();
        let read = |field: &crate::TemplateField| {
            (field.name == "kubeletConfig.containerLogMaxFiles").then_some(FieldValue::Number(5))
        };
        pool_mut(&mut fits, "apps").settings = Arc::new(Template::from_fields(read));
        assert_eq!(rules(&fits, &promote("apps")), [], "another number");
        pool_mut(&mut fits, "apps").settings = with_pods(30);
        assert_eq!(rules(&fits, &promote("apps")), []);
        pool_mut(&mut fits, "apps").settings = template(&[("priority", "Regular"), ("vmSize", "Standard_D4ds_v5")]);
        assert_eq!(rules(&fits, &promote("apps")), []);
    }

    #[test]
    fn a_spot_pool_gets_no_surge() {
        let mut snapshot = cluster();
        let (some, none) = (surge(&mut snapshot, Some("2")), surge(&mut snapshot, None));
        assert_eq!((rules(&snapshot, &some), rules(&snapshot, &none)), (vec![], vec![]));
        pool_mut(&mut snapshot, "apps").settings = template(&[("priority", "Spot")]);
        assert_eq!((rules(&snapshot, &some), rules(&snapshot, &none)), (vec![Rule::ImmutableField], vec![]));
        let found = broken(&snapshot, &some, Rule::ImmutableField).unwrap();
        assert_eq!(found.remedy, "take upgrade.maxSurge out of policy p");
    }
}
