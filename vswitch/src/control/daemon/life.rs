//! A container's life: start, end, and what can be done to it in between.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::watch;

use super::{ContainerView, Daemon, Live, Phase, SHIM_ANSWER, container_key, now, off_the_runtime, short};
use crate::control::error::ControlError;
use crate::control::record::{Container, Mode, Status};
use crate::control::shim_link::ShimLink;
use crate::dataplane::PortEvent;
use crate::sandbox::reaper;
use crate::sandbox::spec::{ShimEvent, ShimRequest};

/// Waits until a container no longer runs.
pub async fn ended(phase: &mut watch::Receiver<Phase>) -> i32 {
    match phase.wait_for(|p| matches!(p, Phase::Exited(_) | Phase::Removed(_))).await.as_deref() {
        Ok(Phase::Exited(code) | Phase::Removed(code)) => *code,
        _ => 0,
    }
}

impl Daemon {
    /// Starts a container whose shim is ready.
    ///
    /// # Errors
    /// The container is gone then.
    pub async fn start(self: &Arc<Self>, id: &str) -> Result<(), ControlError> {
        let id = self.resolve(id)?;
        let turn = {
            let mut books = self.books.lock();
            let live = books.live_mut(&id)?;
            if live.record.status != Status::Created || std::mem::replace(&mut live.starting, true) {
                return Err(ControlError::Conflict(format!(
                    "container {} has been started before",
                    short(&id)
                )));
            }
            live.turn.clone()
        };
        // Until somebody listens to the shim nobody else may ask it for something.
        let _turn = turn.lock().await;
        let result = self.start_reserved(&id).await;
        if result.is_err() {
            self.forget(&id);
        }
        result
    }

    async fn start_reserved(self: &Arc<Self>, id: &str) -> Result<(), ControlError> {
        let record = self.view(id)?.record;
        self.refuse_doubtful(&record)?;
        let listeners = off_the_runtime(|| self.take_ports(&record))?;
        let link = self.link_up(id).await?;
        // On disk before the command may do anything: a daemon that dies here finds it again.
        let record = self.commit(id, |record| {
            record.status = Status::Running { since: now() };
            record.bindings = listeners.iter().map(|(binding, _)| *binding).collect();
        })?;
        self.open_ports(id, listeners);
        // Neighbours and names before the command can ask for them.
        self.enter(id);
        let gone = |_| ControlError::Failed("the container's shim died".into());
        link.send(&ShimRequest::Start).map_err(gone)?;
        let answer = tokio::time::timeout(SHIM_ANSWER, link.recv()).await;
        let answer =
            answer.map_err(|_| ControlError::Failed("the container's shim does not answer".into()))?;
        match answer.map_err(gone)? {
            (ShimEvent::Started, _) => {}
            (ShimEvent::Failed { message, code }, _) => {
                return Err(ControlError::NotStarted { message, code });
            }
            _ => return Err(ControlError::Failed("the container's shim says something unexpected".into())),
        }
        self.set_phase(id, Phase::Running);
        self.events.container("start", &record);
        tokio::spawn(self.clone().follow(id.to_owned(), link));
        self.changed.notify_one();
        Ok(())
    }

    /// Listens to a shim until its container ends.
    pub(super) async fn follow(self: Arc<Self>, id: String, link: Arc<ShimLink>) {
        let namespaces = self.view(&id).ok().and_then(|view| {
            // Who sees another's network lives among others' processes.
            let own = matches!(view.record.mode, Mode::Networks | Mode::None) && view.pid > 0;
            own.then(|| reaper::Namespaces::of(view.pid).ok()).flatten()
        });
        loop {
            match link.recv().await {
                Ok((ShimEvent::Exited(exit), _)) => {
                    link.hang_up();
                    self.finish(&id, exit.code);
                    return;
                }
                Ok(said) => link.answer(said),
                Err(_) => {
                    link.hang_up();
                    // The shim died, and its command with it; the command's children are left.
                    if let Some(namespaces) = namespaces {
                        let killed = tokio::task::spawn_blocking(move || reaper::kill_all(&namespaces));
                        let _ = killed.await;
                    }
                    self.finish(&id, 137);
                    return;
                }
            }
        }
    }

    /// Keeps the books of a container whose command has ended.
    pub(super) fn finish(&self, id: &str, code: i32) {
        let removed = self.view(id).is_ok_and(|v| v.record.auto_remove || v.record.is_attached());
        if removed {
            self.forget_ended(id, Some(code));
            return;
        }
        {
            let _turn = self.writing();
            let Ok(mut record) = self.books.lock().live(id).map(|live| live.record.clone()) else { return };
            if record.has_ended() {
                return;
            }
            let since = if let Status::Running { since } = record.status { since } else { 0 };
            record.status = Status::Exited { code, since, at: now() };
            record.bindings.clear();
            // On disk first: a daemon that dies here must not find an address with two. For others
            // to see last: what they are told has ended holds nothing any more.
            let stored = self.put(&container_key(id), &record);
            let mut held = self.books.lock().containers.get_mut(id).map(Live::take_holdings);
            if let (Err(error), Some(held)) = (stored, &mut held) {
                tracing::error!("container {}: {error}; its addresses stay taken", short(id));
                held.lent.clear();
            }
            self.events.container_with("die", &record, [("exitCode", code.to_string())]);
            if since > 0 {
                self.leave(&record);
            }
            if let Some(held) = held {
                off_the_runtime(|| self.give_back(held));
            }
            if let Ok(live) = self.books.lock().live_mut(id) {
                live.record = record;
            }
        }
        self.wait_for_store();
        self.set_phase(id, Phase::Exited(code));
        self.changed.notify_one();
    }

