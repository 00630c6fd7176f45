//! The flags for HTTPS and access tokens, and what they come to. Never starts anything.

use std::path::PathBuf;
use std::time::Duration;

use aks_emulator::{Authentication, Tls};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct SignInArguments {
    /// Serve HTTPS with an authority of the emulator's own, kept in this folder: clients trust its ca.crt. Made if it is
    /// not there.
    #[arg(long, env = "AKS_EMULATOR_TLS_FOLDER", value_name = "FOLDER")]
    tls_folder: Option<PathBuf>,
    /// A name or address to serve HTTPS under, beside localhost and the address listened on; may be repeated.
    #[arg(long = "tls-name", value_name = "NAME", requires = "tls_folder")]
    tls_names: Vec<String>,
    /// Whether requests need an access token of the emulator; off ignores tokens.
    #[arg(long, env = "AKS_EMULATOR_AUTHENTICATION", value_enum, default_value_t = Position::Off)]
    authentication: Position,
    /// How many seconds access tokens are valid, in real time whatever the time scale.
    #[arg(long, env = "AKS_EMULATOR_TOKEN_LIFETIME", value_name = "SECONDS", default_value_t = 3600)]
    token_lifetime: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Position {
    Off,
    Required,
}

impl SignInArguments {
    pub(crate) fn tls(&self) -> Option<Tls> {
        let folder = self.tls_folder.clone()?;
        Some(Tls { folder: Some(folder), names: self.tls_names.clone() })
    }

    pub(crate) fn authentication(&self) -> Authentication {
        match self.authentication {
            Position::Off => Authentication::Off,
            Position::Required => Authentication::Required,
        }
    }

    pub(crate) fn token_lifetime(&self) -> Duration {
        Duration::from_secs(self.token_lifetime)
    }

    /// Where the certificate is that clients have to trust.
    pub(crate) fn authority(&self) -> Option<String> {
        let folder = self.tls_folder.as_ref()?;
        Some(folder.join("ca.crt").display().to_string())
    }
}
