//! Task hubs: worlds of their own within a scheduler. The protocol can make and delete them; it cannot list them.

use durawasm_proto::durabletask as wire;

use crate::{Client, Error};

impl Client {
    /// Creates the connection's task hub if it is not there.
    pub async fn create_hub(&self) -> Result<(), Error> {
        self.create(false).await
    }

    /// Creates the connection's task hub. One that is there is emptied: all its instances are lost.
    pub async fn recreate_hub(&self) -> Result<(), Error> {
        self.create(true).await
    }

    /// Deletes the connection's task hub with all that is in it. The hub `default` always exists: it is emptied.
    pub async fn delete_hub(&self) -> Result<(), Error> {
        let request = wire::DeleteTaskHubRequest {};
        self.services().tasks.delete_task_hub(request).await.map_err(|status| self.hub_missing(status))?;
        Ok(())
    }

    async fn create(&self, recreate_if_exists: bool) -> Result<(), Error> {
        let request = wire::CreateTaskHubRequest { recreate_if_exists };
        self.services().tasks.create_task_hub(request).await.map_err(|status| self.failed(status))?;
        Ok(())
    }
}
