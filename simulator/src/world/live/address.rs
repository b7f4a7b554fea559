//! Each live run claims a block of loopback addresses that no other run uses.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// A run claims a block by listening on this address, the last one of the block, for as long as it needs the block.
const CLAIM: u8 = 254;
const CLAIM_PORT: u16 = 8080;
/// Blocks are in 127.128.0.0 to 127.254.255.255. Other tests use lower addresses.
const BLOCKS: u32 = 127 * 256;

/// A block of 254 addresses, which belongs to this run until the value is dropped.
#[derive(Debug)]
pub(super) struct Block {
    number: u32,
    _claim: TcpListener,
}

impl Block {
    /// Claims a free block. The search begins at a place that follows from the process id, so that simultaneous runs seldom try the same
    /// block.
    pub(super) fn claim() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..BLOCKS {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = (std::process::id().wrapping_mul(7919)).wrapping_add(turn) % BLOCKS;
            match TcpListener::bind((address(number, CLAIM), CLAIM_PORT)) {
                Ok(claim) => return Ok(Block { number, _claim: claim }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// The address of the host with that index, or `None` if the block has too few addresses.
    pub(super) fn address(&self, index: usize) -> Option<Ipv4Addr> {
        let last = u8::try_from(index + 1).ok().filter(|last| *last < CLAIM)?;
        Some(address(self.number, last))
    }
}

fn address(block: u32, last: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 128, 0, 0)) + block * 256 + u32::from(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_at_once_have_no_address_in_common() {
        let (one, other) = (Block::claim().unwrap(), Block::claim().unwrap());
        assert_ne!(one.number, other.number);
        assert!(one.address(0).unwrap().is_loopback() && one.address(252).is_some() && one.address(253).is_none());
    }
}
