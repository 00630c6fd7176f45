//! Watches that feed the store and wake the loop. Never waits for anybody, and never lets a malformed object stop one.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{ApiResource, DeserializeGuard, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::inventory::InventoryRow;
use super::part::{Lists, Part};
use super::policy_row::{is_news, policy_row};
use super::store::Store;
use super::watched::Watched;
use super::{PAGE, rows};
use crate::api::{NodePoolInventory, NodePoolPolicy};
use crate::causes::innermost;
use crate::clock::now;
use crate::denied::said;
use crate::run::Wake;

const POLICIES: &str = "policies";
const INVENTORIES: &str = "inventory";
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// Watches everything that the kernel reads. The tasks end only when the set is dropped.
#[must_use]
pub fn spawn(
    client: &Client,
    lists: &Lists,
    store: &Arc<Store>,
    wake: &Arc<Wake>,
    namespaces: &[String],
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(policies(client.clone(), Arc::clone(store), Arc::clone(wake)));
    let nodes = Table { wake: Arc::clone(wake), name: "nodes".to_owned(), prefix: String::new() };
    let (api, shared) = (lists.all::<Node>(), Arc::clone(store));
    shared.nodes.expect(&nodes.name);
    tasks.spawn(async move {
        let row = |node: Part<Node>| {
            let node = node.whole();
            let row = rows::node(&node);
            if row.labelled_system {
                shared.tenants.note(&node);
            }
            Some(Arc::new(row))
        };
        nodes.follow(api, &shared.nodes, row).await;
    });
    tasks.spawn(inventory(client.clone(), Arc::clone(store), Arc::clone(wake)));
    for namespace in namespaces {
        let table = |kind: &str| Table {
            wake: Arc::clone(wake),
            name: format!("{kind} of {namespace}"),
            prefix: format!("{namespace}/"),
        };
        let (pods, shared) = (table("pods"), Arc::clone(store));
        let api = lists.namespaced::<Pod>(namespace);
        shared.pods.expect(&pods.name);
        tasks.spawn(async move { pods.follow(api, &shared.pods, |pod| shared.pod_row(&pod.whole())).await });
        let (budgets, shared) = (table("disruption budgets"), Arc::clone(store));
        let api = Api::<PodDisruptionBudget>::namespaced(client.clone(), namespace);
        shared.budgets.expect(&budgets.name);
        tasks.spawn(async move { budgets.follow(api, &shared.budgets, |budget| Some(rows::budget(&budget))).await });
        let (workloads, shared) = (table("deployments"), Arc::clone(store));
        let api = Api::<Deployment>::namespaced(client.clone(), namespace);
        shared.workloads.expect(&workloads.name);
        tasks.spawn(async move {
            let row = |deployment: Deployment| {
                let row = rows::workload(&deployment, now());
                let before = shared.workloads.get(&row.full_name());
                Some(rows::still_well(row, before.as_ref()))
            };
            workloads.follow(api, &shared.workloads, row).await;
        });
    }
    tasks
}

/// One watch that feeds one table.
pub(super) struct Table {
    pub(super) wake: Arc<Wake>,
    pub(super) name: String,
    /// What the keys of this watch's rows begin with.
    pub(super) prefix: String,
}

impl Table {
    async fn follow<K, T>(&self, api: Api<K>, table: &Watched<T>, row: impl Fn(K) -> Option<T>)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        T: Clone + PartialEq,
    {
        let key = |object: &K| [self.prefix.as_str(), &object.name_any()].concat();
        self.follow_with(api, all(), key, table, row).await;
    }

    /// The same of the objects that `config` selects, whose keys `key` tells.
    pub(super) async fn follow_with<K, T>(
        &self,
        api: Api<K>,
        config: watcher::Config,
        key: impl Fn(&K) -> String,
        table: &Watched<T>,
        row: impl Fn(K) -> Option<T>,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        T: Clone + PartialEq,
    {
        relisting(api, config, &self.name, async |event| {
            let changed = match event {
                Ok(Event::Init) => {
                    table.relist(&self.name);
                    false
                }
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    let key = key(&object);
                    match row(object) {
                        Some(row) => table.apply(&key, row),
                        None => table.remove(&key),
                    }
                }
                Ok(Event::Delete(object)) => table.remove(&key(&object)),
                Ok(Event::InitDone) => table.listed(&self.name, now(), |key| key.starts_with(&self.prefix)),
                Err(error) => {
                    table.troubled(&self.name, now(), error);
                    false
                }
            };
            if changed {
                self.wake.facts_changed();
            }
        })
        .await;
    }
}

