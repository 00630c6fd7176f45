//! The steps that the tables of faults and crashes are about: what each asks for, and what must be so afterwards.
//! Never says what happens meanwhile.

use std::fmt;

use aks_emulator::ForeignRequest;
use anyhow::ensure;
use nodepool_operator::api::NodePoolPolicyStatus;
use serde_json::{Value, json};

use super::support::{Scene, policy};
use super::{create_steps, upgrade_steps};

/// What a policy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From one node to two.
    CountUp,
    /// From two nodes to one.
    CountDown,
    /// A taint, or none if there is one.
    Taints,
    /// A label with another value and one with another key.
    Labels,
    /// A tag with another value and one with another key.
    Tags,
    /// From User to System.
    ToSystem,
    /// From System to User.
    ToUser,
    /// From a number of nodes to bounds.
    AutoscalerOn,
    /// From bounds to others.
    AutoscalerBounds,
    /// From bounds to a number of nodes.
    AutoscalerOff,
    /// From nothing to a pool with a label, a tag and a taint.
    Create,
    /// From a pool to nothing, with its policy.
    Delete,
    /// From a pool that runs to one that is stopped.
    Stop,
    /// From a stopped pool to one that runs.
    Start,
    /// From a version to the control plane's.
    Version,
    /// From a drain timeout to another.
    UpgradeSettings,
    /// From a node image to the latest.
    NodeImage,
}

/// The pools that steps are about.
pub const POOLS: [&str; 3] = ["apps", "flex", "night"];
/// The pool that is created, and deleted.
pub const NEW: &str = "fresh";
/// A label of the pools that nobody's policy names.
pub const FOREIGN_LABEL: (&str, &str) = ("by", "hand");
/// A tag of the pools that nobody's policy names.
pub const FOREIGN_TAG: (&str, &str) = ("owner", "shop");
/// A taint in ARM's words.
pub const TAINT: &str = "team=shop:NoSchedule";

/// What somebody else changes: the pool, the property and its value.
pub type Foreign = (&'static str, &'static str, Value);

/// What differs between two documents of the same pool that nobody changed: the eTag, and how its last operation went.
const OF_THE_SERVICE: [&str; 3] = ["eTag", "provisioningState", "currentOrchestratorVersion"];

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CountUp => "count up",
            Self::CountDown => "count down",
            Self::Taints => "taints",
            Self::Labels => "labels",
            Self::Tags => "tags",
            Self::ToSystem => "mode to System",
            Self::ToUser => "mode to User",
            Self::AutoscalerOn => "autoscaler on",
            Self::AutoscalerBounds => "autoscaler's bounds",
            Self::AutoscalerOff => "autoscaler off",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Version => "version",
            Self::UpgradeSettings => "upgrade settings",
            Self::NodeImage => "node image",
        })
    }
}

/// A step that is about to be asked for.
pub struct Change {
    /// The policy that asks for it; the deletion of the one that is there if there is none.
    policy: Option<Value>,
    pool: &'static str,
    expected: Vec<(&'static str, Value)>,
    /// All pools before it.
    before: Vec<Value>,
}

impl Step {
    /// All of them; those that undo each other come one after the other.
    pub const ALL: [Self; 17] = [
        Self::CountUp,
        Self::CountDown,
        Self::Taints,
        Self::Labels,
        Self::Tags,
        Self::ToSystem,
        Self::ToUser,
        Self::AutoscalerOn,
        Self::AutoscalerBounds,
        Self::AutoscalerOff,
        Self::Create,
        Self::Delete,
        Self::Stop,
        Self::Start,
        Self::Version,
        Self::UpgradeSettings,
        Self::NodeImage,
    ];

    /// The pool that it is about.
    pub const fn pool(self) -> &'static str {
        let [apps, flex, night] = POOLS;
        match self {
            Self::ToSystem | Self::ToUser => flex,
            Self::Create | Self::Delete => NEW,
            Self::Stop | Self::Start | Self::Version | Self::UpgradeSettings | Self::NodeImage => night,
            _ => apps,
        }
    }

