//! How the ARM client follows operations of the AKS emulator, and what it does when their URLs tell nothing. Never goes
//! through the operator's loop.

use std::sync::Arc;
use std::time::Duration;

use aks_emulator::{Action, Canned, ClusterSpec, Emulator, Exchange, Matcher, NoNodes, PoolSpec, Settings};
use nodepool_operator::arm::{ArmClient, ArmOptions, End, Operation, OperationUrlError, Progress};
use serde_json::json;
use url::Url;

use crate::support::{options, provider};

/// An emulator with the pool `apps`, and the client.
struct Arm {
    emulator: Emulator,
    client: ArmClient,
}

impl Arm {
    async fn start(edit: impl FnOnce(&mut Settings)) -> Self {
        Self::with(edit, |_| ()).await
    }

    async fn with(edit: impl FnOnce(&mut Settings), set: impl FnOnce(&mut ArmOptions)) -> Self {
        provider();
        let mut settings = Settings::with_time_scale(1e6);
        edit(&mut settings);
        let cluster = ClusterSpec::with_pools([PoolSpec::system("system", 2), PoolSpec::user("apps", 1)]);
        let emulator = Emulator::start(settings, cluster, Arc::new(NoNodes::new())).await.unwrap();
        let mut options = options(emulator.endpoint().as_str(), emulator.cluster_id());
        set(&mut options);
        let client = ArmClient::new(options).unwrap();
        Self { emulator, client }
    }

