//! The attributes `#[orchestrator]`, `#[activity]` and `#[entity]` of the crate `durawasm-guest`. The first two turn a function into a type of
//! the same name that implements the trait `Orchestrator` or `Activity`, and a function that stands for it where it is called:
//! `ctx.call(say_hello, "Tokyo")`.

mod entity;
mod expansion;
mod options;
mod signature;

use proc_macro::TokenStream;
use syn::{Item, ItemFn, parse_macro_input};

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

/// Makes an entity: a piece of state with a name and a key, whose operations run one at a time.
///
/// On a struct (or an enum) it gives the name, on its `impl` block it makes an operation of each method that takes `&self` or `&mut self`.
/// An operation may take a `&EntityContext` and one input, and returns a `Result`; if it fails, the state is as it was. The
/// state is `Serialize`, `Deserialize` and `Default`: with the default an entity begins. `delete` deletes it, unless there is an operation of
/// that name. Names of operations are compared without regard to case.
///
/// ```ignore
/// #[entity]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Counter {
///     value: i64,
/// }
///
/// #[entity]
/// impl Counter {
///     fn add(&mut self, amount: i64) -> Result<i64> {
///         self.value += amount;
///         Ok(self.value)
///     }
/// }
/// ```
///
/// A function `fn migrate(old: serde_json::Value) -> Result<Self>` in the block makes a state of what an older version left.
///
/// On a function `fn name(ctx: &EntityContext, state: &mut State) -> Result<Output>` it makes an entity whose operations the function tells apart
/// by `ctx.operation()`.
///
/// `#[entity(name = "…")]` gives it another name than that of the struct or function. Names are compared in lower case.
#[proc_macro_attribute]
pub fn entity(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as Options);
    let item = parse_macro_input!(item as Item);
    entity::expand(&options, item).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn expand(role: Role, options: TokenStream, function: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as Options);
    let function = parse_macro_input!(function as ItemFn);
    signature::check(role, &function)
        .map(|signature| expansion::expand(role, &options, &function, &signature))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
