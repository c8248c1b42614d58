//! The errors that people meet, each with a code, a class and a page.
//!
//! A code is for ever: it is searched for, linked to and matched by scripts. Its page
//! (`docs/errors/DW….md`) says what it means, why it happens and what to do. The pages are part of every binary
//! that links this crate, so `durawasm errors DW0001` works without a network.
//!
//! Nothing here decides when an error is raised; the scheduler, the host and the command line do.

mod code;
mod coded;
mod page;

pub use code::{Class, Code, UnknownCode};
pub use coded::{CodedError, Context};
pub use page::Page;
