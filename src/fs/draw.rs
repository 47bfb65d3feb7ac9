//! Random bytes for an operation that needs several names: asked for in one go.

use std::io;

use super::Fs;

impl Fs {
    /// Random bytes for one operation that needs several at once: see [`Draw`].
    pub(crate) fn draw(&self) -> Draw<'_> {
        Draw { fs: self, bytes: [0; DRAW_BYTES], left: 0 }
    }
}

/// What one asking of the kernel brings: enough for the names of an entry and of four outputs.
const DRAW_BYTES: usize = 72;

/// Random bytes nobody can foretell, asked for many at a time. For one operation, never to be kept: a child that got
/// it by `fork` would draw the same.
pub(crate) struct Draw<'a> {
    fs: &'a Fs,
    bytes: [u8; DRAW_BYTES],
    left: usize,
}

impl Draw<'_> {
    /// Bytes that were not given out before.
    pub(crate) fn random<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        const { assert!(N <= DRAW_BYTES) };
        if self.left < N {
            self.bytes = self.fs.random()?;
            self.left = DRAW_BYTES;
        }
        let mut drawn = [0; N];
        drawn.copy_from_slice(&self.bytes[self.left - N..self.left]);
        self.left -= N;
        Ok(drawn)
    }
}
