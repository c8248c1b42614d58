//! From a host's name to addresses.

use std::io;
use std::net::SocketAddr;

use futures::future::{BoxFuture, FutureExt as _};

/// Finds the addresses of a name.
pub(super) trait Resolve: Send + Sync {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// As the machine does it: its hosts file, its name servers.
pub(super) struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) }.boxed()
    }
}
