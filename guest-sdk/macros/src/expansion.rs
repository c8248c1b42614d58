//! Writes what stands in the function's place: a type of its name that implements the trait, and a function of its name
//! that returns the type, so that `ctx.call(say_hello, …)` names it.
//!
//! Why not one unit struct: `let say_hello = ctx.call(say_hello, …)` would then be a pattern that matches the struct, and not
//! a new variable.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, GenericArgument, ItemFn, Lit, Meta, PathArguments, Type, Visibility, parse_quote};

use crate::options::Options;
use crate::signature::{Role, Signature};

pub(crate) fn expand(role: Role, options: &Options, function: &ItemFn, signature: &Signature<'_>) -> TokenStream {
    let ident = &function.sig.ident;
    let visibility = &function.vis;
    let (docs, attributes): (Vec<_>, Vec<_>) =
        function.attrs.iter().partition(|attribute| attribute.path().is_ident("doc"));
    let description = match description(&docs) {
        Some(line) => quote!(::core::option::Option::Some(#line)),
        None => quote!(::core::option::Option::None),
    };
    let name = match &options.name {
        Some(name) => quote!(#name),
        None => {
            let name = plain_name(ident);
            quote!(#name)
        }
    };
    let unit: Type = parse_quote!(());
    let input = signature.input.unwrap_or(&unit);
    let takes_input = signature.input.is_some();
    let output = signature.output;
    // Spanned at the return type, so that a wrong one is marked where it stands.
    let value = quote_spanned!(output.span()=> <#output as ::durawasm_guest::Returned>::Value);

    // The function goes into the method, under another name: in its own body its name means what it means to everybody else.
    let mut body = function.clone();
    body.attrs = attributes.into_iter().cloned().collect();
    body.vis = Visibility::Inherited;
    let body_ident = format_ident!("__{}", ident, span = ident.span());
    body.sig.ident = body_ident.clone();
    let context = signature.takes_context.then(|| quote!(ctx,));
    let argument = takes_input.then(|| quote!(input));
    let call = quote!(#body_ident(#context #argument));

    let (implementation, constructor) = match role {
        Role::Orchestrator => (
            quote! {
                impl ::durawasm_guest::Orchestrator for #ident {
                    const NAME: &'static str = #name;
                    const TAKES_INPUT: bool = #takes_input;
                    type Input = #input;
                    type Output = #value;

                    async fn run(
                        ctx: ::durawasm_guest::Context,
                        input: Self::Input,
                    ) -> ::durawasm_guest::Result<Self::Output> {
                        #body
                        let _ = &input;
                        ::durawasm_guest::Returned::into_result(#call.await)
                    }
                }
            },
            quote!(orchestrator),
        ),
        Role::Activity => (
            quote! {
                impl ::durawasm_guest::Activity for #ident {
                    const NAME: &'static str = #name;
                    const TAKES_INPUT: bool = #takes_input;
                    type Input = #input;
                    type Output = #value;

                    fn run(
                        ctx: ::durawasm_guest::ActivityContext,
                        input: Self::Input,
                    ) -> ::durawasm_guest::Result<Self::Output> {
                        #body
                        let _ = (&ctx, &input);
                        ::durawasm_guest::Returned::into_result(#call)
                    }
                }
            },
            quote!(activity),
        ),
    };
    let inputs = inputs(input)
        .into_iter()
        .map(|accepted| quote_spanned!(input.span()=> impl ::durawasm_guest::InputFor<#ident> for #accepted {}));

    quote! {
        #(#docs)*
        #[allow(non_camel_case_types, reason = "named like the function, by which callers know it")]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #ident {}

        #(#docs)*
        #[allow(dead_code, reason = "only those use it who call it from an orchestrator")]
        #visibility fn #ident() -> #ident {
            #ident {}
        }

        const _: () = {
            #implementation
            #(#inputs)*

            impl ::durawasm_guest::__private::Offered for #ident {
                const OFFER: ::durawasm_guest::__private::Offer =
                    ::durawasm_guest::__private::Offer::#constructor::<#ident>(#description);
            }
        };
    }
}

/// The types that a call takes for an input type. Kept few: with one candidate that fits, the compiler infers the type of a
/// literal, as in `ctx.call(double, 21)`.
fn inputs(input: &Type) -> Vec<Type> {
    let mut accepted = vec![input.clone(), parse_quote!(&#input)];
    let Type::Path(path) = input else { return accepted };
    let Some(last) = path.path.segments.last() else { return accepted };
    match &last.arguments {
        PathArguments::None if last.ident == "String" => accepted.push(parse_quote!(&str)),
        PathArguments::AngleBracketed(arguments) if last.ident == "Vec" => {
            if let Some(GenericArgument::Type(element)) = arguments.args.first() {
                accepted.push(parse_quote!(&[#element]));
            }
        }
        _ => {}
    }
    accepted
}

/// An identifier as people read it.
pub(crate) fn plain_name(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

/// The first line of the documentation.
pub(crate) fn description(docs: &[&Attribute]) -> Option<String> {
    let first = docs.first()?;
    let Meta::NameValue(meta) = &first.meta else { return None };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &meta.value else { return None };
    let line = text.value().trim().to_owned();
    (!line.is_empty()).then_some(line)
}
