//! For whom a token may be: ARM, under its public names and the emulator's own. Never reads a token.

use axum::http::{HeaderMap, header};
use url::{Host, Url};

use super::App;

/// Hosts of ARM in the public, the US government's and the Chinese cloud.
const PUBLIC: [&str; 6] = [
    "management.azure.com",
    "management.core.windows.net",
    "management.usgovcloudapi.net",
    "management.core.usgovcloudapi.net",
    "management.chinacloudapi.cn",
    "management.core.chinacloudapi.cn",
];

/// Whether a resource is ARM. The emulator is known by its names whatever the port, as clients may come through a
/// proxy.
pub(super) fn is_arm(app: &App, headers: &HeaderMap, resource: &str) -> bool {
    let Ok(url) = Url::parse(resource) else {
        return false;
    };
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    let Some(host) = url.host_str() else {
        return false;
    };
    let settings = &app.service.settings;
    let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let asked = asked.and_then(|host| Url::parse(&format!("http://{host}/")).ok());
    let mut own = settings.tls.iter().flat_map(|tls| &tls.names);
    is_loopback
        || host == "localhost"
        || PUBLIC.contains(&host)
        || own.any(|name| name.eq_ignore_ascii_case(host))
        || [settings.public_url.as_ref(), asked.as_ref()].iter().flatten().any(|url| url.host_str() == Some(host))
}

/// The audiences as a refusal names them.
pub(super) fn allowed(base: &str) -> String {
    format!("'https://management.core.windows.net/', 'https://management.azure.com/', '{base}/'")
}
