//! The way of one request through a door; never decides what is held or cut.

use std::sync::Arc;

use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::{Fate, Request, Shared, Stage, Verdict};

/// Ends the connection without an answer.
#[derive(Debug)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was cut at the door")
    }
}

impl std::error::Error for Cut {}

type Body = UnsyncBoxBody<Bytes, reqwest::Error>;

/// Headers that belong to one connection and are not passed on.
const OF_THE_CONNECTION: [HeaderName; 7] =
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

pub(super) async fn pass(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> Result<hyper::Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let seen = Arc::new(Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: body.to_vec(),
    });
    let passage = shared.arrived(&seen);
    if shared.rules.meet(Stage::Before, &seen).await == Verdict::Cut {
        shared.became(passage, Fate::CutBefore);
        return Err(Cut);
    }
    shared.became(passage, Fate::Sent);
    let mut url = shared.server.clone();
    url.set_path(&seen.path);
    url.set_query(parts.uri.query());
    let sent = shared.client.request(parts.method, url).headers(passed_on(parts.headers)).body(body).send().await;
    let Ok(answer) = sent else {
        shared.became(passage, Fate::ServerFailed);
        return Err(Cut);
    };
    let status = answer.status();
    if shared.rules.meet(Stage::After, &seen).await == Verdict::Cut {
        shared.became(passage, Fate::CutAfter(status.as_u16()));
        return Err(Cut);
    }
    shared.became(passage, Fate::Answered(status.as_u16()));
    let headers = passed_on(answer.headers().clone());
    let mut response = hyper::Response::new(StreamBody::new(answer.bytes_stream().map_ok(Frame::data)).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers
}
