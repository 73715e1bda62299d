//! An OpenID Connect provider by openidconnect: the authorization code flow with PKCE; every answer has a size and a time limit.

use std::error::Error;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use async_trait::async_trait;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthType, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl,
    LanguageTag, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardErrorResponse, StandardTokenResponse, TokenResponse as _, UserInfoClaims,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Request};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dcv::authorization_request::Secrets;
use crate::dcv::operator_claims::Identity;
use crate::dcv::timestamp::Timestamp;
use crate::ports::{OpenId, OpenIdFailure};

/// Time for one question to the provider.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer, in octets.
const ANSWER_MAX_OCTETS: usize = 1024 * 1024;

/// How long the provider's own description and its keys are believed.
const METADATA_TTL: Duration = Duration::from_secs(3600);

/// A token of a key that is not known has the keys read again, but not more often than this.
const METADATA_MIN_AGE: Duration = Duration::from_secs(10);

/// What is configured of a provider.
#[derive(Clone)]
pub struct ProviderSettings {
    /// Its issuer identifier, under which its description lies.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// What shows that we are we; `None` for a public client.
    pub client_secret: Option<SecretString>,
    /// Where it sends browsers back to.
    pub redirect_url: String,
    /// Asked for beside `openid`.
    pub scopes: Vec<String>,
}

/// Every claim there is.
#[derive(Debug, Clone, Deserialize, Serialize)]
struct AllClaims(Map<String, Value>);

impl AdditionalClaims for AllClaims {}

type Fields =
    IdTokenFields<AllClaims, EmptyExtraTokenFields, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

type Provided = Client<
    AllClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The way to the provider.
struct Http(reqwest::Client);

impl Http {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpFailure> {
        let mut response = self.0.execute(Request::try_from(request)?).await?;
        let (mut body, mut answer) = (Vec::new(), HttpResponse::new(Vec::new()));
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_MAX_OCTETS {
                return Err(HttpFailure::TooLarge);
            }
        }
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        *answer.body_mut() = body;
        Ok(answer)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpFailure;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpFailure>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

/// The provider that is configured.
pub struct Provider {
    settings: ProviderSettings,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    http: Http,
    known: Mutex<Option<(Timestamp, Arc<CoreProviderMetadata>)>>,
}

impl Provider {
    /// Prepares the client; the provider is asked when somebody comes. `ca_file` holds authorities that are believed beside the system's.
    ///
    /// # Errors
    /// An address or a certificate cannot be read.
    pub fn new(settings: ProviderSettings, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder().redirect(Policy::none()).no_proxy().timeout(TIMEOUT);
        if let Some(path) = ca_file {
            let read = || anyhow::Ok(Certificate::from_pem_bundle(&std::fs::read(path)?)?);
            builder = builder.tls_certs_merge(read().with_context(|| format!("ca_file: {}", path.display()))?);
        }
        if settings.issuer.starts_with("https://") {
            builder = builder.https_only(true);
        }
        Ok(Self {
            issuer: IssuerUrl::new(settings.issuer.clone()).context("issuer")?,
            redirect: RedirectUrl::new(settings.redirect_url.clone()).context("redirect_url")?,
            http: Http(builder.build()?),
            known: Mutex::new(None),
            settings,
        })
    }

    /// The provider's description and keys, not older than `at_most`.
    async fn metadata(&self, now: Timestamp, at_most: Duration) -> Result<Arc<CoreProviderMetadata>, OpenIdFailure> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, metadata)) = known.filter(|(at, _)| now >= *at && now.since(*at) < at_most) {
            return Ok(metadata);
        }
        let metadata = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await;
        let metadata = Arc::new(metadata.map_err(|error| OpenIdFailure::Unavailable(in_words(&error)))?);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&metadata)));
        Ok(metadata)
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Provided {
        let secret = self.settings.client_secret.as_ref().map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let id = ClientId::new(self.settings.client_id.clone());
        let client = Provided::from_provider_metadata(metadata.clone(), id, secret).set_redirect_uri(self.redirect.clone());
        // What a provider does not say is Basic. Spec: OpenID Connect Discovery 1.0 section 3.
        let basic = metadata
            .token_endpoint_auth_methods_supported()
            .is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        client.set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody })
    }
}

