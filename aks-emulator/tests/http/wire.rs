//! Bytes on a connection that are no request, or one that is too large: refused, and the next is served.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Local, fast};

/// What comes back for bytes that are all that the client ever sends.
async fn sent(local: &Local, bytes: &[u8]) -> String {
    let endpoint = local.emulator.endpoint();
    let address = (endpoint.host_str().unwrap(), endpoint.port().unwrap());
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has seen enough may close before all is sent.
    stream.write_all(bytes).await.ok();
    stream.shutdown().await.ok();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    read.await.expect("the connection is closed").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_next_is_served() {
    let local = fast().await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let huge = format!("PUT / HTTP/1.1\r\ncontent-length: 5000000\r\n\r\n{}", " ".repeat(5_000_000));
    for (bytes, expected) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], "400"),
        (b"no request\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", "400"),
        (b"PUT / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "400"),
        (b"PUT / HTTP/1.1\r\ncontent-length: 9\r\n\r\ncut", ""),
        (b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", ""),
        (b"", ""),
        (many.as_bytes(), "431"),
        (long.as_bytes(), "414"),
        (huge.as_bytes(), ""),
    ] {
        let answer = sent(&local, bytes).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let expected = if expected.is_empty() { status.is_empty() || status == "400" } else { status == expected };
        let bytes = String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes));
        assert!(expected, "{bytes}: {answer}");
        assert_eq!(local.get_pool("apps").await.status, 200, "after {bytes}");
    }
}
