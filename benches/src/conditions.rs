//! What the figures depend on: printed above them.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Prints the machine and what an fsync costs on it.
pub(crate) fn print() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("# durawasm {}", env!("CARGO_PKG_VERSION"));
    println!("\n- {cores} cores of {}", model.trim_start_matches([' ', '\t', ':']));
    match fsync() {
        Ok(median) => println!("- one write of 4 KiB with fdatasync: {median:?} (median of 200)"),
        Err(error) => println!("- fdatasync could not be measured: {error}"),
    }
    println!("- release build; scheduler, host and load in three processes that share the cores");
}

/// The median cost of a small durable write.
pub(crate) fn fsync() -> std::io::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("probe"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
