//! A look at the write-ahead log before SQLite reads it.
//!
//! SQLite ends its reading at the first frame whose checksum is wrong, and takes it for the place where the power went. That
//! is right for the end of the log: the last batch was being written, and nobody was told that it is safe. In the middle of
//! the log it would quietly take back batches that were acknowledged. The two can be told apart: a batch is written only
//! when the one before it is on disk, so if a whole batch *and part of a later one* stand behind the wrong frame, then what
//! is wrong was once right, and the log is damaged. What cannot be told apart is damage to the very last batch.
//!
//! Format: <https://sqlite.org/fileformat2.html#the_write_ahead_log>. It relies on a log that starts anew at each opening,
//! which the writer sees to.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::pages::PAGE;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What is wrong with a log, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// There is none, or it ends where the last complete batch ends, or in one that was being written.
    Sound,
    /// Batches that were acknowledged cannot be read.
    Damaged(&'static str),
}

/// Reads a log from beginning to end.
pub(super) fn inspect(path: &Path) -> io::Result<Log> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Log::Sound),
        Err(e) => return Err(e),
    };
    inspect_bytes(BufReader::with_capacity(1 << 20, file))
}

fn inspect_bytes(mut bytes: impl Read) -> io::Result<Log> {
    let mut header = [0; HEADER];
    if !fill(&mut bytes, &mut header)? || header == [0; HEADER] {
        return Ok(Log::Sound);
    }
    let big_endian = match u32_at(&header, 0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return Ok(Log::Damaged("the head of its log is not what was written")),
    };
    let mut sum = Checksum { big_endian, s: [0, 0] };
    sum.add(&header[..24]);
    if sum.s != [u32_at(&header, 24), u32_at(&header, 28)] || u32_at(&header, 8) as usize != PAGE {
        return Ok(Log::Damaged("the head of its log is not what was written"));
    }
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER + PAGE];
    let mut broken = false;
    // The commit frame behind the break, if there is one: its page.
    let mut committed = None;
    while fill(&mut bytes, &mut frame)? {
        let (page, commits) = (u32_at(&frame, 0), u32_at(&frame, 4) != 0);
        let of_this_log = frame[8..16] == *salts;
        if !broken {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER..]);
            broken = !of_this_log || sum.s != [u32_at(&frame, 16), u32_at(&frame, 20)];
        }
        if broken && of_this_log {
            // A commit frame may be repeated to fill a sector.
            if committed.is_some_and(|last| !commits || last != page) {
                return Ok(Log::Damaged(
                    "its log is damaged before its end, and batches that were accepted cannot be read",
                ));
            }
            committed = commits.then_some(page).or(committed);
        }
    }
    Ok(Log::Sound)
}

/// Fills a buffer, or says that the file ends first.
fn fill(bytes: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match bytes.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The log's running checksum.
struct Checksum {
    big_endian: bool,
    s: [u32; 2],
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        let read = if self.big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let [mut s0, mut s1] = self.s;
        for pair in bytes.chunks_exact(8) {
            s0 = s0.wrapping_add(read([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(s1);
            s1 = s1.wrapping_add(read([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(s0);
        }
        self.s = [s0, s1];
    }
}
