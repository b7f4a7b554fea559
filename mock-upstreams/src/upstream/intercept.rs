//! Defines the hook through which a caller, such as a fault engine, answers a request in the mock's place.

use std::convert::Infallible;
use std::time::Duration;

use crate::request::ProxyRequest;

/// Decides about every request, before its credentials are checked.
pub trait Interceptor {
    /// What it remembers about a request that it intercepts.
    type Intercepted;

    /// Decides who answers `request`.
    fn decide(&self, request: &ProxyRequest) -> Decision<Self::Intercepted>;
}

/// Who answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<T> {
    /// The mock answers as a good upstream does.
    Serve {
        /// The answer comes that much later.
        delay: Duration,
        /// The faults that were done to the request, as the journal shall name them.
        faults: Vec<String>,
    },
    /// The mock answers nothing and hands the connection to the caller, together with this value.
    Intercept(T),
}

/// Intercepts nothing: the mock answers every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoInterceptor;

impl Interceptor for NoInterceptor {
    type Intercepted = Infallible;

    fn decide(&self, _: &ProxyRequest) -> Decision<Infallible> {
        Decision::Serve { delay: Duration::ZERO, faults: Vec::new() }
    }
}
