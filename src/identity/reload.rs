//! What somebody wants to be read again now. The refresher reads the same files by itself, and in its own time.

use std::{sync::Arc, time::Instant};

use super::{Identity, IdentityError, Issuer, RevocationError, jwks};

impl Identity {
    /// Takes the list of revocations as its file is now; nothing where no file is named. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// What is wrong with the file; then the list before stays in force.
    pub fn reload_revocations(&self) -> Option<Result<(), RevocationError>> {
        self.revocations.has_file().then(|| self.revocations.reload())
    }

    /// Takes the keys of all issuers that have them in files, as those are now; nothing where none has. Blocks on the
    /// disk.
    ///
    /// # Errors
    ///
    /// Each file that is of no use; the keys that were read from it before stay in force.
    pub fn reload_key_files(&self) -> Option<Result<(), Vec<IdentityError>>> {
        let now = self.clock.monotonic();
        let mut files = self.issuers.iter().filter(|issuer| issuer.settings.keys.is_file()).peekable();
        files.peek()?;
        let failures: Vec<_> = files.filter_map(|issuer| issuer.reload(now).err()).collect();
        Some(if failures.is_empty() { Ok(()) } else { Err(failures) })
    }
}

impl Issuer {
    fn reload(&self, now: Instant) -> Result<(), IdentityError> {
        let key_file = |error: jwks::FetchError| IdentityError::KeyFile {
            issuer: Arc::clone(&self.settings.name),
            reason: error.to_string(),
        };
        self.keys.reload(&self.settings, now).unwrap_or(Ok(())).map_err(key_file)
    }
}
