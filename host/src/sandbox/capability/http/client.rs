//! Sends one request over a connection of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep, timeout};
use url::Host;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::resolve::{Resolve, System};
use super::{Output, Worker, address, tls};
use crate::deployment::{HttpAccess, Scheme, Target};

/// How long a connection may take, and how long the server may be silent. A guest may ask for less and not for more.
const MAX_CONNECT: Duration = Duration::from_secs(15);
const MAX_SILENCE: Duration = Duration::from_secs(120);
/// Bytes of the first line and the headers of a response together.
const MAX_RESPONSE_HEAD: usize = 64 << 10;
const MAX_RESPONSE_HEADERS: usize = 128;

/// Sends requests to the hosts that a component may call. Cheap to clone.
#[derive(Clone)]
pub(in crate::sandbox) struct Client {
    access: Arc<HttpAccess>,
    resolver: Arc<dyn Resolve>,
}

/// A request that may be made.
pub(super) struct Prepared {
    pub(super) head: Parts,
    pub(super) target: Target,
    /// Given back when the response has been read, or nobody wants it any more.
    pub(super) connection: OwnedSemaphorePermit,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    pub(in crate::sandbox) fn new(access: &HttpAccess) -> Self {
        Self::with_resolver(access, Arc::new(System))
    }

    pub(super) fn with_resolver(access: &HttpAccess, resolver: Arc<dyn Resolve>) -> Self {
        Self { access: Arc::new(access.clone()), resolver }
    }

    pub(super) fn allows(&self, target: &Target) -> bool {
        self.access.hosts.iter().any(|pattern| pattern.matches(target))
    }

    /// Connects to the server that a request is for.
    pub(super) async fn connect(
        &self,
        prepared: Prepared,
        options: RequestOptions,
        output: &Output,
    ) -> Result<Connected, Error> {
        let patience = at_most(options.connect_timeout, MAX_CONNECT);
        let stream =
            timeout(patience, self.reach(&prepared.target, output)).await.map_err(|_| Error::ConnectionTimeout)??;
        Ok(Connected { stream, prepared, options })
    }

    async fn reach(&self, target: &Target, output: &Output) -> Result<Box<dyn Stream>, Error> {
        let addresses = self.addresses(target, output).await?;
        let stream = connect_to(&addresses).await?;
        Ok(match target.scheme {
            Scheme::Http => Box::new(stream),
            Scheme::Https => Box::new(tls::encrypt(&target.host, stream).await.inspect_err(|error| {
                if matches!(error, Error::TlsCertificateError) {
                    output.warn(format!(
                        "the certificate of {target} is not trusted by the machine that the host runs on"
                    ));
                }
            })?),
        })
    }

    /// The addresses that a connection may go to; never empty.
    async fn addresses(&self, target: &Target, output: &Output) -> Result<Vec<SocketAddr>, Error> {
        let found = match &target.host {
            Host::Ipv4(address) => vec![SocketAddr::new(IpAddr::V4(*address), target.port)],
            Host::Ipv6(address) => vec![SocketAddr::new(IpAddr::V6(*address), target.port)],
            Host::Domain(name) => self.resolver.resolve(name, target.port).await.map_err(|error| {
                output.warn(format!("the addresses of {target} were not found: {error}"));
                Error::DnsError { rcode: None, info_code: None }
            })?,
        };
        let Some(first) = found.first().copied() else {
            return Err(Error::DnsError { rcode: None, info_code: None });
        };
        let allowed: Vec<_> =
            found.into_iter().filter(|found| self.access.private || !address::is_private(found.ip())).collect();
        if allowed.is_empty() {
            output.warn(format!(
                "a request to {target} was refused: it leads to {}, a private address. If that is meant, set `private = true` under \
                 [capabilities.http] in the component's manifest",
                first.ip()
            ));
            return Err(Error::DestinationIpProhibited);
        }
        Ok(allowed)
    }
}

/// A request and the connection that it goes over.
pub(super) struct Connected {
    stream: Box<dyn Stream>,
    prepared: Prepared,
    options: RequestOptions,
}

impl Connected {
    /// Sends the request. Beside the response there is the work that must go on until its body is read.
    pub(super) async fn send(self, body: WasiBody) -> Result<(Response<WasiBody>, Worker), Error> {
        let Self { stream, prepared: Prepared { head, connection, .. }, options } = self;
        let (mut sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_RESPONSE_HEAD)
            .max_headers(MAX_RESPONSE_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| classify(&error))?;
        // Ends with the request: dropped when the guest drops the response, or is itself dropped.
        let driver = wasmtime_wasi::runtime::spawn(driver);
        let request = Request::from_parts(head, body);
        let response = timeout(at_most(options.first_byte_timeout, MAX_SILENCE), sender.send_request(request))
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| classify(&error))?;
        let patience = at_most(options.between_bytes_timeout, MAX_SILENCE);
        let response =
            response.map(|incoming| Body { incoming, patience, silence: None, _connection: connection }.boxed_unsync());
        Ok((response, Box::new(async move { driver.await.map_err(|error| classify(&error)) })))
    }
}

fn at_most(asked: Option<Duration>, most: Duration) -> Duration {
    asked.map_or(most, |asked| asked.min(most))
}

/// Connects to the first address that answers. All share the time that a connection may take.
async fn connect_to(addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let share = MAX_CONNECT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(match last.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        _ => Error::DestinationUnavailable,
    })
}

/// What an error of the connection means to the guest.
pub(super) fn classify(error: &hyper::Error) -> Error {
    if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(u32::try_from(MAX_RESPONSE_HEAD).ok())
    } else if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_parse() || error.is_user() {
        Error::HttpProtocolError
    } else {
        Error::ConnectionTerminated
    }
}

/// A response's body, from a server that must not be silent for too long.
struct Body {
    incoming: Incoming,
    patience: Duration,
    /// Begins when the guest waits for the server, not while the server waits for the guest.
    silence: Option<Pin<Box<Sleep>>>,
    _connection: OwnedSemaphorePermit,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.silence = None;
                Poll::Ready(frame.map(|frame| frame.map_err(|error| classify(&error))))
            }
            Poll::Pending => {
                let patience = this.patience;
                let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(silence.as_mut().poll(cx));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
