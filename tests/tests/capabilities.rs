//! Grants on the real program: policies, requests of activities over retries and crashes, what orchestrators see.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually, start_host, start_host_in};
use durawasm_tests::command::Shell;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server that follows a script of statuses (then says 200), and keeps the key of each request. The status 0 is silence.
struct Server {
    url: String,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(script: &'static [u16]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (keys, mut script) = (Arc::new(Mutex::new(Vec::new())), script.iter().copied());
        let kept = Arc::clone(&keys);
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let key = head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap_or("none");
                kept.lock().expect("nobody panics while holding it").push(key.to_owned());
                match script.next().unwrap_or(200) {
                    0 => silent.push(stream),
                    status => {
                        let answer = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n");
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                }
            }
        });
        Ok(Self { url, keys })
    }

    fn keys(&self) -> Vec<String> {
        self.keys.lock().expect("nobody panics while holding it").clone()
    }
}

/// The component with this manifest, and a policy beside the folder.
struct Deployed {
    folder: TempDir,
    policy: tempfile::NamedTempFile,
}

impl Deployed {
    fn new(manifest: &str, policy: &str) -> Result<Self> {
        let folder = components(&["test_capabilities.wasm", "hello_cities.wasm"])?;
        std::fs::write(folder.path().join("test_capabilities.toml"), manifest)?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), policy)?;
        Ok(Self { folder, policy: file })
    }

    fn component(&self) -> String {
        self.folder.path().join("test_capabilities.wasm").display().to_string()
    }

    fn policy(&self) -> String {
        self.policy.path().display().to_string()
    }

    async fn world(&self) -> Result<World> {
        let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
        let host = start_host(&scheduler.uri(), self.folder.path(), &["--policy", &self.policy()]).await?;
        let client = scheduler.client().await?;
        Ok(World { scheduler, host, client, components: self.folder.path().into() })
    }
}

const HTTP: &str = "[capabilities.http]\nhosts = [\"http://127.0.0.1:*\"]\nprivate = true\n";
const ALLOW_HTTP: &str = "[components.test-capabilities.http]\nhosts = [\"http://127.0.0.1:*\"]\nprivate = true\n";

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[tokio::test]
async fn the_key_of_a_request_is_the_same_for_each_attempt_and_different_for_each_request_and_call() -> Result<()> {
    let server = Server::start(&[503, 503]).await?;
    let deployed = Deployed::new(HTTP, ALLOW_HTTP)?;
    let world = deployed.world().await?;
    world.run("effects", "effects", Some(&quoted(&server.url))).await?;
    let keys = server.keys();
    ensure!(keys.len() == 6, "two failed attempts, then two calls of two requests: {keys:?}");
    ensure!(keys[0] == keys[1] && keys[1] == keys[2], "the first request, three times: {keys:?}");
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    ensure!(distinct.len() == 4 && !keys.contains(&"none".to_owned()), "{keys:?}");
    Ok(())
}

