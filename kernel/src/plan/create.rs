//! The creation of a pool that does not exist from its policy's template, and why it can't be made. Never changes a pool
//! that exists.

use std::sync::Arc;

use super::problem::Problem;
use super::version;
use crate::intent::{Cause, Intent};
use crate::settings::Settings;
use crate::snapshot::{Cluster, Mode};
use crate::step::{Change, NewPool, Step};
use crate::template::Template;
use crate::time::Time;
use crate::vm_size;

/// The gigabytes of a node's disk unless the template says otherwise, and the fewest that AKS's images fit into.
const DEFAULT_DISK: i64 = 128;
const LEAST_DISK: i64 = 30;

/// The creation that the policy asks for, or everything that stands against it.
pub(super) fn of(intent: &Intent, template: &Arc<Template>, cluster: &Cluster) -> Result<Step, Vec<Problem>> {
    let mode = intent.mode.clone().unwrap_or(Mode::User);
    let mut problems: Vec<Problem> = unsuitable(template, &mode, cluster);
    let Some(count) = intent.autoscaling.map(|bounds| bounds.min).or(intent.count) else {
        problems.insert(0, Problem::CountMissing);
        return Err(problems);
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let change = Change::Create(Box::new(NewPool {
        autoscaling: intent.autoscaling,
        taints: intent.taints.clone(),
        labels: intent.labels.clone(),
        tags: intent.tags.clone(),
        version: version::of_new(intent, cluster),
        upgrade: intent.upgrade.clone(),
        ..NewPool::new(mode, count, Arc::clone(template))
    }));
    Ok(Step { policy: intent.policy.clone(), pool: intent.pool.clone(), change })
}

/// Why the creation is not tried now although nothing stands against it: an attempt that failed. A creation that somebody
/// ended by hand, and whose pool is gone, is made again.
pub(super) fn held_back(intent: &Intent, now: Time, settings: &Settings) -> Option<Problem> {
    let (attempt, _) = intent.backing_off(now).filter(|_| intent.may_write())?;
    let lasts = attempt.cause == Cause::Refused || attempt.failures > settings.repairs;
    Some(Problem::BackingOff { attempt: attempt.clone(), lasts })
}

/// What AKS would refuse, as far as the names of sizes and subnets tell. What needs no more than the policy is refused
/// by the API server already.
fn unsuitable(template: &Template, mode: &Mode, cluster: &Cluster) -> Vec<Problem> {
    let mut whys = Vec::new();
    let size = template.text("vmSize");
    if *mode == Mode::System && vm_size::is_too_small_for_system(size) {
        whys.push(format!(
            "spec.template.vmSize {size} is too small: AKS wants at least 2 cores and 4 GB for a system pool \
             (SystemPoolSkuTooLow); choose a larger size, or mode User"
        ));
    }
    if template.is_on("enableFIPS") && vm_size::is_arm64(size) {
        whys.push(format!(
            "spec.template.enableFIPS is true and vmSize {size} has an ARM64 processor, on which AKS has no FIPS; leave \
             enableFIPS out, or choose a size with another processor"
        ));
    }
    whys.extend(too_small_a_cache(template, size));
    if cluster.load_balancer_sku.as_deref().is_some_and(|sku| sku.eq_ignore_ascii_case("Basic")) {
        whys.push(
            "the cluster has a Basic load balancer, with which AKS has no more than one pool; create the pool in a cluster \
             with a Standard one (loadBalancerSku), or upgrade the load balancer first"
                .to_owned(),
        );
    }
    for field in ["vnetSubnetID", "podSubnetID"] {
        let subnet = template.text(field);
        if let Some((pool, other)) = network(subnet).and_then(|network| another_network(network, cluster)) {
            whys.push(format!(
                "spec.template.{field} {subnet} is in another virtual network than pool {pool} ({other}), and all pools \
                 of a cluster share one; choose a subnet of that network"
            ));
        }
    }
    whys.into_iter().map(|why| Problem::Unsuitable { why }).collect()
}

/// Why an ephemeral disk does not fit into machines of this size, as far as that is known.
fn too_small_a_cache(template: &Template, size: &str) -> Option<String> {
    let is_ephemeral = template.text("osDiskType").eq_ignore_ascii_case("Ephemeral");
    let cache = vm_size::cache_gigabytes(size).filter(|_| is_ephemeral)?;
    let disk = template.number("osDiskSizeGB");
    let asked =
        disk.map_or_else(|| format!("AKS's {DEFAULT_DISK} GB"), |disk| format!("the {disk} GB of osDiskSizeGB"));
    (disk.unwrap_or(DEFAULT_DISK) > cache).then(|| {
        format!(
            "spec.template.osDiskType is Ephemeral, and the cache of vmSize {size} has {cache} GB, in which {asked} do not \
             fit; choose a larger size, osDiskSizeGB {LEAST_DISK} to {cache}, or osDiskType Managed"
        )
    })
}

/// The virtual network of a subnet's id.
fn network(subnet: &str) -> Option<&str> {
    let at = subnet.to_ascii_lowercase().find("/subnets/")?;
    subnet.get(..at)
}

/// A pool whose nodes are in another virtual network, and that network.
fn another_network<'a>(network_of_new: &str, cluster: &'a Cluster) -> Option<(&'a str, &'a str)> {
    let networks = cluster.pools.iter().filter_map(|pool| {
        let network = network(pool.settings.text("vnetSubnetID"))?;
        Some((pool.name.as_str(), network))
    });
    networks.filter(|(_, network)| !network.eq_ignore_ascii_case(network_of_new)).min()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::template::FieldValue;
    use crate::testing::{NOW, edit, governed, pool, pool_mut, template};
    use crate::{Attempt, PolicyPlan, Snapshot, plan};

    /// A policy for the pool `apps`, which does not exist.
    fn absent() -> Snapshot {
        let mut snapshot = governed(vec![pool("system", Mode::System, 3)], "apps");
        let intent = edit(&mut snapshot.intents).first_mut().unwrap();
        intent.count = Some(2);
        intent.template = Some(template(&[("vmSize", "Standard_D4ds_v5")]));
        snapshot
    }

    fn planned(change: impl Fn(&mut Snapshot, &mut Intent)) -> PolicyPlan {
        let mut snapshot = absent();
        let mut intent = snapshot.intents.value().unwrap().first().unwrap().clone();
        change(&mut snapshot, &mut intent);
        *edit(&mut snapshot.intents).first_mut().unwrap() = intent;
        plan(&snapshot, &Settings::default()).policies.remove(0)
    }

    fn problems(plan: &PolicyPlan) -> Vec<String> {
        plan.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pool_that_does_not_exist_is_created() {
        let made = planned(|_, _| ());
        assert_eq!(made.problems, []);
        let [Step { change: Change::Create(new), .. }] = &made.steps[..] else { panic!("{:?}", made.steps) };
        assert_eq!((&new.mode, new.count, &new.taints), (&Mode::User, 2, &None));
        assert_eq!(made.drift.first().unwrap().text, "create a User pool with 2 nodes of Standard_D4ds_v5");
        let without_template = planned(|_, intent| intent.template = None);
        assert_eq!(without_template.steps, []);
        assert!(problems(&without_template).first().unwrap().contains("spec.template"));
        let unseen = planned(|snapshot, _| snapshot.cluster = crate::Known::unknown("gone"));
        assert_eq!(unseen.steps, [], "what is not seen is not absent");
    }

    #[test]
    fn a_pool_that_exists_is_compared_and_never_changed_for_it() {
        let mut snapshot = absent();
        edit(&mut snapshot.cluster).pools.push(pool("apps", Mode::User, 2));
        let made = plan(&snapshot, &Settings::default()).policies.remove(0);
        assert_eq!((made.steps, made.problems), (vec![], vec![]));
        assert_eq!(made.template_drift.len(), 1);
        pool_mut(&mut snapshot, "apps").settings = template(&[("vmSize", "standard_d4DS_v5"), ("osSKU", "Ubuntu")]);
        assert_eq!(plan(&snapshot, &Settings::default()).policies.remove(0).template_drift, []);
    }

    #[test]
    fn what_aks_would_refuse_is_told_before_any_call() {
        let told = |change: &dyn Fn(&mut Snapshot, &mut Intent), words: &[&str]| {
            let made = planned(change);
            assert_eq!(made.steps, []);
            let problems = problems(&made);
            assert_eq!(problems.len(), words.len(), "{problems:?}");
            assert!(problems.iter().zip(words).all(|(problem, words)| problem.contains(words)), "{problems:?}");
            assert!(made.problems.iter().all(|problem| problem.is_lasting() && !problem.holds()));
        };
        told(&|_, intent| intent.count = None, &["spec.count"]);
        let small = |_: &mut Snapshot, intent: &mut Intent| {
            intent.mode = Some(Mode::System);
            intent.template = Some(template(&[("vmSize", "Standard_B1s")]));
        };
        told(&small, &["spec.template.vmSize Standard_B1s is too small"]);
        let fips = |_: &mut Snapshot, intent: &mut Intent| {
            let arm = FieldValue::Text("Standard_D4ps_v5".into());
            intent.template = Some(Arc::new(Template::from_fields(|field| match field.name {
                "vmSize" => Some(arm.clone()),
                "enableFIPS" => Some(FieldValue::Flag(true)),
                _ => None,
            })));
        };
        told(&fips, &["has no FIPS"]);
        let ephemeral = |size: &str, gigabytes: i64, kind: &str| {
            let fields = [("vmSize", FieldValue::Text(size.into())), ("osDiskType", FieldValue::Text(kind.into()))];
            let disk = ("osDiskSizeGB", FieldValue::Number(gigabytes));
            let fields = fields.into_iter().chain((gigabytes > 0).then_some(disk)).collect::<BTreeMap<_, _>>();
            let template = Arc::new(Template::from_fields(|field| fields.get(field.name).cloned()));
            move |_: &mut Snapshot, intent: &mut Intent| intent.template = Some(Arc::clone(&template))
        };
        told(
            &ephemeral("Standard_DS2_v2", 0, "Ephemeral"),
            &[
                "vmSize Standard_DS2_v2 has 86 GB, in which AKS's 128 GB do not fit; choose a larger size, osDiskSizeGB 30 to 86",
            ],
        );
        told(&ephemeral("Standard_DS2_v2", 87, "Ephemeral"), &["in which the 87 GB of osDiskSizeGB do not fit"]);
        for (size, gigabytes, kind) in [
            ("Standard_DS2_v2", 86, "Ephemeral"),
            ("Standard_DS2_v2", 0, "Managed"),
            ("Standard_DS3_v2", 0, "Ephemeral"),
            ("Standard_D2ds_v6", 0, "Ephemeral"),
        ] {
            assert_eq!(planned(ephemeral(size, gigabytes, kind)).steps.len(), 1, "{size} {gigabytes} {kind}");
        }
        let basic = |snapshot: &mut Snapshot, _: &mut Intent| {
            edit(&mut snapshot.cluster).load_balancer_sku = Some("basic".into());
        };
        told(&basic, &["the cluster has a Basic load balancer"]);
        let standard = planned(|snapshot, _| edit(&mut snapshot.cluster).load_balancer_sku = Some("Standard".into()));
        assert_eq!(standard.steps.len(), 1);
        let subnet = |network: &str| format!("/subscriptions/s/vnets/{network}/subnets/a");
        let elsewhere = |snapshot: &mut Snapshot, intent: &mut Intent| {
            let ours = subnet("one");
            pool_mut(snapshot, "system").settings = template(&[("vnetSubnetID", &ours)]);
            intent.template = Some(template(&[("vmSize", "Standard_D4"), ("vnetSubnetID", &subnet("two"))]));
        };
        told(&elsewhere, &["is in another virtual network than pool system (/subscriptions/s/vnets/one)"]);
        let same = planned(|snapshot, intent| {
            let ours = subnet("ONE");
            pool_mut(snapshot, "system").settings = template(&[("vnetSubnetID", &ours)]);
            intent.template = Some(template(&[("vmSize", "Standard_D4"), ("podSubnetID", &subnet("one"))]));
        });
        assert_eq!(same.steps.len(), 1);
    }

    #[test]
    fn an_attempt_that_failed_holds_the_creation_back() {
        let attempt = |cause, next| Attempt {
            cause,
            failures: 1,
            generation: 1,
            next,
            code: "QuotaExceeded".into(),
            message: "m".into(),
            remedy: String::new(),
        };
        let later = Some(NOW.after(crate::Span::from_secs(60)));
        for (cause, next, held) in [
            (Cause::Refused, later, true),
            (Cause::Failed, later, true),
            (Cause::Refused, Some(NOW), false),
            (Cause::Canceled, None, false),
        ] {
            let made = planned(|_, intent| intent.attempt = Some(attempt(cause, next)));
            assert_eq!((made.steps.len(), made.problems.iter().any(Problem::holds)), (1, held), "{cause:?} {next:?}");
        }
    }
}
