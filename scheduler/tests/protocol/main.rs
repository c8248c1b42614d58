//! Every rule of the Durable Task protocol that a server must keep, one test a rule.
//!
//! The scheduler runs as it does in production, in this process; clients and workers are written out by hand, message by message.
//! Rules that speak of hours are tested on the core with a clock of their own (`virtual_clock`). `docs/conformance.md` lists the
//! rules and their tests; the module `conformance` compares the list with what is here.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod stand;

mod actions;
mod bad_input;
mod children;
mod conformance;
mod continue_as_new;
mod deployments;
mod entities;
mod entity_batches;
mod entity_calls;
mod entity_locks;
mod entity_mistakes;
mod episodes;
mod filters;
mod forgeries;
mod invariants;
mod large_payloads;
mod listings;
mod lost_payloads;
mod migrations;
mod payloads;
mod purges;
mod rewinds;
mod signals;
mod starts;
mod status_codes;
mod streams;
mod timers;
mod transport;
mod versions;
mod virtual_clock;
mod waits;
