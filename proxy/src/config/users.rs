//! Reads the `authentication` section: users, and the forms in which a password may be given.

use std::collections::BTreeMap;
use std::fmt;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params};

use super::reading::Reading;
use super::{Authentication, Password, Secret, User, raw};

/// The costliest bcrypt hash accepted: about a second of one core for every first request of a user.
const MAX_BCRYPT_COST: u32 = 14;
/// The most memory an accepted argon2 hash takes, in KiB.
const MAX_ARGON2_MEMORY: u32 = 256 * 1024;
/// The most passes over it.
const MAX_ARGON2_PASSES: u32 = 10;
/// The most lanes.
const MAX_ARGON2_LANES: u32 = 16;

/// How hashes begin of kinds that are not supported: of crypt(5), of htpasswd, of PHP and Python, and of LDAP directories.
const OTHER_HASHES: [&str; 24] = [
    "$1$", "$2$", "$2x$", "$3$", "$5$", "$6$", "$7$", "$apr1$", "$gy$", "$md5", "$sha1$", "$sm3$", "$y$", "$P$", "$H$",
    "$pbkdf2", "$scrypt$", "{CRYPT}", "{MD5}", "{PBKDF2", "{SHA}", "{SHA2", "{SMD5}", "{SSHA",
];

pub(super) fn read(raw: raw::Authentication, reading: &mut Reading<'_>) -> Option<Authentication> {
    let mut seen = BTreeMap::new();
    let mut users = Vec::new();
    let count = raw.users.len();
    for (index, user) in raw.users.into_iter().enumerate() {
        let at = format!("authentication.users[{index}]");
        let Some(user) = user.and_then(|user| read_user(user, &at, reading)) else { continue };
        if let Some(first) = seen.insert(user.name.clone(), index) {
            reading.problems.add(format!("{at}.username"), format!("is the same as authentication.users[{first}]"));
        }
        users.push(user);
    }
    let realm_ok = raw.realm.chars().all(|c| (c.is_ascii_graphic() || c == ' ') && c != '"' && c != '\\');
    if !realm_ok {
        reading.problems.add("authentication.realm", "must be printable ASCII without '\"' and '\\'");
    }
    if !raw.enabled {
        if count > 0 {
            reading.warnings.push("authentication: users are given, but enabled is false: nobody is asked".to_owned());
        }
        return Some(Authentication::Off);
    }
    if count == 0 && !reading.problems.touch("authentication.users") {
        reading.problems.add("authentication.users", "needs at least one user where authentication is enabled");
    }
    Some(Authentication::Basic { realm: raw.realm, users, close_after_refusal: raw.close_after_refusal })
}

fn read_user(raw: raw::User, at: &str, reading: &mut Reading<'_>) -> Option<User> {
    let name = raw.username.and_then(|name| reading.good(&format!("{at}.username"), read_name(name)));
    let password = raw.password.and_then(|text| reading.good(&format!("{at}.password"), read_password(text)));
    Some(User { name: name?, password: password? })
}

fn read_name(name: String) -> Result<String, String> {
    if name.is_empty() {
        Err("must not be empty".to_owned())
    } else if name.contains(':') {
        Err("must not contain \":\", which ends the name in Basic authentication".to_owned())
    } else if name.contains(char::is_control) {
        Err("must not contain control characters".to_owned())
    } else {
        Ok(name)
    }
}

fn read_password(text: Secret) -> Result<Password, String> {
    let shown = text.expose();
    if shown.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if shown.contains(char::is_control) {
        return Err("must not contain control characters, a line break among them".to_owned());
    }
    if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| shown.starts_with(prefix)) {
        return check_bcrypt(shown).map(|()| Password::Bcrypt(text));
    }
    if shown.starts_with("$argon2") {
        return check_argon2(shown).map(|()| Password::Argon2(text));
    }
    // Taken as plain text, a hash of another kind would let in whoever presents the hash itself.
    let begins_like = |prefix: &&str| shown.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if OTHER_HASHES.iter().any(begins_like) {
        return Err(
            "is a hash of a kind not supported; give bcrypt or argon2 (`proxy hash-password` makes one)".to_owned()
        );
    }
    // An argon2 hash in an `.env` file without single quotes: its words behind a dollar sign were taken for variables.
    if shown.starts_with("=19") && shown.contains(",t=") && shown.contains(",p=") {
        return Err(
            "is what is left of an argon2 hash whose dollar signs were taken for variables; put it into single \
                    quotes where it comes from (.env)"
                .to_owned(),
        );
    }
    Ok(Password::Plain(text))
}

fn check_bcrypt(hash: &str) -> Result<(), String> {
    let parts: bcrypt::HashParts = hash.parse().map_err(|_| "is not a well-formed bcrypt hash")?;
    if (4..=MAX_BCRYPT_COST).contains(&parts.get_cost()) {
        Ok(())
    } else {
        Err(format!("the bcrypt cost must be from 4 to {MAX_BCRYPT_COST} (got {})", parts.get_cost()))
    }
}

fn check_argon2(hash: &str) -> Result<(), String> {
    const MALFORMED: &str = "is not a well-formed argon2 hash";
    let parsed = PasswordHash::new(hash).map_err(|_| MALFORMED)?;
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str());
    let params = Params::try_from(&parsed).map_err(|_| MALFORMED)?;
    if algorithm.is_err() || parsed.salt.is_none() || parsed.hash.is_none() {
        return Err(MALFORMED.to_owned());
    }
    for (name, value, most) in [
        ("memory (m, in KiB)", params.m_cost(), MAX_ARGON2_MEMORY),
        ("passes (t)", params.t_cost(), MAX_ARGON2_PASSES),
        ("lanes (p)", params.p_cost(), MAX_ARGON2_LANES),
    ] {
        if value > most {
            return Err(format!("the argon2 {name} must be {most} or less (got {value})"));
        }
    }
    Ok(())
}

