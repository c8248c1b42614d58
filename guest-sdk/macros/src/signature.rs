//! Checks that a function can be an orchestrator or an activity, and says what is wrong in the user's words.

use syn::spanned::Spanned;
use syn::{Error, FnArg, GenericArgument, ItemFn, PathArguments, Result, ReturnType, Type};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Orchestrator,
    Activity,
}

/// The parts of a signature that the expansion needs.
pub(crate) struct Signature<'a> {
    /// Whether the context is the first parameter.
    pub(crate) takes_context: bool,
    pub(crate) input: Option<&'a Type>,
    pub(crate) output: &'a Type,
}

pub(crate) fn check(role: Role, function: &ItemFn) -> Result<Signature<'_>> {
    let signature = &function.sig;
    let name = &signature.ident;
    match role {
        Role::Orchestrator if signature.asyncness.is_none() => {
            return Err(Error::new(
                signature.fn_token.span(),
                format!("an orchestrator is async: write `async fn {name}`"),
            ));
        }
        Role::Activity if signature.asyncness.is_some() => {
            return Err(Error::new(
                signature.asyncness.span(),
                format!(
                    "an activity is not async, it may simply block: write `fn {name}`. To wait for several activities at once, \
                     call them from an orchestrator"
                ),
            ));
        }
        _ => {}
    }
    let what = match role {
        Role::Orchestrator => "an orchestrator",
        Role::Activity => "an activity",
    };
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let message = format!("{what} cannot be generic: it is called by its name, from outside");
        return Err(Error::new(signature.generics.span(), message));
    }
    if let Some(qualifier) = signature.constness.map(|token| token.span).or(signature.abi.as_ref().map(Spanned::span)) {
        return Err(Error::new(qualifier, format!("{what} is a plain function")));
    }
    let mut parameters = Vec::new();
    for parameter in &signature.inputs {
        match parameter {
            FnArg::Receiver(receiver) => {
                let message = format!("{what} is a free function, it has no `self`");
                return Err(Error::new(receiver.span(), message));
            }
            FnArg::Typed(parameter) => parameters.push(&*parameter.ty),
        }
    }
    let takes_context = match role {
        Role::Orchestrator => match parameters.first() {
            Some(first) if is_named(first, "Context") => true,
            first => {
                let span = first.map_or_else(|| signature.paren_token.span.join(), |first| first.span());
                let message = format!(
                    "the first parameter of an orchestrator is its `Context`: write `async fn {name}(ctx: Context, …)`"
                );
                return Err(Error::new(span, message));
            }
        },
        Role::Activity => parameters.first().is_some_and(|first| is_named(first, "ActivityContext")),
    };
    let mut inputs = parameters.into_iter().skip(usize::from(takes_context));
    let input = inputs.next();
    if let Some(input) = input.filter(|input| role == Role::Activity && is_named(input, "Context")) {
        let message = "an activity has no `Context`: its first parameter may be an `ActivityContext`";
        return Err(Error::new(input.span(), message));
    }
    if let Some(excess) = inputs.next() {
        let message = format!("{what} takes one input; for several values use a struct or a tuple");
        return Err(Error::new(excess.span(), message));
    }
    if let Some(input) = input {
        check_is_owned(input)?;
    }
    let ReturnType::Type(_, output) = &signature.output else {
        let message = format!("{what} returns a `Result`: write `-> Result<()>` if there is nothing to return");
        return Err(Error::new(signature.paren_token.span.close(), message));
    };
    Ok(Signature { takes_context, input, output })
}

/// Whether a type is the path to something of this name.
pub(crate) fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == name))
}

/// The input is read from JSON that nobody keeps, so nothing in it can be borrowed.
pub(crate) fn check_is_owned(ty: &Type) -> Result<()> {
    match ty {
        Type::Reference(reference) => {
            let message = match &*reference.elem {
                elem if is_named(elem, "str") => "the input is handed over, not lent: write `String`",
                Type::Slice(_) => "the input is handed over, not lent: write a `Vec`",
                _ => "the input is handed over, not lent: write the type without `&`",
            };
            Err(Error::new(ty.span(), message))
        }
        Type::ImplTrait(_) => Err(Error::new(ty.span(), "the input must be one type, not any that implements a trait")),
        Type::Tuple(tuple) => tuple.elems.iter().try_for_each(check_is_owned),
        Type::Path(path) => path.path.segments.iter().try_for_each(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().try_for_each(|argument| match argument {
                GenericArgument::Type(ty) => check_is_owned(ty),
                GenericArgument::Lifetime(lifetime) if lifetime.ident != "static" => {
                    Err(Error::new(lifetime.span(), "the input is handed over, not lent: it cannot have a lifetime"))
                }
                _ => Ok(()),
            }),
            _ => Ok(()),
        }),
        _ => Ok(()),
    }
}
