//! Requests against servers on this machine, with resolvers that say what a test wants.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use http_body_util::{BodyExt as _, Empty};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::resolve::Resolve;
use super::*;
use crate::deployment::{HostPattern, HttpAccess};
use crate::sandbox::logs::LogBuffer;

/// Gives one answer after another, then the last one again, and counts how often it is asked.
struct Scripted {
    answers: Vec<Vec<SocketAddr>>,
    asked: AtomicUsize,
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers[asked.min(self.answers.len() - 1)].clone();
        async move { Ok(answer) }.boxed()
    }
}

/// A server that answers each connection with the same bytes, and keeps what it was sent.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, answer) = (listener.local_addr().unwrap(), answer.into());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                kept.lock().push(String::from_utf8(head).unwrap());
                let _ = stream.write_all(&answer).await;
                // Silent from here on, with the connection open.
                tokio::spawn(async move {
                    let _ = stream.read_u8().await;
                });
            }
        });
        Self { address, heads }
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

struct Caller {
    requests: Requests,
    output: Output,
    resolver: Arc<Scripted>,
}

impl Caller {
    fn new(hosts: &[String], private: bool, answers: Vec<Vec<SocketAddr>>) -> Self {
        let hosts = hosts.iter().map(|host| HostPattern::try_from(host.clone()).unwrap()).collect();
        let resolver = Arc::new(Scripted { answers, asked: AtomicUsize::new(0) });
        let client = Client::with_resolver(&HttpAccess { hosts, private }, resolver.clone());
        let output = Output::default();
        Self { requests: Requests::new(Some(client), "order-1/a/3", &output), output, resolver }
    }

