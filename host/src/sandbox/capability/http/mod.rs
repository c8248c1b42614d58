//! `[capabilities.http]`: outgoing HTTP, to the hosts that the manifest names.
//!
//! Each request stands for itself, also one that follows a redirect: its host is compared with the list, its name is resolved by the
//! host, the addresses are checked, and the connection goes to an address that was checked and to no other. So a name that
//! leads elsewhere a moment later gains nothing. A refusal is an error code of `wasi:http`, which guests of all languages know, and
//! a line in the log that says which key of the manifest to change.

mod address;
mod client;
mod idempotency;
mod resolve;
mod tls;

use std::collections::VecDeque;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Request, Response, header};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttp, WasiHttpHooks};

use super::{Effects, Output};
use crate::deployment::{Scheme, Target};
pub(super) use client::Client;
use client::Prepared;
use idempotency::Keys;

/// Connections of one call at a time. Those beyond are refused.
const MAX_CONNECTIONS: usize = 32;

pub(super) fn link<T: Effects>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    outgoing_handler::add_to_linker::<T, WasiHttp>(linker, T::http)?;
    types::add_to_linker::<T, WasiHttp>(linker, &types::LinkOptions::default(), T::http)
}

pub(super) fn is_linked(interface: &str) -> bool {
    matches!(interface, "wasi:http/types" | "wasi:http/outgoing-handler")
}

/// The requests of one call.
pub(in crate::sandbox) struct Requests {
    client: Option<Client>,
    keys: Keys,
    output: Output,
    connections: Arc<Semaphore>,
    unsent: Unsent,
}

/// Bodies of requests that came to nothing. A guest that writes a body whose other end is gone would be told that, and not why its
/// request came to nothing; so the end is kept for a while.
#[derive(Clone, Default)]
struct Unsent(Arc<Mutex<VecDeque<WasiBody>>>);

impl Unsent {
    fn keep(&self, body: WasiBody) {
        let mut bodies = self.0.lock();
        if bodies.len() >= MAX_CONNECTIONS {
            bodies.pop_front();
        }
        bodies.push_back(body);
    }
}

impl Requests {
    pub(super) fn new(client: Option<Client>, scope: &str, output: &Output) -> Self {
        Self {
            client,
            keys: Keys::new(scope),
            output: output.clone(),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            unsent: Unsent::default(),
        }
    }

    /// Whether a request may be made, and in which form it goes out. Says why not in the call's log.
    fn admit(&mut self, mut parts: Parts) -> Result<(Client, Prepared), Error> {
        let client = self.client.clone().ok_or(Error::HttpRequestDenied)?;
        if parts.method == http::Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let target = target(&parts.uri)?;
        if !client.allows(&target) {
            self.output.warn(format!(
                "a request to {target} was refused: the component's manifest does not allow it. If it is meant, add \
                 \"{target}\" to `hosts` under [capabilities.http]"
            ));
            return Err(Error::HttpRequestDenied);
        }
        // The one form of the host, so that the server cannot be told another one than the one that was checked.
        let host = HeaderValue::try_from(target.authority()).map_err(|_| Error::HttpRequestUriInvalid)?;
        parts.headers.insert(header::HOST, host);
        if !parts.headers.contains_key(&idempotency::HEADER)
            && let Some(key) = self.keys.next(&parts.method)
        {
            parts.headers.insert(&idempotency::HEADER, key);
        }
        // Only proxies are told scheme and host in the first line.
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let slash = if path.starts_with('/') { "" } else { "/" };
        parts.uri = format!("{slash}{path}").parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        let connection =
            Arc::clone(&self.connections).try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
        Ok((client, Prepared { head: parts, target, connection }))
    }
}

fn target(uri: &http::Uri) -> Result<Target, Error> {
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(Error::HttpProtocolError),
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    let authority = authority.ok_or(Error::HttpRequestUriInvalid)?;
    Target::new(scheme, authority.host(), authority.port_u16()).map_err(|_| Error::HttpRequestUriInvalid)
}

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Requests {
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Worker,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Worker), Error>> + Send> {
        // Now, not when the future is first polled: the order of the keys is that of the guest's requests.
        let (head, body) = request.into_parts();
        let admitted = self.admit(head);
        let (output, unsent) = (self.output.clone(), self.unsent.clone());
        Box::new(async move {
            let connected = match admitted {
                Ok((client, prepared)) => client.connect(prepared, options.unwrap_or_default(), &output).await,
                Err(error) => Err(error),
            };
            match connected {
                Ok(connected) => connected.send(body).await,
                Err(error) => {
                    unsent.keep(body);
                    Err(error)
                }
            }
        })
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> types::ErrorCode {
        client::classify(error).into_code()
    }
}

/// Error codes of the few errors that end a body.
trait IntoCode {
    fn into_code(self) -> types::ErrorCode;
}

impl IntoCode for Error {
    fn into_code(self) -> types::ErrorCode {
        match self {
            Self::HttpResponseHeaderSectionSize(size) => types::ErrorCode::HttpResponseHeaderSectionSize(size),
            Self::HttpResponseTimeout => types::ErrorCode::HttpResponseTimeout,
            Self::HttpResponseIncomplete => types::ErrorCode::HttpResponseIncomplete,
            Self::ConnectionTerminated => types::ErrorCode::ConnectionTerminated,
            _ => types::ErrorCode::HttpProtocolError,
        }
    }
}

#[cfg(test)]
mod tests;
