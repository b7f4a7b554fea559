//! Faults in the TLS handshake of an upstream that speaks TLS.

pub(super) mod alert;
pub(super) mod certificate_expired;
pub(super) mod certificate_other_name;
pub(super) mod certificate_untrusted;
pub(super) mod cut;
pub(super) mod http;
