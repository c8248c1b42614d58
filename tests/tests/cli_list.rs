//! Lists and purges at the command line: what is there, and how it is got rid of.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EndedFilter, InstanceId, Payload, StartOptions};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components};
use durawasm_tests::command::Shell;
use serde_json::Value;

/// A scheduler without hosts: instances wait.
async fn waiting(ids: &[&str]) -> Result<(Scheduler, Shell)> {
    let scheduler = Scheduler::start(SchedulerOptions { in_memory: true, ..Default::default() }).await?;
    let client = scheduler.client().await?;
    for id in ids {
        let options = StartOptions {
            id: Some(InstanceId::new(*id)?),
            tags: [("team".to_owned(), "blue".to_owned())].into(),
            ..Default::default()
        };
        client.start("greet", Some(Payload::from_text("[1]")), options).await?;
    }
    let shell = Shell::at(&scheduler);
    Ok((scheduler, shell))
}

#[tokio::test]
async fn a_list_is_a_table_for_people_and_one_document_a_line_for_programs() -> Result<()> {
    let (_scheduler, shell) = waiting(&["a", "two\nlines", "zażółć"]).await?;
    let table = shell.succeeds(&["list", "--tags"]).await?;
    ensure!(table.shows("ID NAME VERSION STATUS CREATED UPDATED TAGS") && table.shows("3 instances"), "{table:#?}");
    ensure!(table.shows("a greet - pending 20") && table.shows("Z team=blue"), "{table:#?}");
    ensure!(table.out.lines().count() == 3 && table.shows(r"two\nlines"), "each instance has one line: {table:#?}");
    let listed = shell.succeeds(&["list", "--json", "--payloads"]).await?;
    let documents: Vec<Value> = listed.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(documents.len(), 3);
    assert_eq!((&documents[1]["id"], &documents[1]["input"][0]), (&"two\nlines".into(), &1.into()));
    assert_eq!(listed.err, "", "programs get nothing but documents");
    Ok(())
}

#[tokio::test]
async fn a_list_goes_over_all_pages_and_stops_where_it_is_told() -> Result<()> {
    let ids: Vec<String> = (0..1_203).map(|number| format!("order-{number}")).collect();
    let (_scheduler, shell) = waiting(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let all = shell.succeeds(&["list", "--ids"]).await?;
    let mut found: Vec<&str> = all.out.lines().collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 1_203, "each once");
    ensure!(all.shows("1,203 instances"), "{}", all.err);
    let some = shell.succeeds(&["list", "--ids", "--limit", "7"]).await?;
    ensure!(some.out.lines().count() == 7 && some.shows("the first 7 instances; there are more"), "{some:#?}");
    Ok(())
}

