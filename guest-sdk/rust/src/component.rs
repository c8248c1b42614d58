//! What a component offers: the traits that the attributes implement, and the exports that `component!` writes.

use std::cell::RefCell;
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::activity::ActivityContext;
use crate::bindings::durawasm::workflow::types::{EntityId, Failures};
use crate::bindings::exports::durawasm::workflow::{activity, component, entity, orchestrator, queries};
use crate::entity::Entity;
use crate::orchestration::{Context, Execution, unknown_query};
use crate::schema::{Described, OperationSchemas};
use crate::{Error, Result, logging, panics, payload};

/// An orchestrator. Implemented by the attribute `#[orchestrator]`, on a type with the function's name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an orchestrator",
    label = "not an orchestrator",
    note = "an orchestrator is an `async fn` with the attribute `#[orchestrator]`"
)]
pub trait Orchestrator: Sized + 'static {
    /// The name that callers use.
    const NAME: &'static str;
    /// False: whatever input comes is not looked at.
    const TAKES_INPUT: bool;
    /// What it is started with; `()` if nothing.
    type Input: Serialize + DeserializeOwned + Described + 'static;
    /// What it returns.
    type Output: Serialize + DeserializeOwned + Described + 'static;
    /// Runs it.
    fn run(ctx: Context, input: Self::Input) -> impl Future<Output = Result<Self::Output>> + 'static;
}

/// An activity. Implemented by the attribute `#[activity]`, on a type with the function's name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an activity",
    label = "not an activity",
    note = "an activity is a function with the attribute `#[activity]`"
)]
pub trait Activity: Sized + 'static {
    /// The name that callers use.
    const NAME: &'static str;
    /// False: whatever input comes is not looked at.
    const TAKES_INPUT: bool;
    /// What it is called with; `()` if nothing.
    type Input: Serialize + DeserializeOwned + Described + 'static;
    /// What it returns.
    type Output: Serialize + DeserializeOwned + Described + 'static;
    /// Runs it.
    ///
    /// # Errors
    /// If the activity fails.
    fn run(ctx: ActivityContext, input: Self::Input) -> Result<Self::Output>;
}

/// Values that a call of `F` takes as its input: the function's own input type, a reference to it, `&str` for a `String`
/// and a slice for a `Vec`.
#[diagnostic::on_unimplemented(
    message = "`{F}` does not take `{Self}` as its input",
    label = "not an input of `{F}`",
    note = "pass a value of the type that the function takes, or a reference to one"
)]
pub trait InputFor<F>: Serialize {}

/// What orchestrators and activities may return: a `Result` whose error is an [`Error`] or can become one.
#[diagnostic::on_unimplemented(
    message = "orchestrators and activities return a `Result`, not `{Self}`",
    label = "not a `Result`",
    note = "return `durawasm_guest::Result<T>`"
)]
pub trait Returned {
    /// The value in the success case.
    type Value;
    /// With the error as an [`Error`].
    ///
    /// # Errors
    /// If it is one.
    fn into_result(self) -> Result<Self::Value>;
}

impl<T, E: Into<Error>> Returned for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T> {
        self.map_err(Into::into)
    }
}

/// One entry of a component's list.
#[doc(hidden)]
pub struct Offer {
    name: &'static str,
    description: Option<&'static str>,
    input_schema: fn() -> Option<String>,
    output_schema: fn() -> Option<String>,
    kind: Kind,
}

enum Kind {
    Orchestrator(fn(orchestrator::Context) -> (Execution, Vec<orchestrator::Command>)),
    Activity(fn(activity::Context, Option<String>) -> Result<String>),
    Entity { run: RunEntity, migrate: MigrateEntity },
}

type RunEntity = fn(EntityId, Option<String>, entity::Operation) -> entity::OperationResult;
type MigrateEntity = fn(EntityId, &str) -> Result<Option<String>, Failures>;

/// What the attributes implement besides, for `component!`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an orchestrator nor an activity nor an entity",
    label = "a component offers functions with `#[orchestrator]` or `#[activity]`, and what has `#[entity]`"
)]
pub trait Offered {
    const OFFER: Offer;
}

impl Offer {
    #[doc(hidden)]
    pub const fn orchestrator<O: Orchestrator>(description: Option<&'static str>) -> Self {
        Self {
            name: O::NAME,
            description,
            input_schema: crate::schema::of::<O::Input>,
            output_schema: crate::schema::of::<O::Output>,
            kind: Kind::Orchestrator(start::<O>),
        }
    }

    #[doc(hidden)]
    pub const fn activity<A: Activity>(description: Option<&'static str>) -> Self {
        Self {
            name: A::NAME,
            description,
            input_schema: crate::schema::of::<A::Input>,
            output_schema: crate::schema::of::<A::Output>,
            kind: Kind::Activity(run::<A>),
        }
    }

