//! `If-Match` and `If-None-Match`, as the manual's table has them. Never makes an eTag.

use super::refusal::Refusal;
use super::state::Pool;

/// The headers of a request; an empty one is as good as none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preconditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

/// The first generally available version whose specification has eTags; before it the headers mean nothing.
const SINCE: &str = "2024-09-01";

/// Whether an api-version knows eTags.
pub(crate) fn known_to(api_version: &str) -> bool {
    api_version >= SINCE
}

impl Preconditions {
    /// Refuses headers that cannot be used, whatever the pool. Both headers at once are refused too.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match (given(self.if_match.as_ref()), given(self.if_none_match.as_ref())) {
            (_, None) | (None, Some("*")) => Ok(()),
            (Some(_), Some("*")) => Err(Refusal::both_preconditions()),
            (_, Some(other)) => Err(Refusal::if_none_match(other)),
        }
    }

    /// Refuses a PUT whose headers do not hold for the pool, or for there being none.
    pub(crate) fn check_put(&self, pool: Option<&Pool>) -> Result<(), Refusal> {
        match pool {
            Some(pool) => self.check_present(pool),
            None if given(self.if_match.as_ref()).is_some() => Err(Refusal::etag_without_resource()),
            None => Ok(()),
        }
    }

    /// Refuses a request whose headers do not hold for a pool.
    pub(crate) fn check_present(&self, pool: &Pool) -> Result<(), Refusal> {
        if let Some(none) = given(self.if_none_match.as_ref()) {
            return Err(Refusal::precondition(none));
        }
        match given(self.if_match.as_ref()) {
            Some(wanted) if wanted != "*" && wanted != pool.text("eTag") => Err(Refusal::precondition(wanted)),
            _ => Ok(()),
        }
    }
}

fn given(header: Option<&String>) -> Option<&str> {
    header.map(|value| value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn pool() -> Pool {
        Pool {
            name: "p".to_owned(),
            properties: Map::from_iter([("eTag".to_owned(), json!("xyz"))]),
            applied: crate::Applied::default(),
            count_when_started: None,
            next_instance: 0,
            deallocated: 0,
            deletion_started: None,
            rolling: None,
            recently_used: Vec::new(),
        }
    }

    #[test]
    fn headers_hold_as_the_manuals_table_has_it() {
        let pool = pool();
        for (if_match, if_none_match, absent, present) in [
            (None, None, 200, 200),
            (Some(""), None, 200, 200),
            (Some("*"), None, 412, 200),
            (Some("xyz"), None, 412, 200),
            (Some("\"xyz\""), None, 412, 200),
            (Some("other"), None, 412, 412),
            (None, Some("*"), 200, 412),
            (None, Some("xyz"), 400, 400),
            (Some("xyz"), Some("*"), 400, 400),
            (Some("xyz"), Some(""), 412, 200),
        ] {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let headers = Preconditions { if_match: own(if_match), if_none_match: own(if_none_match) };
            let status = |pool| match headers.check().and_then(|()| headers.check_put(pool)) {
                Ok(()) => 200,
                Err(refusal) => refusal.status(),
            };
            assert_eq!((status(None), status(Some(&pool))), (absent, present), "{headers:?}");
        }
    }
}