    /// Removes every trace of a container, whatever its state.
    pub(super) fn forget(&self, id: &str) {
        self.forget_ended(id, None);
    }

    /// The same, of a container that has just ended with this status.
    fn forget_ended(&self, id: &str, code: Option<i32>) {
        let live = {
            let _turn = self.writing();
            let mut live = {
                let mut books = self.books.lock();
                let mut live = books.containers.remove(id);
                if let Some(live) = &live
                    && books.names.get(&live.record.name).is_some_and(|owner| owner == id)
                {
                    books.names.remove(&live.record.name);
                }
                live.as_mut().map(Live::take_holdings).zip(live)
            };
            // On disk first: a daemon that dies here must not find an address with two.
            if !self.erase(&container_key(id))
                && let Some((held, _)) = &mut live
                && !held.lent.is_empty()
            {
                tracing::error!("container {}: its addresses stay taken", short(id));
                held.lent.clear();
            }
            live
        };
        let live = live.map(|(held, live)| {
            if live.record.is_running() {
                let code = code.unwrap_or(137).to_string();
                self.events.container_with("die", &live.record, [("exitCode", code)]);
                self.leave(&live.record);
            }
            off_the_runtime(|| self.give_back(held));
            if self.books.lock().is_in_store(&live.record) {
                self.release_name(&live.record.name, &live.record.id);
            }
            self.wait_for_store();
            live
        });
        let dir = self.dir(id);
        let _ = off_the_runtime(|| std::fs::remove_dir_all(dir));
        if let Some(live) = live {
            self.events.container("destroy", &live.record);
            let before = if let Phase::Exited(code) = *live.phase.borrow() { code } else { 0 };
            live.phase.send_replace(Phase::Removed(code.unwrap_or(before)));
        }
        self.changed.notify_one();
    }

    /// Sends a running command a signal.
    ///
    /// # Errors
    /// When it does not run, or is not ours.
    pub fn kill(&self, text: &str, signal: Signal) -> Result<(), ControlError> {
        let record = {
            let books = self.books.lock();
            let id = books.resolve(text)?;
            let live = books.live(&id)?;
            if live.record.is_attached() {
                return Err(attached(&live.record));
            }
            let link = live.link.as_ref();
            let link =
                link.ok_or_else(|| ControlError::Conflict(format!("Container {id} is not running")))?;
            link.send(&ShimRequest::Signal(signal as i32))
                .map_err(|e| ControlError::Failed(e.to_string()))?;
            live.record.clone()
        };
        self.events.container_with("kill", &record, [("signal", (signal as i32).to_string())]);
        Ok(())
    }

    /// Ends a command: first asks it to with `signal`, after `grace` it is killed.
    ///
    /// # Errors
    /// When it is not ours, or does not end even so.
    pub async fn stop(&self, text: &str, signal: Signal, grace: Duration) -> Result<(), ControlError> {
        let ContainerView { record, .. } = self.view(text)?;
        let id = record.id.clone();
        let mut phase = self.phase(&id)?;
        if *phase.borrow() == Phase::Created {
            // It is just being started, or it never is: then its reservation ends.
            let begun = phase.wait_for(|phase| *phase != Phase::Created);
            let _ = tokio::time::timeout(SHIM_ANSWER, begun).await;
        }
        if !matches!(*phase.borrow(), Phase::Running) {
            return Ok(());
        }
        for (signal, patience) in [(signal, grace), (Signal::SIGKILL, SHIM_ANSWER)] {
            if patience.is_zero() {
                continue;
            }
            // Refused when it ends by itself at this moment: then there is nothing but to wait.
            let _ = self.kill(&id, signal);
            if tokio::time::timeout(patience, ended(&mut phase)).await.is_ok() {
                self.events.container("stop", &record);
                return Ok(());
            }
        }
        Err(ControlError::Failed(format!("container {} does not end", short(&id))))
    }

