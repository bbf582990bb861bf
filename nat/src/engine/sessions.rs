//! What UDP and echoes have in common at their sessions: how they begin, when their time is over,
//! and how they end.

use super::{
    core::Core,
    token::{Kind, Token},
};
use crate::session::{NewSession, Table};

/// Enters a session, for which there is room, and its timer, whose token is to be of `kind`. Returns also
/// whether it was not there before under another key.
pub(super) fn begin<M>(core: &mut Core, table: &mut Table<M>, kind: Kind, new: &NewSession) -> (u32, bool) {
    let index = table.open(new, core.now);
    if let Some(session) = table.session_mut(index)
        && session.timer.is_none()
    {
        let token = Token { kind, generation: session.generation, index };
        session.timer = Some(core.wheel.set(session.ends(), token.pack()));
        core.session_opened(new.key.inside);
        return (index, true);
    }
    (index, false)
}

/// The timer of a session has fired: whether its time is over. If not, it is set anew.
pub(super) fn is_over<M>(core: &mut Core, table: &mut Table<M>, token: Token) -> bool {
    let Some(session) = table.session_mut(token.index) else { return false };
    if session.generation != token.generation {
        return false;
    }
    session.timer = None;
    let ends = session.ends();
    if ends > core.now {
        session.timer = Some(core.wheel.set(ends, token.pack()));
    }
    session.timer.is_none()
}

/// Ends a session. Returns its mapping if that was the last one and the mapping is not to stay.
pub(super) fn end<M>(core: &mut Core, table: &mut Table<M>, session: u32) -> Option<u32> {
    let closed = table.close(session)?;
    if let Some(timer) = closed.timer {
        core.wheel.cancel(timer);
    }
    core.session_closed(closed.key.inside);
    let unused = table.mapping(closed.mapping).is_some_and(|mapping| !mapping.fixed && mapping.sessions == 0);
    unused.then_some(closed.mapping)
}
