//! Ports of the host that pods take. Never looks at ports inside a pod's own network.

use std::fmt;

/// A port of the host that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The address, as written; `0.0.0.0` means all, and so does an empty one.
    pub ip: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The number, above zero.
    pub port: i32,
}

const ALL: &str = "0.0.0.0";

impl HostPort {
    /// Whether both can't be taken on one node (upstream `HostPortInfo.CheckConflict`).
    pub(super) fn conflicts(&self, other: &Self) -> bool {
        let (own, others) = (self.address(), other.address());
        let ip = own == others || own == ALL || others == ALL;
        ip && self.protocol == other.protocol && self.port == other.port
    }

    const fn address(&self) -> &str {
        if self.ip.is_empty() { ALL } else { self.ip.as_str() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            ALL => write!(f, "{}/{}", self.port, self.protocol),
            ip => write!(f, "{ip}:{}/{}", self.port, self.protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, protocol: &str, port: i32) -> HostPort {
        HostPort { ip: ip.into(), protocol: protocol.into(), port }
    }

    #[test]
    fn ports_conflict_on_the_same_address_or_where_one_takes_all() {
        for (a, b, conflicts) in [
            (port("", "TCP", 80), port("", "TCP", 80), true),
            (port("", "TCP", 80), port("0.0.0.0", "TCP", 80), true),
            (port("", "TCP", 80), port("10.0.0.1", "TCP", 80), true),
            (port("10.0.0.1", "TCP", 80), port("10.0.0.2", "TCP", 80), false),
            (port("10.0.0.1", "TCP", 80), port("10.0.0.1", "TCP", 80), true),
            (port("", "TCP", 80), port("", "UDP", 80), false),
            (port("", "TCP", 80), port("", "TCP", 81), false),
        ] {
            assert_eq!((a.conflicts(&b), b.conflicts(&a)), (conflicts, conflicts), "{a} and {b}");
        }
    }

    #[test]
    fn a_port_of_all_addresses_is_shown_without_one() {
        assert_eq!(port("0.0.0.0", "TCP", 80).to_string(), "80/TCP");
        assert_eq!(port("10.0.0.1", "UDP", 53).to_string(), "10.0.0.1:53/UDP");
    }
}
