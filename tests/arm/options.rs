//! How the tests reach ARM: without a sign-in and without a budget that matters. Never makes a request.

use std::time::Duration;

use nodepool_operator::arm::{ArmOptions, Authentication, Cloud, SignIn};

/// Options of a client that does not sign in.
pub fn options(endpoint: &str, cluster: &str) -> ArmOptions {
    ArmOptions {
        endpoint: endpoint.parse().unwrap(),
        cluster: cluster.parse().unwrap(),
        api_version: "2025-10-01".into(),
        sign_in: SignIn {
            authentication: Authentication::None,
            cloud: Cloud::Public,
            authority: None,
            tenant: None,
            client_id: None,
            secret_file: None,
            token_file: None,
        },
        ca_file: None,
        request_share: 1e4,
        read_timeout: Duration::from_secs(20),
        write_timeout: Duration::from_secs(20),
    }
}
