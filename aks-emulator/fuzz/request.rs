//! What any request is held to, shared by the fuzz target and the tests: never a panic, never a 500, and each refusal
//! is JSON with a code and a message. Never looks whether an answer is the service's.

use std::sync::Arc;

use aks_emulator::{ClusterSpec, Emulator, NoNodes, PoolSpec, Settings};
use http::{Request, Response};
use serde_json::Value;

/// In how many steps of the clock any operation ends.
const MOST_STEPS: usize = 20_000;

/// Sends one request to a fresh emulator and checks the answer, and that whatever it started ends.
///
/// The input reads like a request on the wire: `METHOD target`, lines `name: value`, an empty line, the body. What
/// cannot be a request is passed over, as the server's parser would refuse it.
pub async fn hold(input: &[u8]) {
    let Some(request) = parse(input) else {
        return;
    };
    let settings = Settings { manual_clock: true, ..Settings::default() };
    let cluster = ClusterSpec::with_pools([PoolSpec::system("system", 1), PoolSpec::user("apps", 1)]);
    let emulator = Emulator::start(settings, cluster, Arc::new(NoNodes::new())).await.unwrap();
    let answer = emulator.request(request).await;
    check(&answer.expect("no fault closes connections"));
    let clock = emulator.clock().unwrap();
    for _ in 0..MOST_STEPS {
        if clock.advance_to_next().await.is_none() || rests(&emulator) {
            break;
        }
    }
    assert!(rests(&emulator), "{:?} {:?}", emulator.pool("system"), emulator.pool("apps"));
}

/// Whether no operation runs on the pools that are there from the start.
fn rests(emulator: &Emulator) -> bool {
    ["system", "apps"].into_iter().all(|pool| {
        let state = emulator.pool(pool).map(|pool| pool["properties"]["provisioningState"].clone());
        state.as_ref().and_then(Value::as_str).is_none_or(|state| matches!(state, "Succeeded" | "Failed" | "Canceled"))
    })
}

fn check(answer: &Response<Vec<u8>>) {
    let status = answer.status().as_u16();
    let text = String::from_utf8_lossy(answer.body());
    assert_ne!(status, 500, "{text}");
    assert!((200..300).contains(&status) || (400..600).contains(&status), "{status}");
    if status < 400 {
        return;
    }
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_else(|error| panic!("{status} {text}: {error}"));
    let error = body.get("error").unwrap_or(&body);
    for member in ["code", "message"] {
        assert!(error[member].as_str().is_some_and(|value| !value.is_empty()), "{status} {text}");
    }
}

fn parse(input: &[u8]) -> Option<Request<Vec<u8>>> {
    let end = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(end);
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let (method, target) = first.split_at(space);
    let mut request = Request::builder().method(method).uri(target.get(1..)?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        request = request.header(name, value.get(1..)?.trim_ascii());
    }
    request.body(body.get(2..).unwrap_or_default().to_vec()).ok()
}
