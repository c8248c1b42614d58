//! The attributes `#[orchestrator]` and `#[activity]` of the crate `durawasm-guest`. They turn a function into a type of
//! the same name that implements the trait `Orchestrator` or `Activity`, and a function that stands for it where it is called:
//! `ctx.call(say_hello, "Tokyo")`.

mod expansion;
mod options;
mod signature;

use proc_macro::TokenStream;
use syn::{ItemFn, parse_macro_input};

use crate::options::Options;
use crate::signature::Role;

/// Makes an orchestrator of an `async fn` that takes a `Context` and at most one input, and returns a `Result`.
///
/// `#[orchestrator(name = "HelloCities")]` gives it another name than the function's.
#[proc_macro_attribute]
pub fn orchestrator(options: TokenStream, function: TokenStream) -> TokenStream {
    expand(Role::Orchestrator, options, function)
}

/// Makes an activity of a function that takes at most one input, an `ActivityContext` before it if it likes, and
/// returns a `Result`.
///
/// `#[activity(name = "SayHello")]` gives it another name than the function's.
#[proc_macro_attribute]
pub fn activity(options: TokenStream, function: TokenStream) -> TokenStream {
    expand(Role::Activity, options, function)
}

fn expand(role: Role, options: TokenStream, function: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as Options);
    let function = parse_macro_input!(function as ItemFn);
    signature::check(role, &function)
        .map(|signature| expansion::expand(role, &options, &function, &signature))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
