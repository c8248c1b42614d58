//! What an orchestration costs in the host: its start, a step, and its memory while it is suspended. In process.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use durawasm_host::sandbox::Engines;

use crate::replay::{first_episode, load, median, session};

pub(crate) fn run(quick: bool) -> Result<()> {
    let engines = Engines::new()?;
    let path = durawasm_tests::examples().join("hello_cities.wasm");
    let component = load(&path, &engines)?;
    println!("Component `hello_cities`, {} KiB.\n", std::fs::metadata(&path)?.len() >> 10);

    let mut times = Vec::new();
    for number in 0..if quick { 200 } else { 2_000 } {
        let mut session = session(&component, &format!("start-{number}"))?;
        let begin = Instant::now();
        let turn = session.apply([], first_episode("hello_cities", None)).map_err(|p| anyhow!("{p:?}"))?;
        times.push(begin.elapsed());
        ensure!(turn.actions.len() == 1, "it calls its first activity");
    }
    println!("- start of an instance until its first activity is called: {:?} (median)", median(times));

    let count = if quick { 1_000 } else { 10_000 };
    let (before, own_before) = (resident()?, own()?);
    let mut suspended = Vec::with_capacity(count);
    for number in 0..count {
        let mut session = session(&component, &format!("suspended-{number}"))?;
        session.apply([], first_episode("hello_cities", None)).map_err(|p| anyhow!("{p:?}"))?;
        suspended.push(session);
    }
    let kib = |bytes: u64| bytes as f64 / suspended.len() as f64 / 1024.0;
    println!(
        "- memory of {count} suspended orchestrations, all in: {:.1} KiB each, with their share of what they share; {:.1} KiB resident, where \
         each counts what all share",
        kib(own()? - own_before),
        kib(resident()? - before)
    );
    println!("- memory mappings of this process then: {}", std::fs::read_to_string("/proc/self/maps")?.lines().count());
    Ok(())
}

/// Memory of this process, with its share of what is shared: pages that many instances map count once.
fn own() -> Result<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:")).context("no Pss")?;
    let kib: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kib * 1024)
}

/// Bytes of this process that are in memory.
pub(crate) fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kib * 1024)
}
