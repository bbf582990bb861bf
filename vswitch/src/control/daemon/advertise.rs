//! Router advertisements that nobody asked for (RFC 4861, section 6.2.4), on networks with IPv6.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::gateway::Gateway;

/// Until the first: who listens has mostly come by then (MAX_INITIAL_RTR_ADVERT_INTERVAL). After
/// a daemon's death it renews what the one before has said.
pub(super) const FIRST: Duration = Duration::from_secs(16);

/// Between two: a third of the time for which hosts believe one (RFC 4861, section 6.2.1).
pub(super) const EVERY: Duration = Duration::from_mins(10);

/// Advertises a gateway as long as this lives.
pub(super) struct Advertiser(AbortHandle);

impl Advertiser {
    pub(super) fn start(runtime: &Handle, gateway: &Arc<Gateway>) -> Self {
        Self(runtime.spawn(advertise(Arc::downgrade(gateway))).abort_handle())
    }
}

impl Drop for Advertiser {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn advertise(gateway: Weak<Gateway>) {
    tokio::time::sleep(FIRST).await;
    while let Some(gateway) = gateway.upgrade() {
        gateway.advertise();
        drop(gateway);
        tokio::time::sleep(EVERY).await;
    }
}
