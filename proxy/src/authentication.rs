//! Checks who asks, by Basic credentials in Proxy-Authorization (RFC 7617, RFC 9110 section 11.7).
//!
//! The time that a refusal takes must not show whether the user exists or how much of the password was right. So names
//! and passwords are compared as keyed digests. If passwords are hashes, every wrong guess takes the same work, whichever
//! user it names: one hashing of each [kind](HashKind) that is configured. A known user's password is checked against that
//! user's own hash; all other hashings are done only for the work. The costliest kind alone would not be enough: a cheap
//! hash and the costliest would be more work than an unknown user's, and the costs of bcrypt and argon2 can't be compared.
//!
//! A password that was once proven right is remembered as a digest, so that each user costs one hashing per process.
//! A reload builds another [`Authenticator`], which takes over the accounts whose name and configured password are
//! unchanged. A user whose password was changed has to prove the new one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, OnceLock};

use argon2::{Argon2, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::config::{Authentication, HashKind, Password, Secret, User};
use crate::env::{Busy, Env, Lock};
use crate::http::head::Fields;

/// A keyed digest. Without the key it shows nothing of the text, and comparing it leaks nothing.
type Digest = [u8; 32];

/// Checks clients against the configured users.
pub struct Authenticator {
    challenge: String,
    /// Of this process: an account that is taken over holds a digest made with it.
    key: hmac::Key,
    /// By the digest of their names.
    accounts: BTreeMap<Digest, Arc<Account>>,
    /// A hash of each kind that is configured. A wrong guess is checked against them, only for the work.
    decoys: Arc<BTreeMap<HashKind, Password>>,
    /// Hashing under way, by the digest of name and password: those who ask the same wait for the one answer, so
    /// that the clients that all come back after a reload don't fill the hashing queue.
    running: Lock<Running>,
}

type Running = BTreeMap<Digest, Pending>;

/// A check of one password, and how many wait for what comes of it.
#[derive(Default)]
struct Pending {
    check: Arc<PasswordCheck>,
    waiting: usize,
}

/// The user whose credentials were right, once known.
type PasswordCheck = OnceCell<Option<Arc<str>>>;

struct Account {
    name: Arc<str>,
    /// As configured: what was proven holds for this alone.
    password: Password,
    /// The digest of the name and the right password: from the start for a plain one, else once it was verified.
    proven: OnceLock<Digest>,
}

/// Why a client was not let in. The connection may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No credentials came.
    #[error("proxy credentials are required")]
    Missing,
    /// Not one field with Basic credentials in base64 of `user:password` in UTF-8.
    #[error("malformed proxy credentials: one Proxy-Authorization field of the Basic scheme is expected")]
    Malformed,
    /// Unknown user or wrong password; which of them is not said.
    #[error("wrong user or password")]
    Wrong,
    /// Too many passwords are being verified.
    #[error("too many logins at once; try again")]
    Busy,
}

impl Refusal {
    /// The status the client is answered with. 407 goes with [`Authenticator::challenge`], 503 with Retry-After.
    pub fn status(self) -> u16 {
        if self == Refusal::Busy { 503 } else { 407 }
    }

    /// The word for logs and metric labels.
    pub fn token(self) -> &'static str {
        match self {
            Refusal::Missing => "no_credentials",
            Refusal::Malformed => "bad_credentials",
            Refusal::Wrong => "wrong_credentials",
            Refusal::Busy => "login_busy",
        }
    }
}

/// The one value of the credentials field `name` (`proxy-authorization`, or `authorization` for our own pages).
///
/// # Errors
/// [`Refusal::Malformed`] where there are several: a reader behind us might take another one.
pub fn credentials<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a [u8]>, Refusal> {
    fields.get_one(name).map_err(|_| Refusal::Malformed)
}

/// The value of Proxy-Authenticate that asks for Basic credentials.
pub fn challenge(realm: &str) -> String {
    let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
    format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"")
}

