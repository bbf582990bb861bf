//! What a daemon finds of the one before it.

use std::sync::Arc;

use super::{Daemon, Live, Phase, short};
use crate::control::error::ControlError;
use crate::control::record::{Container, Status};
use crate::sandbox::EXIT_FILE;

impl Daemon {
    /// Takes back what an earlier daemon left: running containers with their TAPs, and the books
    /// of those that ended meanwhile.
    ///
    /// # Errors
    /// When the books cannot be read.
    pub async fn recover(self: &Arc<Self>) -> Result<(), ControlError> {
        let records: Vec<Container> = self.store.list("container/")?;
        let mut known: Vec<String> = records.iter().map(|r| r.id.clone()).collect();
        known.sort();
        // All addresses first: nothing may be given out that somebody already has.
        for record in &records {
            self.enter_books(record.clone());
        }
        for record in records {
            match record.status {
                Status::Created => self.forget(&record.id),
                Status::Running { .. } => self.take_back(&record.id).await,
                Status::Exited { .. } => {}
            }
        }
        // Directories without a record: a crash between the two.
        if let Ok(dirs) = std::fs::read_dir(self.data_dir.join("containers")) {
            for dir in dirs.flatten() {
                let name = dir.file_name().to_string_lossy().into_owned();
                if known.binary_search(&name).is_err() {
                    let _ = std::fs::remove_dir_all(dir.path());
                }
            }
        }
        Ok(())
    }

    /// Enters a stored record into the books.
    pub(super) fn enter_books(&self, record: Container) {
        let mut books = self.books.lock();
        let mut others = Vec::new();
        let holds_addresses = !super::is_over(record.status);
        if holds_addresses {
            for endpoint in &record.endpoints {
                let network = books.networks.get_mut(&endpoint.network_id);
                let Some(network) = network else { continue };
                // It has a port as soon as its shim has answered. One that has not is over, and leaves.
                if record.is_running()
                    && let Some(fabric) = &network.fabric
                {
                    fabric.expect(endpoint);
                }
                if network.shared.is_some() {
                    continue;
                }
                for address in endpoint.addresses() {
                    let claimed = network.pools.iter_mut().any(|pool| pool.claim(address).is_ok());
                    if !claimed {
                        tracing::warn!("container {}: {address} is not free", short(&record.id));
                        others.push((endpoint.network_id.clone(), address));
                    }
                }
            }
        }
        let phase = match record.status {
            Status::Created => Phase::Created,
            Status::Running { .. } => Phase::Running,
            Status::Exited { code, .. } => Phase::Exited(code),
        };
        books.names.insert(record.name.clone(), record.id.clone());
        let id = record.id.clone();
        books.containers.insert(id, Live { others, ..Live::new(record, phase, holds_addresses) });
    }

    async fn take_back(self: &Arc<Self>, id: &str) {
        match self.link_up(id).await {
            Ok(link) => {
                self.drop_unplugged(id);
                self.refresh_names(id);
                self.rewrite_files(id);
                self.enter(id);
                self.republish(id);
                tokio::spawn(self.clone().follow(id.to_owned(), link));
            }
            Err(error) => {
                tracing::info!("container {} ended while no daemon ran ({error})", short(id));
                let code = std::fs::read_to_string(self.dir(id).join(EXIT_FILE))
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                self.finish(id, code.unwrap_or(137));
            }
        }
    }

    /// Endpoints that the books have and the shim has not: a daemon died in the middle of a connect.
    fn drop_unplugged(&self, id: &str) {
        let Ok(view) = self.view(id) else { return };
        let plugged = |endpoint: &str| view.ports.iter().any(|p| p.endpoint == endpoint);
        let lost: Vec<_> = view.record.interfaces().filter(|e| !plugged(&e.id)).cloned().collect();
        for endpoint in lost {
            self.withdraw(id, &endpoint);
        }
    }
}
