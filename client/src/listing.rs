//! Lists of instances, in pages: one page at a time, or all of them as a stream.

use std::time::SystemTime;

use durawasm_proto::durabletask as wire;
use futures::{Stream, stream};
use serde::Serialize;

use crate::{Client, Error, Instance, InstanceId, Status, convert};

/// How many instances a stream asks for at a time.
const PAGE: u32 = 500;

/// Which instances to list. What is not stated does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// Those in one of these statuses; empty: in any.
    pub statuses: Vec<Status>,
    /// Those whose id begins so.
    pub prefix: Option<String>,
    /// Those created at this time or later.
    pub created_from: Option<SystemTime>,
    /// Those created before this time.
    pub created_before: Option<SystemTime>,
    /// Whether inputs and outputs are wanted.
    pub payloads: bool,
}

/// Which ended instances to list. What is not stated does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedFilter {
    /// Those that ended in one of these statuses; empty: in any.
    pub statuses: Vec<Status>,
    /// Those that ended at this time or later.
    pub ended_from: Option<SystemTime>,
    /// Those that ended before this time.
    pub ended_before: Option<SystemTime>,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<T> {
    /// What is on it. It may be empty although more follows.
    pub items: Vec<T>,
    /// Where the next page begins. None: this is the last one.
    pub next: Option<PageToken>,
}

/// Where a page begins: the scheduler's own text, to be given back as it is, with the same filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct PageToken(String);

impl PageToken {
    /// A token that was kept as text.
    pub fn from_text(text: impl Into<String>) -> PageToken {
        PageToken(text.into())
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Client {
    /// One page of the instances of the hub, of at most `size`; the scheduler may send fewer.
    pub async fn list_page(
        &self,
        filter: &InstanceFilter,
        size: u32,
        from: Option<&PageToken>,
    ) -> Result<Page<Instance>, Error> {
        let query = wire::InstanceQuery {
            runtime_status: convert::statuses_to_wire(&filter.statuses),
            created_time_from: filter.created_from.map(Into::into),
            created_time_to: filter.created_before.map(Into::into),
            task_hub_names: Vec::new(),
            max_instance_count: size.try_into().unwrap_or(i32::MAX),
            continuation_token: from.map(|token| token.0.clone()),
            instance_id_prefix: filter.prefix.clone(),
            fetch_inputs_and_outputs: filter.payloads,
        };
        let request = wire::QueryInstancesRequest { query: Some(query) };
        let answer = self.services().tasks.query_instances(request).await;
        let answer = answer.map_err(|status| self.hub_missing(status))?.into_inner();
        Ok(Page {
            items: answer.orchestration_state.into_iter().map(convert::instance).collect(),
            next: next(answer.continuation_token, from),
        })
    }

    /// The instances of the hub, page by page. Instances that come or change meanwhile may be in it or not; none that
    /// stays as it is is left out or comes twice.
    pub fn list(&self, filter: InstanceFilter) -> impl Stream<Item = Result<Vec<Instance>, Error>> + Send + use<> {
        let client = self.clone();
        pages(move |from| {
            let (client, filter) = (client.clone(), filter.clone());
            async move { client.list_page(&filter, PAGE, from.as_ref()).await }
        })
    }

    /// One page of the ids of instances that have ended, in the order of their ends.
    pub async fn list_ended_page(
        &self,
        filter: &EndedFilter,
        size: u32,
        from: Option<&PageToken>,
    ) -> Result<Page<InstanceId>, Error> {
        let request = wire::ListInstanceIdsRequest {
            runtime_status: convert::statuses_to_wire(&filter.statuses),
            completed_time_from: filter.ended_from.map(Into::into),
            completed_time_to: filter.ended_before.map(Into::into),
            page_size: size.try_into().unwrap_or(i32::MAX),
            last_instance_key: from.map(|token| token.0.clone()),
        };
        let answer = self.services().tasks.list_instance_ids(request).await;
        let answer = answer.map_err(|status| self.hub_missing(status))?.into_inner();
        Ok(Page {
            items: answer.instance_ids.into_iter().map(InstanceId::from_scheduler).collect(),
            next: next(answer.last_instance_key, from),
        })
    }

    /// The ids of instances that have ended, page by page, in the order of their ends.
    pub fn list_ended(&self, filter: EndedFilter) -> impl Stream<Item = Result<Vec<InstanceId>, Error>> + Send + use<> {
        let client = self.clone();
        pages(move |from| {
            let (client, filter) = (client.clone(), filter.clone());
            async move { client.list_ended_page(&filter, PAGE, from.as_ref()).await }
        })
    }
}

/// Asks for one page after the other.
pub(crate) fn pages<T, F, A>(ask: F) -> impl Stream<Item = Result<Vec<T>, Error>> + Send
where
    T: Send,
    F: Fn(Option<PageToken>) -> A + Send,
    A: Future<Output = Result<Page<T>, Error>> + Send,
{
    // The state is where to go on: at the beginning, at a token, or nowhere.
    stream::try_unfold((Some(None), ask), async |(from, ask)| {
        let Some(from) = from else { return Ok(None) };
        let page = ask(from).await?;
        Ok(Some((page.items, (page.next.map(Some), ask))))
    })
}

/// Reads the token of an answer. Schedulers say in several ways that there is no more: no token, an empty one, `0`, or the
/// one that they were asked with.
pub(crate) fn next(token: Option<String>, asked: Option<&PageToken>) -> Option<PageToken> {
    let token = token.filter(|token| !token.is_empty() && token != "0")?;
    (asked.map(PageToken::as_str) != Some(&token)).then_some(PageToken(token))
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;

    #[test]
    fn every_way_to_say_that_there_is_no_more_ends_a_list() {
        let asked = PageToken::from_text("17");
        for last in [None, Some(""), Some("0"), Some("17")] {
            assert_eq!(next(last.map(str::to_owned), Some(&asked)), None);
        }
        assert_eq!(next(Some("18".into()), Some(&asked)), Some(PageToken::from_text("18")));
        assert_eq!(next(Some("18".into()), None), Some(PageToken::from_text("18")));
    }

    #[tokio::test]
    async fn a_list_goes_on_over_empty_pages_until_there_is_no_token() {
        let pages = pages(|from: Option<PageToken>| async move {
            Ok(match from.as_ref().map(PageToken::as_str) {
                None => Page { items: vec![1, 2], next: Some(PageToken::from_text("a")) },
                Some("a") => Page { items: vec![], next: Some(PageToken::from_text("b")) },
                Some(_) => Page { items: vec![3], next: None },
            })
        });
        let all: Vec<Vec<i32>> = pages.try_collect().await.unwrap();
        assert_eq!(all, [vec![1, 2], vec![], vec![3]]);
    }
}
