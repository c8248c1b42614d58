//! Every function of every interface of WASI 0.2 is on the list of `docs/determinism.md`, or is denied in words that help.

mod probe;

use std::collections::BTreeSet;
use std::sync::Arc;

use probe::{Called, Probe};
use wasmtime::Store;
use wasmtime::component::{InstancePre, Resource, ResourceAny, ResourceDynamic, ResourceType, Type, Val};

use super::io::{InputStream, IoError, OutputStream, Pollable};
use crate::orchestration::{Streams, Time};
use crate::sandbox::denial::{self, Denied};
use crate::sandbox::orchestrator::{self, OrchestratorState};
use crate::sandbox::{CodeCache, Engines, SandboxLimits};

const NOW: Time = Time { seconds: 1_700_000_000, nanos: 123_456_000 };

fn prepare(engines: &Engines, bytes: &[u8]) -> InstancePre<OrchestratorState> {
    let engine = engines.orchestrators(bytes.len());
    let component = CodeCache::none().component(engine, "probe", bytes).unwrap();
    orchestrator::link(engine, &component).unwrap()
}

fn store(engines: &Engines, instance: &InstancePre<OrchestratorState>) -> Store<OrchestratorState> {
    let environment = Arc::from([("NAME".to_owned(), "value".to_owned())]);
    let limits = SandboxLimits::default().orchestrator;
    let state = OrchestratorState::new(&Streams::new("probe", NOW), NOW, &limits, environment);
    state.store(instance.engine(), &limits, &engines.clock(), limits.fuel).unwrap()
}

/// A resource of a type that the component was linked with.
fn resource(store: &mut Store<OrchestratorState>, ty: ResourceType) -> ResourceAny {
    fn host<T: 'static>(store: &mut Store<OrchestratorState>) -> ResourceAny {
        Resource::<T>::new_own(0).try_into_resource_any(store).unwrap()
    }
    if ty == ResourceType::host::<IoError>() {
        host::<IoError>(store)
    } else if ty == ResourceType::host::<Pollable>() {
        host::<Pollable>(store)
    } else if ty == ResourceType::host::<InputStream>() {
        host::<InputStream>(store)
    } else if ty == ResourceType::host::<OutputStream>() {
        host::<OutputStream>(store)
    } else {
        let number = (0..1_000).find(|number| ty == ResourceType::host_dynamic(*number)).expect("a denied resource");
        ResourceDynamic::new_own(0, number).try_into_resource_any(store).unwrap()
    }
}

/// Calls a function in an instance of its own.
fn call(engines: &Engines, instance: &InstancePre<OrchestratorState>, number: usize) -> wasmtime::Result<()> {
    let mut store = store(engines, instance);
    let running = instance.instantiate(&mut store).unwrap();
    let exports = running.get_export_index(&mut store, None, Probe::exports()).unwrap();
    let index = running.get_export_index(&mut store, Some(&exports), &format!("call-{number}")).unwrap();
    let function = running.get_func(&mut store, index).unwrap();
    let types: Vec<Type> = function.ty(&store).params().map(|(_, ty)| ty).collect();
    let arguments: Vec<Val> = types
        .into_iter()
        .map(|ty| {
            let Type::Own(ty) = ty else { panic!("{ty:?}") };
            Val::Resource(resource(&mut store, ty))
        })
        .collect();
    function.call(&mut store, &arguments, &mut [])
}

fn full_name(called: &Called) -> String {
    format!("{}#{}", called.interface, called.function)
}

/// The functions that can be called. All others must say what they are, and what to do.
fn callable(version: &str) -> BTreeSet<String> {
    let probe = Probe::new(version);
    let engines = Engines::new().unwrap();
    let instance = prepare(&engines, &probe.component);
    let mut callable = BTreeSet::new();
    for (number, called) in probe.calls.iter().enumerate() {
        let name = full_name(called);
        match call(&engines, &instance, number) {
            Ok(()) => {
                callable.insert(name);
            }
            Err(error) => {
                let denied = error.downcast_ref::<Denied>().unwrap_or_else(|| panic!("{name}: {error:?}")).to_string();
                let begin = format!("`{name}` is not available to orchestrators: ");
                let reason = denied.strip_prefix(&begin).unwrap_or_else(|| panic!("{name} says {denied}"));
                let (why, instead) = reason.split_once(". Instead: ").unwrap_or_else(|| panic!("{name} says {denied}"));
                assert!(why.len() > 20 && instead.len() > 20, "{name} says {denied}");
            }
        }
    }
    assert!(probe.calls.len() > 190, "{} functions are not all of WASI", probe.calls.len());
    callable
}

/// The section of `docs/determinism.md` about WASI.
fn section() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/determinism.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once("\n## What each WASI function does\n").expect("the section is there");
    section.split("\n## ").next().unwrap().to_owned()
}

/// What the first table of that section lists: an interface, its functions, and what an orchestrator sees.
fn reviewed() -> BTreeSet<String> {
    let quoted = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut reviewed = BTreeSet::new();
    for row in section().lines().filter(|line| line.starts_with("| `wasi:")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, interface, functions, sees, _] = cells[..] else { continue };
        assert!(sees.len() > 5, "{row}");
        for interface in quoted(interface) {
            for function in quoted(functions) {
                let function = if function.contains('.') { format!("[method]{function}") } else { function };
                reviewed.insert(format!("{interface}#{function}"));
            }
        }
    }
    reviewed
}

#[test]
fn each_function_of_wasi_is_on_the_reviewed_list_or_denied_in_words_that_help() {
    let reviewed = reviewed();
    let callable = callable(probe::NEWEST);
    let unknown: Vec<_> = callable.difference(&reviewed).collect();
    assert!(unknown.is_empty(), "nobody has said that these are replay-safe: {unknown:#?}");
    let gone: Vec<_> = reviewed.difference(&callable).collect();
    assert!(gone.is_empty(), "docs/determinism.md lists these, and they are denied: {gone:#?}");
}

#[test]
fn the_version_of_wasi_makes_no_difference() {
    let newest = callable(probe::NEWEST);
    for version in ["0.2.0", "0.2.3", "0.2.99"] {
        assert_eq!(callable(version), newest, "{version}");
    }
}

#[test]
fn the_page_about_determinism_gives_each_reason_in_the_words_of_the_denial() {
    let section = section();
    for reason in denial::orchestrator_reasons() {
        assert!(section.contains(reason.why), "docs/determinism.md does not say: {}", reason.why);
        assert!(section.contains(reason.instead), "docs/determinism.md does not say: {}", reason.instead);
    }
}
