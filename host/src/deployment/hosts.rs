//! Where requests may go: patterns of scheme, host and port, and what they match.
//!
//! Hosts are compared in the one form that a URL's host is brought into before anything is resolved: lower case, international
//! names in their ASCII form, IPv4 addresses in dotted decimals however they were written (`0x7f.1` is `127.0.0.1`).

use std::fmt;

use serde::Deserialize;
use url::Host;

/// `https://api.example.com`: a scheme (`https` if none is written), a host (a name, `*.` and a name, an address, or `*`), and a
/// port (the scheme's own if none is written, `*` for any).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPattern {
    scheme: Scheme,
    host: HostMatch,
    /// None for any.
    port: Option<u16>,
}

/// How to speak to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Encrypted, with the server's certificate checked.
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostMatch {
    Any,
    /// All names below this one, at any depth; not the name itself.
    Below(String),
    Exactly(Host),
}

/// One server, as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How to speak to it.
    pub scheme: Scheme,
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

/// A text that is no host, or no pattern of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}; write `api.example.com`, `*.example.com`, `example.com:8443` or `http://localhost:8080`")]
pub struct InvalidHost {
    text: String,
    why: &'static str,
}

impl Target {
    /// The server that a request is for. The host may have any form that URLs allow.
    pub fn new(scheme: Scheme, host: &str, port: Option<u16>) -> Result<Self, InvalidHost> {
        let host = parse_host(host).map_err(|why| InvalidHost { text: host.to_owned(), why })?;
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.port()) })
    }

    /// Host and port, as a request names them: the port only if it is not the scheme's own.
    pub fn authority(&self) -> String {
        let Self { scheme, host, port } = self;
        if *port == scheme.port() { host.to_string() } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_origin(f, self.scheme, &self.host, Some(self.port))
    }
}

impl HostPattern {
    /// Whether a request to this server fits.
    pub fn matches(&self, target: &Target) -> bool {
        let host = match &self.host {
            HostMatch::Any => true,
            HostMatch::Below(parent) => matches!(&target.host, Host::Domain(name) if is_below(name, parent)),
            HostMatch::Exactly(host) => target.host == *host,
        };
        host && self.scheme == target.scheme && self.port.is_none_or(|port| port == target.port)
    }

    /// Whether all that fits `other` fits this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (HostMatch::Any, _) => true,
            (HostMatch::Below(parent), HostMatch::Below(name)) => name == parent || is_below(name, parent),
            (HostMatch::Below(parent), HostMatch::Exactly(Host::Domain(name))) => is_below(name, parent),
            (HostMatch::Exactly(one), HostMatch::Exactly(two)) => one == two,
            _ => false,
        };
        host && self.scheme == other.scheme && (self.port.is_none() || self.port == other.port)
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).and_then(|rest| rest.strip_suffix('.')).is_some_and(|rest| !rest.is_empty())
}

/// Brings a host into its one form.
fn parse_host(text: &str) -> Result<Host, &'static str> {
    // The dot at the end of a fully qualified name makes no other host of it.
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.contains('*') {
        return Err("has `*` elsewhere than at the beginning, before a dot");
    }
    Host::parse(text).map_err(|_| "is no host")
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidHost;

    fn try_from(text: String) -> Result<Self, InvalidHost> {
        let refuse = |why| InvalidHost { text: text.clone(), why };
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Https, text.as_str()),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(_) => return Err(refuse("has another scheme than `http` and `https`")),
        };
        if rest.contains(['/', '?', '#', '@']) {
            return Err(refuse("is more than scheme, host and port"));
        }
        // The colons of an IPv6 address are within brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            None => Some(scheme.port()),
            Some("*") => None,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(refuse("has a port that is no number from 1 to 65535")),
                Ok(port) => Some(port),
            },
        };
        let host = match host.strip_prefix("*.") {
            _ if host == "*" => HostMatch::Any,
            None => HostMatch::Exactly(parse_host(host).map_err(refuse)?),
            Some(parent) => match parse_host(parent).map_err(refuse)? {
                Host::Domain(parent) => HostMatch::Below(parent),
                _ => return Err(refuse("has `*` before an address; addresses are written in full")),
            },
        };
        Ok(Self { scheme, host, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostMatch::Any => write_origin(f, self.scheme, &"*", self.port),
            HostMatch::Below(parent) => write_origin(f, self.scheme, &format_args!("*.{parent}"), self.port),
            HostMatch::Exactly(host) => write_origin(f, self.scheme, host, self.port),
        }
    }
}

