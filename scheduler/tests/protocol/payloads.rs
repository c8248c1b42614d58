//! Payloads are text that is nobody's business but the SDK's.

use crate::stand::*;

/// What SDKs and users send: tokens for large payloads, text that is no JSON, every kind of character.
const TEXTS: [&str; 6] = [
    "blob:v1:durabletask-payloads:0af76519",
    "{\"n\": 1.0, \"n\": 1, \"z\": 1e400}",
    "not JSON at all: '\"\\ <&> %s {{}}",
    "zażółć gęślą jaźń 🦀 \u{0301}\u{202e}\u{feff}",
    "line\r\nline\ttab\u{0}nul\u{7f}",
    " leading and trailing ",
];

#[tokio::test(flavor = "multi_thread")]
async fn texts_pass_unchanged_through_every_place_that_holds_one_and_through_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let large = |r: &mut pb::GetWorkItemsRequest| {
        r.capabilities = vec![pb::WorkerCapability::LargePayloads.into(), pb::WorkerCapability::ScheduledTasks.into()];
    };
    let mut worker = Worker::with(&client, large).await;
    for (n, text) in TEXTS.into_iter().enumerate() {
        let (id, kid, other) = (format!("i{n}"), format!("kid{n}"), format!("other{n}"));
        client.start(&other, "o").await;
        worker.episode_of(&other).await.answer(vec![]).await;
        client.start_with(&id, text, |r| (r.input, r.version) = (Some(text.into()), Some(text.into()))).await.unwrap();
        let first = worker.episode_of(&id).await;
        let started = first.started();
        assert_eq!(
            (started.name.as_str(), started.input.as_deref(), started.version.as_deref()),
            (text, Some(text), Some(text))
        );
        let actions = vec![
            call_with(1, text, |c| c.input = Some(text.into())),
            child_with(2, &kid, "k", |c| c.input = Some(text.into())),
            send(3, &other, text, text),
        ];
        let mut response = first.response(actions);
        response.custom_status = Some(text.into());
        first.send(response).await.unwrap();
        let call = worker.call().await;
        assert_eq!((call.request.name.as_str(), call.request.input.as_deref()), (text, Some(text)));
        assert_eq!(client.get(&id).await.custom_status.as_deref(), Some(text));
        call.complete(text).await;
        client.raise(&id, text, Some(text)).await.unwrap();
        let mut ends = 0;
        while ends < 3 {
            let episode = worker.episode().await;
            let seen: Vec<pb::HistoryEvent> =
                [episode.request.past_events.clone(), episode.request.new_events.clone()].concat();
            let all = brief(&seen).concat();
            if episode.id() == kid {
                assert_eq!(episode.started().input.as_deref(), Some(text));
            } else if episode.id() == id {
                let expected = [
                    format!("taskCompleted->1 {text}"),
                    format!("childCompleted->2 {text}"),
                    format!("eventRaised {text}({text})"),
                ];
                if !expected.iter().all(|e| all.contains(e)) {
                    episode.answer(vec![]).await;
                    continue;
                }
            } else {
                assert_eq!(episode.new_events()[1], format!("eventRaised {text}({text})"));
            }
            ends += 1;
            episode.answer(vec![complete(4, text)]).await;
        }
    }
    drop(worker);
    server.stop().await;
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    for (n, text) in TEXTS.into_iter().enumerate() {
        let state = client.get(&format!("i{n}")).await;
        assert_eq!(
            (state.name.as_str(), state.input.as_deref(), state.output.as_deref()),
            (text, Some(text), Some(text))
        );
        assert_eq!(state.version.as_deref(), Some(text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_ids_are_any_text_and_compared_byte_by_byte() {
    let (_server, client, mut worker) = stand().await;
    let ids = ["a", "A", "a ", "ą", "a\u{0328}", "a/b?c#d%20", "'; DROP TABLE instances; --", "x@y", "line\nbreak"];
    for id in ids {
        client.start(id, "o").await;
        worker.episode_of(id).await.answer(vec![complete(1, id)]).await;
    }
    for id in ids {
        assert_eq!(client.get(id).await.output.as_deref(), Some(id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_contexts_are_forwarded_unchanged_also_odd_ones() {
    let (_server, client, mut worker) = stand().await;
    for (n, context) in [
        trace("a"),
        pb::TraceContext::default(),
        pb::TraceContext { trace_parent: "junk".into(), ..Default::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("i{n}");
        client.start_with(&id, "o", |r| r.parent_trace_context = Some(context.clone())).await.unwrap();
        let episode = worker.episode_of(&id).await;
        assert_eq!(episode.started().parent_trace_context.as_ref(), Some(&context));
        let kid = child_with(2, "", "k", |c| c.parent_trace_context = Some(context.clone()));
        episode.answer(vec![call_with(1, "w", |c| c.parent_trace_context = Some(context.clone())), kid]).await;
        assert_eq!(worker.call().await.request.parent_trace_context.as_ref(), Some(&context));
        assert_eq!(worker.episode().await.started().parent_trace_context.as_ref(), Some(&context));
    }
}
