//! The attribute `#[entity]`: on a struct it gives the name, on its `impl` block it makes operations of the methods, and on a function it makes
//! an entity of the function.
//!
//! For those who call, it writes one type with a method per operation that can be awaited, and one with a method per operation that
//! cannot. Both are nameless to users, who get them from `ctx.entity(…)` and `ctx.signal(…)`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Error, FnArg, Generics, ImplItem, Item, ItemFn, ItemImpl, ReceiverKind, Result, ReturnType, Type,
    Visibility,
};

use crate::expansion::{description, plain_name};
use crate::options::Options;
use crate::signature::{check_is_owned, is_named};

pub(crate) fn expand(options: &Options, item: Item) -> Result<TokenStream> {
    match item {
        Item::Struct(data) => state(options, &data.ident, &data.generics, &data.vis, &data.attrs, &data),
        Item::Enum(data) => state(options, &data.ident, &data.generics, &data.vis, &data.attrs, &data),
        Item::Impl(block) => operations(options, &block),
        Item::Fn(function) => single(options, &function),
        other => Err(Error::new(
            other.span(),
            "`#[entity]` stands on the struct that is the state, on its `impl` block, or on a function",
        )),
    }
}

/// On the state: its name, and a way to name entities.
fn state(
    options: &Options,
    ident: &Ident,
    generics: &Generics,
    visibility: &Visibility,
    attributes: &[Attribute],
    item: &impl quote::ToTokens,
) -> Result<TokenStream> {
    if !generics.params.is_empty() {
        return Err(Error::new(generics.span(), "an entity cannot be generic: it is called by its name, from outside"));
    }
    let named = named(options, ident, attributes);
    let id = id(visibility);
    Ok(quote! {
        #item

        impl #ident {
            #id
        }

        #named
    })
}

fn id(visibility: &Visibility) -> TokenStream {
    quote! {
        /// Names the entity with this key.
        #[allow(dead_code, reason = "only those use it who call the entity")]
        #visibility fn id(key: impl ::core::convert::Into<::std::string::String>) -> ::durawasm_guest::EntityRef<Self> {
            ::durawasm_guest::EntityRef::new(key)
        }
    }
}

fn named(options: &Options, ident: &Ident, attributes: &[Attribute]) -> TokenStream {
    let name = options.name.as_ref().map_or_else(|| plain_name(ident), syn::LitStr::value).to_lowercase();
    let docs: Vec<_> = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).collect();
    let description = match description(&docs) {
        Some(line) => quote!(::core::option::Option::Some(#line)),
        None => quote!(::core::option::Option::None),
    };
    quote! {
        impl ::durawasm_guest::__private::Named for #ident {
            const NAME: &'static str = #name;
            const DESCRIPTION: ::core::option::Option<&'static str> = #description;
        }
    }
}

/// One operation of an `impl` block.
struct Operation {
    ident: Ident,
    name: String,
    docs: Vec<Attribute>,
    writes: bool,
    /// By reference or by value, if it takes the context.
    context: Option<TokenStream>,
    input: Option<Type>,
    output: Type,
}

/// On an `impl` block: each method is an operation.
fn operations(options: &Options, block: &ItemImpl) -> Result<TokenStream> {
    if let Some(name) = &options.name {
        return Err(Error::new(name.span(), "the name belongs to the `#[entity]` of the struct"));
    }
    if let Some((path, _)) = &block.trait_ {
        return Err(Error::new(path.span(), "operations are methods of the entity's own `impl` block, not of a trait"));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new(
            block.generics.span(),
            "an entity cannot be generic: it is called by its name, from outside",
        ));
    }
    let mut operations = Vec::<Operation>::new();
    let mut migrates = false;
    for item in &block.items {
        let ImplItem::Fn(method) = item else { continue };
        if method.sig.receiver().is_none() {
            migrates |= method.sig.ident == "migrate";
            continue;
        }
        let operation = operation(method)?;
        if let Some(other) = operations.iter().find(|other| other.name.eq_ignore_ascii_case(&operation.name)) {
            let message =
                format!("`{}` and `{}` are one operation to callers, who may write either", other.name, operation.name);
            return Err(Error::new(operation.ident.span(), message));
        }
        operations.push(operation);
    }
    if operations.is_empty() {
        return Err(Error::new(
            block.self_ty.span(),
            "an entity needs at least one operation: a method that takes `&self` or `&mut self`",
        ));
    }
    Ok(expand_operations(block, &operations, migrates))
}

