//! Answering on sockets that others have bound, such as 127.0.0.11:53 of a container.

mod batch;
mod tcp;
mod udp;

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::resolver::{Pending, Resolver, Step, Transport};
use super::view::View;

/// One container's name service. Dropped, it ends with all it does, and its sockets are closed
/// a moment later.
#[derive(Debug)]
pub struct Service {
    tasks: [JoinHandle<()>; 2],
}

impl Service {
    /// Ends it, and waits until the sockets are closed.
    pub async fn close(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // It was aborted: that is how it ends.
            let _ended = task.await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What both transports of a service share.
#[derive(Debug)]
struct Server {
    resolver: Arc<Resolver>,
    view: Arc<ArcSwap<View>>,
    /// One permit for each query that waits for servers.
    forwards: Arc<Semaphore>,
}

/// What was done about a query at once.
enum Done {
    /// The answer is written.
    Answered,
    /// It is worth none.
    Dropped,
    /// It waits for servers, and has a permit for that.
    Waits(Pending, OwnedSemaphorePermit),
}

impl Server {
    fn answer(&self, view: &View, query: &[u8], transport: Transport, out: &mut Vec<u8>) -> Done {
        match self.resolver.answer_local(view, query, transport, out) {
            Step::Answered => Done::Answered,
            Step::Dropped => Done::Dropped,
            Step::Forward(pending) => {
                let Ok(permit) = self.forwards.clone().try_acquire_owned() else {
                    self.resolver.refuse_waiting(&pending, out);
                    return Done::Answered;
                };
                Done::Waits(pending, permit)
            }
        }
    }
}

impl Resolver {
    /// Answers what comes to these sockets, as `view` says at that moment. Both are bound
    /// already, the listener listens. Must be called in a tokio runtime.
    ///
    /// The sockets keep their network namespace in existence as long as the service lives.
    ///
    /// # Errors
    /// When the runtime does not take a socket.
    pub fn serve(
        self: &Arc<Self>,
        view: Arc<ArcSwap<View>>,
        udp: UdpSocket,
        tcp: TcpListener,
    ) -> io::Result<Service> {
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let udp = tokio::net::UdpSocket::from_std(udp)?;
        let tcp = tokio::net::TcpListener::from_std(tcp)?;
        let most = self.config.in_flight_each.min(Semaphore::MAX_PERMITS);
        let server =
            Arc::new(Server { resolver: self.clone(), view, forwards: Arc::new(Semaphore::new(most)) });
        let datagrams = tokio::spawn(udp::run(server.clone(), Arc::new(udp)));
        let streams = tokio::spawn(tcp::run(server, tcp));
        Ok(Service { tasks: [datagrams, streams] })
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
