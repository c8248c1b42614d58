//! What most guests use: `use durawasm_guest::prelude::*;`

pub use std::time::Duration;

pub use rand::RngExt as _;

pub use crate::error::{Error, Result, ResultExt as _};
pub use crate::orchestration::{
    Context, Next, OneOf2, OneOf3, OneOf4, Retry, TimedOut, join, join_all, race, race_all, try_join, try_join_all,
};
pub use crate::timestamp::Timestamp;
pub use crate::{ActivityContext, EntityContext, EntityId, activity, bail, ensure, entity, failure, orchestrator};