#[tokio::test]
async fn the_key_of_a_request_is_the_same_when_the_call_is_delivered_again_after_a_crash() -> Result<()> {
    let server = Server::start(&[0]).await?;
    let deployed = Deployed::new(HTTP, ALLOW_HTTP)?;
    let mut world = deployed.world().await?;
    let id = world.begin("crash", "effects", Some(&quoted(&server.url))).await?;
    eventually("the first request", async || Ok((!server.keys().is_empty()).then_some(()))).await?;
    world.host.kill().await?;
    world.host = start_host(&world.scheduler.uri(), deployed.folder.path(), &["--policy", &deployed.policy()]).await?;
    world.output(&id).await?;
    let keys = server.keys();
    ensure!(keys.len() == 5 && keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
    Ok(())
}

#[tokio::test]
async fn a_component_that_asks_for_more_than_the_policy_allows_is_left_out_and_the_others_run() -> Result<()> {
    let deployed = Deployed::new(HTTP, "[default.http]\nhosts = [\"api.example.com\"]\n")?;
    let world = deployed.world().await?;
    let said = world.host.output.all().join("\n");
    for words in
        ["DW0043", "test_capabilities.wasm", "capabilities.http.hosts", "http://127.0.0.1:*", "https://api.example.com"]
    {
        ensure!(said.contains(words), "`{words}` is missing:\n{said}");
    }
    ensure!(world.run("neighbour", "hello_cities", None).await?.contains("Tokyo"));
    Ok(())
}

#[tokio::test]
async fn a_policy_or_manifest_that_cannot_be_read_is_told_with_its_line() -> Result<()> {
    let deployed = Deployed::new("[capabilities]\nclock = true\n", "[default]\n\nrandom = 1\n")?;
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let shell = Shell::at(&scheduler);
    let folder = deployed.folder.path().display().to_string();
    let said = shell.refuses(&["host", "--components", &folder, "--policy", &deployed.policy()], 2, "DW0042").await?;
    ensure!(said.err.contains(":3") && said.err.contains("`default.random`"), "{said:?}");
    let said = shell.refuses(&["inspect", &deployed.component()], 1, "DW0041").await?;
    ensure!(said.err.contains("test_capabilities.toml:2") && said.err.contains("`clock`"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn inspect_shows_what_is_asked_for_what_is_allowed_and_what_is_granted() -> Result<()> {
    let secret = "[secrets]\nKEY = { env = \"NOT_SET_ANYWHERE\" }\n";
    let deployed =
        Deployed::new(&format!("{secret}{HTTP}"), &format!("{ALLOW_HTTP}[default.secrets]\nenv = [\"*\"]\n"))?;
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let shell = Shell::at(&scheduler);
    let (component, policy) = (deployed.component(), deployed.policy());
    let said = shell.succeeds(&["inspect", &component, "--policy", &policy]).await?;
    for words in [
        "asks for",
        "gets",
        "capabilities.http.hosts = http://127.0.0.1:*",
        "secrets.KEY = the host's environment variable",
    ] {
        ensure!(said.shows(words), "`{words}`: {}", said.out);
    }
    ensure!(!said.shows("activities (pure"), "{}", said.out);
    let said = shell.succeeds(&["inspect", &component, "--policy", &policy, "--json"]).await?;
    let report: Value = serde_json::from_str(&said.out)?;
    ensure!(report["pureActivities"] == false && report["sandbox"]["refused"] == Value::Array(Vec::new()), "{report}");

    let said = shell.refuses(&["inspect", &component], 1, "DW0043").await?;
    ensure!(said.shows("refused") && said.err.contains("`capabilities.http.hosts`"), "{said:?}");

    std::fs::remove_file(deployed.folder.path().join("test_capabilities.toml"))?;
    ensure!(shell.succeeds(&["inspect", &component]).await?.shows("activities (pure"));
    let report: Value = serde_json::from_str(&shell.succeeds(&["inspect", &component, "--json"]).await?.out)?;
    ensure!(report["pureActivities"] == true, "{report}");
    Ok(())
}

#[tokio::test]
async fn orchestrators_see_variables_and_no_secrets_and_nobody_prints_one() -> Result<()> {
    let secret = tempfile::NamedTempFile::new()?;
    std::fs::write(secret.path(), "correct-horse-battery")?;
    let manifest =
        format!("[environment]\nREGION = \"eu\"\n[secrets]\nKEY = {{ file = {} }}\n", quoted(&path(secret.path())?));
    let policy = format!("[default.secrets]\nfiles = [{}]\n", quoted(&path(secret.path())?));
    let deployed = Deployed::new(&manifest, &policy)?;
    let mut world = deployed.world().await?;
    let seen = world.run("environment", "orchestrator_environment", None).await?;
    assert_eq!(serde_json::from_str::<Value>(&seen)?, serde_json::json!({ "REGION": "eu" }));
    let id = world.begin("leak", "call", Some(r#"["leak", "KEY"]"#)).await?;
    let failure = world.ended(&id).await?.failure.context("it fails")?;
    ensure!(format!("{failure:?}").contains("[secret KEY]"), "{failure:?}");
    let shell = Shell::at(&world.scheduler);
    let history = shell.succeeds(&["history", "leak", "--json"]).await?.out;
    let inspected = shell.succeeds(&["inspect", &deployed.component(), "--policy", &deployed.policy()]).await?.out;
    ensure!(world.host.stop().await?.success());
    let logged = world.host.output.all().join("\n");
    ensure!(logged.contains("[secret KEY]"), "the lines are there, without the secret:\n{logged}");
    for (place, text) in [("history", &history), ("inspect", &inspected), ("log", &logged)] {
        ensure!(!text.contains("correct-horse"), "{place}: {text}");
    }
    Ok(())
}

/// An authority of one's own.
fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A server that says hello over TLS, with a certificate of this authority for this name. Returns its port.
async fn encrypted(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Result<u16> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, authority)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Whoever does not trust the certificate leaves here.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
            let _ = stream.shutdown().await;
        }
    });
    Ok(port)
}

#[tokio::test]
async fn a_server_is_reached_by_tls_if_an_authority_that_the_operator_trusts_has_signed_for_its_name() -> Result<()> {
    let (trusted, other) = (authority()?, authority()?);
    let good = encrypted(&trusted, "127.0.0.1").await?;
    let (unknown, misnamed) = (encrypted(&other, "127.0.0.1").await?, encrypted(&trusted, "shop.example").await?);

    let hosts = "http]\nhosts = [\"https://127.0.0.1:*\"]\nprivate = true\n";
    let deployed = Deployed::new(&format!("[capabilities.{hosts}"), &format!("[components.test-capabilities.{hosts}"))?;
    let authorities = tempfile::NamedTempFile::new()?;
    std::fs::write(authorities.path(), trusted.pem())?;
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let (policy, file) = (deployed.policy(), path(authorities.path())?);
    let (arguments, environment) = (["--policy", policy.as_str()], [("SSL_CERT_FILE", file.as_str())]);
    let host = start_host_in(&scheduler.uri(), deployed.folder.path(), &arguments, &environment).await?;
    let client = scheduler.client().await?;
    let world = World { scheduler, host, client, components: deployed.folder.path().into() };

    let ask = async |id: &str, port: u16| -> Result<Value> {
        let ask = serde_json::json!(["request", { "method": "GET", "url": format!("https://127.0.0.1:{port}/") }]);
        Ok(serde_json::from_str(&world.run(id, "call", Some(&ask.to_string())).await?)?)
    };
    let heard = ask("good", good).await?;
    ensure!(heard["status"] == 200 && heard["body"] == "hello", "{heard}");
    for (id, port) in [("unknown", unknown), ("misnamed", misnamed)] {
        let heard = ask(id, port).await?;
        ensure!(
            heard["status"] == 0 && heard["error"].as_str().is_some_and(|why| why.contains("TlsCertificate")),
            "{heard}"
        );
        let logged = world.host.output.all().join("\n");
        ensure!(logged.contains(&format!("the certificate of https://127.0.0.1:{port} is not trusted")), "{logged}");
    }
    Ok(())
}

fn path(path: &Path) -> Result<String> {
    Ok(path.canonicalize()?.to_str().context("a path of text")?.to_owned())
}
