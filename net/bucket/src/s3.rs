//! The connection to an S3 service: signing, checksums and TLS are the library's; limits, retries
//! and the reading of refusals are ours.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::client::{HttpClient, HttpConnector};
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, RetryConfig};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::answer::Answers;
use crate::{Credentials, S3Place};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a bucket of an S3 service; nothing is sent yet.
pub(crate) fn open(
    place: &S3Place,
    credentials: &Credentials,
) -> object_store::Result<Arc<PrefixStore<AmazonS3>>> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_region(&place.region)
        .with_access_key_id(credentials.access_key())
        .with_secret_access_key(credentials.secret().reveal())
        .with_virtual_hosted_style_request(!place.is_path_style)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_disable_bulk_delete(true)
        // One layer retries, ours: it knows what the storage asked for and when time is up.
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(Connector);
    if let Some(endpoint) = &place.endpoint {
        builder = builder
            .with_endpoint(endpoint_of(endpoint, place))
            .with_allow_http(endpoint.starts_with("http://"));
    }
    Ok(Arc::new(PrefixStore::new(builder.build()?, place.prefix.as_str())))
}

/// The library takes the bucket's own host where the name does not stand in the path.
fn endpoint_of(endpoint: &str, place: &S3Place) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !place.is_path_style => {
            format!("{scheme}://{}.{host}", place.bucket)
        }
        _ => endpoint.to_string(),
    }
}

#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = client().map_err(|source| object_store::Error::Generic {
            store: "S3",
            source: Box::new(source),
        })?;
        Ok(HttpClient::new(Answers::new(client)))
    }
}

/// A client of its own for each bucket, since connections end with the runtime that opened them.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(concat!("cov72/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        // Redirects are signed for another host; several streams share no connection's window.
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .tls_backend_preconfigured(tls())
        .build()
}

/// Reading the system's certificates takes milliseconds, so all clients share one reading. On a
/// machine that has none, `http` works and `https` says that it knows no issuer.
fn tls() -> rustls::ClientConfig {
    static TLS: OnceLock<rustls::ClientConfig> = OnceLock::new();
    let builder = || {
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .expect("ring knows the ciphers of TLS 1.2 and 1.3")
    };
    let read = || match builder().with_platform_verifier() {
        Ok(config) => config.with_no_client_auth(),
        Err(_) => {
            let none = rustls::RootCertStore::empty();
            builder().with_root_certificates(none).with_no_client_auth()
        }
    };
    TLS.get_or_init(read).clone()
}
