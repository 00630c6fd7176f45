//! What the journal must not keep: secrets, assertions and tokens. Never changes what is answered.

use axum::http::{HeaderMap, header};
use serde_json::Value;
use url::form_urlencoded;

const REDACTED: &str = "[redacted]";
/// Fields of a form that tell nothing secret.
const OPEN: [&str; 8] = [
    "client_assertion_type",
    "client_id",
    "client_info",
    "grant_type",
    "requested_token_use",
    "resource",
    "scope",
    "token_type",
];

const SECRET: [&str; 2] = ["client_assertion", "client_secret"];

/// A request's body as the journal has it. Of forms, and of anything that is sent to a token endpoint, only what is
/// known to be no secret.
pub(super) fn request(path: &str, headers: &HeaderMap, body: Option<Value>) -> Option<Value> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_form = kind.trim().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    if !is_form && !path.to_ascii_lowercase().contains("/oauth2/") {
        return body;
    }
    Some(match body? {
        Value::String(text) => Value::String(form(&text)),
        // A number is what a form of digits alone is read as.
        _ => Value::String(REDACTED.to_owned()),
    })
}

/// An answer's body as the journal has it.
pub(super) fn answer(mut body: Option<Value>) -> Option<Value> {
    if let Some(Value::Object(fields)) = &mut body {
        for (name, value) in fields {
            if name.ends_with("_token") {
                *value = Value::String(REDACTED.to_owned());
            }
        }
    }
    body
}

fn form(text: &str) -> String {
    let mut open = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        // Of a field with another name, the name could be the secret.
        if OPEN.contains(&name.as_ref()) {
            open.append_pair(&name, &value);
        } else if SECRET.contains(&name.as_ref()) {
            open.append_pair(&name, REDACTED);
        }
    }
    open.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_open_fields_of_a_form_are_kept() {
        let none = HeaderMap::new();
        let kept = |path: &str, headers: &HeaderMap, body: Value| request(path, headers, Some(body)).unwrap();
        let body = json!("grant_type=client_credentials&client_id=c&client_secret=s3cret&client_assertion=a.b.c");
        let text = kept("/t/oauth2/v2.0/token", &none, body).to_string();
        assert!(text.contains("client_id=c") && text.contains("client_credentials"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("a.b.c"), "{text}");
        // Neither what was sent without a name, nor JSON, nor a form that went astray.
        for body in [json!("s3cret"), json!({"client_secret": "s3cret"}), json!(["s3cret"])] {
            assert!(!kept("/t/oauth2/token", &none, body).to_string().contains("s3cret"));
        }
        let form = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap())]);
        assert!(!kept("/elsewhere", &form, json!("client_secret=s3cret")).to_string().contains("s3cret"));
        assert_eq!(kept("/elsewhere", &none, json!({"a": 1})), json!({"a": 1}));
    }

    #[test]
    fn tokens_in_answers_are_not_kept() {
        let body = json!({"token_type": "Bearer", "access_token": "a.b.c"});
        assert_eq!(answer(Some(body)), Some(json!({"token_type": "Bearer", "access_token": "[redacted]"})));
    }
}
