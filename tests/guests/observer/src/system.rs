//! The process, the machine and the system around it.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};

use crate::Look;

pub(crate) const ALL: &[(&str, Look)] = &[
    ("the environment", |_| format!("{:?}", std::env::vars().collect::<Vec<_>>())),
    ("the arguments", |_| format!("{:?}", std::env::args().collect::<Vec<_>>())),
    ("the working directory", |_| format!("{:?}", std::env::current_dir())),
    ("the temporary folder", |_| {
        let folder = std::panic::catch_unwind(std::env::temp_dir);
        format!("{folder:?}")
    }),
    ("the executable", |_| format!("{:?}", std::env::current_exe().map_err(|error| error.to_string()))),
    ("the number of processors", |_| {
        format!("{:?}", std::thread::available_parallelism().map_err(|error| error.to_string()))
    }),
    ("the id of the process", |_| std::process::id().to_string()),
    ("a thread", |_| {
        let thread = std::thread::Builder::new().spawn(|| 1);
        format!("{:?}", thread.map(|_| "it runs").map_err(|error| error.to_string()))
    }),
    ("the name and id of the thread", |_| {
        let thread = std::thread::current();
        format!("{:?} {:?}", thread.name(), thread.id())
    }),
    ("a file", |_| format!("{:?}", std::fs::read("/etc/hostname").map_err(|error| error.to_string()))),
    ("a folder", |_| format!("{:?}", std::fs::read_dir("/").map(Iterator::count).map_err(|error| error.to_string()))),
    ("a new file", |_| format!("{:?}", std::fs::write("seen", "x").map_err(|error| error.to_string()))),
    ("an address of a name", |_| {
        let addresses = ("localhost", 80).to_socket_addrs();
        format!("{:?}", addresses.map(Iterator::count).map_err(|error| error.to_string()))
    }),
    ("a connection", |_| {
        format!("{:?}", TcpStream::connect("127.0.0.1:80").map(|_| ()).map_err(|error| error.to_string()))
    }),
    ("the standard input", |_| {
        let mut bytes = Vec::new();
        let read = std::io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string());
        format!("{read:?} {bytes:?}")
    }),
    ("how much output is taken", |_| {
        let written = std::io::stdout().write(&[b'x'; 10_000]).map_err(|error| error.to_string());
        let flushed = std::io::stdout().flush().map_err(|error| error.to_string());
        format!("{written:?} {flushed:?}")
    }),
    ("whether output is a terminal", |_| std::io::IsTerminal::is_terminal(&std::io::stdout()).to_string()),
    ("a backtrace", |_| std::backtrace::Backtrace::force_capture().to_string()),
    ("the text of a panic", |_| {
        let local = 1;
        panic!("the address is {:p}", &raw const local)
    }),
    ("leaving the process", |_| std::process::exit(3)),
];
