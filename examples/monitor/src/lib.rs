//! Something runs elsewhere and tells nobody when it is done. So it is looked at again and again, with a durable timer in between,
//! until it is done, it has failed, or it takes too long.

use std::cell::Cell;
use std::rc::Rc;
use std::time::SystemTime;

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// A film that is to be rendered.
#[derive(Serialize, Deserialize)]
struct Film {
    title: String,
    /// How long the render farm will need.
    render_millis: u64,
    /// The time between two looks.
    #[serde(default = "a_second")]
    poll_millis: u64,
    /// When to give up.
    #[serde(default = "an_hour")]
    patience_millis: u64,
}

fn a_second() -> u64 {
    1_000
}

fn an_hour() -> u64 {
    60 * 60 * 1_000
}

/// What the farm gave us to ask with.
#[derive(Serialize, Deserialize)]
struct Job {
    title: String,
    began: Timestamp,
    millis: u64,
}

/// What the farm says of a job.
#[derive(Serialize, Deserialize)]
enum Progress {
    Rendering { percent: u64 },
    Done { file: String },
    Failed { reason: String },
}

/// What came of it.
#[derive(Serialize, Deserialize)]
struct Rendered {
    file: String,
    /// How often the farm was asked.
    looks: u32,
}

/// Has a film rendered, and looks until it is done.
#[orchestrator]
async fn render(ctx: Context, film: Film) -> Result<Rendered> {
    let give_up = ctx.now() + Duration::from_millis(film.patience_millis);
    let percent = Rc::new(Cell::new(0));
    let shown = Rc::clone(&percent);
    ctx.on_query("percent", move |()| Ok(shown.get()));

    let job = ctx.call(start_job, &film).await?;
    let mut looks = 0;
    loop {
        looks += 1;
        match ctx.call(look_at_job, &job).await? {
            Progress::Done { file } => {
                percent.set(100);
                return Ok(Rendered { file, looks });
            }
            Progress::Failed { reason } => bail!("RenderFailed"; "{}: {reason}", film.title),
            Progress::Rendering { percent: now } => percent.set(now),
        }
        ensure!(ctx.now() < give_up, "TooSlow"; "{} is at {} % only", film.title, percent.get());
        ctx.sleep(Duration::from_millis(film.poll_millis)).await;
    }
}

/// Hands a film to the farm.
#[activity]
fn start_job(film: Film) -> Result<Job> {
    // Activities have real clocks.
    Ok(Job { title: film.title, began: SystemTime::now().into(), millis: film.render_millis })
}

/// Asks the farm about a job.
#[activity]
fn look_at_job(job: Job) -> Result<Progress> {
    if job.title.is_empty() {
        return Ok(Progress::Failed { reason: "a film needs a title".to_owned() });
    }
    let passed = Timestamp::from(SystemTime::now()).unix_millis() - job.began.unix_millis();
    Ok(match passed.saturating_mul(100).checked_div(job.millis) {
        Some(percent) if percent < 100 => Progress::Rendering { percent },
        _ => Progress::Done { file: format!("{}.mp4", job.title) },
    })
}

durawasm_guest::component!(render, start_job, look_at_job);
