//! The table of routes: what the router serves, and what it can be asked about itself.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use crate::control::daemon::Daemon;

/// A method on a path. A segment in braces stands for any one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// GET stands for HEAD too (RFC 9110, section 9.3.2).
    pub method: Method,
    /// As in OpenAPI: `/networks/{id}`.
    pub path: &'static str,
}

/// Routes and their handlers: one entry of the table for each handler.
#[derive(Default)]
pub(super) struct Routes {
    table: Vec<Route>,
    router: axum::Router<Arc<Daemon>>,
}

impl Routes {
    pub(super) fn get<H: Handler<T, Arc<Daemon>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::GET, MethodFilter::GET, path, handler)
    }

    pub(super) fn post<H: Handler<T, Arc<Daemon>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::POST, MethodFilter::POST, path, handler)
    }

    pub(super) fn delete<H: Handler<T, Arc<Daemon>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.add(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    fn add<H: Handler<T, Arc<Daemon>>, T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.table.push(Route { method, path });
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.table.extend(other.table);
        self.router = self.router.merge(other.router);
        self
    }

    /// Both halves.
    pub(super) fn into_parts(self) -> (Vec<Route>, axum::Router<Arc<Daemon>>) {
        (self.table, self.router)
    }
}
