//! Where the scheduler is, and what every call to it carries.

use std::time::Duration;

use durawasm_proto::{durabletask as wire, metadata, v1};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{Error, ErrorKind};

/// The address that a scheduler listens on unless it is told otherwise.
pub const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8080";

/// The task hub that every scheduler has.
pub const DEFAULT_HUB: &str = "default";

/// The largest message that the client takes. Schedulers of other makes may send a large instance in one piece.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// How to reach a scheduler.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The scheduler's address: `http://HOST:PORT`.
    pub address: String,
    /// The task hub that calls are for.
    pub hub: String,
    /// Who calls: a bearer token. Sent only if there is one.
    pub token: Option<String>,
    /// How long to try to connect.
    pub connect_timeout: Duration,
}

impl Connection {
    /// The scheduler at an address, its default hub.
    pub fn to(address: impl Into<String>) -> Connection {
        Connection {
            address: address.into(),
            hub: DEFAULT_HUB.to_owned(),
            token: None,
            connect_timeout: Duration::from_secs(5),
        }
    }

    /// Another task hub than `default`.
    #[must_use]
    pub fn hub(mut self, hub: impl Into<String>) -> Connection {
        self.hub = hub.into();
        self
    }

    /// The caller's bearer token.
    #[must_use]
    pub fn token(mut self, token: Option<String>) -> Connection {
        self.token = token;
        self
    }

    pub(crate) async fn open(&self) -> Result<Services, Error> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidConnection, what.to_owned());
        let hub = MetadataValue::try_from(&self.hub)
            .ok()
            .filter(|_| !self.hub.is_empty())
            .ok_or_else(|| invalid(&format!("`{}` cannot be the name of a task hub", self.hub.escape_debug())))?;
        let authorization = match &self.token {
            None => None,
            Some(token) => Some(
                MetadataValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| invalid("the token holds characters that a token cannot have"))?,
            ),
        };
        let endpoint = Endpoint::from_shared(self.address.clone())
            .ok()
            .filter(|endpoint| endpoint.uri().scheme().is_some() && endpoint.uri().host().is_some())
            .ok_or_else(|| {
                invalid(&format!("`{}` is not an address; one looks like {DEFAULT_ADDRESS}", self.address))
            })?;
        if endpoint.uri().scheme() == Some(&http::uri::Scheme::HTTPS) {
            return Err(invalid("TLS is not supported yet: use an http:// address"));
        }
        let channel = endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .user_agent(concat!("durawasm/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| invalid("the user agent is refused").because(error))?
            .connect()
            .await
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, format!("the scheduler at {} cannot be reached", self.address))
                    .because(error)
            })?;
        let headers = Headers { hub, authorization };
        Ok(Services {
            tasks: wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient::with_interceptor(
                channel.clone(),
                headers.clone(),
            )
            .max_decoding_message_size(MAX_MESSAGE_BYTES),
            durawasm: v1::durawasm_client::DurawasmClient::with_interceptor(channel, headers)
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        })
    }
}

type Intercepted = InterceptedService<Channel, Headers>;

/// The two services of a scheduler, over one connection.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) tasks: wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient<Intercepted>,
    pub(crate) durawasm: v1::durawasm_client::DurawasmClient<Intercepted>,
}

/// Puts hub and token into each call.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    hub: MetadataValue<Ascii>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(metadata::TASK_HUB, self.hub.clone());
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}
