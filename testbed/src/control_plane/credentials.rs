//! Certificates, keys and kubeconfigs of one control plane; never leaves its folder.

use std::path::Path;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RsaKeySize,
};
use serde_json::json;

/// A certificate with its key, both as PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    pub(crate) fn write(&self, certificate: &Path, key: &Path) -> anyhow::Result<()> {
        write(certificate, &self.certificate)?;
        write(key, &self.key)
    }
}

/// The certificate authority of one control plane.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate().context("no key could be made")?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "nodepool testbed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).context("the testbed's authority could not be made")?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's own certificate as PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a server on the loopback address.
    pub(crate) fn server(&self) -> anyhow::Result<Pair> {
        let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let mut params = CertificateParams::new(names.map(String::from))?;
        params.distinguished_name.push(DnType::CommonName, "nodepool testbed server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A certificate that the API server takes as `user` in `groups`.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> anyhow::Result<Pair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> anyhow::Result<Pair> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("no key could be made")?;
        let certificate = params.signed_by(&key, &self.issuer).context("a certificate could not be signed")?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// A key that signs service account tokens, of the kind that AKS uses, as PEM.
pub(crate) fn service_account_key() -> anyhow::Result<String> {
    Ok(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).context("no key could be made")?.serialize_pem())
}

/// Who a kubeconfig signs in as.
pub(crate) enum User<'a> {
    Certificate(&'a Pair),
    Token(&'a str),
}

/// The text of a kubeconfig for `server`, whose certificate `authority` (PEM) vouches for.
pub(crate) fn kubeconfig(server: &str, authority: &str, user: &User<'_>) -> anyhow::Result<String> {
    let user = match user {
        User::Certificate(pair) => {
            json!({"client-certificate-data": base64(&pair.certificate), "client-key-data": base64(&pair.key)})
        }
        User::Token(token) => json!({"token": token}),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "testbed",
            "cluster": {"server": server, "certificate-authority-data": base64(authority)},
        }],
        "users": [{"name": "testbed", "user": user}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "testbed"}}],
        "current-context": "testbed",
    });
    serde_saphyr::to_string(&config).context("a kubeconfig could not be written")
}

/// Writes a file that only its owner may read.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{} can't be written", path.display()))
}

fn base64(text: &str) -> String {
    // Kubernetes' own type carries the encoding that a kubeconfig wants.
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec()))
        .ok()
        .and_then(|value| value.as_str().map(String::from))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_reads_back() {
        let authority = Authority::new().unwrap();
        let pair = authority.client("someone", &["system:masters"]).unwrap();
        let text = kubeconfig("https://127.0.0.1:1", authority.certificate(), &User::Certificate(&pair)).unwrap();
        let read = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(read.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("https://127.0.0.1:1"));
        assert!(read.auth_infos[0].auth_info.as_ref().unwrap().client_certificate_data.is_some());
    }
}
