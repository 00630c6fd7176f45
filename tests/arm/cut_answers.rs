//! Answers that do not arrive whole, and odd ones that do: what is known is told, and the outcome of a write is unknown
//! exactly when no status came with it.

use std::time::Duration;

use nodepool_operator::arm::{ArmClient, ArmError, ArmOptions};
use serde_json::json;

use crate::server::{Reply, Server};
use crate::support::{CLUSTER, ID, approved, client, errors, managed_cluster, options, permit, pool, provider, tells};

#[tokio::test]
async fn an_answer_that_breaks_off_is_lost() {
    let id = format!("x-ms-correlation-request-id: {ID}");
    let half = r#"{"name": "apps", "proper"#;
    let chunk = format!("{:x}\r\n{half}\r\n", half.len());
    for (name, reply, detail, correlation) in [
        ("shorter than said", Reply::cut("200 OK", &["content-length: 5000", &id], half), "broke off", Some(ID)),
        (
            "a chunk is missing",
            Reply::cut("200 OK", &["transfer-encoding: chunked", &id], chunk),
            "broke off",
            Some(ID),
        ),
        ("no chunk", Reply::cut("200 OK", &["transfer-encoding: chunked", &id], "zz\r\n"), "broke off", Some(ID)),
        ("within the head", Reply::raw("HTTP/1.1 200 OK\r\ncontent-le"), "no answer", None),
        ("before anything", Reply::raw(""), "no answer", None),
        ("another protocol", Reply::raw("220 mail.example ESMTP\r\n"), "no answer", None),
        (
            "a head without end",
            Reply::whole("200 OK", &[&format!("x: {}", "x".repeat(2 << 20))], half),
            "no answer",
            None,
        ),
    ] {
        let server = Server::start(reply).await;
        for (what, error) in errors(&client(server.endpoint(), CLUSTER)).await {
            let said = tells(what, server.endpoint(), &error);
            assert!(matches!(error, ArmError::Lost { .. }) && said.contains(detail), "{name}: {said}");
            assert_eq!((error.correlation(), error.outcome_unknown()), (correlation, true), "{name}: {said}");
        }
        let writes = server.requests().iter().filter(|request| request.starts_with("PUT")).count();
        assert_eq!(writes, 1, "{name}: a write goes once");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_lost() {
    let length = "content-length: 5000";
    for (name, reply) in [
        ("nothing", Reply::raw("").then_hangs()),
        ("half of the head", Reply::raw("HTTP/1.1 200 OK\r\ncontent-le").then_hangs()),
        ("half of the body", Reply::cut("200 OK", &[length], r#"{"name": "apps""#).then_hangs()),
        ("an error without its body", Reply::cut("500 Oops", &[length], "").then_hangs()),
    ] {
        provider();
        let server = Server::start(reply).await;
        let limit = Duration::from_millis(400);
        let options = ArmOptions { read_timeout: limit, write_timeout: limit, ..options(server.endpoint(), CLUSTER) };
        for (what, error) in errors(&ArmClient::new(options).unwrap()).await {
            let said = tells(what, server.endpoint(), &error);
            assert!(matches!(error, ArmError::Lost { .. }), "{name}: {said}");
            assert!(said.ends_with("no whole answer came within 0.4 s"), "{name}: {said}");
            assert!(error.outcome_unknown(), "{name}: {said}");
        }
        assert_eq!(server.requests().len(), 3, "{name}: nothing is asked twice");
    }
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_told_and_not_waited() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let body = r#"{"code": "Throttled", "message": "please retry again in 60 seconds"}"#;
        let server = Server::start(Reply::whole(status, &["retry-after: 60"], body)).await;
        for (what, error) in errors(&client(server.endpoint(), CLUSTER)).await {
            let ArmError::Answered { code, retry_after, .. } = &error else { panic!("{what}: {error}") };
            assert_eq!((code.as_str(), *retry_after), ("Throttled", Some(Duration::from_mins(1))), "{what}");
        }
        assert_eq!(server.requests().len(), 3, "{status}: nothing is asked twice");
    }
}

#[tokio::test]
async fn an_error_whose_body_breaks_off_is_an_error() {
    let id = format!("x-ms-correlation-request-id: {ID}");
    for (status, unknown) in [("400 Bad Request", false), ("412 Precondition Failed", false), ("500 Oops", true)] {
        let server = Server::start(Reply::cut(status, &["content-length: 5000", &id], r#"{"code": "Inv"#)).await;
        for (what, error) in errors(&client(server.endpoint(), CLUSTER)).await {
            let said = tells(what, server.endpoint(), &error);
            assert_eq!(error.status().map(|status| status.to_string()).as_deref(), status.get(..3), "{said}");
            assert_eq!((error.correlation(), error.outcome_unknown()), (Some(ID), unknown), "{status}: {said}");
        }
    }
}

#[tokio::test]
async fn what_was_never_sent_had_no_effect() {
    let endpoint = {
        let server = Server::start(Reply::raw("")).await;
        server.endpoint().to_owned()
    };
    for (what, error) in errors(&client(&endpoint, CLUSTER)).await {
        let said = tells(what, &endpoint, &error);
        assert!(matches!(error, ArmError::NotSent { .. }) && said.contains("can't connect"), "{said}");
        assert_eq!((error.correlation(), error.outcome_unknown()), (None, false), "{said}");
    }
}

#[tokio::test]
async fn odd_answers_that_say_all_are_taken() {
    let document = pool("apps").to_string();
    let (first, rest) = document.split_at(10);
    let chunks = format!("{:x}\r\n{first}\r\n{:x};x=y\r\n{rest}\r\n0\r\n\r\n", first.len(), rest.len());
    let url = format!("azure-asyncoperation: http://127.0.0.1/o?s={}", "s".repeat(3000));
    let long = format!("x-padding: {}", "p".repeat(3000));
    let mut large = pool("apps");
    large["properties"]["tags"] = json!({"x": "x".repeat(6 << 20)});
    for (name, reply) in [
        ("another content-type", Reply::whole("200 OK", &["content-type: text/plain"], &document)),
        ("no content-type", Reply::whole("200 OK", &[], &document)),
        ("identity", Reply::whole("200 OK", &["content-encoding: identity"], &document)),
        ("in chunks", Reply::cut("200 OK", &["transfer-encoding: chunked"], chunks)),
        ("up to the end of the connection", Reply::cut("200 OK", &[], &document)),
        ("of HTTP/1.0", Reply::raw(format!("HTTP/1.0 200 OK\r\n\r\n{document}"))),
        (
            "a URL of 3 KB and 60 long headers",
            Reply::whole("201 Created", &[vec![url.as_str()], vec![&long; 60]].concat(), &document),
        ),
        ("6 MB", Reply::whole("200 OK", &[], large.to_string())),
    ] {
        let server = Server::start(reply).await;
        let client = client(server.endpoint(), CLUSTER);
        let read = client.pool("apps").await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read.pool().count, 2, "{name}");
        let (approved, write) = approved();
        let written = client.put_pool(&approved, &write, permit()).await;
        assert!(written.is_ok(), "{name}: {written:?}");
    }
    let server = Server::start(Reply::whole("200 OK", &[], managed_cluster().to_string())).await;
    assert_eq!(client(server.endpoint(), CLUSTER).cluster().await.unwrap().pools.len(), 2);
}
