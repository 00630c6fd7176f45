//! The error catalogue: each row of the error table of the facts (section 3) is provoked, and shape, status, code,
//! text and target of the answer are compared. `error-catalogue.json` says for each row where it is from.

mod scenes;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::{Answer, fast};

/// A row, or one of several for the same case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    /// As the table has it.
    case: String,
    source: String,
    #[serde(flatten)]
    provoked: Provoked,
    /// Of the answer; operations have none.
    status: Option<u16>,
    #[serde(default)]
    code: String,
    /// `*` stands for any text.
    #[serde(default)]
    message: String,
    target: Option<String>,
    #[serde(default)]
    subcode: String,
    #[serde(default)]
    details: Value,
    /// The code of the one detail of an operation's error.
    inner: Option<String>,
    #[serde(default)]
    form: Form,
    #[serde(default)]
    retry_after: bool,
}

/// How a row is provoked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Provoked {
    /// By a PUT on the usual cluster.
    Put { pool: String, properties: Value },
    /// By a scene of [`scenes`]: a name and perhaps an argument.
    Scene(String),
    /// Not at all, for a reason.
    Not(String),
}

/// In what form the error comes.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Form {
    #[default]
    Provider,
    Gateway,
    /// The gateway's, about the provider.
    GatewayOfService,
    /// The provider's without details and subcode.
    Bare,
    /// The end of an operation, and the status of its pool.
    Operation,
}

fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("../error-catalogue.json")).unwrap()
}

#[tokio::test]
async fn each_row_is_provoked() {
    for row in rows() {
        let answer = match &row.provoked {
            Provoked::Not(reason) => {
                assert!(!reason.is_empty() && row.code.is_empty(), "{}", row.case);
                continue;
            }
            Provoked::Put { pool, properties } => fast().await.put(pool, properties.clone()).await,
            Provoked::Scene(scene) => scenes::play(scene).await,
        };
        assert!(!row.source.is_empty(), "{}", row.case);
        check(&row, &answer);
    }
}

fn check(row: &Row, answer: &Answer) {
    let case = format!("{} ({}): {}", row.case, row.code, answer.body);
    let json = "application/json";
    let (at_fault, content, expected) = match row.form {
        Form::Provider => (None, json, provider(row, answer)),
        Form::Bare => (Some("service"), json, json!({"code": row.code, "message": answer.body["message"]})),
        Form::Gateway | Form::GatewayOfService => {
            let at_fault = if matches!(row.form, Form::Gateway) { "gateway" } else { "service" };
            let error = json!({"code": row.code, "message": answer.body["error"]["message"]});
            (Some(at_fault), "application/json; charset=utf-8", json!({"error": error}))
        }
        Form::Operation => return check_operation(row, answer, &case),
    };
    assert_eq!(Some(answer.status), row.status, "{case}");
    assert_eq!(answer.body, expected, "{case}");
    assert_eq!(answer.header("x-ms-failure-cause"), at_fault, "{case}");
    assert_eq!(answer.header("content-type"), Some(content), "{case}");
    assert_eq!(answer.header("retry-after").is_some(), row.retry_after, "{case}");
    assert_eq!(answer.header("azure-asyncoperation"), None, "{case}");
    let message = answer.body["message"].as_str().or(answer.body["error"]["message"].as_str()).unwrap();
    assert!(matches(&row.message, message), "{case}");
}

fn provider(row: &Row, answer: &Answer) -> Value {
    let mut body = Map::new();
    body.insert("code".to_owned(), json!(row.code));
    body.insert("details".to_owned(), row.details.clone());
    body.insert("message".to_owned(), answer.body["message"].clone());
    body.insert("subcode".to_owned(), json!(row.subcode));
    if let Some(target) = &row.target {
        body.insert("target".to_owned(), json!(target));
    }
    Value::Object(body)
}

/// The answer is the operation's last status, with the pool's beside it as `pool` if that is still there.
fn check_operation(row: &Row, answer: &Answer, case: &str) {
    let operation = &answer.body["operation"];
    assert_eq!(operation["status"], "Failed", "{case}");
    assert!(operation["startTime"].is_string() && operation["endTime"].is_string(), "{case}");
    let error = &operation["error"];
    assert_eq!(error["code"], row.code.as_str(), "{case}");
    assert!(matches(&row.message, error["message"].as_str().unwrap()), "{case}");
    match &row.inner {
        Some(inner) => assert_eq!(error["details"][0]["code"], inner.as_str(), "{case}"),
        None => assert_eq!(error.get("details"), None, "{case}"),
    }
    if let Some(pool) = answer.body.get("pool") {
        assert_eq!(pool["properties"]["provisioningState"], "Failed", "{case}");
        assert_eq!(pool["properties"]["status"]["provisioningError"], *error, "{case}");
    }
}

/// Whether a text is as a pattern has it, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let mut ends = (0..=text.len()).filter(|end| text.is_char_boundary(*end));
            ends.any(|end| matches(rest, &text[end..]))
        }),
    }
}

/// The table's first column is compared with the catalogue's cases, where the facts are at hand.
#[test]
fn no_row_of_the_table_is_missing() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/aks.md");
    let Ok(facts) = std::fs::read_to_string(path) else {
        // Not with a macro, whose output the test harness would swallow.
        writeln!(std::io::stderr(), "SKIPPED: the table of errors is not at hand").unwrap();
        return;
    };
    let table = facts.lines().skip_while(|line| !line.starts_with("| Case | HTTP |")).skip(2);
    let cases: BTreeSet<String> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').nth(1).unwrap().trim().to_owned())
        .collect();
    assert!(cases.len() > 40, "{cases:?}");
    assert_eq!(rows().into_iter().map(|row| row.case).collect::<BTreeSet<_>>(), cases);
}
