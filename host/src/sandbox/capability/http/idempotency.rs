//! The `Idempotency-Key` of a request: the same whenever the same call makes its n-th request, whichever delivery or attempt
//! it is, and different for all others. A server that knows such keys then does once what it is asked twice.

use sha2::{Digest as _, Sha256};

/// The name of the header.
pub(super) static HEADER: http::HeaderName = http::HeaderName::from_static("idempotency-key");

/// The keys of one call.
#[derive(Debug)]
pub(super) struct Keys {
    scope: String,
    next: u64,
}

impl Keys {
    /// `scope` names the call: instance, execution, and the position of the first attempt.
    pub(super) fn new(scope: &str) -> Self {
        Self { scope: scope.to_owned(), next: 0 }
    }

    /// The key of the next request that has an effect; none for methods that by definition have none.
    pub(super) fn next(&mut self, method: &http::Method) -> Option<http::HeaderValue> {
        if method.is_safe() {
            return None;
        }
        let mut digest = Sha256::new();
        digest.update(b"durawasm idempotency key 1\0");
        digest.update(self.next.to_le_bytes());
        digest.update(&self.scope);
        self.next += 1;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        let key = uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string();
        http::HeaderValue::try_from(key).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::Method;

    use super::*;

    fn keys(scope: &str, count: usize) -> Vec<http::HeaderValue> {
        let mut keys = Keys::new(scope);
        (0..count).filter_map(|_| keys.next(&Method::POST)).collect()
    }

    #[test]
    fn the_same_call_has_the_same_keys_and_others_have_others() {
        assert_eq!(keys("order-1/a/3", 5), keys("order-1/a/3", 5));
        let scopes = ["order-1/a/3", "order-1/a/4", "order-1/b/3", "order-2/a/3"];
        let all: HashSet<_> = scopes.iter().flat_map(|scope| keys(scope, 5)).collect();
        assert_eq!(all.len(), 20);
    }

    #[test]
    fn requests_without_effects_have_no_key_and_take_no_number() {
        let mut keys = Keys::new("x");
        assert_eq!(keys.next(&Method::GET), None);
        assert_eq!(keys.next(&Method::HEAD), None);
        assert_eq!(keys.next(&Method::PUT), self::keys("x", 1).pop());
    }

    #[test]
    fn the_first_key_of_a_call_never_changes_between_releases() {
        assert_eq!(keys("order-1/a/3", 1)[0], "8ab475f1-dfc7-8030-852a-ee1f08a6b785");
    }
}
