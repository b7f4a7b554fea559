//! Computes how many descriptors, and so how many connections, this process can hold.

use std::io;
use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What "unlimited" counts as: the kernel's own ceiling per process (`fs.nr_open`) unless someone raised it.
const CEILING: u64 = 1 << 20;

/// Descriptors kept for everything that is not a client's: standard streams, listener, log, PID file, file watching,
/// runtime, name lookups, probes, and the few connections that are answered above the limit.
const RESERVE: u64 = 64;

/// Descriptors of the pipes that relays share, at most; four serve one tunnel (two pipes) while its bytes wait.
const PIPES: u64 = 256;

/// Connections to upstreams that are kept between requests, at most.
const KEPT: u64 = 4096;

/// Raises the soft limit on open descriptors to the hard one and returns the limit that holds then.
///
/// # Errors
/// Those of setrlimit(2). The old limit stays in force then; [`nofile`] returns it.
pub fn raise_nofile() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(nofile())
}

/// The soft limit on open descriptors; "unlimited" counts as 1,048,576.
pub fn nofile() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(CEILING)
}

/// How many descriptors the shared pipes may take under a limit of `nofile`: 256, but at most an eighth of it.
/// Always a multiple of four, so that every tunnel that gets pipes gets both.
pub fn pipe_descriptors_for(nofile: u64) -> usize {
    // At most PIPES, so that the cast loses nothing.
    (PIPES.min(nofile / 8) & !3) as usize
}

/// How many connections to upstreams may be kept unused under a limit of `nofile`: 4,096, but at most an eighth of it.
pub fn kept_connections_for(nofile: u64) -> usize {
    // At most KEPT, so that the cast loses nothing.
    KEPT.min(nofile / 8) as usize
}

/// How many client connections fit under a limit of `nofile` descriptors.
///
/// A tunnel takes two (one a side); 64 are kept in reserve, [`pipe_descriptors_for`] are the shared pipes' and
/// [`kept_connections_for`] those of connections that wait for a request: `(nofile - 64 - pipes - kept) / 2`, at least 1.
pub fn max_connections_for(nofile: u64) -> NonZeroUsize {
    let shared = pipe_descriptors_for(nofile) + kept_connections_for(nofile);
    let left = nofile.saturating_sub(RESERVE).saturating_sub(shared as u64);
    usize::try_from(left / 2).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_soft_limit_rises_to_the_hard_one() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        assert_eq!(raise_nofile().unwrap(), maximum.unwrap_or(CEILING));
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
        assert_eq!(raise_nofile().unwrap(), nofile(), "a second call changes nothing");
    }

    #[test]
    fn connections_by_limit() {
        for (nofile, pipes, kept, connections) in [
            (0, 0, 0, 1),
            (64, 8, 8, 1),
            (256, 32, 32, 64),
            (1024, 128, 128, 352),
            (2048, 256, 256, 736),
            (65_536, 256, 4096, 30_560),
            (CEILING, 256, 4096, 522_080),
        ] {
            assert_eq!((pipe_descriptors_for(nofile), kept_connections_for(nofile)), (pipes, kept), "{nofile}");
            assert_eq!(max_connections_for(nofile).get(), connections, "{nofile}");
        }
    }

    proptest! {
        #[test]
        fn what_is_promised_fits(nofile in 100_u64..=u64::MAX >> 1) {
            let shared = pipe_descriptors_for(nofile) + kept_connections_for(nofile);
            let used = 2 * max_connections_for(nofile).get() as u64 + shared as u64 + RESERVE;
            prop_assert!(used <= nofile);
            prop_assert!(used + 2 > nofile, "nothing is wasted");
        }
    }
}
