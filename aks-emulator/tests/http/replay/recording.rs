//! Recordings: requests and answers of the real service, as they lie in the shared folder.

use std::io::Write;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The requests of one file, in their order.
pub struct Recording(Vec<Exchange>);

/// A request and its answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Exchange {
    pub index: u64,
    pub method: String,
    /// Path and query.
    pub url: String,
    #[serde(default)]
    pub request_body: Value,
    pub status: u16,
    pub response_headers: Map<String, Value>,
    #[serde(default)]
    pub response_body: Value,
}

impl Recording {
    /// A recording, or `None` where recordings are not at hand.
    pub fn open(name: &str) -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/aks-traffic");
        let Ok(text) = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))) else {
            // Not with a macro, whose output the test harness would swallow.
            writeln!(std::io::stderr(), "SKIPPED: the recording {name} is not at hand").unwrap();
            return None;
        };
        Some(Self(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
    }

    pub fn exchanges(&self) -> &[Exchange] {
        &self.0
    }

    /// Whether some answer carries this member, at any depth.
    pub fn shows(&self, member: &str) -> bool {
        self.0.iter().any(|exchange| has(&exchange.response_body, member))
    }

    /// The region that the URLs of operations name.
    pub fn location(&self) -> String {
        let named = self.0.iter().find_map(|exchange| exchange.segment("locations"));
        named.unwrap_or("westus2").to_owned()
    }

    /// All pools that answers show, as their documents have them.
    pub fn pools(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().flat_map(Exchange::pools)
    }
}

impl Exchange {
    pub fn path(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    /// The segment after this one in the path.
    pub fn segment(&self, name: &str) -> Option<&str> {
        let mut segments = self.path().split('/').skip_while(|segment| !segment.eq_ignore_ascii_case(name));
        segments.nth(1).or_else(|| self.path().ends_with(name).then_some(""))
    }

    /// The id in the URL of an operation's status or result.
    pub fn operation(&self) -> Option<&str> {
        self.segment("locations")?;
        self.segment("operations").or_else(|| self.segment("operationresults"))
    }

    /// The id of the operation that the answer started.
    pub fn started(&self) -> Option<&str> {
        let url = self.response_headers.get("azure-asyncoperation")?.as_str()?;
        url.split('?').next()?.rsplit('/').next()
    }

    /// The pools that the answer shows.
    pub fn pools(&self) -> Vec<&Value> {
        if self.segment("agentPools").is_none() || self.path().contains("upgradeProfiles") || self.status >= 300 {
            return Vec::new();
        }
        match self.response_body.get("value").and_then(Value::as_array) {
            Some(list) => list.iter().collect(),
            None => Some(&self.response_body).filter(|body| body.is_object()).into_iter().collect(),
        }
    }
}

fn has(value: &Value, member: &str) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(name, value)| name == member || has(value, member)),
        Value::Array(list) => list.iter().any(|value| has(value, member)),
        _ => false,
    }
}
