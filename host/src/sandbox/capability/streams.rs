//! What every component has: standard streams that end in the log, an input that is empty, an exit.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::p2::bindings::cli::{
    exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::Effects;
use crate::orchestration::{LogLevel, LogLine};
use crate::sandbox::logs::{LogBuffer, Standard};

pub(super) fn link<T: Effects>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    exit::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    stdin::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    stdout::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    stderr::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    terminal_input::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    terminal_output::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    terminal_stdin::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    terminal_stdout::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    terminal_stderr::add_to_linker::<T, WasiCli>(linker, T::cli)
}

pub(super) fn give(builder: &mut WasiCtxBuilder, output: &Output) {
    builder.stdout(Stream { stream: Standard::Out, output: output.clone() });
    builder.stderr(Stream { stream: Standard::Err, output: output.clone() });
}

/// More pieces than this of one call are dropped, so that a loop of small writes takes no memory without end.
const MAX_PIECES: usize = 4_096;

/// More bytes than this of one call are dropped. It is more than the log takes (see the limit `log_bytes`), whose own count says more.
const MAX_BYTES: usize = 4 << 20;

/// What a call writes where it cannot reach its store's state: standard streams, and the capabilities' own lines.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct Output(Arc<Mutex<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    kept: Vec<Piece>,
    /// What the kept ones take.
    bytes: usize,
    /// How many were not kept.
    dropped: usize,
}

#[derive(Debug)]
enum Piece {
    Written(Standard, Bytes),
    Said(LogLine),
}

impl Output {
    /// Something that the author of the guest must know: why a request was refused, for instance.
    pub(super) fn warn(&self, message: String) {
        self.push(Piece::Said(LogLine {
            level: LogLevel::Warn,
            target: "durawasm".to_owned(),
            message,
            fields: Vec::new(),
        }));
    }

    fn push(&self, piece: Piece) {
        let size = match &piece {
            Piece::Written(_, bytes) => bytes.len(),
            Piece::Said(line) => line.message.len(),
        };
        let mut pieces = self.0.lock();
        if pieces.kept.len() < MAX_PIECES && pieces.bytes + size <= MAX_BYTES {
            pieces.bytes += size;
            pieces.kept.push(piece);
        } else {
            pieces.dropped += 1;
        }
    }

    /// Moves everything to the call's log.
    pub(in crate::sandbox) fn gather(&self, logs: &mut LogBuffer) {
        let Pieces { kept, dropped, .. } = std::mem::take(&mut *self.0.lock());
        if dropped > 0 {
            let message =
                format!("too much was written at once to the standard streams: {dropped} pieces of it are lost");
            logs.write(LogLevel::Warn, "durawasm".to_owned(), message, Vec::new());
        }
        for piece in kept {
            match piece {
                Piece::Written(stream, bytes) => logs.write_standard(stream, &bytes),
                Piece::Said(line) => logs.write(line.level, line.target, line.message, line.fields),
            }
        }
    }
}

#[derive(Clone)]
struct Stream {
    stream: Standard,
    output: Output,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, and nothing of it is linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.push(Piece::Written(self.stream, bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_writes_is_bounded_by_bytes_and_by_pieces_and_the_log_says_so() {
        for piece in [64 << 10, 1] {
            let output = Output::default();
            let mut stream = Stream { stream: Standard::Out, output: output.clone() };
            for _ in 0..10_000 {
                stream.write(vec![b'x'; piece].into()).unwrap();
            }
            let kept = output.0.lock().kept.len();
            assert_eq!(kept, if piece == 1 { MAX_PIECES } else { MAX_BYTES / piece });
            let mut logs = LogBuffer::new(1_000, 1 << 20);
            output.gather(&mut logs);
            let first = &logs.take()[0];
            assert!(first.message.contains(&format!("{} pieces", 10_000 - kept)), "{first:?}");
        }
    }
}
