//! Going back in a history, going on with other code, and asking orchestrators, from the command line.

use anyhow::{Result, ensure};
use durawasm_client::{EventKind, InstanceFilter, Payload, Status};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually};
use durawasm_tests::command::Shell;
use serde_json::Value;

async fn world(files: &[&str]) -> Result<(World, Shell, tempfile::TempDir)> {
    let folder = components(files)?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    Ok((world, shell, folder))
}

/// An instance of the broken order, which has failed: turn 1 (0-2), turn 2 (3-5), turn 3 (6-8).
async fn failed_order(world: &World, shell: &Shell) -> Result<()> {
    shell.succeeds(&["start", "order", "--id", "order", "--version", "1.0.0", "--input", "\"seat\""]).await?;
    let ended = world.ended(&durawasm_client::InstanceId::new("order")?).await?;
    assert_eq!(ended.status, Status::Failed);
    Ok(())
}

#[tokio::test]
async fn a_history_is_numbered_as_reset_and_fork_count_and_shows_its_turns() -> Result<()> {
    let (world, shell, _folder) = world(&["test_repair_broken.wasm"]).await?;
    failed_order(&world, &shell).await?;
    let history = shell.succeeds(&["history", "order"]).await?;
    let lines: Vec<String> = history
        .out
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let number = words.next().unwrap_or_default().to_owned();
            let told = words.skip(1).collect::<Vec<_>>().join(" ");
            format!("{number} {told}")
        })
        .collect();
    let expected = [
        "0 turn 1",
        "1 order 1.0.0 started with \"seat\"",
        "2 #1 reserve called with \"seat\"",
        "3 turn 2",
        "4 #1 reserve returned: 4",
        "5 #2 quote called with 4",
        "6 turn 3",
        "7 #2 quote returned: 400",
        "8 failed: TooDear: a price of 400 was not thought of",
    ];
    assert_eq!(lines, expected, "{history:#?}");
    Ok(())
}

