//! A chain of activities, each of which works on what the one before it has made. One failure has an answer, the others end the
//! chain; and whatever came of it, what was set up for it is cleaned up.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// What a draft is made of, and where.
#[derive(Serialize, Deserialize)]
struct Draft {
    folder: String,
    sources: Vec<String>,
}

/// Writes a report about a topic, in a scratch folder that is gone afterwards.
#[orchestrator]
async fn write_report(ctx: Context, topic: String) -> Result<String> {
    let folder = ctx.call(make_folder, ()).await?;
    let report = chain(&ctx, &topic, &folder).await;
    // No `?` on the line above: the folder goes whether there is a report or not.
    ctx.call(remove_folder, &folder).retry(Retry::attempts(5)).await.context("cleaning up")?;
    report
}

/// The chain: sources, draft, print.
async fn chain(ctx: &Context, topic: &str, folder: &str) -> Result<String> {
    let sources = match ctx.call(search_library, topic).await {
        Ok(sources) => sources,
        // This failure is none: there is somebody else to ask. Failures are told apart by their type.
        Err(error) if error.error_type() == "NothingFound" => ctx.call(ask_librarian, topic).await?,
        Err(error) => return Err(error),
    };
    let draft = ctx.call(write_draft, Draft { folder: folder.to_owned(), sources }).await?;
    ctx.call(print, draft).await
}

/// Makes a folder for one report.
#[activity]
fn make_folder(ctx: ActivityContext) -> Result<String> {
    // The call's id is the same if this runs twice, so that it never makes two folders.
    Ok(format!("scratch/{}", ctx.call_id()))
}

/// Removes a folder. One that is gone already is removed.
#[activity]
fn remove_folder(folder: String) -> Result<()> {
    log::info!("removing {folder}");
    Ok(())
}

/// Looks for books about a topic.
#[activity]
fn search_library(topic: String) -> Result<Vec<String>> {
    ensure!(!topic.is_empty(), "NoTopic"; "a report needs a topic");
    match topic.as_str() {
        "tides" => Ok(vec!["The moon pulls.".to_owned(), "The sun helps.".to_owned()]),
        _ => bail!("NothingFound"; "no book is about {topic}"),
    }
}

/// Asks somebody who has read more than the catalogue shows.
#[activity]
fn ask_librarian(topic: String) -> Result<Vec<String>> {
    ensure!(topic != "the librarian", "TooPersonal"; "the librarian does not talk about that");
    Ok(vec![format!("Much could be said about {topic}.")])
}

/// Makes one text of the sources.
#[activity]
fn write_draft(Draft { folder, sources }: Draft) -> Result<String> {
    log::info!("writing into {folder}");
    Ok(sources.join(" "))
}

/// Prints a text.
#[activity]
fn print(text: String) -> Result<String> {
    Ok(format!("*** {text} ***"))
}

durawasm_guest::component!(write_report, make_folder, remove_folder, search_library, ask_librarian, write_draft, print,);