impl Authenticator {
    /// For the configured users; `None` where anyone may come. What the `former` one has proven of users who are
    /// unchanged stays known.
    pub fn new<E: Env>(config: &Authentication, former: Option<&Authenticator>, env: &E) -> Option<Self> {
        let Authentication::Basic { realm, users, .. } = config else {
            return None;
        };
        let Some(former) = former else {
            let mut key = [0; 32];
            for word in key.chunks_exact_mut(8) {
                word.copy_from_slice(&env.rand_u64().to_le_bytes());
            }
            return Some(Authenticator::with_key(realm, users, hmac::Key::new(hmac::HMAC_SHA256, &key)));
        };
        let mut next = Authenticator::with_key(realm, users, former.key.clone());
        next.take_over(&former.accounts);
        Some(next)
    }

    fn with_key(realm: &str, users: &[User], key: hmac::Key) -> Self {
        let accounts: BTreeMap<_, _> = users
            .iter()
            .map(|user| {
                let proven = match &user.password {
                    Password::Plain(text) => digest(&key, &[&user.name, text.expose()]).into(),
                    Password::Bcrypt(_) | Password::Argon2(_) => OnceLock::new(),
                };
                let account = Account { name: user.name.as_str().into(), password: user.password.clone(), proven };
                (digest(&key, &[&user.name]), Arc::new(account))
            })
            .collect();
        let decoys = users.iter().filter_map(|user| Some((user.password.hash_kind()?, user.password.clone())));
        let decoys = Arc::new(decoys.collect());
        Authenticator { challenge: challenge(realm), key, accounts, decoys, running: Lock::default() }
    }

    /// Puts those of `former` that are the same user with the same configured password in the place of ours. They are
    /// shared, so that a check which is under way under the former configuration counts too.
    fn take_over(&mut self, former: &BTreeMap<Digest, Arc<Account>>) {
        for (name, account) in &mut self.accounts {
            if let Some(known) = former.get(name)
                && known.password == account.password
            {
                *account = Arc::clone(known);
            }
        }
    }

    /// What goes with a 407.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The user whose credentials `value` holds. Cancel safe.
    ///
    /// # Errors
    /// Why the client is not let in.
    pub async fn check<E: Env>(&self, env: &E, value: Option<&[u8]>) -> Result<Arc<str>, Refusal> {
        match self.begin(value)? {
            Step::Known(user) => Ok(user),
            Step::Verify(guess) => self.settle(guess, |guess| env.offload(move || guess.verify())).await,
        }
    }

    /// All that can be said without hashing.
    fn begin(&self, value: Option<&[u8]>) -> Result<Step, Refusal> {
        let (name, password) = parse_basic(value.ok_or(Refusal::Missing)?)?;
        let account = self.accounts.get(&digest(&self.key, &[&name]));
        let digest = digest(&self.key, &[&name, password.expose()]);
        let proven = account.and_then(|account| account.proven.get()).unwrap_or(&[0; 32]);
        let is_proven: bool = proven.ct_eq(&digest).into();
        if let Some(account) = account
            && is_proven
        {
            return Ok(Step::Known(Arc::clone(&account.name)));
        }
        if self.decoys.is_empty() {
            return Err(Refusal::Wrong);
        }
        let claim = account.and_then(|account| Some((Arc::clone(account), account.password.hash_kind()?)));
        Ok(Step::Verify(Guess { claim, decoys: Arc::clone(&self.decoys), password, digest }))
    }

    /// Waits until `guess` is checked. Of those who wait for the same guess, one at a time hashes it.
    async fn settle<F>(&self, guess: Guess, verify: impl FnOnce(Guess) -> F) -> Result<Arc<str>, Refusal>
    where
        F: Future<Output = Result<Option<Arc<str>>, Busy>>,
    {
        let turn = self.join(guess.digest);
        let checked = turn.check.get_or_try_init(|| verify(guess)).await;
        checked.map_err(|Busy| Refusal::Busy)?.clone().ok_or(Refusal::Wrong)
    }