    /// The pool that somebody else changes before the step: the same, unless it is not there, or what is changed goes whole.
    pub const fn changed_before(self) -> &'static str {
        if matches!(self, Self::Create | Self::UpgradeSettings) { POOLS[0] } else { self.pool() }
    }

    /// The pool that somebody else changes when the step may have been made: the same, unless it may not be there.
    pub const fn changed_after(self) -> &'static str {
        if matches!(self, Self::Create | Self::Delete | Self::UpgradeSettings) { POOLS[0] } else { self.pool() }
    }

    /// The method of its write.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::NodeImage => "POST",
            _ => "PUT",
        }
    }

    /// How the path of its write ends.
    pub fn path(self) -> String {
        let action = if matches!(self, Self::NodeImage) { "/upgradeNodeImageVersion" } else { "" };
        format!("/agentPools/{}{action}", self.pool())
    }

    /// Whether its write counts whoever wrote the pool meanwhile, also where pools have eTags.
    pub const fn is_unconditional(self) -> bool {
        matches!(self, Self::NodeImage)
    }

    /// Whether it upgrades the pool.
    pub const fn upgrades(self) -> bool {
        matches!(self, Self::Version | Self::NodeImage)
    }

    /// Brings the pool to where the step begins, and says what it is.
    pub async fn begin(self, scene: &Scene, number: usize) -> anyhow::Result<Change> {
        let pool = self.pool();
        let from = match self {
            Self::CountUp => {
                is_autoscaled(scene, pool, false, number).await?;
                Some(("count", json!(1)))
            }
            Self::CountDown => {
                is_autoscaled(scene, pool, false, number).await?;
                Some(("count", json!(2)))
            }
            Self::ToSystem => Some(("mode", json!("User"))),
            Self::ToUser => Some(("mode", json!("System"))),
            Self::Taints | Self::Labels | Self::Tags => None,
            Self::AutoscalerOn | Self::AutoscalerBounds | Self::AutoscalerOff => {
                is_autoscaled(scene, pool, self != Self::AutoscalerOn, number).await?;
                None
            }
            Self::Create => {
                create_steps::is_absent(scene, number).await?;
                None
            }
            Self::Delete => {
                create_steps::goes_with_its_policy(scene).await?;
                None
            }
            Self::Stop | Self::Start => {
                runs(scene, pool, self == Self::Stop).await?;
                None
            }
            Self::Version | Self::UpgradeSettings | Self::NodeImage => {
                runs(scene, pool, true).await?;
                match self {
                    Self::Version => upgrade_steps::is_old(scene, pool, number).await?,
                    Self::NodeImage => upgrade_steps::has_newer_image(scene, pool, number).await?,
                    _ => {}
                }
                None
            }
        };
        if let Some((property, from)) = from
            && scene.in_arm(pool, property) != from
        {
            let mut spec = present(scene, pool);
            spec[property] = from;
            scene.apply(policy(pool, spec)).await?;
            scene.ready(pool).await?;
            scene.bed.emulator.idle().await;
        }
        Ok(self.change(scene, number))
    }

    fn change(self, scene: &Scene, number: usize) -> Change {
        let pool = self.pool();
        let mut spec = present(scene, pool);
        let has_taint = !scene.in_arm(pool, "nodeTaints").is_null();
        let wanted = json!({"turn": number.to_string(), format!("turn-{number}"): "yes"});
        let beside = |(key, value): (&str, &str)| {
            let mut all = wanted.clone();
            all[key] = json!(value);
            all
        };
        let (field, wanted, property, expected) = match self {
            Self::CountUp => ("count", json!(2), "count", json!(2)),
            Self::CountDown => ("count", json!(1), "count", json!(1)),
            Self::ToSystem => ("mode", json!("System"), "mode", json!("System")),
            Self::ToUser => ("mode", json!("User"), "mode", json!("User")),
            Self::Taints if has_taint => ("taints", json!([]), "nodeTaints", Value::Null),
            Self::Taints => ("taints", json!([taint()]), "nodeTaints", json!([TAINT])),
            Self::Labels => ("labels", wanted.clone(), "nodeLabels", beside(FOREIGN_LABEL)),
            Self::Tags => ("tags", wanted.clone(), "tags", beside(FOREIGN_TAG)),
            Self::AutoscalerOn | Self::AutoscalerBounds => return autoscaling(scene, pool, number),
            Self::AutoscalerOff => return fixed_count(scene, pool),
            Self::Create => return create_steps::creation(scene, number),
            Self::Delete => return Change { policy: None, pool, expected: vec![], before: documents(scene) },
            Self::Stop | Self::Start => return powered(scene, pool, self == Self::Start),
            Self::Version => return upgrade_steps::version(scene, pool),
            Self::UpgradeSettings => return upgrade_steps::settings(scene, pool, number),
            Self::NodeImage => return upgrade_steps::node_image(scene, pool, number),
        };
        spec[field] = wanted;
        let policy = Some(policy(pool, spec));
        Change { policy, pool, expected: vec![(property, expected)], before: documents(scene) }
    }
}

