//! No translation: the link to the world begins in the inside itself. The reference.

use std::path::Path;

use super::{Joined, Outside, ROUTER, Way, configure};
use crate::error::Result;
use crate::netns::Netns;
use crate::process::Process;

/// The link alone.
pub(crate) struct Direct;

impl Way for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn description(&self) -> String {
        "the link to the world without any translation".to_owned()
    }

    fn lacks(&self) -> Option<String> {
        None
    }

    fn translates(&self) -> bool {
        false
    }

    fn join(&self, outside: &Outside, _directory: &Path, tag: &str) -> Result<(Netns, Box<dyn Joined>)> {
        let inside = Netns::create(&format!("{tag}i"))?;
        let link = outside.link.join(&inside, &outside.world, outside.mtu)?;
        configure(&inside, ROUTER)?;
        configure(&outside.world, super::WORLD)?;
        Ok((inside, Box::new(Running(link))))
    }
}

struct Running(Option<Process>);

impl Joined for Running {
    fn processes(&self) -> Vec<u32> {
        Vec::new()
    }

    fn check(&mut self) -> Result<()> {
        self.0.as_mut().map_or(Ok(()), Process::check)
    }
}
