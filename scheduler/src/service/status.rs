//! Refusals and failures of the store as gRPC status codes: those that the SDKs turn into typed errors.

use durawasm_proto::metadata;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::core::ids::InvalidInstanceId;
use crate::core::message::Refusal;
use crate::store::StoreError;

/// The code of a refusal.
#[must_use]
pub fn code_of_refusal(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NotFound(_) => Code::NotFound,
        Refusal::AlreadyExists(..) => Code::AlreadyExists,
        Refusal::Invalid(_) => Code::InvalidArgument,
        Refusal::Precondition(_) => Code::FailedPrecondition,
        Refusal::Superseded(_) => Code::Aborted,
        Refusal::Unserved(_) => Code::Unavailable,
        Refusal::TooLarge(_) => Code::ResourceExhausted,
        Refusal::Damaged(..) => Code::DataLoss,
    }
}

/// A refusal as a status.
#[must_use]
pub fn of_refusal(refusal: Refusal) -> Status {
    // Too large a payload from a client is the client's mistake.
    if let Refusal::TooLarge(_) = refusal {
        let mut status = Status::invalid_argument(refusal.to_string());
        status.metadata_mut().insert(metadata::REFUSAL, MetadataValue::from_static(metadata::TOO_LARGE));
        return status;
    }
    Status::new(code_of_refusal(&refusal), refusal.to_string())
}

/// A failure of the store as a status.
#[must_use]
pub fn of_store(error: &StoreError, hub: &str) -> Status {
    tracing::error!(%hub, %error, "the store cannot be read");
    match error {
        StoreError::Corrupt(_) => Status::data_loss(format!("task hub `{hub}`: {error}")),
        _ => Status::internal(format!("task hub `{hub}`: {error}")),
    }
}

/// A text that is no instance id.
#[must_use]
pub fn of_invalid_id(error: &InvalidInstanceId) -> Status {
    Status::invalid_argument(error.to_string())
}
