//! The executor, natively: commands in, commands out. No component and no host are needed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::bindings::durawasm::workflow::types;
use crate::bindings::exports::durawasm::workflow::orchestrator as wit;
use crate::timestamp::Timestamp;
use crate::{Error, Result};

use wit::Command;

fn context() -> wit::Context {
    wit::Context {
        name: "test".to_owned(),
        instance_id: "instance".to_owned(),
        version: None,
        input: None,
        now: at(0),
        seed: wit::Seed { a: 1, b: 2, c: 3, d: 4 },
        parent: None,
        tags: vec![("colour".to_owned(), "red".to_owned())],
    }
}

pub(super) fn at(second: u64) -> types::Timestamp {
    types::Timestamp { seconds: 1_000 + second, nanos: 0 }
}

/// Starts an orchestrator that is a closure, whose output is JSON text.
pub(super) fn start<F: Future<Output = Result<String>> + 'static>(
    body: impl FnOnce(Context) -> F,
) -> (Execution, Vec<Command>) {
    Execution::start(context(), |ctx, _input| {
        let body = body(ctx);
        Box::pin(async move { body.await.map(Some) })
    })
}

pub(super) fn resolved(op: u64, now: u64, payload: &str) -> wit::Resolution {
    wit::Resolution { op, now: at(now), outcome: Ok(Some(payload.to_owned())) }
}

pub(super) fn failed(op: u64, now: u64, error: Error) -> wit::Resolution {
    wit::Resolution { op, now: at(now), outcome: Err(error.into_failures()) }
}

pub(super) fn complete(output: &str) -> Command {
    Command::Complete(Ok(Some(output.to_owned())))
}

/// Commands in short: `+1 echo "x"`, `+2 timer 5`, `+3 event e`, `-1`, `= output`, …
pub(super) fn short(commands: &[Command]) -> Vec<String> {
    let one = |command: &Command| match command {
        Command::Issue((op, wit::Request::Activity(call))) => {
            format!("+{op} {} {}", call.name, call.input.as_deref().unwrap_or("-"))
        }
        Command::Issue((op, wit::Request::Child(call))) => {
            format!("+{op} child {} {}", call.name, call.instance_id.as_deref().unwrap_or("-"))
        }
        Command::Issue((op, wit::Request::Timer(time))) => format!("+{op} timer {}", time.seconds - 1_000),
        Command::Issue((op, wit::Request::WaitEvent(name))) => format!("+{op} event {name}"),
        Command::Cancel(op) => format!("-{op}"),
        Command::Complete(Ok(output)) => format!("= {}", output.as_deref().unwrap_or("-")),
        Command::Complete(Err(failures)) => format!("! {}", failures[0].error_type),
        other => format!("{other:?}"),
    };
    commands.iter().map(one).collect()
}