/// What the work of checking a password against a hash depends on: algorithm and cost, without salt and digest. Hashes
/// of one kind take the same work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashKind(String);

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Password {
    /// The kind of the hash; `None` for a password that stands as itself.
    pub fn hash_kind(&self) -> Option<HashKind> {
        let kind = match self {
            Password::Plain(_) => return None,
            // `$2b$12$`, then salt and digest in one: 2a, 2b and 2y differ in no work.
            Password::Bcrypt(hash) => format!("bcrypt cost {}", hash.expose().split('$').nth(2).unwrap_or_default()),
            // `$argon2id$v=19$m=19456,t=2,p=1$salt$digest`
            Password::Argon2(hash) => {
                hash.expose().rsplitn(3, '$').nth(2).unwrap_or_default().trim_start_matches('$').to_owned()
            }
        };
        Some(HashKind(kind))
    }
}

/// The argon2id hash of `password`, as it may stand in the configuration (`proxy hash-password`).
///
/// # Errors
/// An empty password, one with control characters, or a system without random numbers.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.is_empty() || password.contains(char::is_control) {
        return Err("the password must not be empty or contain control characters".to_owned());
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|err| format!("can't hash the password: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Result<Password, String> {
        read_password(Secret::new(text))
    }

    #[test]
    fn knows_hashes_by_their_prefix() {
        let bcrypt = bcrypt::hash("Proxy234", 4).unwrap();
        assert!(matches!(password(&bcrypt), Ok(Password::Bcrypt(hash)) if hash.expose() == bcrypt));
        let argon2 = hash_password("Proxy234").unwrap();
        assert!(argon2.starts_with("$argon2id$v=19$"), "{argon2}");
        assert!(matches!(password(&argon2), Ok(Password::Argon2(hash)) if hash.expose() == argon2));
        assert!(matches!(password("$2 bills"), Ok(Password::Plain(_))));
    }

    #[test]
    fn what_makes_a_hash_costlier_makes_another_kind() {
        let bcrypt = |text: &str| Password::Bcrypt(Secret::new(text)).hash_kind().unwrap();
        assert_eq!(bcrypt("$2b$12$abc"), bcrypt("$2y$12$xyz"));
        assert_ne!(bcrypt("$2b$12$abc"), bcrypt("$2b$11$abc"));
        let argon2 = |text: &str| Password::Argon2(Secret::new(text)).hash_kind().unwrap();
        let text = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$ZGlnZXN0";
        assert_eq!(argon2(text).to_string(), "argon2id$v=19$m=19456,t=2,p=1");
        assert_eq!(argon2(text), argon2("$argon2id$v=19$m=19456,t=2,p=1$other$digest"));
        for (old, new) in
            [("argon2id", "argon2i"), ("v=19", "v=16"), ("m=19456", "m=8"), ("t=2", "t=3"), ("p=1", "p=2")]
        {
            assert_ne!(argon2(text), argon2(&text.replace(old, new)), "{new}");
        }
        assert_eq!(Password::Plain(Secret::new("x")).hash_kind(), None);
    }

    #[test]
    fn refuses_hashes_that_are_broken_costly_or_unknown() {
        let costly = format!("$2b$15${}", &bcrypt::hash("x", 4).unwrap()[7..]);
        let salt_and_hash = "$c29tZXNhbHRzb21lc2FsdA$Iq2+sbGWTQ9XfSFNYjJFOFaHPTdpLaSKrVyTJdhxXXk";
        for (text, what) in [
            ("$2b$12$short".to_owned(), "well-formed bcrypt"),
            (costly, "cost must be from 4 to 14 (got 15)"),
            ("$argon2id$nonsense".to_owned(), "well-formed argon2"),
            ("$argon2id$v=19$m=19456,t=2,p=1".to_owned(), "well-formed argon2"),
            (format!("$argon2xx$v=19$m=19456,t=2,p=1{salt_and_hash}"), "well-formed argon2"),
            (format!("$argon2id$v=19$m=300000,t=2,p=1{salt_and_hash}"), "must be 262144 or less (got 300000)"),
            (format!("$argon2id$v=19$m=19456,t=11,p=1{salt_and_hash}"), "must be 10 or less (got 11)"),
            (format!("$argon2id$v=19$m=19456,t=2,p=17{salt_and_hash}"), "must be 16 or less (got 17)"),
            ("$apr1$abc$def".to_owned(), "not supported"),
            ("$scrypt$ln=16,r=8,p=1$abc$def".to_owned(), "not supported"),
            ("$pbkdf2-sha256$29000$abc$def".to_owned(), "not supported"),
            ("$sha1$40000$abc$def".to_owned(), "not supported"),
            ("{ssha512}abc".to_owned(), "not supported"),
            ("{CRYPT}$6$abc$def".to_owned(), "not supported"),
            (String::new(), "must not be empty"),
            ("two\nlines".to_owned(), "control characters"),
        ] {
            let err = password(&text).expect_err(&text);
            assert!(err.contains(what), "{text}: {err}");
        }
        assert!(password(&format!("$argon2i$v=19$m=19456,t=2,p=1{salt_and_hash}")).is_ok());
    }

    #[test]
    fn hashes_differ_by_salt_and_refuse_what_could_not_be_sent() {
        assert_ne!(hash_password("x").unwrap(), hash_password("x").unwrap());
        assert!(hash_password("").is_err());
        assert!(hash_password("a\nb").is_err());
    }
}