    #[doc(hidden)]
    pub const fn entity<E: Entity>(description: Option<&'static str>) -> Self {
        Self {
            name: E::NAME,
            description,
            input_schema: || OperationSchemas::inputs(&E::schemas()),
            output_schema: || OperationSchemas::outputs(&E::schemas()),
            kind: Kind::Entity { run: crate::entity::run::<E>, migrate: crate::entity::migrate::<E> },
        }
    }

    fn definition(&self) -> component::Definition {
        component::Definition {
            name: self.name.to_owned(),
            input_schema: (self.input_schema)(),
            output_schema: (self.output_schema)(),
            description: self.description.map(str::to_owned),
        }
    }
}

/// Whether no two orchestrators, no two activities and no two entities have the same name, asked while the component is compiled.
#[doc(hidden)]
pub const fn names_are_unique(offers: &[Offer]) -> bool {
    let mut one = 0;
    while one < offers.len() {
        let mut other = one + 1;
        while other < offers.len() {
            let same_kind = matches!(
                (&offers[one].kind, &offers[other].kind),
                (Kind::Orchestrator(_), Kind::Orchestrator(_))
                    | (Kind::Activity(_), Kind::Activity(_))
                    | (Kind::Entity { .. }, Kind::Entity { .. })
            );
            if same_kind && same_text(offers[one].name.as_bytes(), offers[other].name.as_bytes()) {
                return false;
            }
            other += 1;
        }
        one += 1;
    }
    true
}