    async fn send(&mut self, request: Request<()>, options: RequestOptions) -> Result<Response<WasiBody>, Error> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let future = self.requests.send_request(request.map(|()| body), Some(options), Box::new(async { Ok(()) }));
        let (response, worker) = Pin::from(future).await?;
        tokio::spawn(Pin::from(worker));
        Ok(response)
    }

    async fn get(&mut self, url: &str) -> Result<String, Error> {
        let response = self.send(Request::get(url).body(()).unwrap(), RequestOptions::default()).await?;
        Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec()).unwrap())
    }

    fn said(&self) -> String {
        let mut logs = LogBuffer::new(100, 1 << 20);
        self.output.gather(&mut logs);
        logs.take().into_iter().map(|line| line.message).collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn a_request_goes_to_an_allowed_host_and_names_it() {
    let server = Server::start(HELLO).await;
    let mut caller = Caller::new(&[server.url("api.example")], true, vec![vec![server.address]]);
    assert_eq!(caller.get(&format!("{}/a?b=c", server.url("API.Example"))).await.unwrap(), "hello");
    let head = server.heads.lock().remove(0);
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: api.example:{}\r\n", server.address.port())), "{head}");
}

#[tokio::test]
async fn a_host_that_is_not_named_is_refused_before_anything_is_resolved() {
    let server = Server::start(HELLO).await;
    let mut caller = Caller::new(&["*.good.example".to_owned()], true, vec![vec![server.address]]);
    for url in
        ["https://good.example/", "https://evil.example/", "http://a.good.example/", "https://a.good.example:8443/"]
    {
        let error = caller.get(url).await.unwrap_err();
        assert!(matches!(error, Error::HttpRequestDenied), "{url}: {error}");
    }
    assert_eq!(caller.resolver.asked.load(Ordering::Relaxed), 0);
    let said = caller.said();
    assert!(said.contains("[capabilities.http]") && said.contains("\"https://evil.example\""), "{said}");
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_refused() {
    let server = Server::start(HELLO).await;
    let mut caller = Caller::new(&[server.url("rebound.example")], false, vec![vec![server.address]]);
    let error = caller.get(&server.url("rebound.example")).await.unwrap_err();
    assert!(matches!(error, Error::DestinationIpProhibited), "{error}");
    assert!(server.heads.lock().is_empty());
    assert!(caller.said().contains("`private = true`"));
}

#[tokio::test]
async fn a_private_address_as_the_host_itself_is_refused_in_all_its_forms() {
    let hosts = ["http://*:*".to_owned()];
    let mut caller = Caller::new(&hosts, false, vec![vec![]]);
    for host in
        ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"]
    {
        let error = caller.get(&format!("http://{host}:8080/")).await.unwrap_err();
        assert!(matches!(error, Error::DestinationIpProhibited), "{host}: {error}");
    }
    assert_eq!(caller.resolver.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_name_is_resolved_once_and_only_what_was_checked_is_connected_to() {
    // An answer that would pass the check if it were asked a second time, and one that would not: neither is asked for.
    let server = Server::start(HELLO).await;
    let public: SocketAddr = "93.184.216.34:80".parse().unwrap();
    let mut caller = Caller::new(&[server.url("rebound.example")], false, vec![vec![server.address], vec![public]]);
    assert!(matches!(caller.get(&server.url("rebound.example")).await, Err(Error::DestinationIpProhibited)));
    assert_eq!(caller.resolver.asked.load(Ordering::Relaxed), 1);

    // Nobody listens at the first address; the second, which a name server gives later, is never looked at.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut caller = Caller::new(&[server.url("rebound.example")], true, vec![vec![closed], vec![server.address]]);
    assert!(matches!(caller.get(&server.url("rebound.example")).await, Err(Error::ConnectionRefused)));
    assert_eq!(caller.resolver.asked.load(Ordering::Relaxed), 1);
    assert!(server.heads.lock().is_empty());
}

#[tokio::test]
async fn the_next_address_is_tried_if_one_does_not_answer() {
    let server = Server::start(HELLO).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut caller = Caller::new(&[server.url("two.example")], true, vec![vec![closed, server.address]]);
    assert_eq!(caller.get(&server.url("two.example")).await.unwrap(), "hello");
}

#[tokio::test]
async fn requests_with_effects_get_keys_unless_the_guest_gives_one() {
    let server = Server::start(HELLO).await;
    let url = server.url("a.example");
    let keys = async || {
        let mut caller = Caller::new(std::slice::from_ref(&url), true, vec![vec![server.address]]);
        let own = Request::post(&url).header("idempotency-key", "mine").body(()).unwrap();
        for request in [
            Request::post(&url).body(()).unwrap(),
            own,
            Request::get(&url).body(()).unwrap(),
            Request::put(&url).body(()).unwrap(),
        ] {
            caller.send(request, RequestOptions::default()).await.unwrap();
        }
        let heads: Vec<String> = server.heads.lock().drain(..).collect();
        let key =
            |head: &String| head.lines().find_map(|line| line.strip_prefix("idempotency-key: ").map(str::to_owned));
        heads.iter().map(key).collect::<Vec<_>>()
    };
    let first = keys().await;
    assert_eq!((first[1].as_deref(), &first[2]), (Some("mine"), &None));
    assert!(first[0].is_some() && first[3].is_some() && first[0] != first[3], "{first:?}");
    assert_eq!(first, keys().await, "another run of the same call has the same keys");
}

#[tokio::test]
async fn what_is_no_request_to_a_server_is_refused() {
    let mut caller = Caller::new(&["http://*:*".to_owned()], true, vec![vec![]]);
    let tunnel = Request::builder().method("CONNECT").uri("http://a.example/").body(()).unwrap();
    let error = caller.send(tunnel, RequestOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::HttpRequestMethodInvalid), "{error}");
    let error = caller.get("http://user:password@a.example/").await.unwrap_err();
    assert!(matches!(error, Error::HttpRequestUriInvalid), "{error}");
}

#[tokio::test]
async fn a_response_with_a_huge_head_is_refused() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let server = Server::start(head).await;
    let mut caller = Caller::new(&[server.url("a.example")], true, vec![vec![server.address]]);
    let error = caller.get(&server.url("a.example")).await.unwrap_err();
    assert!(matches!(error, Error::HttpResponseHeaderSectionSize(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let options = RequestOptions {
        first_byte_timeout: Some(Duration::from_millis(50)),
        between_bytes_timeout: Some(Duration::from_millis(50)),
        ..RequestOptions::default()
    };
    let silent = Server::start("").await;
    let mut caller = Caller::new(&[silent.url("a.example")], true, vec![vec![silent.address]]);
    let error = caller.send(Request::get(silent.url("a.example")).body(()).unwrap(), options).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionReadTimeout), "{error}");

    let half = Server::start("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut caller = Caller::new(&[half.url("a.example")], true, vec![vec![half.address]]);
    let response = caller.send(Request::get(half.url("a.example")).body(()).unwrap(), options).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(matches!(error, Error::ConnectionReadTimeout), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_no_https_server() {
    let server = Server::start(HELLO).await;
    let host = format!("a.example:{}", server.address.port());
    let mut caller = Caller::new(std::slice::from_ref(&host), true, vec![vec![server.address]]);
    let options = RequestOptions { connect_timeout: Some(Duration::from_secs(2)), ..RequestOptions::default() };
    let request = Request::get(format!("https://{host}/")).body(()).unwrap();
    let error = caller.send(request, options).await.unwrap_err();
    assert!(matches!(error, Error::TlsProtocolError | Error::ConnectionTimeout), "{error}");
}

#[tokio::test]
async fn a_call_has_so_many_connections_and_no_more() {
    let server = Server::start(HELLO).await;
    let mut caller = Caller::new(&[server.url("a.example")], true, vec![vec![server.address]]);
    let mut open = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let request = Request::get(server.url("a.example")).body(()).unwrap();
        open.push(caller.send(request, RequestOptions::default()).await.unwrap());
    }
    let error = caller.get(&server.url("a.example")).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLimitReached), "{error}");
    open.pop();
    assert_eq!(caller.get(&server.url("a.example")).await.unwrap(), "hello");
}