    /// Somebody scales the pool; the operation and its URL.
    async fn scale(&self) -> (Operation, String) {
        let endpoint = self.emulator.endpoint().as_str().trim_end_matches('/');
        let url = format!("{endpoint}{}/agentPools/apps?api-version=2025-10-01", self.emulator.cluster_id());
        let request = reqwest::Client::builder().no_proxy().build().unwrap().put(url).header("user-agent", "by-hand");
        let answer = request.body(json!({"properties": {"count": 3}}).to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let url = answer.headers().get("azure-asyncoperation").unwrap().to_str().unwrap().to_owned();
        (Operation::at(&url, self.emulator.endpoint()).unwrap(), url)
    }

    /// What the client sent.
    fn sent(&self) -> Vec<Exchange> {
        self.emulator.journal().by_user_agent("nodepool-operator").iter().cloned().collect()
    }
}

/// What runs on, when it is to be asked again and what it says.
fn running(progress: Progress) -> (Operation, Option<Duration>, String) {
    match progress {
        Progress::Running { operation, poll_after, says } => (operation, poll_after, says),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_operation_is_asked_at_its_url_to_the_letter_until_it_ends() {
    let arm = Arm::start(|_| ()).await;
    let hold = arm.emulator.operation("apps").hold();
    let (operation, url) = arm.scale().await;
    let (operation, poll_after, says) = running(arm.client.poll(&operation).await);
    assert_eq!((poll_after, says.as_str()), (None, "InProgress"));
    drop(hold);
    arm.emulator.idle().await;
    assert_eq!(arm.client.poll(&operation).await, Progress::Ended(End::Succeeded));
    let sent = arm.sent();
    assert_eq!(sent.len(), 2, "one request a poll");
    for exchange in sent {
        assert_eq!((exchange.method.as_str(), exchange.status), ("GET", Some(200)));
        assert!(url.ends_with(&format!("{}?{}", exchange.path, exchange.query)), "{}", exchange.path);
    }
}

#[tokio::test]
async fn a_failed_operation_is_told_with_its_code() {
    let arm = Arm::start(|settings| settings.switches.leftover_errors = true).await;
    let hold = arm.emulator.operation("apps").hold_before_nodes();
    let _fail = arm.emulator.operation("apps").fail("QuotaExceeded", "no cores left", None);
    let (operation, _) = arm.scale().await;
    let (operation, _, says) = running(arm.client.poll(&operation).await);
    assert_eq!(says, "InProgress", "an error left over beside it means nothing");
    drop(hold);
    arm.emulator.idle().await;
    let Progress::Ended(End::Failed { code, message }) = arm.client.poll(&operation).await else { panic!() };
    assert_eq!((code.as_str(), message.as_str()), ("QuotaExceeded", "no cores left"));
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_no_end_and_is_not_sent_again() {
    let arm = Arm::with(|_| (), |options| options.read_timeout = Duration::from_secs(3)).await;
    let hold = arm.emulator.operation("apps").hold();
    let (mut operation, _) = arm.scale().await;
    let answers = [
        (Action::Answer(Canned::throttled(17)), Some(17), "Azure answered 429"),
        // Nobody is to be kept waiting for a day.
        (Action::Answer(Canned::throttled(86_400)), Some(3600), "Azure answered 429"),
        (Action::Answer(Canned::internal_error()), None, "Azure answered 500"),
        (Action::Answer(Canned::bad_gateway()), None, "Azure answered 502"),
        (Action::DropBefore, None, "no answer from"),
        (Action::Delay(Duration::from_mins(1)), None, "no whole answer came within 3 s"),
    ];
    for (sent, (action, wait, told)) in answers.into_iter().enumerate() {
        let _fault = arm.emulator.fault(Matcher::method("GET"), action, None);
        let (then, poll_after, says) = running(arm.client.poll(&operation).await);
        assert_eq!(poll_after, wait.map(Duration::from_secs), "{told}");
        assert!(says.contains(told), "{told}: {says}");
        assert_eq!(arm.sent().len(), sent + 1, "{told}: one request a poll");
        operation = then;
    }
    drop(hold);
    arm.emulator.idle().await;
    assert_eq!(arm.client.poll(&operation).await, Progress::Ended(End::Succeeded));
}

#[tokio::test]
async fn a_forbidden_operation_is_left_to_the_state_of_its_pool() {
    let arm = Arm::start(|settings| settings.switches.operation_urls_forbidden = true).await;
    let (operation, _) = arm.scale().await;
    let Progress::Untold { why } = arm.client.poll(&operation).await else { panic!() };
    assert!(why.contains("403"), "{why}");
}

#[tokio::test]
async fn pages_of_something_in_between_are_borne_three_times() {
    let arm = Arm::start(|_| ()).await;
    let (operation, _) = arm.scale().await;
    let page = Canned::text(200, "text/html", "<html>welcome to the proxy</html>");
    let _odd = arm.emulator.respond(Matcher::method("GET"), page, None);
    let (operation, ..) = running(arm.client.poll(&operation).await);
    let (operation, ..) = running(arm.client.poll(&operation).await);
    let Progress::Untold { why } = arm.client.poll(&operation).await else { panic!() };
    assert!(why.contains("not JSON"), "{why}");
}

#[tokio::test]
async fn no_request_goes_to_another_host_than_arm() {
    let (arm, other) = tokio::join!(Arm::start(|_| ()), Arm::start(|_| ()));
    let (_, url) = other.scale().await;
    let refused = Operation::at(&url, arm.emulator.endpoint()).unwrap_err();
    let OperationUrlError::Elsewhere { origin, .. } = refused else { panic!("{refused}") };
    let port = Url::parse(&url).unwrap().port().unwrap();
    assert_eq!(origin, format!("http://127.0.0.1:{port}"));
}

#[tokio::test]
async fn polls_stay_within_the_published_budget() {
    // A hundredth of the published 200.
    let arm = Arm::with(|_| (), |options| options.request_share = 0.01).await;
    let hold = arm.emulator.operation("apps").hold();
    let (operation, _) = arm.scale().await;
    let (operation, ..) = running(arm.client.poll(&operation).await);
    let (operation, ..) = running(arm.client.poll(&operation).await);
    let (_, poll_after, says) = running(arm.client.poll(&operation).await);
    assert!(says.contains("request budget is used up"), "{says}");
    assert!(poll_after.is_some_and(|wait| wait <= Duration::from_secs(50)), "{poll_after:?}");
    assert_eq!(arm.sent().len(), 2);
    drop(hold);
}