const fn same_text(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// The export `component.describe`.
#[doc(hidden)]
pub fn describe(name: &str, version: &str, offers: &[Offer]) -> component::Info {
    let of_kind = |wanted: fn(&Kind) -> bool| {
        offers.iter().filter(|offer| wanted(&offer.kind)).map(Offer::definition).collect::<Vec<_>>()
    };
    component::Info {
        name: name.to_owned(),
        version: version.to_owned(),
        orchestrators: of_kind(|kind| matches!(kind, Kind::Orchestrator(_))),
        activities: of_kind(|kind| matches!(kind, Kind::Activity(_))),
        entities: of_kind(|kind| matches!(kind, Kind::Entity { .. })),
    }
}

thread_local! {
    /// A component instance runs one orchestration in its life.
    static EXECUTION: RefCell<Option<Execution>> = const { RefCell::new(None) };
}

/// The export `orchestrator.start`.
#[doc(hidden)]
pub fn start_orchestrator(offers: &[Offer], context: orchestrator::Context) -> Vec<orchestrator::Command> {
    install();
    let found = offers.iter().find_map(|offer| match offer.kind {
        Kind::Orchestrator(start) if offer.name == context.name => Some(start),
        _ => None,
    });
    let Some(start) = found else {
        let failures = unknown("orchestrator", &context.name).into_failures();
        return vec![orchestrator::Command::Complete(Err(failures))];
    };
    let (execution, commands) = start(context);
    EXECUTION.set(Some(execution));
    commands
}

/// The export `orchestrator.resume`.
#[doc(hidden)]
pub fn resume_orchestrator(resolutions: Vec<orchestrator::Resolution>) -> Vec<orchestrator::Command> {
    // None: not started, or ended at once with an error. Either way there is nothing to resume.
    EXECUTION.with_borrow_mut(|execution| execution.as_mut().map_or_else(Vec::new, |it| it.resume(resolutions)))
}

/// The export `queries.names`.
#[doc(hidden)]
pub fn query_names() -> Vec<String> {
    EXECUTION.with_borrow(|execution| execution.as_ref().map_or_else(Vec::new, Execution::query_names))
}

/// The export `queries.answer`.
#[doc(hidden)]
pub fn answer_query(name: &str, input: Option<String>) -> queries::Outcome {
    let answer = EXECUTION.with_borrow(|execution| match execution {
        Some(execution) => execution.answer(name, input),
        None => Err(unknown_query(name, &[])),
    });
    answer.map(Some).map_err(Error::into_failures)
}

/// The export `activity.run`.
#[doc(hidden)]
pub fn run_activity(offers: &[Offer], context: activity::Context, input: Option<String>) -> activity::Outcome {
    install();
    let found = offers.iter().find_map(|offer| match offer.kind {
        Kind::Activity(run) if offer.name == context.name => Some(run),
        _ => None,
    });
    let result = match found {
        Some(run) => run(context, input),
        None => Err(unknown("activity", &context.name)),
    };
    result.map(Some).map_err(Error::into_failures)
}

/// The export `entity.run`.
#[doc(hidden)]
pub fn run_entity(
    offers: &[Offer],
    id: EntityId,
    state: Option<String>,
    operation: entity::Operation,
) -> entity::OperationResult {
    install();
    match find_entity(offers, &id) {
        Some((run, _)) => run(id, state, operation),
        None => crate::entity::unknown(unknown("entity", &id.name)),
    }
}

/// The export `migration.migrate`.
#[doc(hidden)]
pub fn migrate_state(offers: &[Offer], id: EntityId, state: &str) -> Result<Option<String>, Failures> {
    install();
    find_entity(offers, &id).map_or(Ok(None), |(_, migrate)| migrate(id, state))
}

fn find_entity(offers: &[Offer], id: &EntityId) -> Option<(RunEntity, MigrateEntity)> {
    offers.iter().find_map(|offer| match offer.kind {
        Kind::Entity { run, migrate } if offer.name.eq_ignore_ascii_case(&id.name) => Some((run, migrate)),
        _ => None,
    })
}

fn unknown(kind: &str, name: &str) -> Error {
    Error::new("NotFound", format!("this component has no {kind} `{name}`")).not_retriable()
}

/// Sends logs and panics to the host.
fn install() {
    panics::install();
    logging::install();
    #[cfg(feature = "tracing")]
    crate::tracing::install();
}

pub(crate) fn start<O: Orchestrator>(context: orchestrator::Context) -> (Execution, Vec<orchestrator::Command>) {
    Execution::start(context, |context, input| {
        Box::pin(async move {
            let input = decode_input("orchestrator", O::NAME, O::TAKES_INPUT, input)?;
            let output = O::run(context, input).await?;
            payload::encode(&output, || format!("the output of the orchestrator `{}`", O::NAME)).map(Some)
        })
    })
}

fn run<A: Activity>(context: activity::Context, input: Option<String>) -> Result<String> {
    let input = decode_input("activity", A::NAME, A::TAKES_INPUT, input)?;
    let output = A::run(ActivityContext::new(context), input)?;
    payload::encode(&output, || format!("the output of the activity `{}`", A::NAME))
}

fn decode_input<T: DeserializeOwned>(kind: &str, name: &str, taken: bool, input: Option<String>) -> Result<T> {
    // A function without an input has the input type `()`, which reads from an absent payload.
    let input = input.filter(|_| taken);
    payload::decode(input.as_deref(), || format!("the input of the {kind} `{name}`"))
}

/// Makes a component of orchestrators, activities and entities: `durawasm_guest::component!(hello_cities, say_hello);`, once in the
/// crate. The component has the name and version of the crate's package.
#[macro_export]
macro_rules! component {
    ($($offered:path),+ $(,)?) => {
        const _: () = {
            use $crate::__private::{Offer, Offered};
            use $crate::__private::bindings::exports::durawasm::workflow as exports;

            static OFFERS: &[Offer] = &[$(<$offered as Offered>::OFFER),+];

            const _: () = assert!(
                $crate::__private::names_are_unique(&[$(<$offered as Offered>::OFFER),+]),
                "two orchestrators, two activities, or two entities, of this component have the same name"
            );

            struct Component;

            impl exports::component::Guest for Component {
                fn describe() -> exports::component::Info {
                    $crate::__private::describe(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), OFFERS)
                }
            }

            impl exports::orchestrator::Guest for Component {
                fn start(context: exports::orchestrator::Context) -> Vec<exports::orchestrator::Command> {
                    $crate::__private::start_orchestrator(OFFERS, context)
                }

                fn resume(resolutions: Vec<exports::orchestrator::Resolution>) -> Vec<exports::orchestrator::Command> {
                    $crate::__private::resume_orchestrator(resolutions)
                }
            }

            impl exports::queries::Guest for Component {
                fn names() -> Vec<String> {
                    $crate::__private::query_names()
                }

                fn answer(name: String, input: Option<String>) -> exports::queries::Outcome {
                    $crate::__private::answer_query(&name, input)
                }
            }

            impl exports::activity::Guest for Component {
                fn run(
                    context: exports::activity::Context,
                    input: Option<String>,
                ) -> exports::activity::Outcome {
                    $crate::__private::run_activity(OFFERS, context, input)
                }
            }

            impl exports::entity::Guest for Component {
                fn run(
                    entity: exports::entity::EntityId,
                    state: Option<String>,
                    operation: exports::entity::Operation,
                ) -> exports::entity::OperationResult {
                    $crate::__private::run_entity(OFFERS, entity, state, operation)
                }
            }

            impl exports::migration::Guest for Component {
                fn migrate(
                    entity: exports::migration::EntityId,
                    state: String,
                ) -> ::core::result::Result<Option<String>, exports::migration::Failures> {
                    $crate::__private::migrate_state(OFFERS, entity, &state)
                }
            }

            // Elsewhere the crate is compiled for its tests, where nobody calls the exports.
            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code, reason = "names of exports are unsafe attributes")]
            const _: () = {
                $crate::__private::bindings::export!(Component with_types_in $crate::__private::bindings);
            };
        };
    };
}
