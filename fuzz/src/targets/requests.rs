//! Requests to a scheduler: messages of all its methods, and bytes that are none. Each is answered, with a refusal if need be, and the
//! scheduler serves on.

use durawasm_scheduler::{Options, Scheduler};
use tokio::runtime::Runtime;

use super::chance::Chance;
use super::http2::{Client, frame};
use super::messages::Messages;
use crate::Target;

pub(super) struct Requests {
    messages: Messages,
    runtime: Runtime,
    server: Option<Server>,
}

struct Server {
    address: std::net::SocketAddr,
    client: Client,
    task: tokio::task::JoinHandle<()>,
    /// What clients ask for adds up: after a while another scheduler takes its place.
    served: u32,
}

const INPUTS_OF_ONE: u32 = 2_000;

impl Requests {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        Self { messages: Messages::new(), runtime, server: None }
    }

    async fn start() -> Result<Server, String> {
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            data: None,
            hubs: Vec::new(),
            dev: true,
            limits: Default::default(),
            payloads: Default::default(),
            fail_after: None,
        };
        let scheduler = Scheduler::build(options).await.map_err(|error| error.to_string())?;
        let address = scheduler.local_addr();
        let task = tokio::spawn(async move {
            if let Err(error) = scheduler.run(std::future::pending()).await {
                panic!("the scheduler ended: {error}");
            }
        });
        Ok(Server { address, client: Client::connect(address).await?, task, served: 0 })
    }
}

impl Target for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let Self { messages, runtime, server } = self;
        runtime.block_on(async {
            let server = match server {
                Some(server) if server.served < INPUTS_OF_ONE => server,
                _ => {
                    if let Some(old) = server.take() {
                        old.task.abort();
                    }
                    server.insert(Self::start().await?)
                }
            };
            server.served += 1;
            let mut chance = Chance::new(input);
            for _ in 0..6 {
                if chance.is_over() {
                    break;
                }
                let method =
                    &messages.methods[chance.below(u32::try_from(messages.methods.len()).unwrap_or(1)) as usize];
                let body = if chance.below(10) == 0 {
                    chance.text().into_bytes().into()
                } else {
                    frame(&messages.message(&mut chance, &method.input))
                };
                server.client.call(&method.path, body).await?;
            }
            // The same connection may have been closed for good reasons; a new one must be served.
            if !server.client.call("/TaskHubSidecarService/Hello", frame(&[])).await.unwrap_or(false) {
                server.client = Client::connect(server.address).await?;
                if !server.client.call("/TaskHubSidecarService/Hello", frame(&[])).await? {
                    return Err("the scheduler does not answer Hello any more".to_owned());
                }
            }
            if server.task.is_finished() { Err("the scheduler has ended".to_owned()) } else { Ok(()) }
        })
    }
}