    /// Removes a container; a running one only with `force`.
    ///
    /// # Errors
    /// With Docker's sentence when it runs.
    pub async fn remove(&self, text: &str, force: bool) -> Result<(), ControlError> {
        // Not the view as a whole: its ports keep the TAPs.
        let record = self.view(text)?.record;
        let id = record.id.clone();
        if record.is_running() {
            if !force {
                return Err(ControlError::Conflict(format!(
                    "You cannot remove a running container {id}. Stop the container before attempting removal \
                     or force remove"
                )));
            }
            if record.is_attached() {
                self.detach(&id).await?;
            } else {
                self.stop(&id, Signal::SIGKILL, Duration::ZERO).await?;
            }
        }
        self.forget(&id);
        Ok(())
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// With Docker's sentences; it keeps its name then.
    pub fn rename(&self, text: &str, name: &str) -> Result<(), ControlError> {
        let name = name.strip_prefix('/').unwrap_or(name);
        let (id, old) = {
            let books = self.books.lock();
            let id = books.resolve(text)?;
            let old = books.live(&id)?.record.name.clone();
            if name != old && !name.is_empty() {
                books.check_name(name)?;
            }
            (id, old)
        };
        let in_store = name != old && !name.is_empty() && self.rename_in_store(&id, &old, name)?;
        let renamed = self.rename_here(&id, name);
        if renamed.is_err() && in_store {
            let _ = self.rename_in_store(&id, name, &old);
        }
        renamed
    }

    fn rename_here(&self, text: &str, name: &str) -> Result<(), ControlError> {
        // Of two renames the later one's name stays, everywhere.
        let _turn = self.writing();
        let (id, old) = {
            let mut books = self.books.lock();
            let id = books.resolve(text)?;
            let old = books.live(&id)?.record.name.clone();
            if name.is_empty() {
                return Err(ControlError::Invalid("Neither old nor new names may be empty".into()));
            }
            if name == old {
                return Err(ControlError::Invalid(
                    "Renaming a container with the same name as its current name".into(),
                ));
            }
            books.check_name(name)?;
            // From now on nobody else gets it.
            books.names.insert(name.to_owned(), id.clone());
            (id, old)
        };
        let renamed = self.commit_in_turn(&id, |record| name.clone_into(&mut record.name));
        let mut books = self.books.lock();
        let lost = if renamed.is_ok() { old.as_str() } else { name };
        if books.names.get(lost).is_some_and(|owner| *owner == id) {
            books.names.remove(lost);
        }
        let record = renamed?;
        if let Ok(live) = books.live(&id) {
            for plugged in &live.ports {
                plugged.port.set_owner(name);
            }
        }
        if let Some(present) = books.containers.get(&id).and_then(Live::present) {
            for endpoint in &present.endpoints {
                let fabric = books.networks.get(&endpoint.network_id).and_then(|n| n.fabric.as_ref());
                if let Some(fabric) = fabric {
                    fabric.name(present, endpoint);
                }
            }
        }
        drop(books);
        self.events.container_with("rename", &record, [("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Gives an attached namespace back as it was.
    ///
    /// # Errors
    /// When the container is not an attached one.
    pub async fn detach(&self, text: &str) -> Result<(), ControlError> {
        let (id, link) = {
            let books = self.books.lock();
            let id = books.resolve(text)?;
            let live = books.live(&id)?;
            if !live.record.is_attached() {
                return Err(ControlError::Conflict(format!(
                    "container {} was started with `run`: end it with `vswitch stop {}`",
                    live.record.name, live.record.name
                )));
            }
            (id, live.link.clone())
        };
        self.finish(&id, 0);
        // The shim closes the channel after the TAP: then the interface's name is free.
        if let Some(link) = link {
            let closed = async { while link.recv().await.is_ok() {} };
            let _ = tokio::time::timeout(SHIM_ANSWER, closed).await;
        }
        Ok(())
    }

    /// What a worker saw.
    pub fn port_event(&self, event: PortEvent) {
        let PortEvent::Gone { port, .. } = event;
        let owner = {
            let books = self.books.lock();
            let found = books.containers.values().find(|c| c.ports.iter().any(|p| p.port.uid() == port));
            found.map(|c| (c.record.id.clone(), c.record.is_attached()))
        };
        // A command's own end comes from its shim, with its exit status.
        if let Some((id, true)) = owner {
            tracing::info!("the namespace of container {} was deleted", short(&id));
            self.finish(&id, 0);
        }
    }

    /// Ends every container, all at once.
    pub async fn stop_all(self: &Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for record in self.views().into_iter().map(|view| view.record) {
            let daemon = self.clone();
            tasks.spawn(async move {
                let id = &record.id;
                // One that is just being started runs before it can be stopped.
                if let Ok(mut phase) = daemon.phase(id) {
                    let begun = phase.wait_for(|phase| *phase != Phase::Created);
                    let _ = tokio::time::timeout(SHIM_ANSWER, begun).await;
                }
                let result = if record.is_attached() {
                    daemon.detach(id).await
                } else {
                    daemon.stop(id, Signal::SIGTERM, Duration::from_secs(10)).await
                };
                if let Err(error) = result {
                    tracing::warn!("container {}: {error}", short(id));
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}

fn attached(record: &Container) -> ControlError {
    ControlError::Conflict(format!(
        "the processes of {} are not vswitch's: take it off the network with `vswitch detach {}`",
        record.name, record.name
    ))
}