    /// Joins those who wait for the check of the same guess.
    fn join(&self, digest: Digest) -> Turn<'_> {
        let mut running = self.running.lock();
        let pending = running.entry(digest).or_default();
        pending.waiting += 1;
        Turn { digest, check: Arc::clone(&pending.check), running: &self.running }
    }
}

/// What [`Authenticator::begin`] came to.
enum Step {
    /// The credentials were seen before and are right.
    Known(Arc<str>),
    /// They have to be hashed.
    Verify(Guess),
}

/// A password on its way to being hashed.
struct Guess {
    /// Whose it claims to be, and the kind of that user's hash; `None`: it is wrong whatever any hash says.
    claim: Option<(Arc<Account>, HashKind)>,
    decoys: Arc<BTreeMap<HashKind, Password>>,
    password: Secret,
    digest: Digest,
}

impl Guess {
    /// Hashes it (slow, on purpose) and remembers it where it was right.
    fn verify(self) -> Option<Arc<str>> {
        self.verify_by(matches)
    }

    /// As [`Guess::verify`], where `matches` does the hashing.
    fn verify_by(self, mut matches: impl FnMut(&Password, &str) -> bool) -> Option<Arc<str>> {
        let guessed = self.password.expose();
        let mut hashed = None;
        if let Some((account, kind)) = self.claim {
            if matches(&account.password, guessed) {
                // One password per user is remembered; it stays where a bcrypt hash also takes a longer one.
                account.proven.get_or_init(|| self.digest);
                return Some(Arc::clone(&account.name));
            }
            hashed = Some(kind);
        }
        for (_, decoy) in self.decoys.iter().filter(|(kind, _)| hashed.as_ref() != Some(kind)) {
            // The right password of somebody else, perhaps; it opens nothing.
            let _ = matches(decoy, guessed);
        }
        None
    }
}

/// Hashes `guessed` as `configured` was and compares.
fn matches(configured: &Password, guessed: &str) -> bool {
    match configured {
        // Compared as a digest, long before.
        Password::Plain(_) => false,
        // Bytes behind the 72nd don't count, as in the tools that make such hashes.
        Password::Bcrypt(hash) => bcrypt::verify(guessed, hash.expose()).unwrap_or(false),
        Password::Argon2(hash) => Argon2::default().verify_password(guessed.as_bytes(), hash.expose()).is_ok(),
    }
}

/// One of those who wait for the same check. The last of them to leave removes it.
struct Turn<'a> {
    digest: Digest,
    check: Arc<PasswordCheck>,
    running: &'a Lock<Running>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if let Entry::Occupied(mut pending) = running.entry(self.digest) {
            pending.get_mut().waiting -= 1;
            if pending.get().waiting == 0 {
                pending.remove();
            }
        }
    }
}

/// Reads `Basic` credentials: name and password.
fn parse_basic(value: &[u8]) -> Result<(String, Secret), Refusal> {
    let value = str::from_utf8(value).map_err(|_| Refusal::Malformed)?;
    let (scheme, encoded) = value.split_once(' ').ok_or(Refusal::Malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::Malformed);
    }
    // Padded and canonical, as RFC 7617 has it and every client sends it.
    let decoded = STANDARD.decode(encoded.trim_start_matches(' ')).map_err(|_| Refusal::Malformed)?;
    let text = String::from_utf8(decoded).map_err(|_| Refusal::Malformed)?;
    if text.chars().any(char::is_control) {
        return Err(Refusal::Malformed);
    }
    let (name, password) = text.split_once(':').ok_or(Refusal::Malformed)?;
    Ok((name.to_owned(), Secret::new(password)))
}

/// Each part with its length before it, so that no two lists of parts make the same digest.
fn digest(key: &hmac::Key, parts: &[&str]) -> Digest {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

#[cfg(test)]
mod tests;