#[tokio::test]
async fn an_instance_is_taken_back_to_before_a_turn_and_goes_on_from_there() -> Result<()> {
    let (world, shell, _folder) = world(&["test_durability.wasm"]).await?;
    world.run("count", "count", Some(r#"{"to":3,"millis":0}"#)).await?;
    let asked = shell.refuses(&["reset", "count", "--at", "7"], 3, "discards 6 events").await?;
    ensure!(asked.shows("keeps events 0 to 5 (turns 1 and 2)"), "{asked:#?}");
    ensure!(asked.shows("undoes events 6 to 11 (turns 3 and 4)"), "{asked:#?}");
    ensure!(asked.shows("calls again slowly (event 5)"), "{asked:#?}");
    let reset = shell.succeeds(&["reset", "count", "--at", "7", "--reason", "a look", "--yes", "--json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&reset.out)?["keptEvents"], 6);
    assert_eq!(shell.succeeds(&["wait", "count"]).await?.first(), "3");
    let history = shell.succeeds(&["history", "count"]).await?;
    ensure!(history.shows("reset to before event 7: a look"), "{history:#?}");
    // All of it again: it begins anew.
    let anew = shell.succeeds(&["reset", "count", "--at", "0", "--yes"]).await?;
    ensure!(anew.shows("keeps its input: it begins anew"), "{anew:#?}");
    assert_eq!(shell.succeeds(&["wait", "count"]).await?.first(), "3");
    Ok(())
}

#[tokio::test]
async fn a_reset_says_which_events_come_again_and_which_children_end() -> Result<()> {
    let (world, shell, _folder) = world(&["test_durability.wasm"]).await?;
    let id = world.begin("waits", "approval", Some("60000000")).await?;
    world.client.raise_event(&id, "approval", Some(Payload::from_text("7"))).await?;
    world.ended(&id).await?;
    let last = world.client.history(&id).await?.all().await?.len() - 1;
    let reset = shell.succeeds(&["reset", "waits", "--at", &last.to_string(), "--yes"]).await?;
    ensure!(reset.shows("gets again approval (event"), "{reset:#?}");
    assert_eq!(shell.succeeds(&["wait", "waits"]).await?.first(), r#""approved with 7""#);
    world.run("family", "parent", Some("\"its-child\"")).await?;
    let reset = shell.succeeds(&["reset", "family", "--at", "0", "--yes"]).await?;
    ensure!(reset.shows("terminates its-child"), "{reset:#?}");
    shell.succeeds(&["wait", "family"]).await?;
    let forked = shell.succeeds(&["fork", "family", "--at", "0", "--as", "other-family"]).await?;
    ensure!(!forked.shows("terminates"), "a fork leaves its origin's children alone: {forked:#?}");
    Ok(())
}

#[tokio::test]
async fn a_reset_that_makes_no_sense_is_refused_with_what_would() -> Result<()> {
    let (world, shell, _folder) = world(&["test_durability.wasm"]).await?;
    world.run("nap", "sleep", Some("1")).await?;
    let far = shell.refuses(&["reset", "nap", "--at", "99", "--yes"], 2, "has the events 0 to").await?;
    ensure!(far.err.contains("durawasm history nap"), "{far:#?}");
    shell.refuses(&["reset", "nap", "--at", "-1", "--yes"], 2, "DW0026").await?;
    shell.refuses(&["reset", "nap", "--at", "end", "--yes"], 2, "DW0026").await?;
    shell.refuses(&["reset", "nap", "--yes"], 2, "--at").await?;
    shell.refuses(&["reset", "nobody", "--at", "0", "--yes"], 4, "DW0014").await?;
    shell.succeeds(&["start", "nobody_runs_this", "--id", "pending"]).await?;
    shell.refuses(&["reset", "pending", "--at", "0", "--yes"], 2, "has not begun yet").await?;
    Ok(())
}

#[tokio::test]
async fn a_fork_goes_on_with_a_result_that_it_is_given_and_leaves_its_origin_alone() -> Result<()> {
    let (world, shell, _folder) = world(&["test_durability.wasm"]).await?;
    world.run("count", "count", Some(r#"{"to":3,"millis":0}"#)).await?;
    // Event 5 calls the second activity, event 7 is its answer.
    let forked = shell.succeeds(&["fork", "count", "--at", "7", "--as", "what-if", "--result", "7=40"]).await?;
    assert_eq!(forked.out, "what-if\n");
    ensure!(forked.shows("is given slowly (event 5)"), "{forked:#?}");
    ensure!(!forked.shows("calls again"), "{forked:#?}");
    assert_eq!(shell.succeeds(&["wait", "what-if"]).await?.first(), "42");
    assert_eq!(shell.succeeds(&["wait", "count"]).await?.first(), "3");
    let history = shell.succeeds(&["history", "what-if"]).await?;
    ensure!(history.shows("forked from `count` before event 7"), "{history:#?}");
    let made = shell.succeeds(&["fork", "count", "--at", "0", "--json"]).await?;
    let made: Value = serde_json::from_str(&made.out)?;
    assert_eq!(made["keptEvents"], 0);
    assert_eq!(shell.succeeds(&["wait", made["id"].as_str().unwrap_or_default()]).await?.first(), "3");
    shell.refuses(&["fork", "count", "--at", "7", "--as", "what-if"], 2, "DW0015").await?;
    Ok(())
}

#[tokio::test]
async fn a_running_instance_is_forked_at_its_end() -> Result<()> {
    let (world, shell, _folder) = world(&["test_durability.wasm"]).await?;
    let id = world.begin("runs", "approval", Some("60000000")).await?;
    eventually("it waits", async || {
        let history = world.client.history(&id).await?.all().await?;
        Ok(history.iter().any(|event| matches!(event.kind, EventKind::TimerCreated { .. })).then_some(()))
    })
    .await?;
    shell.succeeds(&["fork", "runs", "--at", "end", "--as", "copy"]).await?;
    shell.succeeds(&["raise-event", "copy", "approval", "1"]).await?;
    assert_eq!(shell.succeeds(&["wait", "copy"]).await?.first(), r#""approved with 1""#);
    assert_eq!(world.client.get(&id, false).await?.map(|seen| seen.status), Some(Status::Running));
    let ended = shell.refuses(&["fork", "copy", "--at", "end"], 2, "its last turn must be undone").await?;
    ensure!(ended.err.contains("--at "), "{ended:#?}");
    Ok(())
}

#[tokio::test]
async fn results_are_checked_before_anything_is_sent() -> Result<()> {
    let (world, shell, _folder) = world(&["test_durability.wasm"]).await?;
    world.run("count", "count", Some(r#"{"to":3,"millis":0}"#)).await?;
    for (results, words) in [
        (["5=forty"].as_slice(), "not JSON"),
        (&["5"], "EVENT=JSON"),
        (&["five=1"], "EVENT=JSON"),
        (&["5=1", "5=2"], "two results"),
        (&["5=1", "7=2"], "is given one already"),
        (&["99=1"], "the events 0 to 11"),
        (&["1=1"], "neither the call"),
        (&["2=1"], "choose an earlier event"),
        (&["8=1"], "is in a turn that is undone"),
    ] {
        let mut arguments = vec!["fork", "count", "--at", "7"];
        arguments.extend(results.iter().flat_map(|result| ["--result", result]));
        shell.refuses(&arguments, 2, words).await?;
    }
    let all = world.client.list_page(&InstanceFilter::default(), 10, None).await?;
    assert_eq!(all.items.len(), 1, "nothing was forked");
    Ok(())
}

#[tokio::test]
async fn a_failed_instance_goes_on_as_a_fork_with_corrected_code() -> Result<()> {
    let (world, shell, folder) = world(&["test_repair_broken.wasm", "test_repair_fixed.wasm"]).await?;
    failed_order(&world, &shell).await?;
    let fixed = folder.path().join("test_repair_fixed.wasm").display().to_string();
    let forked = shell.succeeds(&["fork", "order", "--at", "8", "--as", "repaired", "--component", &fixed]).await?;
    ensure!(forked.shows("1.1.0 does what these 6 events say"), "{forked:#?}");
    ensure!(forked.shows("still has quote (event 5)"), "it came before event 8: {forked:#?}");
    assert_eq!(shell.succeeds(&["wait", "repaired"]).await?.first(), r#""paid 400 after all""#);
    let history = shell.succeeds(&["history", "repaired"]).await?;
    ensure!(history.out.matches("reserve called").count() == 1, "what is kept is not done again: {history:#?}");
    ensure!(history.shows("order 1.1.0 started"), "{history:#?}");
    Ok(())
}

#[tokio::test]
async fn a_fork_of_a_fork_replays_and_draws_the_random_numbers_of_the_first() -> Result<()> {
    let (world, shell, folder) =
        world(&["test_repair_broken.wasm", "test_repair_fixed.wasm", "test_durability.wasm"]).await?;
    let first: Value = serde_json::from_str(&world.run("observer", "observe", None).await?)?;
    let last = |history: &[durawasm_client::HistoryEvent]| (history.len() - 1).to_string();
    for (origin, copy) in [("observer", "copy"), ("copy", "copy-of-copy")] {
        let history = world.client.history(&durawasm_client::InstanceId::new(origin)?).await?.all().await?;
        shell.succeeds(&["fork", origin, "--at", &last(&history), "--as", copy]).await?;
        let seen: Value = serde_json::from_str(shell.succeeds(&["wait", copy]).await?.first())?;
        assert_eq!(seen[0], first[0], "what was seen before the fork is seen again in {copy}");
        assert_eq!(seen[1]["uuid"], first[1]["uuid"], "the random numbers go on in {copy}");
    }
    failed_order(&world, &shell).await?;
    shell.succeeds(&["fork", "order", "--at", "6", "--as", "again"]).await?;
    shell.refuses(&["wait", "again"], 1, "TooDear").await?;
    let history = world.client.history(&durawasm_client::InstanceId::new("again")?).await?.all().await?;
    let fixed = folder.path().join("test_repair_fixed.wasm").display().to_string();
    shell.succeeds(&["fork", "again", "--at", &last(&history), "--as", "repaired", "--component", &fixed]).await?;
    assert_eq!(shell.succeeds(&["wait", "repaired"]).await?.first(), r#""paid 400 after all""#);
    Ok(())
}

#[tokio::test]
async fn code_that_does_not_fit_a_history_is_refused_before_it_is_forked() -> Result<()> {
    let (world, shell, _folder) = world(&["test_repair_broken.wasm"]).await?;
    failed_order(&world, &shell).await?;
    let others = components(&["test_repair_rewritten.wasm", "hello_cities.wasm"])?;
    let file = |name: &str| others.path().join(name).display().to_string();
    let rewritten = file("test_repair_rewritten.wasm");
    let refused =
        shell.refuses(&["fork", "order", "--at", "8", "--as", "x", "--component", &rewritten], 1, "DW0038").await?;
    ensure!(refused.err.contains("at event 2") && refused.err.contains("`reserve`"), "{refused:#?}");
    ensure!(refused.err.contains("--force"), "{refused:#?}");
    shell.refuses(&["status", "x"], 4, "DW0014").await?;
    let other = file("hello_cities.wasm");
    let other =
        shell.refuses(&["fork", "order", "--at", "8", "--component", &other], 1, "no orchestrator `order`").await?;
    ensure!(other.err.contains("It has: hello_cities."), "{other:#?}");
    shell.refuses(&["fork", "order", "--at", "8", "--component", "no-such-file.wasm"], 1, "DW0006").await?;
    shell.refuses(&["fork", "order", "--at", "8", "--component", &rewritten, "--version", "3"], 2, "DW0026").await?;
    shell.refuses(&["fork", "order", "--at", "8", "--force"], 2, "--component").await?;
    // By force it is there, and says what it lacks.
    let forced =
        shell.succeeds(&["fork", "order", "--at", "8", "--as", "x", "--component", &rewritten, "--force"]).await?;
    ensure!(forced.err.contains("disagrees") && forced.err.contains("components folder of a host"), "{forced:#?}");
    ensure!(shell.succeeds(&["status", "x"]).await?.shows("version `2.0.0`: none is connected"), "it waits");
    // Begun anew there is nothing that could disagree.
    shell.succeeds(&["fork", "order", "--at", "2", "--as", "y", "--component", &rewritten]).await?;
    Ok(())
}

#[tokio::test]
async fn a_query_is_answered_and_changes_nothing() -> Result<()> {
    let (world, shell, _folder) = world(&["test_durability.wasm"]).await?;
    let id = world.begin("sums", "queried", Some("3")).await?;
    for number in ["20", "22"] {
        shell.succeeds(&["raise-event", "sums", "add", number]).await?;
    }
    eventually("both have come", async || {
        let sum = shell.run(&["query", "sums", "sum", "null"]).await?;
        Ok((sum.out == "42\n").then_some(()))
    })
    .await?;
    let before = world.client.history(&id).await?.all().await?;
    assert_eq!(shell.succeeds(&["query", "sums", "above", "20"]).await?.out, "1\n");
    assert_eq!(shell.succeeds(&["query", "sums", "numbers", "null", "--json"]).await?.out, "[20,22]\n");
    let unknown = shell.refuses(&["query", "sums", "colour"], 4, "DW0035").await?;
    ensure!(unknown.err.contains("`colour`"), "{unknown:#?}");
    shell.refuses(&["query", "sums", "fails", "null"], 1, "it does not want to say").await?;
    shell.refuses(&["query", "sums", "acts", "null"], 1, "DW0036").await?;
    shell.refuses(&["query", "sums", "panics", "null"], 1, "on purpose").await?;
    shell.refuses(&["query", "sums", "above", "{oops"], 2, "DW0012").await?;
    assert_eq!(world.client.history(&id).await?.all().await?, before, "nothing has happened");
    shell.succeeds(&["raise-event", "sums", "add", "0"]).await?;
    assert_eq!(shell.succeeds(&["wait", "sums"]).await?.first(), "42");
    assert_eq!(shell.succeeds(&["query", "sums", "sum", "null"]).await?.out, "42\n", "also after the end");
    Ok(())
}

#[tokio::test]
async fn without_a_host_a_question_has_no_answer_and_says_so() -> Result<()> {
    let (mut world, shell, _folder) = world(&["test_durability.wasm"]).await?;
    world.run("done", "sleep", Some("1")).await?;
    world.host.stop().await?;
    shell.refuses(&["query", "done", "sum"], 8, "DW0037").await?;
    shell.refuses(&["query", "nobody", "sum"], 4, "DW0014").await?;
    let scheduler = Scheduler::start(SchedulerOptions { in_memory: true, ..Default::default() }).await?;
    let shell = Shell::at(&scheduler);
    shell.succeeds(&["start", "sleep", "--id", "pending"]).await?;
    shell.refuses(&["query", "pending", "sum"], 2, "has not begun yet").await?;
    Ok(())
}
