//! The HTTP clients: one for public addresses, one for feeds that may be at private ones.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, Proxy, redirect, retry};

use super::Settings;
use crate::adapters::feeds::error::FetchError;
use crate::adapters::feeds::resolve::{Guarded, Hosts};

/// Headers of an answer.
const MOST_HEADERS: usize = 100;
/// Bytes of the headers of an answer.
pub(super) const HEADER_BYTES: usize = 64 << 10;
/// A connection kept for the next page of the same feed.
const IDLE: Duration = Duration::from_secs(5);

/// Made at first use: a machine without CA certificates can still follow files.
#[derive(Debug)]
pub(super) struct Clients {
    settings: Settings,
    hosts: Hosts,
    public: Mutex<Option<Client>>,
    private: Mutex<Option<Client>>,
}

impl Clients {
    pub(super) fn new(settings: &Settings, hosts: Hosts) -> Self {
        Self { settings: settings.clone(), hosts, public: Mutex::default(), private: Mutex::default() }
    }

    pub(super) fn client(&self, allow_private: bool) -> Result<Client, FetchError> {
        let place = if allow_private { &self.private } else { &self.public };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = place.as_ref() {
            return Ok(client.clone());
        }
        let client = self.build(allow_private)?;
        *place = Some(client.clone());
        Ok(client)
    }

    fn build(&self, allow_private: bool) -> Result<Client, FetchError> {
        crate::adapters::tls::provide();
        let failed = |error: reqwest::Error| FetchError::Client { why: innermost(&error) };
        let settings = &self.settings;
        // A proxy is the operator's own and resolves the names: its own address is all that is looked up.
        let allow_private = allow_private || settings.proxy.is_some();
        let resolver = Guarded { allow_private, hosts: self.hosts.clone(), fixed: Arc::new(settings.fixed.clone()) };
        let mut builder = Client::builder()
            .user_agent(&settings.user_agent)
            .connect_timeout(settings.connect)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_proxy()
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            .http1_max_headers(MOST_HEADERS)
            .http2_max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX))
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .dns_resolver(resolver);
        if let Some(proxy) = &settings.proxy {
            builder = builder.proxy(Proxy::all(proxy).map_err(failed)?);
        }
        for pem in &settings.authorities {
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(failed)?);
        }
        builder.build().map_err(failed)
    }
}

/// What is at the bottom of an error: it names the cause and no URL.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(next) = at.source() {
        at = next;
    }
    at.to_string()
}
