//! Lists all faults.

use super::{before, handshake, plain, reply, tunnel, whole};
use crate::fault::Fault;

/// Every fault, in the order of the families.
pub const CATALOGUE: &[Fault] = &[
    before::refuse::FAULT,
    before::accept_close::FAULT,
    before::accept_reset::FAULT,
    before::accept_silent::FAULT,
    before::backlog_full::FAULT,
    before::accept_late::FAULT,
    handshake::certificate_expired::FAULT,
    handshake::certificate_other_name::FAULT,
    handshake::certificate_untrusted::FAULT,
    handshake::alert::FAULT,
    handshake::http::FAULT,
    handshake::cut::FAULT,
    reply::status::STATUS_400,
    reply::status::STATUS_401,
    reply::status::STATUS_403,
    reply::status::STATUS_404,
    reply::status::STATUS_407,
    reply::status::STATUS_407_BARE,
    reply::status::STATUS_408,
    reply::status::STATUS_429,
    reply::status::STATUS_500,
    reply::status::STATUS_502,
    reply::status::STATUS_503,
    reply::status::STATUS_504,
    reply::status::STATUS_204,
    reply::status::REDIRECT,
    reply::status::STATUS,
    reply::unusual::informational::FAULT,
    reply::unusual::length_on_200::FAULT,
    reply::unusual::chunked_on_200::FAULT,
    reply::unusual::http_10::FAULT,
    reply::unusual::no_reason::FAULT,
    reply::timing::drip::FAULT,
    reply::head_length::cut_head::FAULT,
    reply::head_length::endless_head::FAULT,
    reply::head_length::unfinished_head::FAULT,
    reply::head_length::large_line::FAULT,
    reply::head_length::many_lines::FAULT,
    reply::malformed::bare_lf::FAULT,
    reply::malformed::folded_line::FAULT,
    reply::malformed::nul::FAULT,
    reply::malformed::negative_number::FAULT,
    reply::malformed::absurd_number::FAULT,
    reply::malformed::absurd_length::FAULT,
    reply::malformed::http_99::FAULT,
    reply::malformed::garbage::FAULT,
    reply::malformed::tls_bytes::FAULT,
    reply::malformed::http2_preface::FAULT,
    reply::after_200::early_200_reset::FAULT,
    reply::after_200::stalled_tunnel::FAULT,
    reply::after_200::glued::FAULT,
    reply::timing::reply_first::FAULT,
    reply::after_200::two_replies::FAULT,
    reply::timing::reply_close::FAULT,
    reply::timing::reply_reset::FAULT,
    reply::timing::reply_never::FAULT,
    reply::timing::reply_late::FAULT,
    tunnel::pace::latency::FAULT,
    tunnel::pace::bandwidth::FAULT,
    tunnel::bytes::slice::FAULT,
    tunnel::pace::stall::FAULT,
    tunnel::end::cut::FAULT,
    tunnel::end::tunnel_reset::FAULT,
    tunnel::end::timed_cut::FAULT,
    tunnel::end::timed_reset::FAULT,
    tunnel::end::half_close::FAULT,
    tunnel::end::close_late::FAULT,
    tunnel::bytes::corrupt::FAULT,
    tunnel::bytes::duplicate::FAULT,
    tunnel::pace::never_read::FAULT,
    plain::length_too_long::FAULT,
    plain::length_too_short::FAULT,
    plain::broken_chunk::FAULT,
    plain::cut_body::FAULT,
    plain::reset_body::FAULT,
    plain::endless_body::FAULT,
    plain::reused_close::FAULT,
    plain::keep_alive_lie::FAULT,
    plain::trailers::FAULT,
    plain::large_field::FAULT,
    whole::flap::FAULT,
    whole::die::FAULT,
    whole::brown_out::FAULT,
    whole::leak::FAULT,
    whole::blame_shifting::FAULT,
];

impl Fault {
    /// Finds the fault of that name.
    pub fn named(name: &str) -> Option<&'static Fault> {
        CATALOGUE.iter().find(|fault| fault.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fault_needs_is_what_it_does() {
        let needing =
            |need| CATALOGUE.iter().filter(move |fault| fault.needs().contains(&need)).map(|fault| fault.name);
        assert_eq!(needing("listener").collect::<Vec<_>>(), ["refuse", "backlog-full", "flap", "die"]);
        let resets = ["accept-reset", "early-200-reset", "reply-reset", "tunnel-reset", "timed-reset", "body-reset"];
        assert_eq!(needing("reset").collect::<Vec<_>>(), resets);
    }

    #[test]
    fn names_are_told_apart_and_the_readme_explains_them_all() {
        let readme = include_str!("../../README.md");
        let mut names: Vec<&str> = CATALOGUE.iter().map(|fault| fault.name).collect();
        for fault in CATALOGUE {
            let row = format!("| `{}` | {} |", fault.name, fault.summary);
            assert!(readme.contains(&row), "README.md lacks the row\n{row}");
            for setting in fault.settings {
                assert!(readme.contains(&format!("`{}`", setting.name)), "README.md lacks {}", setting.name);
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CATALOGUE.len());
    }
}
