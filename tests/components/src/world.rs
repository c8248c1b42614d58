//! What the assembled components may import and export: the whole contract, and the part of WASI whose misuse is of interest.
//! What a module does not import is left out of its component.

use wit_parser::{Resolve, WorldId};

const CONTRACT: &str = include_str!("../../../wit/workflow.wit");

const WASI: &str = r"
package durawasm:test-guest;

world guest {
    import durawasm:workflow/log@0.1.0;
    import wasi:random/random@0.2.0;
    import wasi:random/insecure@0.2.0;
    import wasi:io/poll@0.2.0;
    import wasi:io/streams@0.2.0;
    import wasi:cli/stdin@0.2.0;
    import wasi:cli/stdout@0.2.0;
    import wasi:cli/environment@0.2.0;
    import wasi:clocks/monotonic-clock@0.2.0;
    export durawasm:workflow/component@0.1.0;
    export durawasm:workflow/orchestrator@0.1.0;
    export durawasm:workflow/activity@0.1.0;
    export durawasm:workflow/entity@0.1.0;
}

package wasi:random@0.2.0 {
    interface random {
        get-random-bytes: func(len: u64) -> list<u8>;
        get-random-u64: func() -> u64;
    }
    interface insecure {
        get-insecure-random-bytes: func(len: u64) -> list<u8>;
    }
}

package wasi:io@0.2.0 {
    interface error {
        resource error {
            to-debug-string: func() -> string;
        }
    }
    interface poll {
        resource pollable {
            ready: func() -> bool;
            block: func();
        }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
    interface streams {
        use error.{error};
        use poll.{pollable};
        variant stream-error {
            last-operation-failed(error),
            closed,
        }
        resource input-stream {
            read: func(len: u64) -> result<list<u8>, stream-error>;
            skip: func(len: u64) -> result<u64, stream-error>;
            subscribe: func() -> pollable;
        }
        resource output-stream {
            check-write: func() -> result<u64, stream-error>;
            write: func(contents: list<u8>) -> result<_, stream-error>;
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            write-zeroes: func(len: u64) -> result<_, stream-error>;
            subscribe: func() -> pollable;
        }
    }
}

package wasi:cli@0.2.0 {
    interface stdin {
        use wasi:io/streams@0.2.0.{input-stream};
        get-stdin: func() -> input-stream;
    }
    interface stdout {
        use wasi:io/streams@0.2.0.{output-stream};
        get-stdout: func() -> output-stream;
    }
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
    }
}

package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
}
";

/// The world of the assembled components.
pub(crate) fn world() -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    resolve.push_source("workflow.wit", CONTRACT).expect("the contract is valid");
    let package = resolve.push_source("guest.wit", WASI).expect("the world is valid");
    let world = resolve.select_world(&[package], Some("guest")).expect("the world is there");
    (resolve, world)
}
