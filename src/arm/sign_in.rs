//! How the operator signs in to Azure, in which cloud. Never holds a secret longer than it takes to make the credential,
//! and never chooses a way by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use url::Url;

/// The way in which the operator signs in to Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Authentication {
    /// Workload identity: the service account token that AKS projects into the pod is exchanged for an Azure token.
    Workload,
    /// Managed identity of the node: the system-assigned one, or the one of --azure-client-id.
    Managed,
    /// Client secret of an app registration, read from a file.
    Secret,
    /// The account that the Azure CLI on this machine is signed in with.
    Cli,
    /// No sign-in; only for an endpoint on this machine, such as the AKS emulator.
    None,
}

impl Authentication {
    const fn flag(self) -> &'static str {
        match self {
            Self::Workload => "--azure-auth workload",
            Self::Managed => "--azure-auth managed",
            Self::Secret => "--azure-auth secret",
            Self::Cli => "--azure-auth cli",
            Self::None => "--azure-auth none",
        }
    }
}

/// An Azure cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Cloud {
    /// Azure.
    #[default]
    Public,
    /// Azure Government.
    #[value(name = "usgovernment")]
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

impl Cloud {
    const fn configuration(self) -> CloudConfiguration {
        match self {
            Self::Public => CloudConfiguration::AzurePublic,
            Self::UsGovernment => CloudConfiguration::AzureGovernment,
            Self::China => CloudConfiguration::AzureChina,
        }
    }
}

/// Who the operator is, and who vouches for it.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The way.
    pub authentication: Authentication,
    /// The cloud, whose authority is asked unless `authority` names another.
    pub cloud: Cloud,
    /// Where tokens are had.
    pub authority: Option<Url>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The client id of the app registration or the managed identity.
    pub client_id: Option<String>,
    /// The file with the client secret.
    pub secret_file: Option<PathBuf>,
    /// The file with the service account token.
    pub token_file: Option<PathBuf>,
}

/// Why the operator can't sign in as it is told to.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// A setting that the chosen way needs is absent.
    #[error("{way} needs {flag} (or {variable})")]
    Missing {
        /// The way.
        way: &'static str,
        /// The flag that would give it.
        flag: &'static str,
        /// The environment variable that would give it.
        variable: &'static str,
    },
    /// The file with the secret can't be used.
    #[error("--azure-client-secret-file {}: {problem}", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Tokens are had over TLS only.
    #[error("--azure-authority {authority} is not https: the operator's credentials would be sent in the clear")]
    AuthorityInTheClear {
        /// The authority.
        authority: Url,
    },
    /// The environment of workload identity is incomplete.
    #[error(
        "workload identity is not set up: {detail}; label the pod azure.workload.identity/use=true and annotate its service account with azure.workload.identity/client-id, or use another --azure-auth"
    )]
    WorkloadIdentity {
        /// What is missing.
        detail: String,
        /// The cause.
        source: Box<azure_core::Error>,
    },
    /// The identity library does not take the settings.
    #[error("{way} is not set up: {detail}")]
    Unusable {
        /// The way.
        way: &'static str,
        /// What is wrong.
        detail: String,
        /// The cause.
        source: Box<azure_core::Error>,
    },
}

impl SignIn {
    /// The credential, which asks for tokens over `transport`; `None` without a sign-in. Nothing is sent yet.
    ///
    /// # Errors
    /// A setting that the way needs is absent or can't be used.
    pub fn credential(&self, transport: &Transport) -> Result<Option<Arc<dyn TokenCredential>>, SignInError> {
        let client_options = ClientOptions {
            cloud: Some(Arc::new(self.cloud_configuration()?)),
            transport: Some(transport.clone()),
            ..ClientOptions::default()
        };
        let credential: Arc<dyn TokenCredential> = match self.authentication {
            Authentication::None => return Ok(None),
            Authentication::Workload => self.workload(client_options)?,
            Authentication::Managed => self.managed(client_options)?,
            Authentication::Secret => self.secret(client_options)?,
            Authentication::Cli => {
                let options = AzureCliCredentialOptions { tenant_id: self.tenant.clone(), ..Default::default() };
                AzureCliCredential::new(Some(options)).map_err(|source| self.unusable(source))?
            }
        };
        Ok(Some(credential))
    }

    fn cloud_configuration(&self) -> Result<CloudConfiguration, SignInError> {
        match &self.authority {
            None => Ok(self.cloud.configuration()),
            Some(authority) if authority.scheme() != "https" => {
                Err(SignInError::AuthorityInTheClear { authority: authority.clone() })
            }
            Some(authority) => {
                let mut custom = CustomConfiguration::default();
                custom.authority_host = authority.to_string();
                Ok(custom.into())
            }
        }
    }

