//! Measures what a session costs in processor time and memory, without any network: `cargo run --release -p durawasm-host --example measure -- COMPONENT.wasm`.
//!
//! The component is expected to offer the orchestrator `hello_cities` (five activities in a row). Behind the component may stand another
//! orchestrator and its input. Variants, to compare with: `--no-limits` (nothing is counted or limited), `--images` (memories begin as
//! copy-on-write images), `--batch COUNT` (resolutions in one call).

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::orchestration::{
    Decision, EventKind, ExecutionStarted, HistoryEvent, Limits, Recorded, Session, Time, Turn,
};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, EngineOptions, Engines, Orchestrator, SandboxLimits};

fn event(time: &mut Time, id: i32, kind: EventKind) -> HistoryEvent {
    time.nanos += 1_000;
    HistoryEvent { id, time: *time, kind }
}

/// What the history records of a turn.
fn records(time: &mut Time, turn: &Turn) -> Vec<HistoryEvent> {
    turn.actions
        .iter()
        .filter_map(|action| {
            let kind = action.decision.kind()?;
            let recorded = Recorded::new(kind, action.decision.name());
            Some(event(time, action.id, EventKind::Recorded(recorded)))
        })
        .collect()
}

/// The events of the next episode: all activities of a turn answer.
fn results(time: &mut Time, turn: &Turn) -> Vec<HistoryEvent> {
    let mut events = vec![event(time, -1, EventKind::EpisodeStarted)];
    for action in &turn.actions {
        if let Decision::Activity { .. } = action.decision {
            let kind = EventKind::Resolved {
                of: durawasm_host::orchestration::RecordedKind::Activity,
                action: action.id,
                outcome: Ok(Some("\"Hello, Tokyo!\"".to_owned())),
            };
            events.push(event(time, -1, kind));
        }
    }
    events
}

fn begin(time: &mut Time, name: &str, input: &str) -> Vec<HistoryEvent> {
    let started = ExecutionStarted { name: name.to_owned(), input: Some(input.to_owned()), ..Default::default() };
    vec![event(time, -1, EventKind::EpisodeStarted), event(time, -1, EventKind::ExecutionStarted(Box::new(started)))]
}

struct Bench {
    component: LoadedComponent,
    limits: Limits,
}

impl Bench {
    fn session(&self, id: &str) -> Result<Session<Orchestrator>, Box<dyn std::error::Error>> {
        let code = self.component.orchestrator_code().ok_or("the component has no orchestrators")?;
        let guest = Orchestrator::new(Arc::clone(code));
        Ok(Session::new(guest, id, Arc::clone(self.component.program()), self.limits))
    }

