//! A server that sends whatever bytes it is told to, however broken. Never understands HTTP beyond the end of a request.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with a request.
#[derive(Clone)]
pub struct Reply {
    /// What it sends.
    pub bytes: Vec<u8>,
    /// Whether the connection stays open and silent afterwards.
    pub hangs: bool,
}

impl Reply {
    /// These bytes and the end of the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), hangs: false }
    }

    /// A whole answer: the status line's text, header lines, and a body whose length is right.
    pub fn whole(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let length = format!("content-length: {}", body.as_ref().len());
        let mut lines = vec![length.as_str()];
        lines.extend(headers);
        Self::cut(status, &lines, body)
    }

    /// An answer whose headers say of the body's length what they like.
    pub fn cut(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{}\r\n\r\n", headers.join("\r\n"));
        Self::raw([head.as_bytes(), body.as_ref()].concat())
    }

    /// The same, and then silence.
    pub fn then_hangs(mut self) -> Self {
        self.hangs = true;
        self
    }
}

/// A running server. It ends when this value is dropped.
pub struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server that replies to every request the same.
    pub async fn start(reply: Reply) -> Self {
        Self::choosing(move |_| reply.clone()).await
    }

    /// Starts a server whose replies depend on the request's head.
    pub async fn choosing(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (Arc::clone(&requests), Arc::new(reply));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                tokio::spawn(async move { serve(stream, &seen, reply.as_ref()).await });
            }
        });
        Self { endpoint, requests, task }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The heads of the requests that came.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<String>>, reply: &(dyn Fn(&str) -> Reply + Send + Sync)) {
    let Some(head) = read(&mut stream).await else { return };
    let Reply { bytes, hangs } = reply(&head);
    seen.lock().unwrap().push(head);
    // The client may go away before it has read all, which is its right.
    let _ = stream.write_all(&bytes).await;
    if hangs {
        // Until the client goes away.
        let _ = stream.read(&mut [0; 64]).await;
    } else {
        let _ = stream.shutdown().await;
        // The rest of what the client sends is read, or the kernel would throw away what it was sent.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

/// The head of a request, after its body was read too.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => read.extend_from_slice(&piece[..length]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let missing = length.unwrap_or(0_usize).saturating_sub(read.len() - end);
    stream.read_exact(&mut vec![0; missing]).await.ok()?;
    Some(head)
}
