//! HTTPS with an authority of the emulator's own, which signs one server certificate a start. Never vouches for a name
//! that nobody asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{Span, Timestamp, civil::Date};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::keys::{KeyError, PRIVATE, PUBLIC, kept};

const AUTHORITY_KEY: &str = "the key of an authority, as PEM";
const AUTHORITY: &str = "the certificate of the authority whose key is beside it";
const SERVER: &str = "a server certificate";
/// Browsers and Apple's libraries take server certificates of at most 825 days.
const SERVER_DAYS: i64 = 397;
const AUTHORITY_DAYS: i64 = 3650;

/// HTTPS instead of HTTP.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Keeps the authority (`ca.crt`, `ca.key`) and the key that signs access tokens (`token.key`) from one start to
    /// the next. Without a folder they are new at each start.
    pub folder: Option<PathBuf>,
    /// Names and addresses to serve under, beside `localhost`, `127.0.0.1`, `::1` and the address listened on.
    pub names: Vec<String>,
}

/// What is needed to serve HTTPS.
pub(crate) struct Server {
    pub(crate) acceptor: TlsAcceptor,
    /// Certificate of the authority, as PEM.
    pub(crate) authority: String,
}

impl Server {
    /// Reads or makes the authority and signs a certificate for `names`.
    pub(crate) fn new(folder: Option<&Path>, names: Vec<String>) -> Result<Self, KeyError> {
        let (key, certificate) = authority(folder)?;
        let issuer = Issuer::new(authority_params(), key);
        let acceptor = acceptor(&issuer, names).map_err(KeyError::make(SERVER))?;
        Ok(Self { acceptor, authority: certificate })
    }
}

/// The authority's key and certificate.
fn authority(folder: Option<&Path>) -> Result<(KeyPair, String), KeyError> {
    let generate = || KeyPair::generate().map_err(|error| KeyError::make(AUTHORITY_KEY)(error.into()));
    let sign = |key: &KeyPair| {
        let certificate = authority_params().self_signed(key);
        certificate.map(|made| made.pem()).map_err(|error| KeyError::make(AUTHORITY)(error.into()))
    };
    let Some(folder) = folder else {
        let key = generate()?;
        let certificate = sign(&key)?;
        return Ok((key, certificate));
    };
    let path = folder.join("ca.key");
    let text = kept(&path, PRIVATE, || Ok(generate()?.serialize_pem()))?;
    let key = KeyPair::from_pem(&text).map_err(|_| KeyError::Damaged { path, wanted: AUTHORITY_KEY })?;
    let path = folder.join("ca.crt");
    let certificate = kept(&path, PUBLIC, || sign(&key))?;
    let is_of_key = CertificateDer::from_pem_slice(certificate.as_bytes())
        .is_ok_and(|der| der.windows(key.public_key_raw().len()).any(|part| part == key.public_key_raw()));
    if is_of_key { Ok((key, certificate)) } else { Err(KeyError::Damaged { path, wanted: AUTHORITY }) }
}

/// The same at every start, as they name the issuer in the certificates that it signs.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "aks-emulator");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, AUTHORITY_DAYS);
    params
}

fn acceptor(
    issuer: &Issuer<'_, KeyPair>,
    names: Vec<String>,
) -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "aks-emulator server");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, SERVER_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der())?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// From yesterday, so that a client whose clock is behind takes it too.
fn set_validity(params: &mut CertificateParams, days: i64) {
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let time = |date: Date| {
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    params.not_before = time(today.saturating_sub(Span::new().days(1)));
    params.not_after = time(today.saturating_add(Span::new().days(days)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_kept_and_one_without_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let serve = || Server::new(Some(folder.path()), vec!["localhost".to_owned(), "::1".to_owned()]);
        let first = serve().unwrap().authority;
        assert_eq!(serve().unwrap().authority, first);
        std::fs::remove_file(folder.path().join("ca.key")).unwrap();
        let error = serve().err().unwrap().to_string();
        assert!(error.contains("ca.crt is not the certificate of the authority"), "{error}");
        std::fs::write(folder.path().join("ca.key"), "no key").unwrap();
        let error = serve().err().unwrap().to_string();
        assert!(error.contains("ca.key is not the key"), "{error}");
    }
}
