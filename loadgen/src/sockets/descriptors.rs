//! Reads and raises the limit on the file descriptors of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of streams: standard ones, timers, journals, the runtime's.
const OTHER_DESCRIPTORS: u64 = 64;

/// Raises the soft descriptor limit to the hard one, and checks that `streams` fit.
pub(crate) fn fit_descriptors(streams: usize) -> Result<(), String> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused raises leave the old limit, which is looked at next.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let fit = current.saturating_sub(OTHER_DESCRIPTORS);
    if streams as u64 > fit {
        return Err(format!(
            "{streams} connections at once need more than the {current} descriptors this process may have; \
             raise the limit (ulimit -n) or ask for at most {fit} (--clients, --max-in-flight)"
        ));
    }
    Ok(())
}
