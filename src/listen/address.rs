//! Where something is served, as a setting gives it. Never resolves a name.

use std::net::SocketAddr;
use std::str::FromStr;

/// An address to listen on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(Option<SocketAddr>);

impl ListenAddress {
    /// The address; `None` when it is not served.
    #[must_use]
    pub const fn get(self) -> Option<SocketAddr> {
        self.0
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    /// An IP address with a port; an empty text is no address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| {
            format!("{text:?} is not an IP address with a port, such as 0.0.0.0:8080; an empty value turns it off")
        })?;
        Ok(Self(Some(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_nothing_is_off() {
        let parsed = |text: &str| text.parse::<ListenAddress>().map(ListenAddress::get);
        assert_eq!(parsed(""), Ok(None));
        assert_eq!(parsed("127.0.0.1:0"), Ok(Some(([127, 0, 0, 1], 0).into())));
        assert!(parsed("[::]:8080").is_ok());
        for text in ["8080", ":8080", "0.0.0.0", "localhost:8080", "0.0.0.0:80800", " "] {
            assert!(parsed(text).unwrap_err().contains("with a port"), "{text}");
        }
    }
}