/// Watches the policies. A change of status alone, most likely our own, is no news.
async fn policies(client: Client, store: Arc<Store>, wake: Arc<Wake>) {
    let table = &store.policies;
    table.expect(POLICIES);
    // As anything, so that one that can't be understood stops no other.
    let api = Api::<DynamicObject>::all_with(client, &ApiResource::erase::<NodePoolPolicy>(&()));
    relisting(api, all(), POLICIES, async |event| {
        let changed = match event {
            Ok(Event::Init) => {
                table.relist(POLICIES);
                false
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                let (name, row) = (object.name_any(), policy_row(object));
                if store.statuses.seen(row.known()) {
                    wake.facts_changed();
                }
                table.replace(&name, row, is_news)
            }
            Ok(Event::Delete(object)) => table.remove(&object.name_any()),
            Ok(Event::InitDone) => table.listed(POLICIES, now(), |_| true),
            Err(error) => {
                table.troubled(POLICIES, now(), error);
                false
            }
        };
        if changed {
            wake.policy_changed();
        }
    })
    .await;
}

/// All objects of a kind, page by page: from resourceVersion 0 the API server sends everything at once, whatever the limit.
fn all() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// Watches the inventory. A change of status alone, most likely our own, is no news.
async fn inventory(client: Client, store: Arc<Store>, wake: Arc<Wake>) {
    let table = &store.inventory;
    table.expect(INVENTORIES);
    let api = Api::<DeserializeGuard<NodePoolInventory>>::all(client);
    relisting(api, all(), INVENTORIES, async |event| {
        let changed = match event {
            Ok(Event::Init) => {
                table.relist(INVENTORIES);
                false
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                table.replace(&object.name_any(), InventoryRow::of(object), InventoryRow::differs)
            }
            Ok(Event::Delete(object)) => table.remove(&object.name_any()),
            Ok(Event::InitDone) => table.listed(INVENTORIES, now(), |_| true),
            Err(error) => {
                table.troubled(INVENTORIES, now(), error);
                false
            }
        };
        if changed {
            wake.facts_changed();
        }
    })
    .await;
}

/// Follows a watch for ever. After an error it lists anew, so that the end of the trouble is certain and not guessed.
async fn relisting<K, F>(
    api: Api<K>,
    config: watcher::Config,
    name: &str,
    mut take: impl FnMut(Result<Event<K>, String>) -> F,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    F: Future<Output = ()>,
{
    let mut retry = FIRST_RETRY;
    loop {
        // Since when it is connected: a list alone is no watch, which may be denied or lost again at once.
        let mut listed = None;
        let events = watcher(api.clone(), config.clone());
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if matches!(event, Event::InitDone) {
                        listed = Some(Instant::now());
                    }
                    take(Ok(event)).await;
                }
                Err(error) => {
                    let error = explain(name, &error);
                    tracing::warn!(watch = name, %error, "a watch was lost; it is started again");
                    take(Err(error)).await;
                    break;
                }
            }
        }
        let (now, next) = pauses(retry, listed.map(|listed: Instant| listed.elapsed()));
        tokio::time::sleep(now).await;
        retry = next;
    }
}

/// How long to wait after a watch was lost that was connected for so long, if it was, and after the next one: longer each
/// time, unless it had held for as long as the wait.
fn pauses(due: Duration, held: Option<Duration>) -> (Duration, Duration) {
    let now = if held.is_some_and(|held| held >= due) { FIRST_RETRY } else { due };
    (now, now.saturating_mul(2).min(LAST_RETRY))
}

/// What is wrong with a watch, with the API server's own message where there is one.
fn explain(name: &str, error: &watcher::Error) -> String {
    use watcher::Error as E;
    let kind = match name {
        POLICIES => Some("NodePoolPolicy"),
        INVENTORIES => Some("NodePoolInventory"),
        _ => None,
    };
    let missing = |status: &kube::core::Status| kind.filter(|_| status.code == 404);
    let detail = match error {
        E::InitialListFailed(kube::Error::Api(status)) | E::WatchStartFailed(kube::Error::Api(status))
            if let Some(kind) = missing(status) =>
        {
            format!("the API server does not know {kind}; install it: nodepool-operator crd | kubectl apply -f -")
        }
        E::InitialListFailed(kube::Error::Api(status))
        | E::WatchStartFailed(kube::Error::Api(status))
        | E::WatchFailed(kube::Error::Api(status))
        | E::WatchError(status) => said(status),
        other => innermost(other).to_string(),
    };
    format!("the watch of the {name} fails: {detail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_never_holds_is_tried_less_and_less_often_and_one_that_held_at_once() {
        let mut retry = FIRST_RETRY;
        let waits: Vec<u128> = std::iter::repeat_with(|| {
            let (now, next) = pauses(retry, Some(Duration::from_millis(1)));
            retry = next;
            now.as_millis()
        })
        .take(8)
        .collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000], "lists that no watch follows");
        assert_eq!(pauses(LAST_RETRY, None), (LAST_RETRY, LAST_RETRY), "no list either");
        assert_eq!(pauses(LAST_RETRY, Some(LAST_RETRY)), (FIRST_RETRY, FIRST_RETRY * 2), "it had held");
    }
}