#[tokio::test]
async fn a_list_takes_filters_and_all_must_hold() -> Result<()> {
    let (_scheduler, shell) = waiting(&["blue-1", "blue-2", "red-1"]).await?;
    shell.succeeds(&["terminate", "blue-2", "--yes"]).await?;
    for (filter, expected) in [
        (["--prefix", "blue"].as_slice(), "blue-1 blue-2"),
        (&["--prefix", "blue", "--status", "open"], "blue-1"),
        (&["--status", "failed,terminated"], "blue-2"),
        (&["--status", "failed", "--status", "pending"], "blue-1 red-1"),
        (&["--created-after", "1h"], "blue-1 blue-2 red-1"),
        (&["--created-before", "1h"], ""),
        (&["--created-after", "1999-12-31", "--created-before", "2999-01-01T00:00:00+02:00"], "blue-1 blue-2 red-1"),
    ] {
        let said = shell.succeeds(&[["list", "--ids"].as_slice(), filter].concat()).await?;
        assert_eq!(said.out.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{filter:?}");
    }
    let nothing = shell.succeeds(&["list", "--prefix", "green"]).await?;
    ensure!(nothing.out.is_empty() && nothing.shows("there is no such instance"), "{nothing:#?}");
    shell.refuses(&["list", "--status", "asleep"], 2, "suspended").await?;
    shell.refuses(&["list", "--created-after", "2h", "--created-before", "3h"], 2, "nothing can be created").await?;
    shell.refuses(&["list", "--created-after", "soon"], 2, "7d").await?;
    shell.refuses(&["list", "--limit", "0"], 2, "DW0026").await?;
    Ok(())
}

#[tokio::test]
async fn what_has_ended_is_purged_by_id_after_a_yes() -> Result<()> {
    let (_scheduler, shell) = waiting(&["a", "b", "runs"]).await?;
    for id in ["a", "b"] {
        shell.succeeds(&["terminate", id, "--yes"]).await?;
    }
    let asked = shell.refuses(&["purge", "a", "b"], 3, "purges 2 instances").await?;
    ensure!(asked.err.contains("--yes"), "{asked:#?}");
    let running = shell.refuses(&["purge", "a", "runs", "--yes"], 2, "`runs` is pending").await?;
    ensure!(running.err.contains("durawasm terminate runs"), "{running:#?}");
    shell.refuses(&["purge", "a", "nobody", "--yes"], 4, "`nobody`").await?;
    let dry = shell.succeeds(&["purge", "a", "b", "--dry-run"]).await?;
    ensure!(dry.shows("2 instances would be purged"), "{dry:#?}");
    assert_eq!(shell.succeeds(&["list", "--ids"]).await?.out.lines().count(), 3, "nothing was done so far");
    let purged = shell.succeeds(&["purge", "a", "b", "a", "--yes", "--json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&purged.out)?["purged"], 2);
    assert_eq!(shell.succeeds(&["list", "--ids"]).await?.first(), "runs");
    Ok(())
}

#[tokio::test]
async fn a_purge_by_filter_says_how_many_and_never_takes_what_runs() -> Result<()> {
    let (_scheduler, shell) = waiting(&["a", "b", "runs"]).await?;
    for id in ["a", "b"] {
        shell.succeeds(&["terminate", id, "--yes"]).await?;
    }
    shell.refuses(&["purge", "--yes"], 2, "not said what to purge").await?;
    shell.refuses(&["purge", "--recursive", "--yes"], 2, "not said what to purge").await?;
    shell.refuses(&["purge", "--status", "running", "--yes"], 2, "cannot be purged").await?;
    shell.refuses(&["purge", "a", "--status", "ended"], 2, "DW0026").await?;
    shell.refuses(&["purge", "--created-after", "1h"], 3, "2 instances").await?;
    let dry = shell.succeeds(&["purge", "--status", "ended", "--dry-run", "--json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&dry.out)?["matching"], 2);
    let none = shell.succeeds(&["purge", "--status", "completed"]).await?;
    ensure!(none.shows("0 instances purged"), "nothing to ask about: {none:#?}");
    let purged = shell.succeeds(&["purge", "--created-after", "1h", "--yes"]).await?;
    ensure!(purged.shows("2 instances purged"), "{purged:#?}");
    assert_eq!(shell.succeeds(&["list", "--ids"]).await?.out, "runs\n");
    Ok(())
}

#[tokio::test]
async fn a_recursive_purge_takes_what_was_started_as_well() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    for id in ["one", "other"] {
        world.run(id, "parent", Some(&format!("\"{id}-child\""))).await?;
    }
    let ended: Vec<InstanceId> = world.client.list_ended_page(&EndedFilter::default(), 10, None).await?.items;
    assert_eq!(ended.len(), 4);
    ensure!(shell.succeeds(&["purge", "one", "--yes"]).await?.shows("1 instance purged"), "alone");
    ensure!(
        shell.succeeds(&["purge", "other", "--recursive", "--yes"]).await?.shows("2 instances purged"),
        "with its child"
    );
    assert_eq!(shell.succeeds(&["list", "--ids"]).await?.out, "one-child\n");
    let page = world.client.list_ended_page(&EndedFilter::default(), 10, None).await?;
    ensure!(page.next.is_none(), "{page:?}");
    assert_eq!(page.items.first().context("the child is left")?.as_str(), "one-child");
    Ok(())
}
