//! UUIDs out of nothing, for devices that nobody's domain stands behind.

use crate::failure::Failure;
use mdevkit_core::Uuid;
use std::fs::File;
use std::io::{self, Read};

/// A random UUID (version 4).
pub(crate) fn uuid() -> Result<Uuid, Failure> {
    from_kernel().map_err(|error| Failure::host(format!("cannot read /dev/urandom: {error}")))
}

/// Random UUIDs for who cannot hear of a failure; it is told at the end.
#[derive(Default)]
pub(crate) struct Fresh {
    failed: Option<Failure>,
}

impl Fresh {
    /// The next one; nil once there was a failure.
    pub(crate) fn next(&mut self) -> Uuid {
        uuid().unwrap_or_else(|failure| {
            self.failed = Some(failure);
            Uuid::nil()
        })
    }

    /// Whether all of them were random.
    pub(crate) fn check(self) -> Result<(), Failure> {
        self.failed.map_or(Ok(()), Err)
    }
}

fn from_kernel() -> io::Result<Uuid> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}
