//! Which PUTs make nodes roll, to what, and which of them are refused. Never changes anything.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::refusal::Refusal;
use super::super::state::{Cluster, Pool, text};
use super::super::{images, syntax, versions};
use super::{settings, target};
use crate::Settings;

/// Since when `nodeImageVersion` can be set.
pub(crate) const ROLLBACK_SINCE: &str = "2026-04-01";
/// In one pool, surge nodes included.
const MOST_NODES: usize = 1000;
/// For how long a pool can be rolled back after an upgrade.
const ROLLBACK_FOR: Duration = Duration::from_hours(7 * 24);

/// A PUT of a pool that is there.
pub(in super::super) struct Request<'a> {
    pub(in super::super) cluster: &'a Cluster,
    pub(in super::super) pool: &'a Pool,
    pub(in super::super) settings: &'a Settings,
    pub(in super::super) api_version: &'a str,
    pub(in super::super) sent: &'a Map<String, Value>,
    /// The pool's properties after the merge.
    pub(in super::super) properties: &'a Map<String, Value>,
    pub(in super::super) now: Timestamp,
}

/// What nodes are to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Asked {
    /// Whether the service calls it `Upgrading`; otherwise it reimages while `Updating`.
    pub(in super::super) upgrade: bool,
    pub(in super::super) version: String,
    pub(in super::super) image: String,
    pub(in super::super) is_rollback: bool,
}

impl Request<'_> {
    fn control_plane(&self) -> &str {
        self.cluster.text("currentKubernetesVersion")
    }

    fn changes(&self, name: &str) -> bool {
        self.pool.get(name) != self.properties.get(name)
    }

    fn changes_security(&self, name: &str) -> bool {
        let value = |properties: &Map<String, Value>| properties.get("securityProfile")?.get(name).cloned();
        value(&self.pool.properties) != value(self.properties)
    }

    /// The version that is asked for, unless it is the one that runs or the minor that runs.
    fn version(&self) -> Option<&str> {
        let requested = text(self.properties, "orchestratorVersion");
        let running = target(self.pool).version;
        let same_minor = requested.split('.').count() == 2 && syntax::minor(requested) == syntax::minor(&running);
        let asked = self.changes("orchestratorVersion") && !same_minor && requested != running;
        asked.then_some(requested)
    }

    /// The image to roll back to. A client that only repeats what it read changes nothing, unless a switch says so.
    fn image(&self) -> Option<&str> {
        let image = self.sent.get("nodeImageVersion").and_then(Value::as_str)?;
        let repeated = image == self.pool.text("nodeImageVersion");
        let counts = !repeated || self.settings.switches.repeated_node_image_reimages;
        (self.api_version >= ROLLBACK_SINCE && counts).then_some(image)
    }

    /// The version that goes with an image to roll back to: the one it was last used with.
    fn version_of(&self, image: &str) -> Option<String> {
        let lasts = self.settings.scaled(ROLLBACK_FOR);
        let used = self.pool.recently_used.iter().find(|used| used.pair.image == image)?;
        let ago = Duration::try_from(self.now.duration_since(used.until)).unwrap_or_default();
        (ago < lasts).then(|| used.pair.version.clone())
    }
}

/// What a PUT asks of the nodes; `None` if they can stay as they are.
pub(in super::super) fn asked(request: &Request<'_>) -> Option<Asked> {
    let now = target(request.pool);
    if let Some(image) = request.image() {
        let version = request.version_of(image).unwrap_or(now.version);
        return Some(Asked { upgrade: true, version, image: image.to_owned(), is_rollback: true });
    }
    let version = request
        .version()
        .map(|requested| versions::resolve(requested, request.control_plane()).unwrap_or_else(|| requested.to_owned()));
    let upgrade = version.is_some() || request.changes("osSKU") || request.changes("enableFIPS");
    let reimage = ["enableVTPM", "enableSecureBoot"].iter().any(|name| request.changes_security(name))
        || request.changes("localDNSProfile");
    if !upgrade && !reimage {
        return None;
    }
    let image = if upgrade { images::latest(request.cluster, request.properties) } else { now.image };
    Some(Asked { upgrade, version: version.unwrap_or(now.version), image, is_rollback: false })
}

/// Refuses what the service would not begin.
pub(in super::super) fn check(request: &Request<'_>, asked: Option<&Asked>) -> Result<(), Refusal> {
    settings::check(request.properties)?;
    let (from, to) = (request.pool.text("osSKU"), text(request.properties, "osSKU"));
    if from != to && !images::may_change(from, to) {
        return Err(Refusal::immutable("osSKU"));
    }
    let Some(asked) = asked else {
        return Ok(());
    };
    check_surge(request.properties)?;
    if asked.is_rollback {
        return check_rollback(request, asked);
    }
    let Some(requested) = request.version() else {
        return Ok(());
    };
    check_version(requested, &asked.version, request.control_plane())?;
    let running = target(request.pool).version;
    let skips = request.settings.switches.node_pools_skip_minors;
    let onward = versions::is_next(&running, &asked.version) || skips && syntax::is_older(&running, &asked.version);
    if onward { Ok(()) } else { Err(Refusal::upgrade_path(&running, &asked.version)) }
}

fn check_surge(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let count = properties.get("count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
    let nodes = count.unwrap_or_default();
    let surge = settings::UpgradeSettings::of(properties).surge(nodes).min(nodes);
    if nodes + surge > MOST_NODES { Err(Refusal::too_many_with_surge(nodes, surge)) } else { Ok(()) }
}

/// Refuses a new pool that could not be upgraded as it asks, or not run its version.
pub(in super::super) fn check_new(cluster: &Cluster, properties: &Map<String, Value>) -> Result<(), Refusal> {
    settings::check(properties)?;
    let (requested, current) =
        (text(properties, "orchestratorVersion"), text(properties, "currentOrchestratorVersion"));
    check_version(requested, current, cluster.text("currentKubernetesVersion"))
}

fn check_version(requested: &str, resolved: &str, control_plane: &str) -> Result<(), Refusal> {
    if syntax::is_older(control_plane, resolved) {
        return Err(Refusal::version_newer(resolved, control_plane));
    }
    if !versions::is_supported(resolved, control_plane) {
        return Err(Refusal::version_unsupported(requested));
    }
    Ok(())
}

/// Only what the pool ran recently can be rolled back to, the version and its image together.
fn check_rollback(request: &Request<'_>, asked: &Asked) -> Result<(), Refusal> {
    if asked.image == request.pool.text("nodeImageVersion") {
        return Ok(());
    }
    let parameter = "agentPoolProfile.nodeImageVersion";
    let Some(version) = request.version_of(&asked.image) else {
        let details = format!("{} is not one of the recently used versions.", asked.image);
        return Err(Refusal::invalid(parameter, Some(&details)));
    };
    let matches = |requested: &str| requested == version || version.starts_with(&format!("{requested}."));
    match request.version() {
        Some(requested) if !matches(requested) => {
            let details = format!("{} was recently used with version {version}, not {requested}.", asked.image);
            Err(Refusal::invalid(parameter, Some(&details)))
        }
        _ => Ok(()),
    }
}
