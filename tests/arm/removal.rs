//! The removal of single machines against the AKS emulator, over real HTTP: what is sent once, what is told, and what becomes of
//! the machines. Never drains one.

use std::sync::Arc;
use std::time::Duration;

use aks_emulator::{Action, Canned, ClusterSpec, Emulator, Exchange, Matcher, NoNodes, PoolSpec, Settings};
use nodepool_operator::arm::{ArmClient, ArmError, ArmOptions, End, Operation, Progress, Urgency};
use serde_json::{Value, json};

use crate::support::{approved_removal, options, permit, provider};

const POST: &str = "POST";

/// An emulator with a system pool and the pool `apps`, of two nodes each, and a client of it.
struct Arm {
    emulator: Emulator,
    client: ArmClient,
}

impl Arm {
    async fn start() -> Self {
        Self::with(|_| (), |_| ()).await
    }

    async fn with(edit: impl FnOnce(&mut Settings), set: impl FnOnce(&mut ArmOptions)) -> Self {
        provider();
        let mut settings = Settings::with_time_scale(1e6);
        edit(&mut settings);
        let cluster = ClusterSpec::with_pools([PoolSpec::system("system", 2), PoolSpec::user("apps", 2)]);
        let emulator = Emulator::start(settings, cluster, Arc::new(NoNodes::new())).await.unwrap();
        let mut options = options(emulator.endpoint().as_str(), emulator.cluster_id());
        set(&mut options);
        let client = ArmClient::new(options).unwrap();
        Self { emulator, client }
    }

    async fn remove(&self, machines: &[String]) -> Result<Option<Operation>, ArmError> {
        self.client.delete_machines(&approved_removal(), machines, permit()).await.map(|taken| taken.operation)
    }

    async fn error(&self, machines: &[String]) -> ArmError {
        self.remove(machines).await.map(drop).unwrap_err()
    }