impl Change {
    /// What a policy asks for on top of what is there.
    pub fn new(scene: &Scene, policy: Value, pool: &'static str, expected: Vec<(&'static str, Value)>) -> Self {
        Self { policy: Some(policy), pool, expected, before: documents(scene) }
    }

    /// Asks for the step.
    pub async fn ask(&self, scene: &Scene) -> anyhow::Result<()> {
        match &self.policy {
            Some(policy) => scene.apply(policy.clone()).await.map(drop),
            None => scene.begin_deletion(self.pool).await,
        }
    }

    /// Waits until the policy says that the step is made, or is gone with its pool, and gives what it says.
    pub async fn is_made(&self, scene: &Scene) -> anyhow::Result<Option<NodePoolPolicyStatus>> {
        if self.policy.is_some() {
            return scene.ready(self.pool).await.map(Some);
        }
        scene.gone(self.pool).await?;
        ensure!(scene.bed.emulator.pool(self.pool).is_none(), "the policy is gone before its pool");
        Ok(None)
    }

    /// Sees that the pool is as asked, and that nothing else of any pool is another than before. `foreign` is what
    /// somebody else changed meanwhile.
    pub fn is_all_that_changed(&self, scene: &Scene, foreign: Option<&Foreign>) -> anyhow::Result<()> {
        for (before, after) in self.before.iter().zip(documents(scene)) {
            let mut wanted = before["properties"].clone();
            let name = &before["name"];
            if name == self.pool {
                self.expected.iter().for_each(|(property, value)| wanted[*property] = value.clone());
            }
            if let Some((pool, property, value)) = foreign
                && name == pool
            {
                wanted[*property] = value.clone();
            }
            let found = &after["properties"];
            let properties = [&wanted, found].map(|all| all.as_object().into_iter().flatten().map(|(name, _)| name));
            for property in properties.into_iter().flatten().filter(|name| !OF_THE_SERVICE.contains(&name.as_str())) {
                let (found, wanted) = (&found[property], &wanted[property]);
                ensure!(found == wanted, "{property} of pool {name} is {found}, not {wanted}");
            }
            ensure!(found["provisioningState"] == "Succeeded", "pool {name} is {}", found["provisioningState"]);
        }
        if self.policy.is_none() {
            ensure!(scene.bed.emulator.pool(self.pool).is_none(), "pool {} is there again", self.pool);
        }
        for (property, wanted) in &self.expected {
            let found = scene.in_arm(self.pool, property);
            ensure!(found == *wanted, "{property} of pool {} is {found}, not {wanted}", self.pool);
        }
        Ok(())
    }
}

/// Brings it about that the pool's autoscaler is on, or off.
async fn is_autoscaled(scene: &Scene, pool: &'static str, on: bool, number: usize) -> anyhow::Result<()> {
    if (scene.in_arm(pool, "enableAutoScaling") == true) != on {
        let change = if on { autoscaling(scene, pool, number) } else { fixed_count(scene, pool) };
        change.ask(scene).await?;
        scene.ready(pool).await?;
        scene.bed.emulator.idle().await;
    }
    Ok(())
}

/// Brings it about that the pool runs, or is stopped.
async fn runs(scene: &Scene, pool: &'static str, wanted: bool) -> anyhow::Result<()> {
    if is_stopped(scene, pool) == wanted {
        powered(scene, pool, wanted).ask(scene).await?;
        scene.ready(pool).await?;
        scene.bed.emulator.idle().await;
    }
    Ok(())
}

fn is_stopped(scene: &Scene, pool: &str) -> bool {
    scene.in_arm(pool, "powerState")["code"] == "Stopped"
}