/// A question to the provider that came to nothing.
#[derive(Debug, thiserror::Error)]
enum HttpFailure {
    #[error("the answer is larger than {ANSWER_MAX_OCTETS} bytes")]
    TooLarge,
    #[error("{0}")]
    Request(reqwest::Error),
}

impl From<reqwest::Error> for HttpFailure {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }
}

/// An error with its causes, in a line.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        words = format!("{words}: {one}");
        cause = one.source();
    }
    words
}

#[async_trait]
impl OpenId for Provider {
    async fn authorization_url(&self, secrets: &Secrets, english: bool, now: Timestamp) -> Result<String, OpenIdFailure> {
        let metadata = self.metadata(now, METADATA_TTL).await?;
        let client = self.client(&metadata);
        let (state, nonce) = (secrets.state.clone(), secrets.nonce.clone());
        let verifier = PkceCodeVerifier::new(secrets.code_verifier.clone());
        let mut request = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || CsrfToken::new(state), move || Nonce::new(nonce))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_ui_locale(LanguageTag::new(if english { "en" } else { "ja" }.to_owned()));
        for scope in &self.settings.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        Ok(request.url().0.into())
    }

    async fn identity(&self, code: &str, secrets: &Secrets, wanted: &[&str], now: Timestamp) -> Result<Identity, OpenIdFailure> {
        let mut metadata = self.metadata(now, METADATA_TTL).await?;
        let mut client = self.client(&metadata);
        let asked = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let asked = asked.map_err(|error| OpenIdFailure::Unavailable(in_words(&error)))?;
        let asked = asked.set_pkce_verifier(PkceCodeVerifier::new(secrets.code_verifier.clone())).request_async(&self.http).await;
        let tokens = asked.map_err(|error| match &error {
            RequestTokenError::ServerResponse(_) => OpenIdFailure::Refused(in_words(&error)),
            RequestTokenError::Parse(..) => OpenIdFailure::Unverified(in_words(&error)),
            RequestTokenError::Request(_) | RequestTokenError::Other(_) => OpenIdFailure::Unavailable(in_words(&error)),
        })?;
        let token = tokens.id_token().ok_or_else(|| OpenIdFailure::Unverified("there is no ID token".to_owned()))?;
        let nonce = Nonce::new(secrets.nonce.clone());
        let today = UNIX_EPOCH + Duration::from_secs(u64::try_from(now.unix_secs()).unwrap_or_default());
        let verified = |client: &Provided| {
            let verifier = client.id_token_verifier().set_time_fn(move || today.into());
            token.claims(&verifier, &nonce).cloned()
        };
        let mut claims = verified(&client);
        if claims.is_err() {
            // The provider may have changed its keys since.
            metadata = self.metadata(now, METADATA_MIN_AGE).await?;
            client = self.client(&metadata);
            claims = verified(&client);
        }
        let claims = claims.map_err(|error| OpenIdFailure::Unverified(in_words(&error)))?;
        let subject = claims.subject().clone();
        let mut told = object(&claims)?;
        let missing = wanted.iter().any(|claim| !told.contains_key(*claim));
        if missing && metadata.userinfo_endpoint().is_some() {
            let asked = client.user_info(tokens.access_token().clone(), Some(subject));
            let asked = asked.map_err(|error| OpenIdFailure::Unavailable(in_words(&error)))?;
            let more: UserInfoClaims<AllClaims, CoreGenderClaim> =
                asked.request_async(&self.http).await.map_err(|error| OpenIdFailure::Unverified(in_words(&error)))?;
            for (claim, value) in object(&more)? {
                told.entry(claim).or_insert(value);
            }
        }
        Ok(Identity { issuer: self.settings.issuer.clone(), claims: told })
    }
}

fn object(claims: &impl Serialize) -> Result<Map<String, Value>, OpenIdFailure> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => Err(OpenIdFailure::Unverified("the claims are no object".to_owned())),
        Err(error) => Err(OpenIdFailure::Unverified(error.to_string())),
    }
}
