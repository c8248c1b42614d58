//! `wasi:io`: output goes to the log and never blocks; input is at its end; each pollable belongs to a stream and is ready.

use wasmtime::component::{ComponentType, Lower, Resource, ResourceType};

use super::{Cx, Instance};
use crate::sandbox::denial::DeniedResources;
use crate::sandbox::logs::Standard;

/// Host resources. None holds anything: a stream is told from another by its number.
pub(super) struct OutputStream;
pub(super) struct InputStream;
pub(super) struct Pollable;
pub(super) struct IoError;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "part of the interface; these streams never fail")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Streamed<T> = Result<T, StreamError>;

const CLOSED: StreamError = StreamError::Closed;

/// Bytes that an output stream takes at once.
const ROOM: u64 = 64 << 10;

/// Defines a resource if it is one of `wasi:io`. Such a one may be named again by interfaces that use it; whether a name elsewhere means it
/// is told by the type, since other interfaces have resources of their own that are called `error`.
pub(super) fn resource(
    linker: &mut Instance<'_>,
    denied: &mut DeniedResources,
    interface: &str,
    name: &str,
    ty: ResourceType,
) -> wasmtime::Result<bool> {
    // A component made by hand may import `wasi:cli/stdout` and not where its streams come from.
    if !["wasi:io/", "wasi:cli/std", "wasi:clocks/"].iter().any(|prefix| interface.starts_with(prefix)) {
        return Ok(false);
    }
    let host = match name {
        "error" => ResourceType::host::<IoError>(),
        "pollable" => ResourceType::host::<Pollable>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        _ => return Ok(false),
    };
    denied.is_alias(ty);
    linker.resource(name, host, |_, _| Ok(()))?;
    Ok(true)
}

pub(super) fn define(linker: &mut Instance<'_>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match interface {
        "wasi:io/error" => error(linker, name),
        "wasi:io/poll" => poll(linker, name),
        "wasi:io/streams" => Ok(input(linker, name)? || output(linker, name)?),
        _ => Ok(false),
    }
}

fn error(linker: &mut Instance<'_>, name: &str) -> wasmtime::Result<bool> {
    if name != "[method]error.to-debug-string" {
        return Ok(false);
    }
    linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<IoError>,)| Ok((String::from("i/o error"),)))?;
    Ok(true)
}

fn poll(linker: &mut Instance<'_>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]pollable.ready" => linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<Pollable>,)| Ok((true,)))?,
        "[method]pollable.block" => linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<Pollable>,)| Ok(()))?,
        "poll" => linker.func_wrap(name, |_: Cx<'_>, (list,): (Vec<Resource<Pollable>>,)| {
            Ok(((0..u32::try_from(list.len()).unwrap_or(u32::MAX)).collect::<Vec<u32>>(),))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn input(linker: &mut Instance<'_>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.subscribe" => {
            linker
                .func_wrap(name, |_: Cx<'_>, (_,): (Resource<InputStream>,)| Ok((Resource::<Pollable>::new_own(0),)))?;
        }
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            linker.func_wrap(name, |_: Cx<'_>, (_, _): (Resource<InputStream>, u64)| {
                Ok((Streamed::<Vec<u8>>::Err(CLOSED),))
            })?;
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            linker.func_wrap(name, |_: Cx<'_>, (_, _): (Resource<InputStream>, u64)| {
                Ok((Streamed::<u64>::Err(CLOSED),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn output(linker: &mut Instance<'_>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]output-stream.subscribe" => {
            linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| {
                Ok((Resource::<Pollable>::new_own(0),))
            })?;
        }
        "[method]output-stream.check-write" => {
            linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| Ok((Streamed::Ok(ROOM),)))?;
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            linker.func_wrap(name, |mut cx: Cx<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                let stream = if stream.rep() == Standard::Err as u32 { Standard::Err } else { Standard::Out };
                cx.data_mut().logs.write_standard(stream, &bytes);
                Ok((Streamed::Ok(()),))
            })?;
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| Ok((Streamed::Ok(()),)))?;
        }
        // A log has no use for zeroes.
        "[method]output-stream.write-zeroes" | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            linker.func_wrap(name, |_: Cx<'_>, (_, _): (Resource<OutputStream>, u64)| Ok((Streamed::Ok(()),)))?;
        }
        // The only input there is has ended.
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => {
            type Arguments = (Resource<OutputStream>, Resource<InputStream>, u64);
            linker.func_wrap(name, |_: Cx<'_>, (_, _, _): Arguments| Ok((Streamed::<u64>::Err(CLOSED),)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
