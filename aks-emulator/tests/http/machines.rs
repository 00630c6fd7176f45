//! Single machines: their documents, and deletion by name.

use std::sync::Arc;

use aks_emulator::{PoolSpec, Settings, Switches};
use reqwest::Method;
use serde_json::{Value, json};

use crate::staged::Staged;
use crate::support::{Answer, FAST, Local, fast, start, start_on, two_pools};

async fn machines(local: &Local, pool: &str) -> Vec<Value> {
    let answer = local.get(&local.pool_path(&format!("{pool}/machines"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["value"].as_array().unwrap().clone()
}

async fn names(local: &Local, pool: &str) -> Vec<String> {
    machines(local, pool).await.iter().map(|machine| machine["name"].as_str().unwrap().to_owned()).collect()
}

async fn delete(local: &Local, pool: &str, body: Value) -> Answer {
    let url = local.url(&local.pool_path(&format!("{pool}/deleteMachines")));
    local.send(Method::POST, &url, Some(&body)).await
}

#[tokio::test]
async fn each_instance_is_a_machine_with_its_name_address_and_zone() {
    let mut cluster = two_pools();
    cluster.pools.push(PoolSpec::user("zoned", 1).zones(&["2"]));
    let local = start(Settings::with_time_scale(FAST), cluster).await;
    let apps = machines(&local, "apps").await;
    assert_eq!(apps.len(), 2);
    let name = apps[1]["name"].as_str().unwrap();
    let scale_set = name.strip_suffix("000001").unwrap();
    assert!(name.starts_with("aks-apps-"), "{name}");
    let pool = local.get_pool("apps").await.body["id"].as_str().unwrap().to_owned();
    let group = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/mc_local_local_westeurope";
    assert_eq!(
        apps[1],
        json!({
            "id": format!("{pool}/machines/{name}"),
            "name": name,
            "type": "Microsoft.ContainerService/managedClusters/agentPools/machines",
            "properties": {
                "network": {"ipAddresses": [{"family": "IPv4", "ip": "10.224.0.8"}]},
                "resourceId": format!(
                    "{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{scale_set}/virtualMachines/1"
                ),
            },
        })
    );
    assert_eq!(machines(&local, "zoned").await[0]["zones"], json!(["2"]));
    let one = local.get(&local.pool_path(&format!("APPS/Machines/{}", name.to_uppercase()))).await;
    assert_eq!((one.status, &one.body), (200, &apps[1]));
    for absent in ["apps/machines/other", "other/machines", "other/machines/other"] {
        let answer = local.get(&local.pool_path(absent)).await;
        assert_eq!((answer.status, answer.code()), (404, "NotFound"), "{absent}");
    }
}

#[tokio::test]
async fn exactly_the_named_machines_go_and_the_count_with_them() {
    let local = fast().await;
    let before = names(&local, "apps").await;
    let hold = local.emulator.operation("apps").hold_before_nodes();
    let accepted = delete(&local, "apps", json!({"machineNames": [before[0].to_uppercase(), before[0]]})).await;
    assert_eq!((accepted.status, &accepted.body), (202, &json!("")));
    assert!(accepted.header("location").is_some() && accepted.header("retry-after").is_none());
    hold.arrived().await;
    let pool = local.get_pool("apps").await;
    assert_eq!((pool.state(), &pool.body["properties"]["count"]), ("Scaling", &json!(1)));
    let busy = delete(&local, "apps", json!({"machineNames": [before[1]]})).await;
    assert_eq!((busy.status, busy.code()), (409, "OperationNotAllowed"));
    hold.release();
    assert_eq!(local.follow(&accepted).await["status"], "Succeeded");
    assert_eq!(names(&local, "apps").await, before[1..]);
    assert_eq!(local.get_pool("apps").await.state(), "Succeeded");
    let last = delete(&local, "apps", json!({"machineNames": before[1..]})).await;
    assert_eq!(local.follow(&last).await["status"], "Succeeded");
    assert!(names(&local, "apps").await.is_empty());
}

#[tokio::test]
async fn machines_that_are_not_there_and_the_last_of_a_system_pool_are_refused() {
    let local = fast().await;
    let system = names(&local, "system").await;
    for (pool, wanted, code) in [
        ("apps", json!(["aks-other-vmss000000"]), "InvalidParameter"),
        ("apps", json!([system[0]]), "InvalidParameter"),
        ("apps", json!([]), "InvalidParameter"),
        ("system", json!(system), "InvalidParameter"),
        ("apps", json!("one"), "InvalidRequestContent"),
    ] {
        let answer = delete(&local, pool, json!({"machineNames": wanted})).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{pool} {wanted}");
    }
    assert_eq!(delete(&local, "other", json!({"machineNames": [system[0]]})).await.status, 404);
    assert_eq!(names(&local, "system").await, system);
    let accepted = delete(&local, "system", json!({"machineNames": system[1..]})).await;
    assert_eq!(local.follow(&accepted).await["status"], "Succeeded");
    assert_eq!(names(&local, "system").await, system[..1]);
}

#[tokio::test]
async fn budgets_of_add_ons_keep_machines_of_system_pools_unless_the_switch_is_off() {
    for asks in [true, false] {
        let switches = Switches { delete_machines_asks_budgets: asks, ..Switches::default() };
        let settings = Settings { switches, ..Settings::with_time_scale(FAST) };
        let nodes = Arc::new(Staged::default());
        nodes.guard();
        let local = start_on(settings, two_pools(), nodes).await;
        let wanted = json!({"machineNames": names(&local, "system").await[..1]});
        let answer = delete(&local, "system", wanted).await;
        if asks {
            assert_eq!((answer.status, answer.code()), (400, "OperationNotAllowed"));
            assert!(answer.body["message"].as_str().unwrap().contains("coredns-pdb"));
        } else {
            assert_eq!(local.follow(&answer).await["status"], "Succeeded");
        }
        let wanted = json!({"machineNames": names(&local, "apps").await[..1]});
        assert_eq!(delete(&local, "apps", wanted).await.status, 202);
    }
}
