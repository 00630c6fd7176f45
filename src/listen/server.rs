//! A port that answers HTTP requests. Never asks who sends them: what is served here holds no secret.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

/// Why a port can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {address} can't be listened on: {source}; choose another, or turn it off with \"\"")]
pub struct ListenError {
    setting: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

/// A port that has been taken.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes the port, a free one for port 0. `setting` is the flag that gives the address.
    ///
    /// # Errors
    /// The port is taken, or the address is not one of this machine.
    pub async fn bind(setting: &'static str, address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { setting, address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until it is dropped.
    ///
    /// # Errors
    /// It can't go on.
    pub async fn serve(self, router: Router) -> std::io::Result<()> {
        axum::serve(self.listener, router).await
    }
}
