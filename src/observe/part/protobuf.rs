//! Lists of pods and nodes as protobuf, which is a third of the bytes that JSON is, costs the API server about half the time, and
//! this process less to read. To whoever asked the answer is JSON, of the parts alone. Never touches a watch, and never asks for protobuf alone: what
//! answers with JSON is understood as well.

use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Either, Full};
use prost::bytes::{Buf as _, Bytes};
use prost::{DecodeError, Message};
use serde::Serialize;
use tower::{BoxError, Layer, Service};

use super::{node, pod};

/// The API server takes the first that it has.
const PROTOBUF_OR_JSON: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf,application/json");
const PROTOBUF: &[u8] = b"application/vnd.kubernetes.protobuf";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What an object in protobuf begins with (upstream `runtime/serializer/protobuf`).
const PREFIX: &[u8] = b"k8s\0";

/// Why an answer could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the API server's answer says that it is protobuf of Kubernetes, and does not begin as such")]
    NoPrefix,
    #[error("the API server answered with a {0} where a list of pods or nodes was asked for")]
    OtherKind(String),
    #[error("the API server's answer says that it is protobuf of Kubernetes, and holds no object")]
    Empty,
    #[error("the API server's protobuf can't be read")]
    Malformed(#[from] DecodeError),
    #[error("what the API server told can't be told as JSON")]
    Json(#[from] serde_json::Error),
}

/// Asks for protobuf where a list is asked for. For clients that read nothing but pods and nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Protobuf;

impl<S> Layer<S> for Protobuf {
    type Service = Translated<S>;

    fn layer(&self, inner: S) -> Translated<S> {
        Translated { inner }
    }
}

/// A service whose lists are translated.
#[derive(Debug, Clone)]
pub(super) struct Translated<S> {
    inner: S,
}

impl<S, In, Out> Service<Request<In>> for Translated<S>
where
    S: Service<Request<In>, Response = Response<Out>, Error = BoxError>,
    S::Future: Send + 'static,
    Out: BodyExt<Data = Bytes> + Send + 'static,
    Out::Error: Into<BoxError>,
{
    type Response = Response<Either<Full<Bytes>, Out>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        if is_list(&request) {
            request.headers_mut().insert(ACCEPT, PROTOBUF_OR_JSON);
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let (mut head, body) = answer.await?.into_parts();
            if !is_protobuf(&head.headers) {
                return Ok(Response::from_parts(head, Either::Right(body)));
            }
            let told = body.collect().await.map_err(Into::into)?.to_bytes();
            let json = in_json(told)?;
            head.headers.insert(CONTENT_TYPE, JSON);
            head.headers.remove(CONTENT_LENGTH);
            Ok(Response::from_parts(head, Either::Left(Full::new(json.into()))))
        })
    }
}

fn is_list<T>(request: &Request<T>) -> bool {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let is_of_many = path.ends_with("/pods") || path.ends_with("/nodes");
    request.method() == Method::GET && is_of_many && !query.split('&').any(|pair| pair.starts_with("watch="))
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(PROTOBUF))
}

/// The answer in JSON.
pub(super) fn in_json(mut told: Bytes) -> Result<Vec<u8>, Unreadable> {
    if !told.starts_with(PREFIX) {
        return Err(Unreadable::NoPrefix);
    }
    told.advance(PREFIX.len());
    let Unknown { type_meta, raw } = Unknown::decode(told)?;
    if raw.is_empty() {
        return Err(Unreadable::Empty);
    }
    let json = match type_meta.kind.as_str() {
        "PodList" => serde_json::to_vec(&List::<pod::Pod>::decode(raw)?),
        "NodeList" => serde_json::to_vec(&List::<node::Node>::decode(raw)?),
        "Status" => serde_json::to_vec(&Failure::decode(raw)?),
        other => return Err(Unreadable::OtherKind(other.to_owned())),
    };
    Ok(json?)
}

/// Any object (upstream `runtime.Unknown`).
#[derive(Message)]
struct Unknown {
    #[prost(message, required, tag = "1")]
    type_meta: TypeMeta,
    #[prost(bytes = "bytes", tag = "2")]
    raw: Bytes,
}

#[derive(Message)]
struct TypeMeta {
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Message, Serialize)]
struct List<T: Message + Default + Debug> {
    #[prost(message, required, tag = "1")]
    metadata: ListMeta,
    #[prost(message, repeated, tag = "2")]
    items: Vec<T>,
}

#[derive(Message, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    #[prost(string, tag = "2")]
    resource_version: String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    r#continue: String,
}

/// Why there is no list (upstream `meta/v1` `Status`).
#[derive(Message, Serialize)]
struct Failure {
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(message, optional, tag = "5")]
    details: Option<FailureDetails>,
    #[prost(int32, tag = "6")]
    code: i32,
}

#[derive(Message, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureDetails {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(string, tag = "3")]
    kind: String,
    #[prost(int32, tag = "5")]
    retry_after_seconds: i32,
}

/// A list of one object, as the API server tells it.
#[cfg(test)]
pub(super) fn listed<T: Message + Default + Debug>(kind: &str, item: T) -> Bytes {
    let metadata = ListMeta { resource_version: "7".to_owned(), r#continue: "more".to_owned() };
    let raw = List { metadata, items: vec![item] }.encode_to_vec().into();
    let unknown = Unknown { type_meta: TypeMeta { kind: kind.to_owned() }, raw };
    [PREFIX, &unknown.encode_to_vec()].concat().into()
}