    fn workload(&self, client_options: ClientOptions) -> Result<Arc<dyn TokenCredential>, SignInError> {
        let options = WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions { client_options },
            client_id: self.client_id.clone(),
            tenant_id: self.tenant.clone(),
            token_file_path: self.token_file.clone(),
        };
        let credential = WorkloadIdentityCredential::new(Some(options))
            .map_err(|source| SignInError::WorkloadIdentity { detail: source.to_string(), source: Box::new(source) })?;
        Ok(credential)
    }

    fn managed(&self, client_options: ClientOptions) -> Result<Arc<dyn TokenCredential>, SignInError> {
        let user_assigned_id = self.client_id.clone().map(UserAssignedId::ClientId);
        let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
        let credential = ManagedIdentityCredential::new(Some(options)).map_err(|source| self.unusable(source))?;
        Ok(credential)
    }

    fn secret(&self, client_options: ClientOptions) -> Result<Arc<dyn TokenCredential>, SignInError> {
        let tenant = self.needed(self.tenant.as_ref(), "--azure-tenant-id", "AZURE_TENANT_ID")?;
        let client = self.needed(self.client_id.as_ref(), "--azure-client-id", "AZURE_CLIENT_ID")?;
        let file = self.needed(self.secret_file.as_ref(), "--azure-client-secret-file", "AZURE_CLIENT_SECRET_FILE")?;
        let secret = Secret::new(read_secret(file)?);
        let options = ClientSecretCredentialOptions { client_options };
        let credential = ClientSecretCredential::new(tenant, client.clone(), secret, Some(options))
            .map_err(|source| self.unusable(source))?;
        Ok(credential)
    }

    fn needed<'a, T>(
        &self,
        setting: Option<&'a T>,
        flag: &'static str,
        variable: &'static str,
    ) -> Result<&'a T, SignInError> {
        setting.ok_or(SignInError::Missing { way: self.authentication.flag(), flag, variable })
    }

    fn unusable(&self, source: azure_core::Error) -> SignInError {
        let way = self.authentication.flag();
        SignInError::Unusable { way, detail: source.to_string(), source: Box::new(source) }
    }
}

fn read_secret(path: &Path) -> Result<String, SignInError> {
    let problem = |problem: String| SignInError::SecretFile { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(problem("the file is empty: write the client secret into it".to_owned())),
        secret => Ok(secret.to_owned()),
    }
}

/// What a person can do about a refused sign-in, by the code that Azure's authority gives.
///
/// Codes: `learn.microsoft.com/entra/identity-platform/reference-error-codes`.
#[must_use]
pub fn sign_in_remedy(detail: &str) -> &'static str {
    const CODES: [(&[&str], &str); 8] = [
        (
            &["AADSTS70021:", "AADSTS700213:", "AADSTS700211:", "AADSTS700212:"],
            "a federated credential that was just made counts after some minutes, and the operator tries again; if it lasts, \
             compare its issuer, subject and audience with those of the service account",
        ),
        (
            &["AADSTS700016:"],
            "the tenant has no such application: check the client id (AZURE_CLIENT_ID) and the tenant (AZURE_TENANT_ID)",
        ),
        (
            &["AADSTS90002:", "AADSTS900023:"],
            "there is no such tenant: check AZURE_TENANT_ID and the cloud (--azure-cloud)",
        ),
        (&["AADSTS7000215:", "AADSTS7000222:"], "the client secret is wrong or has expired: make a new one"),
        (
            &["AADSTS700024:"],
            "the service account token is not valid now: check the clocks of the node and the API server",
        ),
        (
            &["AADSTS50027:", "AADSTS5002727:"],
            "Azure can't verify the service account token: check the issuer of the cluster",
        ),
        // What azure_identity says, for which Azure gives no code.
        (
            &["has not been assigned to this resource"],
            "assign the managed identity to the machines of the operator's pool, or correct AZURE_CLIENT_ID (--azure-client-id)",
        ),
        (
            &["az not found on PATH", "az login"],
            "sign in with the Azure CLI of this machine, or choose another --azure-auth",
        ),
    ];
    let known = CODES.iter().find(|(codes, _)| codes.iter().any(|code| detail.contains(code)));
    known
        .map_or("check --azure-auth, the client id, the tenant and the way to Azure's authority", |(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(authentication: Authentication) -> SignIn {
        SignIn {
            authentication,
            cloud: Cloud::Public,
            authority: None,
            tenant: Some("11111111-1111-1111-1111-111111111111".into()),
            client_id: Some("client".into()),
            secret_file: None,
            token_file: None,
        }
    }

    fn refused(sign_in: &SignIn) -> String {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let transport = Transport::new(Arc::new(reqwest::Client::new()));
        sign_in.credential(&transport).err().unwrap().to_string()
    }

    #[test]
    fn what_a_way_needs_and_does_not_have_is_named() {
        let secret = sign_in(Authentication::Secret);
        assert_eq!(
            refused(&secret),
            "--azure-auth secret needs --azure-client-secret-file (or AZURE_CLIENT_SECRET_FILE)"
        );
        assert!(refused(&SignIn { tenant: None, ..secret.clone() }).contains("--azure-tenant-id (or AZURE_TENANT_ID)"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let with_file = SignIn { secret_file: Some(file.clone()), ..secret };
        assert!(refused(&with_file).contains(&format!("--azure-client-secret-file {}: ", file.display())));
        std::fs::write(&file, "\n").unwrap();
        assert!(refused(&with_file).contains("the file is empty"));
        std::fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(read_secret(&file).unwrap(), "s3cret");
        let absent = SignIn { token_file: Some(folder.path().join("token")), ..sign_in(Authentication::Workload) };
        assert!(refused(&absent).contains("azure.workload.identity/use=true"));
    }

    #[test]
    fn an_authority_without_tls_is_refused() {
        let clear =
            SignIn { authority: Some("http://login.local".parse().unwrap()), ..sign_in(Authentication::Managed) };
        assert!(refused(&clear).contains("http://login.local/ is not https"));
    }

    #[test]
    fn a_refused_sign_in_is_told_with_what_to_do() {
        assert!(sign_in_remedy("AADSTS70021: No matching federated identity record found").contains("some minutes"));
        assert!(sign_in_remedy("AADSTS7000215: Invalid client secret provided").contains("client secret"));
        assert!(sign_in_remedy("AADSTS700016: Application not found").contains("no such application"));
        assert!(sign_in_remedy("something else").contains("--azure-auth"));
    }
}
