//! What whoever runs the switch has to be told, once.

/// Something that is not as it should be and that people can do something about. Its text is a
/// sentence for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Notice {
    /// No echo request can be sent.
    #[error(
        "containers cannot ping: this process may neither open ping sockets (its group is not within \
         net.ipv4.ping_group_range) nor raw ones (it has no CAP_NET_RAW); as root, \
         `sysctl net.ipv4.ping_group_range=\"0 2147483647\"` lets it"
    )]
    PingForbidden,
}

/// Notices that nobody has taken yet; each comes once in an engine's life.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    waiting: Option<Notice>,
    told: bool,
}

impl Notices {
    pub(crate) const fn give(&mut self, notice: Notice) {
        if !self.told {
            (self.told, self.waiting) = (true, Some(notice));
        }
    }

    pub(crate) const fn take(&mut self) -> Option<Notice> {
        self.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_comes_once() {
        let mut notices = Notices::default();
        assert_eq!(notices.take(), None);
        notices.give(Notice::PingForbidden);
        assert_eq!(notices.take(), Some(Notice::PingForbidden));
        notices.give(Notice::PingForbidden);
        assert_eq!(notices.take(), None);
    }
}
