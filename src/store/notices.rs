//! Short notices that replicas give each other over the store. One may be lost; nothing may depend on any of them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::broadcast;

/// Notices that a listener may be behind before it is told that it missed some.
const MOST_UNREAD: usize = 1024;

/// What is heard on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A replica said this.
    Said(Bytes),
    /// The connection is new: what was said meanwhile is lost.
    Gap,
}

/// Who listens to which channel.
#[derive(Clone, Default)]
pub struct Notices(Arc<Mutex<BTreeMap<String, broadcast::Sender<Notice>>>>);

impl Notices {
    pub(super) fn listen(&self, channel: &str) -> broadcast::Receiver<Notice> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(channel.to_owned()).or_insert_with(|| broadcast::Sender::new(MOST_UNREAD)).subscribe()
    }

    /// The channels that somebody asked for.
    pub(super) fn channels(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    pub(super) fn said(&self, channel: &str, what: &[u8]) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(channel) {
            // Nobody listens at the moment: then nobody waits for it.
            let _ = sender.send(Notice::Said(Bytes::copy_from_slice(what)));
        }
    }

    pub(super) fn gap(&self) {
        for sender in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let _ = sender.send(Notice::Gap);
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.channels()).finish()
    }
}
