//! The calls that hold an instance, end it, or begin it anew.

use durawasm_proto::durabletask as wire;

use crate::{Client, Error, InstanceId, Payload};

/// How many ids the protocol allows in one call.
pub(crate) const BATCH: usize = 500;

/// Under which id an instance is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartAs {
    /// Its own. It must have ended; its history is discarded.
    #[default]
    SameId,
    /// A new one, which the scheduler makes. The instance stays as it is.
    NewId,
}

impl Client {
    /// Ends an instance, with an output for those who wait for it; `recursive` also ends the orchestrations that it
    /// started. Returns when the request is durable; the instance ends soon after.
    pub async fn terminate(&self, id: &InstanceId, output: Option<Payload>, recursive: bool) -> Result<(), Error> {
        let request = wire::TerminateRequest {
            instance_id: id.to_string(),
            output: output.map(|output| output.as_str().to_owned()),
            recursive,
        };
        let answer = self.services().tasks.terminate_instance(request).await;
        self.settle(answer, id).await?;
        Ok(())
    }

    /// Ends instances in the store, at once and without a worker: their orchestrators are not asked. Returns those that
    /// were not ended: they do not exist, have ended before, or hold locks of entities.
    pub async fn terminate_at_once(&self, ids: &[InstanceId], reason: Option<&str>) -> Result<Vec<InstanceId>, Error> {
        let mut left = Vec::new();
        for batch in ids.chunks(BATCH) {
            let request = wire::SkipGracefulOrchestrationTerminationsRequest {
                instance_batch: Some(self::batch(batch)),
                reason: reason.map(str::to_owned),
            };
            let answer = self.services().tasks.skip_graceful_orchestration_terminations(request).await;
            let answer = answer.map_err(|status| self.hub_missing(status))?.into_inner();
            left.extend(answer.unterminated_instance_ids.into_iter().map(InstanceId::from_scheduler));
        }
        Ok(left)
    }

    /// Holds an instance until it is resumed. What arrives meanwhile is kept.
    pub async fn suspend(&self, id: &InstanceId, reason: Option<&str>) -> Result<(), Error> {
        let request = wire::SuspendRequest { instance_id: id.to_string(), reason: reason.map(str::to_owned) };
        let answer = self.services().tasks.suspend_instance(request).await;
        self.settle(answer, id).await?;
        Ok(())
    }

    /// Lets a suspended instance go on.
    pub async fn resume(&self, id: &InstanceId, reason: Option<&str>) -> Result<(), Error> {
        let request = wire::ResumeRequest { instance_id: id.to_string(), reason: reason.map(str::to_owned) };
        let answer = self.services().tasks.resume_instance(request).await;
        self.settle(answer, id).await?;
        Ok(())
    }

    /// Takes an instance that has failed back to before its failure: what failed is done again, what succeeded is not.
    /// Sub-orchestrations that failed are rewound as well.
    pub async fn rewind(&self, id: &InstanceId, reason: Option<&str>) -> Result<(), Error> {
        let request = wire::RewindInstanceRequest { instance_id: id.to_string(), reason: reason.map(str::to_owned) };
        let answer = self.services().tasks.rewind_instance(request).await;
        self.settle(answer, id).await?;
        Ok(())
    }

    /// Starts an instance again, with the name, version, input and tags that it was started with. Returns the id of
    /// the one that was started.
    pub async fn restart(&self, id: &InstanceId, under: RestartAs) -> Result<InstanceId, Error> {
        let request = wire::RestartInstanceRequest {
            instance_id: id.to_string(),
            restart_with_new_instance_id: under == RestartAs::NewId,
        };
        let answer = self.services().tasks.restart_instance(request).await;
        let answer = self.settle(answer, id).await?.into_inner();
        Ok(InstanceId::from_scheduler(answer.instance_id))
    }
}

pub(crate) fn batch(ids: &[InstanceId]) -> wire::InstanceBatch {
    wire::InstanceBatch { instance_ids: ids.iter().map(ToString::to_string).collect() }
}