fn operation(method: &syn::ImplItemFn) -> Result<Operation> {
    let signature = &method.sig;
    let ident = &signature.ident;
    if let Some(token) = signature.asyncness {
        let message = format!(
            "an operation is not async: write `fn {ident}`. What takes long belongs into an orchestration, which the operation can start"
        );
        return Err(Error::new(token.span, message));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            "an operation cannot be generic: it is called by its name, from outside",
        ));
    }
    let mut parameters = Vec::new();
    let mut writes = false;
    for parameter in &signature.inputs {
        match parameter {
            FnArg::Receiver(receiver) => match &receiver.kind {
                ReceiverKind::Reference(_, _, mutability) => writes = mutability.is_some(),
                _ => {
                    let message = "an operation borrows the state: write `&self` if it only looks, else `&mut self`";
                    return Err(Error::new(receiver.span(), message));
                }
            },
            FnArg::Typed(parameter) => parameters.push(&*parameter.ty),
        }
    }
    let context = parameters.first().and_then(|first| context(first));
    let mut inputs = parameters.into_iter().skip(usize::from(context.is_some()));
    let input = inputs.next();
    if let Some(input) = input {
        if is_named(input, "Context") || is_named(input, "ActivityContext") {
            let message = "an operation has an `EntityContext`: write `ctx: &EntityContext`";
            return Err(Error::new(input.span(), message));
        }
        check_is_owned(input)?;
    }
    if let Some(excess) = inputs.next() {
        let message = "an operation takes one input; for several values use a struct or a tuple";
        return Err(Error::new(excess.span(), message));
    }
    let ReturnType::Type(_, output) = &signature.output else {
        let message = "an operation returns a `Result`: write `-> Result<()>` if there is nothing to return";
        return Err(Error::new(signature.paren_token.span.close(), message));
    };
    Ok(Operation {
        ident: ident.clone(),
        name: plain_name(ident),
        docs: method.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned().collect(),
        writes,
        context,
        input: input.cloned(),
        output: (**output).clone(),
    })
}

/// How to hand over the context, if this parameter asks for it.
fn context(ty: &Type) -> Option<TokenStream> {
    match ty {
        Type::Reference(reference) if is_named(&reference.elem, "EntityContext") => Some(quote!(ctx,)),
        ty if is_named(ty, "EntityContext") => Some(quote!(::core::clone::Clone::clone(ctx),)),
        _ => None,
    }
}