/// A pool of one node that runs, or is stopped.
fn powered(scene: &Scene, pool: &'static str, runs: bool) -> Change {
    let mut spec = present(scene, pool);
    let code = if runs { "Running" } else { "Stopped" };
    spec["powerState"] = json!(code);
    spec["count"] = json!(1);
    let expected = vec![("powerState", json!({"code": code})), ("count", json!(u8::from(runs)))];
    Change { policy: Some(policy(pool, spec)), pool, expected, before: documents(scene) }
}

/// Bounds with a maximum that changes from case to case, in which the autoscaler has nothing to do.
fn autoscaling(scene: &Scene, pool: &'static str, number: usize) -> Change {
    let (least, present_most) = (scene.in_arm(pool, "count"), scene.in_arm(pool, "maxCount"));
    let most = [5, 6].map(|most| json!(most + number % 3)).into_iter().find(|most| *most != present_most);
    let mut spec = without_scale(scene, pool);
    spec["autoscaling"] = json!({"minCount": least, "maxCount": most});
    let expected = vec![("enableAutoScaling", json!(true)), ("minCount", least), ("maxCount", json!(most))];
    Change { policy: Some(policy(pool, spec)), pool, expected, before: documents(scene) }
}

/// As many nodes as there are.
fn fixed_count(scene: &Scene, pool: &'static str) -> Change {
    let mut spec = without_scale(scene, pool);
    spec["count"] = scene.in_arm(pool, "count");
    let expected = vec![("enableAutoScaling", json!(false)), ("minCount", Value::Null), ("maxCount", Value::Null)];
    Change { policy: Some(policy(pool, spec)), pool, expected, before: documents(scene) }
}

/// What the policy asks for if it is to change nothing, but for the scale.
fn without_scale(scene: &Scene, pool: &str) -> Value {
    let mut spec = present(scene, pool);
    for field in ["count", "autoscaling"] {
        spec.as_object_mut().map(|spec| spec.remove(field));
    }
    spec
}

/// What the pool's policy asks for if it is to change nothing.
pub fn present(scene: &Scene, pool: &str) -> Value {
    let has_taint = !scene.in_arm(pool, "nodeTaints").is_null();
    let own = |property: &str, foreign: &str| {
        let mut all = scene.in_arm(pool, property);
        all.as_object_mut().map(|all| all.remove(foreign));
        if all.is_null() { json!({}) } else { all }
    };
    let mut spec = json!({
        "taints": if has_taint { json!([taint()]) } else { json!([]) },
        "labels": own("nodeLabels", FOREIGN_LABEL.0),
        "tags": own("tags", FOREIGN_TAG.0),
        "mode": scene.in_arm(pool, "mode"),
    });
    if scene.in_arm(pool, "enableAutoScaling") == true {
        let [least, most] = ["minCount", "maxCount"].map(|bound| scene.in_arm(pool, bound));
        spec["autoscaling"] = json!({"minCount": least, "maxCount": most});
    } else {
        spec["count"] = scene.in_arm(pool, "count");
    }
    if is_stopped(scene, pool) {
        // A stopped pool shows none of its nodes.
        (spec["powerState"], spec["count"]) = (json!("Stopped"), json!(1));
    }
    spec
}

/// Another surge of a pool, which no policy names.
pub fn surge_of(scene: &Scene, pool: &'static str, number: usize) -> Foreign {
    let mut settings = scene.in_arm(pool, "upgradeSettings");
    settings["maxSurge"] = json!(format!("{}%", 10 + number % 40));
    (pool, "upgradeSettings", settings)
}

/// Somebody else's write, who sends back what could be lost by leaving it out.
pub fn write_by_somebody_else(scene: &Scene, (pool, property, value): &Foreign) -> ForeignRequest {
    let target = format!("{}/agentPools/{pool}?api-version=2025-10-01", scene.bed.emulator.cluster_id());
    let mut properties = json!({*property: value});
    for collection in ["nodeLabels", "nodeTaints", "tags"] {
        let present = scene.in_arm(pool, collection);
        if !present.is_null() {
            properties[collection] = present;
        }
    }
    ForeignRequest::new("PUT", &target, Some(json!({ "properties": properties })))
}

/// The same taint in a policy's words.
pub fn taint() -> Value {
    json!({"key": "team", "value": "shop", "effect": "NoSchedule"})
}

fn documents(scene: &Scene) -> Vec<Value> {
    ["system", "apps", "flex", "night"].into_iter().filter_map(|pool| scene.bed.emulator.pool(pool)).collect()
}
