//! Entities: signals to them, and a look at their state.

use std::{fmt, str::FromStr, time::SystemTime};

use durawasm_proto::durabletask as wire;
use futures::Stream;
use serde::{Serialize, Serializer};

use crate::{
    Client, Error, InstanceId, Page, PageToken, Payload,
    listing::{next, pages},
};

/// How many entities a stream asks for at a time.
const PAGE: u32 = 500;

/// Names an entity: in the protocol, and for people, `@name@key`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId {
    name: String,
    key: String,
}

/// A text that names no entity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no entity: write it as @NAME@KEY, with a name that is not empty")]
pub struct InvalidEntityId(String);

impl EntityId {
    /// The entity of this name (case does not matter) and key (it does).
    ///
    /// # Errors
    /// If the name is empty or contains `@`, which separates it from the key.
    pub fn new(name: &str, key: impl Into<String>) -> Result<EntityId, InvalidEntityId> {
        let key = key.into();
        if name.is_empty() || name.contains('@') {
            return Err(InvalidEntityId(format!("@{name}@{key}")));
        }
        Ok(EntityId { name: name.to_lowercase(), key })
    }

    /// The name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for EntityId {
    type Err = InvalidEntityId;

    /// Reads `@name@key`; the first `@` may be left out.
    fn from_str(text: &str) -> Result<EntityId, InvalidEntityId> {
        let invalid = || InvalidEntityId(text.to_owned());
        let (name, key) = text.strip_prefix('@').unwrap_or(text).split_once('@').ok_or_else(invalid)?;
        EntityId::new(name, key).map_err(|_| invalid())
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("@{}@{}", self.name, self.key))
    }
}

impl Serialize for EntityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An entity as the scheduler keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    /// Its id, as the scheduler writes it.
    pub id: String,
    /// When the last batch of its operations was committed.
    #[serde(with = "crate::time::option", skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<SystemTime>,
    /// How many operations wait.
    pub backlog: u64,
    /// The orchestration that has locked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_by: Option<InstanceId>,
    /// Its state, if that was asked for and there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Payload>,
}

/// Which entities to list. What is not stated does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityFilter {
    /// Those whose id (`@name@key`) begins so.
    pub prefix: Option<String>,
    /// Those whose last change was at this time or later.
    pub modified_from: Option<SystemTime>,
    /// Those whose last change was before this time.
    pub modified_before: Option<SystemTime>,
    /// Whether their states are wanted.
    pub states: bool,
    /// Also those without a state, if they are locked or operations wait for them.
    pub transient: bool,
}

/// What a cleaning removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanOptions {
    /// Entities without state for which nothing waits.
    pub empty: bool,
    /// Locks of orchestrations that do not run any more.
    pub orphaned_locks: bool,
}

/// What a cleaning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleaned {
    /// Entities without state.
    pub empty_entities: u64,
    /// Locks.
    pub orphaned_locks: u64,
}

impl Client {
    /// Signals an entity: the operation runs, and nobody waits for its result. When this returns, the signal is durable. With `at` it
    /// runs not before that time.
    pub async fn signal_entity(
        &self,
        id: &EntityId,
        operation: &str,
        input: Option<Payload>,
        at: Option<SystemTime>,
    ) -> Result<(), Error> {
        let request = wire::SignalEntityRequest {
            instance_id: id.to_string(),
            name: operation.to_owned(),
            input: input.map(|input| input.as_str().to_owned()),
            request_id: uuid::Uuid::new_v4().to_string(),
            scheduled_time: at.map(Into::into),
            parent_trace_context: None,
            request_time: Some(SystemTime::now().into()),
        };
        self.services().tasks.signal_entity(request).await.map_err(|status| self.hub_missing(status))?;
        Ok(())
    }

    /// Asks for an entity; `state` says whether its state is wanted. None if there is none: it has no state, and nothing waits for it.
    pub async fn get_entity(&self, id: &EntityId, state: bool) -> Result<Option<Entity>, Error> {
        let request = wire::GetEntityRequest { instance_id: id.to_string(), include_state: state };
        let answer = self.services().tasks.get_entity(request).await.map_err(|status| self.hub_missing(status))?;
        let answer = answer.into_inner();
        Ok(answer.entity.filter(|_| answer.exists).map(entity))
    }

    /// One page of the entities of the hub, of at most `size`; the scheduler may send fewer.
    pub async fn list_entities_page(
        &self,
        filter: &EntityFilter,
        size: u32,
        from: Option<&PageToken>,
    ) -> Result<Page<Entity>, Error> {
        let query = wire::EntityQuery {
            instance_id_starts_with: filter.prefix.clone(),
            last_modified_from: filter.modified_from.map(Into::into),
            last_modified_to: filter.modified_before.map(Into::into),
            include_state: filter.states,
            include_transient: filter.transient,
            page_size: Some(size.try_into().unwrap_or(i32::MAX)),
            continuation_token: from.map(|token| token.as_str().to_owned()),
        };
        let request = wire::QueryEntitiesRequest { query: Some(query) };
        let answer = self.services().tasks.query_entities(request).await;
        let answer = answer.map_err(|status| self.hub_missing(status))?.into_inner();
        Ok(Page {
            items: answer.entities.into_iter().map(entity).collect(),
            next: next(answer.continuation_token, from),
        })
    }

    /// The entities of the hub, page by page.
    pub fn list_entities(&self, filter: EntityFilter) -> impl Stream<Item = Result<Vec<Entity>, Error>> + Send + use<> {
        let client = self.clone();
        pages(move |from| {
            let (client, filter) = (client.clone(), filter.clone());
            async move { client.list_entities_page(&filter, PAGE, from.as_ref()).await }
        })
    }

    /// Removes entities and locks that nobody needs any more.
    pub async fn clean_entities(&self, options: CleanOptions) -> Result<Cleaned, Error> {
        let mut cleaned = Cleaned::default();
        let mut from = None;
        loop {
            let request = wire::CleanEntityStorageRequest {
                continuation_token: from.as_ref().map(|token: &PageToken| token.as_str().to_owned()),
                remove_empty_entities: options.empty,
                release_orphaned_locks: options.orphaned_locks,
            };
            let answer = self.services().tasks.clean_entity_storage(request).await;
            let answer = answer.map_err(|status| self.hub_missing(status))?.into_inner();
            cleaned.empty_entities += u64::try_from(answer.empty_entities_removed).unwrap_or(0);
            cleaned.orphaned_locks += u64::try_from(answer.orphaned_locks_released).unwrap_or(0);
            from = next(answer.continuation_token, from.as_ref());
            if from.is_none() {
                return Ok(cleaned);
            }
        }
    }
}

fn entity(entity: wire::EntityMetadata) -> Entity {
    Entity {
        id: entity.instance_id,
        modified_at: entity.last_modified_time.and_then(|time| time.try_into().ok()),
        backlog: u64::try_from(entity.backlog_queue_size).unwrap_or(0),
        locked_by: entity.locked_by.filter(|id| !id.is_empty()).map(InstanceId::from_scheduler),
        state: entity.serialized_state.map(Payload::from_text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_with_and_without_its_first_mark() {
        for text in ["@Counter@A@b", "counter@A@b"] {
            let id: EntityId = text.parse().unwrap();
            assert_eq!((id.name(), id.key(), id.to_string().as_str()), ("counter", "A@b", "@counter@A@b"));
        }
        for text in ["", "counter", "@counter", "@@a"] {
            let error = text.parse::<EntityId>().unwrap_err().to_string();
            assert!(error.contains("@NAME@KEY"), "{error}");
        }
    }
}
