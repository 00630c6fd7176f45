//! The key that signs access tokens, made when it is first needed. Never leaves the process but into its own file.

use std::path::Path;
use std::sync::OnceLock;

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use super::Refusal;
use crate::keys::{KeyError, PRIVATE, kept};

const WANTED: &str = "an RSA key that signs tokens, as PEM";

/// The algorithm of access tokens, as Entra's.
pub(super) const ALGORITHM: Algorithm = Algorithm::RS256;

/// The signing key; making one takes a moment, so that it waits until somebody signs in.
#[derive(Default)]
pub(super) struct SigningKey(OnceLock<Option<Pair>>);

/// Both halves of the key, under its id.
pub(super) struct Pair {
    pub(super) id: String,
    pub(super) private: EncodingKey,
    pub(super) public: DecodingKey,
    document: Value,
}

impl SigningKey {
    /// The key of a folder.
    pub(super) fn kept(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join("token.key");
        let pem = kept(&path, PRIVATE, || generate().map_err(|error| KeyError::make(WANTED)(error.into())))?;
        let pair = Pair::new(&pem).map_err(|_| KeyError::Damaged { path, wanted: WANTED })?;
        Ok(Self(OnceLock::from(Some(pair))))
    }

    pub(super) fn pair(&self) -> Result<&Pair, Refusal> {
        let pair = self.0.get_or_init(|| Pair::new(&generate().ok()?).ok());
        pair.as_ref().ok_or_else(Refusal::internal)
    }

    /// The key set that verifies what it signs.
    pub(super) fn public(&self) -> Result<Value, Refusal> {
        Ok(json!({"keys": [self.pair()?.document]}))
    }
}

fn generate() -> Result<String, rcgen::Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map(|key| key.serialize_pem())
}

impl Pair {
    fn new(pem: &str) -> Result<Self, jsonwebtoken::errors::Error> {
        let private = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let mut jwk = Jwk::from_encoding_key(&private, ALGORITHM)?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        let public = DecodingKey::from_jwk(&jwk)?;
        let document = serde_json::to_value(&jwk).map_err(|_| jsonwebtoken::errors::ErrorKind::InvalidKeyFormat)?;
        Ok(Self { id, private, public, document })
    }
}
