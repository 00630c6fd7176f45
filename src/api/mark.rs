//! The annotation of a node that the operator cordoned for a drain: for which policy, what for and since when. It is all that a
//! drain remembers. Never written without the cordon.

use nodepool_kernel::{DrainMark, Time};
use serde::{Deserialize, Serialize};

use super::intent::time;

/// The annotation's key.
pub const DRAIN_ANNOTATION: &str = "aks.nodepool.dev/drain";

/// The annotation's value, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    policy: String,
    plan: String,
    since: String,
}

/// The annotation's value for a mark.
#[must_use]
pub fn drain_annotation(mark: &DrainMark) -> String {
    let since = jiff::Timestamp::from_millisecond(mark.since.as_millis()).unwrap_or_default().to_string();
    let (policy, plan) = (&mark.policy, &mark.plan);
    serde_json::json!({"policy": policy, "plan": plan, "since": since}).to_string()
}

/// The mark that the annotation's value tells; `None` for anything else, so that such a node counts as cordoned by somebody
/// else.
#[must_use]
pub fn drain_mark(value: &str) -> Option<DrainMark> {
    let Mark { policy, plan, since } = serde_json::from_str(value).ok()?;
    let since: Time = time(&since)?;
    Some(DrainMark { policy, plan, since })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_as_it_was_written_and_nothing_else_is_one() {
        let since = Time::from_millis(1_800_000_000_123);
        let mark = DrainMark { policy: "system".into(), plan: "scale from 5 to 3 nodes".into(), since };
        let text = drain_annotation(&mark);
        assert_eq!(text, r#"{"plan":"scale from 5 to 3 nodes","policy":"system","since":"2027-01-15T08:00:00.123Z"}"#);
        assert_eq!(drain_mark(&text), Some(mark));
        for text in ["", "{}", r#"{"policy":"a","plan":"b"}"#, r#"{"policy":"a","plan":"b","since":"soon"}"#] {
            assert_eq!(drain_mark(text), None, "{text}");
        }
    }
}