fn expand_operations(block: &ItemImpl, operations: &[Operation], migrates: bool) -> TokenStream {
    let entity = &block.self_ty;
    let mut names: Vec<&str> = operations.iter().map(|operation| operation.name.as_str()).collect();
    let deletes = names.iter().any(|name| name.eq_ignore_ascii_case("delete"));
    if !deletes {
        names.push("delete");
    }
    let arms = operations.iter().map(|operation| {
        let Operation { ident, name, writes, context, input, output, .. } = operation;
        let state = if *writes { quote!(state.write()?) } else { quote!(state.read()?) };
        let argument = input.as_ref().map(|input| {
            let input = without_self(input, entity);
            quote_spanned!(input.span()=> ctx.input::<#input>()?)
        });
        let value = quote_spanned! {output.span()=>
            ::durawasm_guest::Returned::into_result(<#entity>::#ident(state, #context #argument))?
        };
        quote! {
            if ::durawasm_guest::__private::Operation::is(ctx, #name) {
                let state = #state;
                let value = #value;
                return ::durawasm_guest::__private::Operation::encode(ctx, &value);
            }
        }
    });
    let schemas = operations.iter().map(|operation| {
        let Operation { name, input, output, .. } = operation;
        let input = input.as_ref().map_or_else(|| quote!(()), |input| without_self(input, entity));
        let output = without_self(output, entity);
        let output = quote_spanned!(output.span()=> <#output as ::durawasm_guest::Returned>::Value);
        quote!(::durawasm_guest::__private::OperationSchemas::of::<#input, #output>(#name))
    });
    let delete = (!deletes).then(|| quote!(::durawasm_guest::__private::OperationSchemas::of::<(), ()>("delete")));
    let schemas = schemas.chain(delete);
    let calls = operations.iter().map(|operation| call(operation, entity));
    let signals = operations.iter().map(|operation| signal(operation, entity));
    let (delete_call, delete_signal) = if deletes {
        (None, None)
    } else {
        (
            Some(quote! {
                /// Deletes the entity.
                pub fn delete(&self) -> ::durawasm_guest::EntityCall<()> {
                    self.0.call_plain("delete")
                }
            }),
            Some(quote! {
                /// Deletes the entity.
                pub fn delete(&self) -> ::durawasm_guest::Result<()> {
                    self.0.send_plain("delete")
                }
            }),
        )
    };
    let migrate = migrates.then(|| {
        quote! {
            const MIGRATES: bool = true;

            fn migrate(
                old: ::durawasm_guest::serde_json::Value,
            ) -> ::durawasm_guest::Result<Self::State> {
                ::durawasm_guest::Returned::into_result(<#entity>::migrate(old))
            }
        }
    });
    let allow = quote!(#[allow(
        dead_code,
        missing_docs,
        private_interfaces,
        unreachable_pub,
        reason = "only those use it who call the entity"
    )]);
    quote! {
        #block

        const _: () = {
            #allow
            pub struct __Calls(::durawasm_guest::__private::Caller);

            #allow
            impl __Calls {
                #(#calls)*
                #delete_call
            }

            #allow
            pub struct __Signals(::durawasm_guest::__private::Signaller);

            #allow
            impl __Signals {
                #(#signals)*
                #delete_signal
            }

            impl ::durawasm_guest::Entity for #entity {
                const NAME: &'static str = <#entity as ::durawasm_guest::__private::Named>::NAME;
                const OPERATIONS: &'static [&'static str] = &[#(#names),*];
                type State = #entity;
                type Calls = __Calls;
                type Signals = __Signals;

                fn schemas() -> ::std::vec::Vec<::durawasm_guest::__private::OperationSchemas> {
                    ::std::vec![#(#schemas),*]
                }

                fn calls(caller: ::durawasm_guest::__private::Caller) -> __Calls {
                    __Calls(caller)
                }

                fn signals(signaller: ::durawasm_guest::__private::Signaller) -> __Signals {
                    __Signals(signaller)
                }

                fn operate(
                    ctx: &::durawasm_guest::EntityContext,
                    state: &mut ::durawasm_guest::__private::State<Self::State>,
                ) -> ::durawasm_guest::Result<::std::string::String> {
                    #(#arms)*
                    ::durawasm_guest::__private::Operation::other(ctx, Self::OPERATIONS)
                }

                #migrate
            }

            impl ::durawasm_guest::__private::Offered for #entity {
                const OFFER: ::durawasm_guest::__private::Offer = ::durawasm_guest::__private::Offer::entity::<#entity>(
                    <#entity as ::durawasm_guest::__private::Named>::DESCRIPTION,
                );
            }
        };
    }
}

/// The parameter of a proxy's method, and what it hands on.
fn parameter(input: &Type, entity: &Type) -> (TokenStream, TokenStream) {
    if matches!(input, Type::Path(path) if path.path.is_ident("String")) {
        let string = quote!(::std::string::String);
        return (
            quote!(input: impl ::core::convert::Into<#string>),
            quote!(&::core::convert::Into::<#string>::into(input)),
        );
    }
    let input = without_self(input, entity);
    (quote!(input: #input), quote!(&input))
}

fn call(operation: &Operation, entity: &Type) -> TokenStream {
    let Operation { ident, name, docs, input, output, .. } = operation;
    let output = without_self(output, entity);
    let value = quote_spanned!(output.span()=> <#output as ::durawasm_guest::Returned>::Value);
    let returned = quote!(::durawasm_guest::EntityCall<#value>);
    match input.as_ref().map(|input| parameter(input, entity)) {
        Some((parameter, input)) => quote! {
            #(#docs)*
            pub fn #ident(&self, #parameter) -> #returned {
                self.0.call(#name, #input)
            }
        },
        None => quote! {
            #(#docs)*
            pub fn #ident(&self) -> #returned {
                self.0.call_plain(#name)
            }
        },
    }
}

fn signal(operation: &Operation, entity: &Type) -> TokenStream {
    let Operation { ident, name, docs, input, .. } = operation;
    match input.as_ref().map(|input| parameter(input, entity)) {
        Some((parameter, input)) => quote! {
            #(#docs)*
            pub fn #ident(&self, #parameter) -> ::durawasm_guest::Result<()> {
                self.0.send(#name, #input)
            }
        },
        None => quote! {
            #(#docs)*
            pub fn #ident(&self) -> ::durawasm_guest::Result<()> {
                self.0.send_plain(#name)
            }
        },
    }
}

/// A type in which `Self` is written out: it is used where `Self` is something else.
fn without_self(ty: &Type, entity: &Type) -> TokenStream {
    fn replace(tokens: TokenStream, entity: &TokenStream) -> TokenStream {
        let one = |tree: TokenTree| match tree {
            TokenTree::Ident(ident) if ident == "Self" => entity.clone(),
            TokenTree::Group(group) => {
                let mut replaced = proc_macro2::Group::new(group.delimiter(), replace(group.stream(), entity));
                replaced.set_span(group.span());
                TokenTree::Group(replaced).into()
            }
            other => other.into(),
        };
        tokens.into_iter().flat_map(one).collect()
    }
    replace(ty.to_token_stream(), &entity.to_token_stream())
}

/// On a function: it gets every operation.
fn single(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    let signature = &function.sig;
    let ident = &signature.ident;
    if let Some(token) = signature.asyncness {
        return Err(Error::new(token.span, format!("an entity is not async: write `fn {ident}`")));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            "an entity cannot be generic: it is called by its name, from outside",
        ));
    }
    let expected = || {
        let message = format!(
            "an entity that is a function looks like this: `fn {ident}(ctx: &EntityContext, state: &mut State) -> Result<Output>`"
        );
        Error::new(signature.paren_token.span.join(), message)
    };
    let mut parameters = signature.inputs.iter().map(|parameter| match parameter {
        FnArg::Typed(parameter) => Ok(&*parameter.ty),
        FnArg::Receiver(receiver) => Err(Error::new(receiver.span(), "an entity that is a function has no `self`")),
    });
    let context = parameters.next().transpose()?.and_then(context).ok_or_else(expected)?;
    let state = match parameters.next().transpose()? {
        Some(Type::Reference(reference)) if reference.mutability.is_some() => &*reference.elem,
        _ => return Err(expected()),
    };
    let (None, ReturnType::Type(_, output)) = (parameters.next(), &signature.output) else { return Err(expected()) };

    let mut body = function.clone();
    body.vis = Visibility::Inherited;
    let body_ident = format_ident!("__{}", ident, span = ident.span());
    body.sig.ident = body_ident.clone();
    body.attrs.retain(|attribute| !attribute.path().is_ident("doc"));
    let docs: Vec<_> = function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).collect();
    let (visibility, named) = (&function.vis, named(options, ident, &function.attrs));
    let id = id(visibility);
    let value = quote_spanned! {output.span()=>
        ::durawasm_guest::Returned::into_result(#body_ident(#context state.write()?))?
    };
    Ok(quote! {
        #(#docs)*
        #[allow(non_camel_case_types, reason = "named like the function, by which callers know it")]
        #[derive(Clone, Copy, Debug)]
        #visibility struct #ident {}

        impl #ident {
            #id
        }

        const _: () = {
            #body

            #named

            impl ::durawasm_guest::Entity for #ident {
                const NAME: &'static str = <#ident as ::durawasm_guest::__private::Named>::NAME;
                const OPERATIONS: &'static [&'static str] = &[];
                type State = #state;
                type Calls = ::durawasm_guest::DynamicCalls;
                type Signals = ::durawasm_guest::DynamicSignals;

                fn calls(caller: ::durawasm_guest::__private::Caller) -> Self::Calls {
                    ::durawasm_guest::DynamicCalls::new(caller)
                }

                fn signals(signaller: ::durawasm_guest::__private::Signaller) -> Self::Signals {
                    ::durawasm_guest::DynamicSignals::new(signaller)
                }

                fn operate(
                    ctx: &::durawasm_guest::EntityContext,
                    state: &mut ::durawasm_guest::__private::State<Self::State>,
                ) -> ::durawasm_guest::Result<::std::string::String> {
                    let value = #value;
                    ::durawasm_guest::__private::Operation::encode(ctx, &value)
                }
            }

            impl ::durawasm_guest::__private::Offered for #ident {
                const OFFER: ::durawasm_guest::__private::Offer = ::durawasm_guest::__private::Offer::entity::<#ident>(
                    <#ident as ::durawasm_guest::__private::Named>::DESCRIPTION,
                );
            }
        };
    })
}