    /// The machines of `apps`, lowest number first.
    async fn machines(&self) -> Vec<String> {
        let path = format!("{}/agentPools/apps/machines?api-version=2025-10-01", self.emulator.cluster_id());
        let url = format!("{}{path}", self.emulator.endpoint().as_str().trim_end_matches('/'));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(url).header("user-agent", "by-hand").send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let machines = answer["value"].as_array().unwrap().iter();
        machines.map(|machine| machine["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The removals that the client sent.
    fn sent(&self) -> Vec<Exchange> {
        let journal = self.emulator.journal().by_user_agent("nodepool-operator");
        journal.iter().filter(|exchange| exchange.method == POST).cloned().collect()
    }

    fn count(&self) -> Value {
        self.emulator.pool("apps").unwrap()["properties"]["count"].clone()
    }
}

fn code(error: &ArmError) -> (u16, &str) {
    match error {
        ArmError::Answered { status, code, .. } => (*status, code),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn exactly_the_named_machines_are_asked_for_once_and_the_operation_is_followed() {
    for etags in [false, true] {
        let arm = Arm::with(|settings| settings.switches.etags = etags, |_| ()).await;
        let before = arm.machines().await;
        let hold = arm.emulator.operation("apps").hold();
        let operation = arm.remove(&before[..1]).await.unwrap().expect("the answer names the operation");
        assert!(matches!(arm.client.poll(&operation).await, Progress::Running { .. }));
        drop(hold);
        arm.emulator.idle().await;
        assert_eq!(arm.client.poll(&operation).await, Progress::Ended(End::Succeeded));
        assert_eq!((arm.machines().await, arm.count()), (before[1..].to_vec(), json!(1)));
        let [sent] = &arm.sent()[..] else { panic!("sent once") };
        assert_eq!(sent.path, format!("{}/agentPools/apps/deleteMachines", arm.emulator.cluster_id()));
        assert_eq!((sent.query.as_str(), sent.status), ("api-version=2025-10-01", Some(202)));
        assert_eq!(sent.request, Some(json!({"machineNames": before[..1]})), "nothing but the names");
        // The API has no conditions for this request.
        assert!(!sent.headers.keys().any(|name| name.starts_with("if-")), "{:?}", sent.headers);
    }
}

#[tokio::test]
async fn what_azure_does_not_remove_stays_and_is_told_with_its_code() {
    let arm = Arm::start().await;
    let machines = arm.machines().await;
    for wanted in [vec!["aks-apps-12345678-vmss00zzzz".to_owned()], vec![]] {
        let error = arm.error(&wanted).await;
        assert_eq!((code(&error), error.outcome_unknown()), ((400, "InvalidParameter"), false), "{wanted:?}");
    }
    // All machines of a pool that has become a system pool meanwhile.
    arm.emulator.edit(|cluster| {
        cluster.pool_mut("apps").unwrap().properties.insert("mode".to_owned(), json!("System"));
    });
    assert_eq!(code(&arm.error(&machines).await), (400, "InvalidParameter"));
    arm.emulator.edit(|cluster| cluster.pools.retain(|pool| pool.name != "apps"));
    let error = arm.error(&machines).await;
    assert!(error.says_absent(), "{error}");
    assert_eq!(arm.sent().len(), 4);
}

#[tokio::test]
async fn another_operation_on_the_pool_or_a_throttled_client_is_told_and_nothing_is_sent_again() {
    let arm = Arm::start().await;
    let machines = arm.machines().await;
    let hold = arm.emulator.operation("apps").hold_before_nodes();
    arm.remove(&machines[..1]).await.map(drop).unwrap();
    let error = arm.error(&machines[1..]).await;
    assert_eq!((code(&error), error.outcome_unknown()), ((409, "OperationNotAllowed"), false));
    drop(hold);
    arm.emulator.idle().await;
    assert_eq!(arm.machines().await, machines[1..]);

    let throttled = arm.emulator.respond(Matcher::method(POST), Canned::throttled(17), None);
    let error = arm.error(&machines[1..]).await;
    let ArmError::Answered { status: 429, retry_after, .. } = &error else { panic!("{error}") };
    assert_eq!((*retry_after, error.outcome_unknown()), (Some(Duration::from_secs(17)), false));
    drop(throttled);
    assert_eq!((arm.sent().len(), arm.machines().await), (3, machines[1..].to_vec()));
}

#[tokio::test]
async fn whether_a_lost_removal_had_an_effect_is_unknown_and_it_is_not_sent_again() {
    let failed = |canned: Canned| Action::Answer(canned);
    for (action, left) in [
        (Action::DropBefore, 2),
        (Action::DropAfter, 1),
        (failed(Canned::internal_error()), 2),
        (failed(Canned::bad_gateway()), 2),
        (failed(Canned::gateway_timeout()), 2),
    ] {
        let arm = Arm::start().await;
        let machines = arm.machines().await;
        let _fault = arm.emulator.fault(Matcher::method(POST), action.clone(), None);
        let error = arm.error(&machines[..1]).await;
        assert!(error.outcome_unknown(), "{action:?}: {error}");
        let is_named = error.to_string().contains("the removal of machines of pool apps");
        assert_eq!(is_named, matches!(error, ArmError::Lost { .. }), "an answer of Azure speaks for itself: {error}");
        arm.emulator.idle().await;
        assert_eq!((arm.sent().len(), arm.machines().await.len()), (1, left), "{action:?}");
    }
}

#[tokio::test]
async fn only_an_acceptance_is_taken_for_one() {
    let arm = Arm::start().await;
    let machines = arm.machines().await;
    for canned in [
        Canned::text(200, "text/html", "<html>welcome to the proxy</html>"),
        Canned::json(200, &json!({"name": "apps", "properties": {"provisioningState": "Succeeded"}})),
        Canned::text(204, "text/plain", ""),
    ] {
        let _odd = arm.emulator.respond(Matcher::method(POST), canned, None);
        let error = arm.error(&machines[..1]).await;
        let is_told = matches!(&error, ArmError::Malformed { detail, .. } if detail.starts_with("a removal of machines is not answered"));
        assert!(is_told && error.outcome_unknown(), "{error}");
    }
}

#[tokio::test]
async fn removals_and_the_looks_before_them_stay_within_the_published_budgets() {
    let published = |settings: &mut Settings| {
        (settings.time_scale, settings.request_budgets) = (1.0, Some(1.0));
    };
    let arm = Arm::with(published, |options| options.request_share = 1.0).await;
    let unknown = ["aks-apps-12345678-vmss00zzzz".to_owned()];
    let mut removals = 0;
    // What the emulator refuses costs as much.
    let over = loop {
        if let Err(error) = arm.client.afford_removal(2) {
            break error;
        }
        arm.client.cluster().await.unwrap();
        for pool in ["apps", "system"] {
            arm.client.pool(pool).await.unwrap();
        }
        assert_eq!(code(&arm.error(&unknown).await).0, 400, "within the budget");
        removals += 1;
    };
    assert!(matches!(&over, ArmError::OverBudget { .. }), "{over}");
    // Of 60 at once an eighth is kept for repairs, and each removal takes three; some come back while the test runs.
    assert!(removals >= 17, "{removals}");
    assert!(arm.client.afford_step("apps", 2, Urgency::Urgent).is_ok(), "the reserve is left");
}
