//! What stands in the parentheses of an attribute.

use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitStr, Token};

pub(crate) struct Options {
    /// The name that callers use, if it is not the function's.
    pub(crate) name: Option<LitStr>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut name = None;
        while !input.is_empty() {
            let option: Ident = input.parse()?;
            if option != "name" {
                let message = format!("there is no option `{option}`; the only one is `name = \"...\"`");
                return Err(syn::Error::new(option.span(), message));
            }
            input.parse::<Token![=]>()?;
            let value: LitStr = input.parse()?;
            if value.value().is_empty() {
                return Err(syn::Error::new(value.span(), "the name must not be empty"));
            }
            name = Some(value);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Self { name })
    }
}
