//! A connection, and the calls that start instances and look at them. The others are in modules of their own: what
//! controls instances ([`crate::control`]), lists them, purges them, repairs them, and waits for them.

use std::sync::Arc;

use durawasm_proto::durabletask as wire;
use tonic::Status;

use crate::{
    Connection, Description, Error, ErrorKind, Follower, History, Instance, InstanceId, Payload, StartOptions,
    connection::Services, convert,
};

/// A connection to one task hub of a scheduler. Cloning it is cheap, and the clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Arc<Connection>,
    services: Services,
}

impl Client {
    /// Connects. An error of the kind [`ErrorKind::Unavailable`] says that nobody answers at the address.
    ///
    /// A connection that breaks later is made again by the next call.
    pub async fn connect(connection: Connection) -> Result<Client, Error> {
        let services = connection.open().await?;
        Ok(Client { connection: Arc::new(connection), services })
    }

    /// The connection's settings.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn services(&self) -> Services {
        self.services.clone()
    }

    /// Asks whether somebody is there.
    pub async fn hello(&self) -> Result<(), Error> {
        self.services().tasks.hello(()).await.map_err(|status| self.failed(status))?;
        Ok(())
    }

    /// Starts an orchestration. When this returns, the start is durable.
    pub async fn start(&self, name: &str, input: Option<Payload>, options: StartOptions) -> Result<InstanceId, Error> {
        let request = options.into_request(name, input);
        // The only thing that can be missing here is the hub.
        let answer = self.services().tasks.start_instance(request).await.map_err(|status| self.hub_missing(status))?;
        Ok(InstanceId::from_scheduler(answer.into_inner().instance_id))
    }

    /// Asks for an instance; `payloads` says whether its input and output are wanted.
    pub async fn get(&self, id: &InstanceId, payloads: bool) -> Result<Option<Instance>, Error> {
        let request = Client::question(id, payloads);
        let answer = self.services().tasks.get_instance(request).await.map_err(|status| self.hub_missing(status))?;
        Ok(convert::instance_from_answer(answer.into_inner()))
    }

    /// Sends an external event to an instance. When this returns, the event is durable; it is delivered exactly once.
    pub async fn raise_event(&self, id: &InstanceId, name: &str, payload: Option<Payload>) -> Result<(), Error> {
        let request = wire::RaiseEventRequest {
            instance_id: id.to_string(),
            name: name.to_owned(),
            input: payload.map(|payload| payload.as_str().to_owned()),
        };
        let answer = self.services().tasks.raise_event(request).await;
        self.settle(answer, id).await?;
        Ok(())
    }

    /// Reads the history of an instance's current execution.
    pub async fn history(&self, id: &InstanceId) -> Result<History, Error> {
        let request = wire::StreamInstanceHistoryRequest {
            instance_id: id.to_string(),
            execution_id: None,
            for_work_item_processing: false,
        };
        match self.services().tasks.stream_instance_history(request).await {
            Ok(stream) => Ok(History::new(stream.into_inner(), self.clone(), id.clone())),
            Err(status) => Err(self.missing(status, id).await),
        }
    }

    /// Asks for all that the scheduler knows of an instance. Schedulers of other makes know less: see
    /// [`Description::details`].
    pub async fn describe(&self, id: &InstanceId, payloads: bool) -> Result<Option<Description>, Error> {
        crate::describe::describe(self, id, payloads).await
    }

    /// Follows an instance from its first event on, until it ends.
    pub fn follow(&self, id: &InstanceId) -> Follower {
        Follower::new(self.clone(), id.clone())
    }

    pub(crate) fn question(id: &InstanceId, payloads: bool) -> wire::GetInstanceRequest {
        wire::GetInstanceRequest { instance_id: id.to_string(), get_inputs_and_outputs: payloads }
    }

    /// The error of a call that has nothing that could be missing.
    pub(crate) fn failed(&self, status: Status) -> Error {
        Error::from_status(status, &self.connection.address)
    }

    /// The error of a call that only our own scheduler has: `what` it would do, to follow "cannot".
    pub(crate) fn extension(&self, error: Error, what: &str) -> Error {
        if error.kind() != ErrorKind::Unsupported {
            return error;
        }
        let address = &self.connection.address;
        Error::new(ErrorKind::Unsupported, format!("the scheduler at {address} cannot {what}")).advise(
            "This is an extension of durawasm: it needs a durawasm scheduler, of this version or a newer one. \
             With other schedulers, use what the Durable Task protocol has: rewind, restart, terminate, purge.",
        )
    }

    /// The error of a call for which NOT_FOUND means that the hub is missing.
    pub(crate) fn hub_missing(&self, status: Status) -> Error {
        let error = self.failed(status);
        match error.kind() {
            ErrorKind::NotFound => error.into_unknown_hub(&self.connection.hub, &self.connection.address),
            _ => error,
        }
    }

    /// The error of a call for which NOT_FOUND means that the hub or the instance is missing. The protocol has one
    /// status for both; asking for the instance tells them apart.
    pub(crate) async fn missing(&self, status: Status, id: &InstanceId) -> Error {
        let error = self.failed(status);
        if error.kind() != ErrorKind::NotFound {
            return error;
        }
        match self.get(id, false).await {
            Err(hub) if hub.kind() == ErrorKind::UnknownHub => hub,
            _ => self.no_such_instance(id),
        }
    }

    pub(crate) fn no_such_instance(&self, id: &InstanceId) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!(
                "there is no instance `{id}` in the task hub `{}` of {}",
                self.connection.hub, self.connection.address
            ),
        )
    }

    pub(crate) async fn settle<T>(&self, answer: Result<T, Status>, id: &InstanceId) -> Result<T, Error> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(status) => Err(self.missing(status, id).await),
        }
    }
}