    /// Runs an orchestration to its end and returns its history.
    fn run(&self, id: &str, name: &str, input: &str) -> Result<Vec<HistoryEvent>, Box<dyn std::error::Error>> {
        let mut time = Time { seconds: 1_700_000_000, nanos: 0 };
        let mut session = self.session(id)?;
        let mut new = begin(&mut time, name, input);
        let mut history = Vec::new();
        loop {
            let turn = session.apply([], new.clone())?;
            history.extend(new);
            history.extend(records(&mut time, &turn));
            if turn.ended {
                history.push(event(&mut time, -1, EventKind::Completed));
                return Ok(history);
            }
            new = results(&mut time, &turn);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut options, mut limits) = (EngineOptions::default(), Limits::default());
    let mut plain = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--no-limits" => options.enforcement = false,
            "--images" => options.adjust = Some(Arc::new(|config| _ = config.memory_init_cow(true))),
            "--batch" => limits.batch = arguments.next().ok_or("how many?")?.parse()?,
            _ => plain.push(argument),
        }
    }
    let mut arguments = plain.into_iter();
    let path = arguments.next().ok_or("which component?")?;
    let name = arguments.next().unwrap_or_else(|| "hello_cities".to_owned());
    let input = arguments.next().unwrap_or_else(|| "null".to_owned());
    let bytes = std::fs::read(path)?;
    let engines = Engines::with(&options)?;
    // Compiling uses threads of its own: here the time that passes is meant.
    let begun = std::time::Instant::now();
    let component = LoadedComponent::load(&bytes, &engines, &CodeCache::none(), SandboxLimits::default())?;
    println!("load (compile for both sandboxes, link, describe): {:?}", begun.elapsed());
    println!(
        "component {} {}: orchestrators {:?}, activities {:?}",
        component.name(),
        component.version(),
        component.orchestrators(),
        component.activities()
    );
    let bench = Bench { component, limits };
    let history = bench.run("warm-up", &name, &input)?;
    println!("history of {name}: {} events", history.len());
    {
        let mut session = bench.session("warm-up")?;
        session.record_fuel();
        session.apply(history.clone(), [])?;
        println!("fuel of its episodes: {:?}", session.fuel_of_episodes());
    }

    let mut time = Time { seconds: 1_700_000_000, nanos: 0 };
    let events = begin(&mut time, &name, &input);
    let begun = Cpu::now()?;
    for number in 0..2_000 {
        bench.session(&format!("start-{number}"))?.apply([], events.clone())?;
    }
    println!("start (instantiate, first episode, drop): {:?}", begun.elapsed()? / 2_000);
    let mut times = Vec::new();
    for number in 0..2_000 {
        let mut session = bench.session(&format!("start-{number}"))?;
        let begun = std::time::Instant::now();
        session.apply([], events.clone())?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!("start until the first answer, median: {:?}", times[times.len() / 2]);

    let begun = Cpu::now()?;
    for number in 0..1_000 {
        bench.run(&format!("run-{number}"), &name, &input)?;
    }
    println!("whole orchestration, warm: {:?}", begun.elapsed()? / 1_000);

    let rounds = (200_000 / history.len()).max(1);
    let copies: Vec<_> = (0..rounds).map(|_| history.clone()).collect();
    let begun = Cpu::now()?;
    for past in copies {
        bench.session("warm-up")?.apply(past, [])?;
    }
    let spent = begun.elapsed()?;
    let events = rounds * history.len();
    println!("replay: {events} events in {spent:?}: {:.0} events/s", events as f64 / spent.as_secs_f64());

    let (before, own_before) = (resident()?, own()?);
    let mut sessions = Vec::new();
    for number in 0..10_000 {
        let mut time = Time { seconds: 1_700_000_000, nanos: 0 };
        let mut session = bench.session(&format!("suspended-{number}"))?;
        session.apply([], begin(&mut time, &name, &input))?;
        sessions.push(session);
    }
    let kib = |bytes: u64| bytes as f64 / sessions.len() as f64 / 1_024.0;
    println!(
        "{} suspended sessions: {:.1} KiB each resident, {:.1} KiB each that no other shares, {:.1} mappings each",
        sessions.len(),
        kib(resident()? - before),
        kib(own()? - own_before),
        std::fs::read_to_string("/proc/self/maps")?.lines().count() as f64 / sessions.len() as f64
    );
    Ok(())
}

/// The processor time of this thread: what else the machine does hardly shows in it.
struct Cpu(Duration);

impl Cpu {
    fn now() -> Result<Self, Box<dyn std::error::Error>> {
        let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        Ok(Self(Duration::from_nanos(schedstat.split(' ').next().ok_or("schedstat")?.parse()?)))
    }

    fn elapsed(&self) -> Result<Duration, Box<dyn std::error::Error>> {
        Ok(Self::now()?.0 - self.0)
    }
}

/// Bytes that are in memory and belong to this process alone, with its share of what is shared.
fn own() -> Result<u64, Box<dyn std::error::Error>> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? << 10)
}

fn resident() -> Result<u64, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    Ok(statm.split(' ').nth(1).ok_or("statm")?.parse::<u64>()? * 4_096)
}