pub(super) fn echo(ctx: &Context, value: u32) -> Call<u32> {
    ctx.call_named("echo", &value)
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn calls_are_issued_when_they_are_made_and_not_when_they_are_awaited() {
    let (mut execution, commands) = start(|ctx| async move {
        let (first, second) = (echo(&ctx, 1), echo(&ctx, 2));
        Ok((first.await? + second.await?).to_string())
    });
    assert_eq!(short(&commands), ["+1 echo 1", "+2 echo 2"]);
    assert_eq!(short(&execution.resume(vec![resolved(2, 1, "20")])), [""; 0]);
    assert_eq!(short(&execution.resume(vec![resolved(1, 2, "10")])), ["= 30"]);
}

#[test]
fn the_time_is_that_of_the_resolution() {
    let (mut execution, commands) = start(|ctx| async move {
        ctx.sleep(seconds(5)).await;
        Ok(format!("{:?}", ctx.now().to_string()))
    });
    assert_eq!(short(&commands), ["+1 timer 5"]);
    assert_eq!(execution.resume(vec![resolved(1, 7, "null")]), [complete("\"1970-01-01T00:16:47Z\"")]);
}

#[test]
fn a_timer_beyond_the_end_of_time_ends_there() {
    let (_, commands) = start(|ctx| async move {
        ctx.sleep(Duration::MAX).await;
        Ok(String::new())
    });
    let Command::Issue((1, wit::Request::Timer(time))) = &commands[0] else { panic!("{commands:?}") };
    assert_eq!(Timestamp::from_wit(*time), Timestamp::MAX);
}

#[test]
fn the_winner_of_a_race_does_not_depend_on_how_resolutions_are_grouped() {
    let body = |ctx: Context| async move {
        let (slow, fast) = (echo(&ctx, 1), echo(&ctx, 2));
        match race((slow, fast)).await {
            OneOf2::First(value) => Ok(format!("first {}", value?)),
            OneOf2::Second(value) => Ok(format!("second {}", value?)),
        }
    };
    let resolutions = [resolved(2, 1, "2"), resolved(1, 1, "1")];
    let (mut together, _) = start(body);
    let (mut apart, _) = start(body);
    let joined = together.resume(resolutions.to_vec());
    let split: Vec<_> = resolutions.iter().flat_map(|resolution| apart.resume(vec![resolution.clone()])).collect();
    assert_eq!(short(&joined), ["-1", "= second 2"]);
    assert_eq!(joined, split);
}

#[test]
fn a_tie_goes_to_the_first_argument() {
    let (mut execution, _) = start(|ctx| async move {
        let (a, b, gate) = (echo(&ctx, 1), echo(&ctx, 2), echo(&ctx, 3));
        gate.await?;
        let (winner, value) = race_all([b, a]).await;
        Ok(format!("{winner} {}", value?))
    });
    let commands = execution.resume(vec![resolved(1, 1, "1"), resolved(2, 1, "2"), resolved(3, 1, "3")]);
    assert_eq!(short(&commands), ["= 0 2"], "the loser has been resolved and needs no cancel");
}

#[test]
fn a_loser_that_is_raced_by_reference_is_kept() {
    let (mut execution, commands) = start(|ctx| async move {
        let mut event = ctx.event::<u32>("e");
        let early = matches!(race((&mut event, ctx.sleep(seconds(1)))).await, OneOf2::First(_));
        Ok(format!("{early} {}", event.await?))
    });
    assert_eq!(short(&commands), ["+1 event e", "+2 timer 1"]);
    assert_eq!(short(&execution.resume(vec![resolved(2, 1, "null")])), [""; 0]);
    assert_eq!(short(&execution.resume(vec![resolved(1, 2, "8")])), ["= false 8"]);
}

#[test]
fn a_wait_that_is_dropped_is_cancelled_and_its_late_resolution_ignored() {
    let (mut execution, commands) = start(|ctx| async move {
        let lost = ctx.timeout(seconds(1), ctx.event::<u32>("e")).await;
        let after = ctx.event::<u32>("e").await?;
        Ok(format!("{} {after}", lost.is_err()))
    });
    assert_eq!(short(&commands), ["+1 event e", "+2 timer 1"]);
    assert_eq!(short(&execution.resume(vec![resolved(2, 1, "null")])), ["-1", "+3 event e"]);
    assert_eq!(short(&execution.resume(vec![resolved(1, 2, "1"), resolved(3, 2, "3")])), ["= true 3"]);
}

#[test]
fn a_timeout_that_is_not_needed_cancels_its_timer() {
    let (mut execution, _) = start(|ctx| async move {
        let value = ctx.timeout(seconds(1), echo(&ctx, 1)).await??;
        ctx.sleep(seconds(2)).await;
        Ok(value.to_string())
    });
    assert_eq!(short(&execution.resume(vec![resolved(1, 1, "7")])), ["-2", "+3 timer 3"]);
}

#[test]
fn a_timeout_becomes_an_error_of_type_timed_out() {
    let (mut execution, _) = start(|ctx| async move { Ok(ctx.timeout(seconds(1), echo(&ctx, 1)).await??.to_string()) });
    assert_eq!(short(&execution.resume(vec![resolved(2, 1, "null")])), ["-1", "! TimedOut"]);
}

#[test]
fn a_forgotten_call_is_issued_and_nobody_waits_for_it() {
    let (mut execution, commands) = start(|ctx| async move {
        ctx.start_child_named::<()>("ship", &1).id("shipment").forget();
        ctx.call_named::<()>("log", &2).retry(Retry::default()).forget();
        Ok(echo(&ctx, 3).await?.to_string())
    });
    // Not cancelled, so that the host tries again what fails.
    assert_eq!(short(&commands), ["+1 child ship shipment", "+2 log 2", "+3 echo 3"]);
    let (lost, late) = (failed(2, 1, Error::new("Lost", "")), resolved(1, 1, "null"));
    assert_eq!(short(&execution.resume(vec![lost, late, resolved(3, 1, "1")])), ["= 1"]);
}

#[test]
fn after_the_end_nothing_is_sent() {
    let held = Rc::new(RefCell::new(None));
    let (mut execution, commands) = start({
        let held = Rc::clone(&held);
        |ctx| async move {
            // Outlives the orchestrator, so that it is dropped after its end.
            *held.borrow_mut() = Some((echo(&ctx, 1), ctx));
            Ok("1".to_owned())
        }
    });
    assert_eq!(short(&commands), ["+1 echo 1", "= 1"]);
    held.borrow_mut().take();
    assert_eq!(execution.resume(vec![resolved(1, 1, "1")]), []);
}

#[test]
fn join_all_keeps_the_order_of_its_futures() {
    let (mut execution, _) = start(|ctx| async move {
        let values = join_all((0..3).map(|value| echo(&ctx, value))).await;
        let values = values.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(format!("{values:?}"))
    });
    let commands = execution.resume(vec![resolved(3, 1, "30"), resolved(1, 1, "10"), resolved(2, 1, "20")]);
    assert_eq!(short(&commands), ["= [10, 20, 30]"]);
}

#[test]
fn try_join_all_ends_with_the_first_failure_in_the_order_of_the_history() {
    let (mut execution, _) = start(|ctx| async move {
        let sum: u32 = try_join_all((0..3).map(|value| echo(&ctx, value))).await?.iter().sum();
        Ok(sum.to_string())
    });
    let commands = execution.resume(vec![failed(3, 1, Error::new("Third", "")), failed(1, 1, Error::new("First", ""))]);
    assert_eq!(short(&commands), ["-1", "-2", "! Third"]);
}

#[test]
fn joins_of_nothing_are_ready_at_once() {
    let (_, commands) = start(|_| async move {
        let none = join_all(Vec::<std::future::Ready<u32>>::new()).await;
        Ok(none.len().to_string())
    });
    assert_eq!(short(&commands), ["= 0"]);
}

#[test]
fn tuples_of_different_types_are_joined() {
    let (mut execution, _) = start(|ctx| async move {
        let (value, (), text) = join((echo(&ctx, 1), ctx.sleep(seconds(1)), ctx.event::<String>("e"))).await;
        let (one, two) = try_join((echo(&ctx, 2), ctx.call_named::<String>("text", &()))).await?;
        Ok(format!("{} {} {one} {two}", value?, text?))
    });
    let next = execution.resume(vec![resolved(3, 1, "\"t\""), resolved(1, 1, "1"), resolved(2, 1, "null")]);
    assert_eq!(short(&next), ["+4 echo 2", "+5 text null"]);
    assert_eq!(short(&execution.resume(vec![failed(5, 2, Error::new("Broken", ""))])), ["-4", "! Broken"]);
}

#[test]
fn a_fan_in_polls_each_child_once_per_wake() {
    const CHILDREN: u64 = 20_000;
    let polls = Rc::new(RefCell::new(0_u64));
    let (mut execution, commands) = start({
        let polls = Rc::clone(&polls);
        move |ctx| async move {
            let children = (0..CHILDREN).map(|_| {
                let (mut call, polls) = (echo(&ctx, 0), Rc::clone(&polls));
                std::future::poll_fn(move |cx| {
                    *polls.borrow_mut() += 1;
                    std::pin::Pin::new(&mut call).poll(cx)
                })
            });
            Ok(try_join_all(children).await?.len().to_string())
        }
    });
    assert_eq!(commands.len() as u64, CHILDREN);
    for op in (1..=CHILDREN).rev() {
        execution.resume(vec![resolved(op, 1, "0")]);
    }
    assert_eq!(*polls.borrow(), 2 * CHILDREN, "once at first, once when it is ready");
}

#[test]
fn concurrent_parts_of_an_orchestrator_issue_in_the_order_of_the_history() {
    let (mut execution, _) = start(|ctx| async move {
        let part = |value: u32| {
            let ctx = ctx.clone();
            async move { echo(&ctx, echo(&ctx, value).await?).await }
        };
        let sum: u32 = try_join_all([part(1), part(2)]).await?.iter().sum();
        Ok(sum.to_string())
    });
    assert_eq!(
        short(&execution.resume(vec![resolved(2, 1, "20"), resolved(1, 1, "10")])),
        ["+3 echo 20", "+4 echo 10"]
    );
}

#[test]
fn options_are_part_of_the_call() {
    let (_, commands) = start(|ctx| async move {
        let retry = Retry::attempts(5).first(Duration::from_millis(100)).not_on("Final");
        let call = echo(&ctx, 1).retry(retry).version("2.0.0").tag("k", "v");
        Ok(call.await?.to_string())
    });
    let Command::Issue((1, wit::Request::Activity(call))) = &commands[0] else { panic!("{commands:?}") };
    assert_eq!(call.version.as_deref(), Some("2.0.0"));
    assert_eq!(call.tags, [("k".to_owned(), "v".to_owned())]);
    let retry = call.retry.as_ref().expect("was given");
    assert_eq!((retry.max_attempts, retry.first_interval, retry.backoff), (5, 100, 2.0));
    assert_eq!(retry.non_retriable, ["Final"]);
}

#[test]
fn a_child_has_an_id_a_version_tags_and_a_policy() {
    let (mut execution, commands) = start(|ctx| async move {
        let policy = Retry::attempts(4)
            .first(seconds(1))
            .backoff(3.0)
            .max_interval(seconds(5))
            .timeout(seconds(60))
            .not_on("Final")
            .not_on("Fatal");
        let child = ctx.start_child_named::<u32>("ship", &[1, 2]).id("ship-1").version("2.0.0").tag("k", "v");
        Ok(child.retry(policy).await?.to_string())
    });
    let policy = wit::RetryPolicy {
        max_attempts: 4,
        first_interval: 1_000,
        backoff: 3.0,
        max_interval: Some(5_000),
        timeout: Some(60_000),
        non_retriable: vec!["Final".to_owned(), "Fatal".to_owned()],
    };
    let call = wit::ChildCall {
        name: "ship".to_owned(),
        version: Some("2.0.0".to_owned()),
        input: Some("[1,2]".to_owned()),
        instance_id: Some("ship-1".to_owned()),
        retry: Some(policy),
        tags: vec![("k".to_owned(), "v".to_owned())],
    };
    assert_eq!(commands, [Command::Issue((1, wit::Request::Child(call)))]);
    assert_eq!(short(&execution.resume(vec![resolved(1, 1, "7")])), ["= 7"]);
}

#[test]
fn a_child_is_tried_again_by_a_predicate_under_the_same_id() {
    let (mut execution, _) = start(|ctx| async move {
        let child = ctx.start_child_named::<u32>("ship", &1).id("ship-1");
        Ok(child.retry_if(|error| error.error_type() == "Again").await?.to_string())
    });
    assert_eq!(short(&execution.resume(vec![failed(1, 0, Error::new("Again", ""))])), ["+2 timer 1"]);
    assert_eq!(short(&execution.resume(vec![resolved(2, 1, "null")])), ["+3 child ship ship-1"]);
}

#[test]
fn an_event_has_the_type_that_is_asked_for() {
    let (mut execution, _) = start(|ctx| async move {
        let (name, count) = ctx.event::<(String, u32)>("order").await?;
        let error = ctx.event::<u32>("order").await.expect_err("is a text");
        Ok(format!("{name} {count} {} {}", error.error_type(), error.message()))
    });
    let commands = execution.resume(vec![resolved(1, 1, "[\"tea\",2]"), resolved(2, 1, "\"x\"")]);
    let ending = &short(&commands)[1];
    assert!(ending.starts_with("= tea 2 InvalidPayload the event `order` does not fit: "), "{ending}");
}

#[test]
#[should_panic(expected = "`retry` comes too late")]
fn an_option_after_an_await_is_a_panic_that_says_so() {
    let (mut execution, _) = start(|ctx| async move {
        let call = echo(&ctx, 1);
        ctx.sleep(seconds(1)).await;
        Ok(call.retry(Retry::default()).await?.to_string())
    });
    execution.resume(vec![resolved(2, 1, "null")]);
}

#[test]
fn a_predicate_decides_whether_to_try_again() {
    let (mut execution, commands) = start(|ctx| async move {
        let retry = Retry::attempts(9).first(seconds(1));
        let value = echo(&ctx, 1).retry(retry).tag("k", "v").retry_if(|error| error.error_type() == "Again").await?;
        Ok(value.to_string())
    });
    let Command::Issue((1, wit::Request::Activity(first))) = commands[0].clone() else { panic!("{commands:?}") };
    assert_eq!(first.retry, None, "the host must not try on its own");
    assert_eq!(short(&execution.resume(vec![failed(1, 0, Error::new("Again", ""))])), ["+2 timer 1"]);
    let again = execution.resume(vec![resolved(2, 1, "null")]);
    assert_eq!(again, [Command::Issue((3, wit::Request::Activity(first)))]);
    assert_eq!(short(&execution.resume(vec![failed(3, 1, Error::new("Again", ""))])), ["+4 timer 3"]);
    assert_eq!(short(&execution.resume(vec![resolved(4, 3, "null")])), ["+5 echo 1"]);
    assert_eq!(short(&execution.resume(vec![failed(5, 3, Error::new("Other", ""))])), ["! Other"]);
}

#[test]
fn a_failure_that_is_not_retriable_ends_the_tries() {
    let (mut execution, _) = start(|ctx| async move { Ok(echo(&ctx, 1).retry_if(|_| true).await?.to_string()) });
    let commands = execution.resume(vec![failed(1, 0, Error::new("Final", "").not_retriable())]);
    assert_eq!(short(&commands), ["! Final"]);
}

#[test]
fn the_timeout_of_a_predicate_is_looked_at_when_a_try_has_failed() {
    let (mut execution, _) = start(|ctx| async move {
        let retry = Retry::attempts(9).first(seconds(10)).backoff(1.0).timeout(seconds(15));
        Ok(echo(&ctx, 1).retry(retry).retry_if(|_| true).await?.to_string())
    });
    let again = || Error::new("Again", "");
    assert_eq!(short(&execution.resume(vec![failed(1, 1, again())])), ["+2 timer 11"]);
    assert_eq!(short(&execution.resume(vec![resolved(2, 11, "null")])), ["+3 echo 1"]);
    let commands = execution.resume(vec![failed(3, 14, again())]);
    assert_eq!(short(&commands), ["+4 timer 24"], "also a try that begins after the time is over, as the host does it");
    execution.resume(vec![resolved(4, 24, "null")]);
    assert_eq!(short(&execution.resume(vec![failed(5, 24, again())])), ["! Again"]);
}

#[test]
fn a_failure_of_an_activity_arrives_with_its_causes() {
    let (mut execution, _) = start(|ctx| async move { Ok(echo(&ctx, 1).await?.to_string()) });
    let failure = Error::new("Inner", "the cause").context("the effect");
    let commands = execution.resume(vec![failed(1, 1, failure.clone())]);
    assert_eq!(commands, [Command::Complete(Err(failure.into_failures()))]);
}

#[test]
fn continuing_as_new_is_a_return_value() {
    let (_, commands) = start(|ctx| async move { ctx.continue_as_new_with(&7, Next::default().keep_version()) });
    let next = wit::NextGeneration { input: Some("7".to_owned()), keep_events: true, version: wit::NextVersion::Keep };
    assert_eq!(commands, [Command::ContinueAsNew(next)]);
    let version_of = |next: Next, keeps: bool| {
        let (_, commands) = start(move |ctx| async move { ctx.continue_as_new_with(&7, next) });
        let Command::ContinueAsNew(next) = commands[0].clone() else { panic!("{commands:?}") };
        assert_eq!(next.keep_events, keeps);
        next.version
    };
    assert_eq!(version_of(Next::default(), true), wit::NextVersion::Default);
    let exact = wit::NextVersion::Exact("2.0.0".to_owned());
    assert_eq!(version_of(Next::default().version("2.0.0").discard_events(), false), exact);
}

#[test]
fn random_numbers_and_ids_follow_from_the_seed_and_from_nothing_else() {
    use rand::Rng;
    let body = |draws: usize| {
        move |ctx: Context| async move {
            for _ in 0..draws {
                ctx.random().next_u64();
            }
            Ok(format!("{} {}", ctx.new_uuid(), if draws == 0 { ctx.random().next_u64() } else { 0 }))
        }
    };
    let (_, first) = start(body(0));
    // Frozen: a change would make every history that drew one replay differently.
    assert_eq!(short(&first), ["= 656c4038-7378-4e68-8302-9bae035eac38 9610363345995608647"]);
    let (_, second) = start(body(3));
    let uuid = |commands: &[Command]| short(commands)[0].split(' ').nth(1).map(str::to_owned);
    assert_eq!(uuid(&first), uuid(&second), "numbers that were drawn do not change the ids");
}

#[test]
fn events_status_and_what_cannot_be_json() {
    let (_, commands) = start(|ctx| async move {
        ctx.set_custom_status("busy")?;
        ctx.send_event("other", "e", &1)?;
        ctx.clear_custom_status();
        let not_json = std::collections::BTreeMap::from([((1, 2), 3)]);
        let refused = ctx.call_named::<u32>("echo", &not_json).retry(Retry::default()).await;
        Ok(refused.expect_err("a map with tuples as keys").error_type().to_owned())
    });
    let event = wit::Event { instance_id: "other".to_owned(), name: "e".to_owned(), payload: Some("1".to_owned()) };
    let expected = [
        Command::CustomStatus(Some("\"busy\"".to_owned())),
        Command::SendEvent(event),
        Command::CustomStatus(None),
        complete("InvalidPayload"),
    ];
    assert_eq!(commands, expected);
}

#[test]
fn an_output_of_another_shape_is_an_error_that_names_the_activity() {
    let (mut execution, _) = start(|ctx| async move { Ok(echo(&ctx, 1).await?.to_string()) });
    let commands = execution.resume(vec![resolved(1, 1, "\"text\"")]);
    let Command::Complete(Err(failures)) = &commands[0] else { panic!("{commands:?}") };
    assert!(failures[0].message.contains("the output of the activity `echo`"), "{}", failures[0].message);
}

#[test]
fn facts_of_the_instance_are_there() {
    let (_, commands) = start(|ctx| async move {
        assert_eq!((ctx.name(), ctx.instance_id(), ctx.version()), ("test", "instance", None));
        assert_eq!((ctx.tag("colour"), ctx.tag("shape"), ctx.parent()), (Some("red"), None, None));
        Ok(String::new())
    });
    assert_eq!(commands, [complete("")]);
}