fn write_origin(f: &mut fmt::Formatter<'_>, scheme: Scheme, host: &dyn fmt::Display, port: Option<u16>) -> fmt::Result {
    write!(f, "{}://{host}", scheme.as_str())?;
    match port {
        None => f.write_str(":*"),
        Some(port) if port == scheme.port() => Ok(()),
        Some(port) => write!(f, ":{port}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::try_from(text.to_owned()).unwrap()
    }

    fn target(url: &str) -> Target {
        let uri: http::Uri = url.parse().unwrap();
        let scheme = if uri.scheme_str() == Some("http") { Scheme::Http } else { Scheme::Https };
        Target::new(scheme, uri.host().unwrap(), uri.port_u16()).unwrap()
    }

    #[test]
    fn a_pattern_matches_its_host_scheme_and_port_and_no_other() {
        let cases = [
            ("api.example.com", "https://api.example.com/x", true),
            ("api.example.com", "https://API.example.COM./x", true),
            ("api.example.com", "https://api.example.com:443/", true),
            ("api.example.com", "http://api.example.com/", false),
            ("api.example.com", "https://api.example.com:8443/", false),
            ("api.example.com", "https://x.api.example.com/", false),
            ("api.example.com", "https://api.example.com.evil.org/", false),
            ("*.example.com", "https://api.example.com/", true),
            ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://notexample.com/", false),
            ("*.example.com", "https://example.com.evil.org/", false),
            ("*.example.com:8443", "https://a.example.com:8443/", true),
            ("example.com:*", "https://example.com:1234/", true),
            ("http://localhost:8080", "http://localhost:8080/", true),
            ("http://localhost:8080", "https://localhost:8080/", false),
            ("http://127.0.0.1:80", "http://127.1/", true),
            ("http://127.0.0.1", "http://0x7f000001/", true),
            ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/", true),
            ("bücher.example", "https://xn--bcher-kva.example/", true),
            ("*", "https://anything.example/", true),
            ("*", "https://93.184.216.34/", true),
            ("*", "https://anything.example:8443/", false),
            ("http://*:*", "http://anything.example:8080/", true),
        ];
        for (given, url, expected) in cases {
            assert_eq!(pattern(given).matches(&target(url)), expected, "{given} and {url}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        let cases = [
            ("", "no host"),
            ("ftp://example.com", "scheme"),
            ("https://example.com/path", "more than"),
            ("user@example.com", "more than"),
            ("example.com:0", "port"),
            ("example.com:99999", "port"),
            ("a.*.example.com", "`*` elsewhere"),
            ("*example.com", "`*` elsewhere"),
            ("*.*.example.com", "`*` elsewhere"),
            ("*.", "no host"),
            ("*.127.0.0.1", "address"),
            ("exa mple.com", "no host"),
            ("1.2.3.4.5", "no host"),
        ];
        for (given, why) in cases {
            let error = HostPattern::try_from(given.to_owned()).unwrap_err().to_string();
            assert!(error.contains(why), "{given}: {error}");
        }
    }

    fn label() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "example", "com"])
    }

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(label(), 1..4).prop_map(|labels| labels.join("."))
    }

    fn any_pattern() -> impl Strategy<Value = HostPattern> {
        let scheme = prop::sample::select(vec!["", "https://", "http://"]);
        let host = prop_oneof![Just("*".to_owned()), name(), name().prop_map(|name| format!("*.{name}"))];
        let port = prop::sample::select(vec!["", ":*", ":443", ":8443"]);
        (scheme, host, port).prop_map(|(scheme, host, port)| pattern(&format!("{scheme}{host}{port}")))
    }

    fn any_target() -> impl Strategy<Value = Target> {
        let scheme = prop::sample::select(vec![Scheme::Http, Scheme::Https]);
        let port = prop::sample::select(vec![None, Some(443), Some(8443)]);
        (scheme, name(), port).prop_map(|(scheme, host, port)| Target::new(scheme, &host, port).unwrap())
    }

    proptest! {
        #[test]
        fn what_a_covered_pattern_matches_the_covering_one_matches(
            wide in any_pattern(), narrow in any_pattern(), target in any_target()
        ) {
            prop_assert!(wide.covers(&wide));
            if wide.covers(&narrow) && narrow.matches(&target) {
                prop_assert!(wide.matches(&target), "{wide} covers {narrow}, which matches {target}");
            }
        }

        #[test]
        fn a_pattern_is_written_as_it_is_read(given in any_pattern()) {
            prop_assert_eq!(pattern(&given.to_string()), given);
        }

        #[test]
        fn a_wildcard_matches_exactly_the_names_that_end_in_a_dot_and_its_domain(host in name(), parent in name()) {
            let target = Target::new(Scheme::Https, &host, None).unwrap();
            prop_assert_eq!(pattern(&format!("*.{parent}")).matches(&target), host.ends_with(&format!(".{parent}")));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = HostPattern::try_from(text.clone());
            let _ = Target::new(Scheme::Https, &text, None);
        }
    }
}
