//! The ways to look.

use std::backtrace::Backtrace;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::process::Command;
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io, process};

use serde_json::{Value, json};

type Look = fn() -> Value;

const MOMENT: Duration = Duration::from_millis(1);

pub(crate) const ALL: &[(&str, Look)] = &[
    ("SystemTime::now", || {
        json!(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos()).to_string())
    }),
    ("Instant::now", || json!(format!("{:?}", Instant::now()))),
    ("Instant::elapsed", || {
        let begun = Instant::now();
        let sum = (0..1_000_000_u64).fold(0_u64, |sum, number| std::hint::black_box(sum.wrapping_add(number)));
        json!([sum, begun.elapsed().as_nanos().to_string()])
    }),
    ("thread::sleep", || {
        thread::sleep(MOMENT);
        json!("slept")
    }),
    ("thread::sleep for nothing", || {
        thread::sleep(Duration::ZERO);
        json!("slept")
    }),
    ("thread::spawn", || told(thread::Builder::new().spawn(|| ()).map(|_| "spawned"))),
    ("thread::scope", || {
        thread::scope(|scope| scope.spawn(|| ()).join().is_ok());
        json!("ran")
    }),
    ("thread::yield_now", || {
        thread::yield_now();
        json!("yielded")
    }),
    ("thread::park_timeout", || {
        thread::park_timeout(MOMENT);
        json!("parked")
    }),
    ("thread::available_parallelism", || told(thread::available_parallelism())),
    ("thread::current", || json!(format!("{:?}", thread::current().id()))),
    ("Condvar::wait_timeout", || {
        let lock = Mutex::new(());
        let waited = lock.lock().map(|guard| Condvar::new().wait_timeout(guard, MOMENT).is_ok());
        json!(format!("{:?}", waited.is_ok()))
    }),
    ("mpsc::recv_timeout", || {
        let (_sender, receiver) = mpsc::channel::<()>();
        json!(format!("{:?}", receiver.recv_timeout(MOMENT)))
    }),
    ("process::exit", || process::exit(3)),
    ("process::abort", || process::abort()),
    ("process::id", || json!(process::id())),
    ("process::Command", || told(Command::new("true").status().map(|status| status.to_string()))),
    ("env::var", || told(env::var("GREETING"))),
    ("env::vars", || json!(env::vars().collect::<Vec<_>>())),
    ("env::args", || json!(env::args().collect::<Vec<_>>())),
    ("env::current_dir", || told(env::current_dir().map(|folder| folder.display().to_string()))),
    ("env::current_exe", || told(env::current_exe().map(|file| file.display().to_string()))),
    ("env::temp_dir", || json!(env::temp_dir().display().to_string())),
    ("fs::read", || told(fs::read_to_string("/etc/hostname"))),
    ("fs::write", || told(fs::write("file", "text").map(|()| "written"))),
    ("fs::read_dir", || told(fs::read_dir("/").map(Iterator::count))),
    ("fs::metadata", || told(fs::metadata(".").map(|metadata| metadata.len()))),
    ("fs::create_dir", || told(fs::create_dir("folder").map(|()| "made"))),
    ("TcpStream::connect", || told(TcpStream::connect("127.0.0.1:80").map(|_| "connected"))),
    ("TcpListener::bind", || told(TcpListener::bind("127.0.0.1:0").map(|_| "bound"))),
    ("UdpSocket::bind", || told(UdpSocket::bind("127.0.0.1:0").map(|_| "bound"))),
    ("to_socket_addrs", || told(("localhost", 80).to_socket_addrs().map(Iterator::count))),
    ("stdin().read_line", || {
        let mut line = String::new();
        told(io::stdin().read_line(&mut line))
    }),
    ("stdin().read_to_end", || {
        let mut bytes = Vec::new();
        told(io::stdin().lock().read_to_end(&mut bytes))
    }),
    ("println!", || {
        println!("a line");
        eprintln!("a warning");
        told(io::stdout().flush().map(|()| "flushed"))
    }),
    ("is_terminal", || json!(io::IsTerminal::is_terminal(&io::stdout()))),
    ("order of a HashMap", || {
        json!((0..10).map(|number| (number, ())).collect::<HashMap<_, _>>().keys().collect::<Vec<_>>())
    }),
    ("order of a HashSet", || json!(["a", "b", "c", "d", "e"].into_iter().collect::<HashSet<_>>())),
    ("RandomState", || json!(RandomState::new().hash_one("a text").to_string())),
    ("address of a Box", || json!(format!("{:p}", Box::new(1)))),
    ("address of a function", || json!(format!("{:p}", told::<u8, u8> as fn(Result<u8, u8>) -> Value))),
    ("Backtrace", || json!(Backtrace::force_capture().to_string())),
];

/// A result as a value: errors may be seen as long as they are the same in every replay.
fn told<T: Display, E: Display>(result: Result<T, E>) -> Value {
    match result {
        Ok(value) => json!(value.to_string()),
        Err(error) => json!(format!("error: {error}")),
    }
}
