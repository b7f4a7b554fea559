//! Tests when passwords are hashed, what a reload forgets of proven ones, and who is let in.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::*;
use crate::env::os::Os;

const KEY: [u8; 32] = [7; 32];

fn user(name: &str, password: Password) -> User {
    User { name: name.into(), password }
}

fn plain(name: &str, password: &str) -> User {
    user(name, Password::Plain(Secret::new(password)))
}

fn bcrypted(name: &str, password: &str) -> User {
    user(name, Password::Bcrypt(Secret::new(bcrypt::hash(password, 4).unwrap())))
}

fn argon2ed(name: &str, password: &str) -> User {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    let hash = cheap.hash_password_with_salt(password.as_bytes(), b"saltsaltsalt").unwrap();
    user(name, Password::Argon2(Secret::new(hash.to_string())))
}

fn authenticator(users: &[User]) -> Authenticator {
    Authenticator::with_key("proxy", users, hmac::Key::new(hmac::HMAC_SHA256, &KEY))
}

/// As a reload makes it.
fn reloaded(former: &Authenticator, users: &[User]) -> Authenticator {
    let config = Authentication::Basic { realm: "proxy".into(), users: users.to_vec(), close_after_refusal: false };
    Authenticator::new(&config, Some(former), &Os::new()).unwrap()
}

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

/// The verdict, and whether it took hashing.
fn ask(authenticator: &Authenticator, value: &str) -> (Result<String, Refusal>, bool) {
    match authenticator.begin(Some(value.as_bytes())) {
        Err(refusal) => (Err(refusal), false),
        Ok(Step::Known(user)) => (Ok(user.to_string()), false),
        Ok(Step::Verify(guess)) => (guess.verify().map(|user| user.to_string()).ok_or(Refusal::Wrong), true),
    }
}

#[test]
fn plain_passwords_need_no_hashing() {
    let authenticator = authenticator(&[plain("anna", "a:b c"), plain("bert", "")]);
    for (text, verdict) in [
        ("anna:a:b c", Ok("anna".to_owned())),
        ("bert:", Ok("bert".to_owned())),
        ("anna:a:b", Err(Refusal::Wrong)),
        ("anna:", Err(Refusal::Wrong)),
        ("Anna:a:b c", Err(Refusal::Wrong)),
        ("bert:a:b c", Err(Refusal::Wrong)),
        ("annaa::b c", Err(Refusal::Wrong)),
        ("nobody:a:b c", Err(Refusal::Wrong)),
        (":", Err(Refusal::Wrong)),
    ] {
        assert_eq!(ask(&authenticator, &basic(text)), (verdict, false), "{text}");
    }
}

#[test]
fn a_right_password_is_hashed_once_and_a_wrong_one_each_time() {
    for stored in [bcrypted("anna", "pass"), argon2ed("anna", "pass")] {
        let authenticator = authenticator(&[stored]);
        let anna = || Ok("anna".to_owned());
        assert_eq!(ask(&authenticator, &basic("anna:wrong")), (Err(Refusal::Wrong), true));
        assert_eq!(ask(&authenticator, &basic("anna:pass")), (anna(), true));
        assert_eq!(ask(&authenticator, &basic("anna:pass")), (anna(), false));
        assert_eq!(ask(&authenticator, &basic("anna:wrong")), (Err(Refusal::Wrong), true));
        assert_eq!(ask(&authenticator, &basic("anna:wrong")), (Err(Refusal::Wrong), true));
        assert_eq!(ask(&authenticator, &basic("anna:pass")), (anna(), false));
    }
}

#[test]
fn where_one_password_is_a_hash_every_wrong_guess_is_hashed() {
    let authenticator = authenticator(&[plain("anna", "pass"), bcrypted("bert", "secret")]);
    assert_eq!(ask(&authenticator, &basic("anna:pass")), (Ok("anna".into()), false));
    // The decoy's own password opens nothing.
    for text in ["anna:wrong", "anna:secret", "nobody:pass", "nobody:secret", "bert:pass"] {
        assert_eq!(ask(&authenticator, &basic(text)), (Err(Refusal::Wrong), true), "{text}");
        assert_eq!(ask(&authenticator, &basic(text)), (Err(Refusal::Wrong), true), "again: {text}");
    }
}

#[test]
fn a_reload_forgets_no_proven_password_of_an_unchanged_user() {
    let (anna, bert) = (argon2ed("anna", "pass"), bcrypted("bert", "secret"));
    let first = authenticator(&[anna.clone(), bert.clone()]);
    for text in ["anna:pass", "bert:secret"] {
        assert!(ask(&first, &basic(text)).0.is_ok(), "{text}");
    }
    // Twice, since the second takes over from one that has proven nothing itself.
    let second = reloaded(&reloaded(&first, &[bert.clone(), anna.clone()]), &[anna, bert, plain("carl", "c")]);
    assert_eq!(ask(&second, &basic("anna:pass")), (Ok("anna".into()), false));
    assert_eq!(ask(&second, &basic("bert:secret")), (Ok("bert".into()), false));
    assert_eq!(ask(&second, &basic("carl:c")), (Ok("carl".into()), false));
    assert_eq!(ask(&second, &basic("anna:secret")), (Err(Refusal::Wrong), true));
}

#[test]
fn a_user_whom_a_reload_changed_or_removed_loses_what_was_proven() {
    let old = bcrypted("anna", "pass");
    let first = authenticator(&[old.clone(), plain("bert", "one")]);
    assert!(ask(&first, &basic("anna:pass")).0.is_ok());
    // The same password with another salt is another configured password.
    for changed in [bcrypted("anna", "pass"), bcrypted("anna", "other"), user("bert", old.password.clone())] {
        let right = ask(&reloaded(&first, std::slice::from_ref(&changed)), &basic("anna:pass"));
        assert!(right.1, "proven for a user that is no longer configured so: {changed:?}");
    }
    assert_eq!(ask(&reloaded(&first, &[plain("bert", "two")]), &basic("bert:one")), (Err(Refusal::Wrong), false));
    // Away and back again is not unchanged.
    let back = reloaded(&reloaded(&first, &[plain("bert", "one")]), &[old]);
    assert_eq!(ask(&back, &basic("anna:pass")), (Ok("anna".into()), true));
}

#[test]
fn a_check_under_way_at_a_reload_counts_for_an_unchanged_user() {
    let anna = bcrypted("anna", "pass");
    let first = authenticator(std::slice::from_ref(&anna));
    let under_way = guess(&first, "anna:pass");
    let second = reloaded(&first, &[anna]);
    assert!(under_way.verify().is_some());
    assert_eq!(ask(&second, &basic("anna:pass")), (Ok("anna".into()), false));
}

/// The kinds of hash that a guess is hashed against, in order, and whose it was.
fn work(authenticator: &Authenticator, text: &str) -> (Vec<HashKind>, Option<Arc<str>>) {
    let mut kinds = Vec::new();
    let user = guess(authenticator, text).verify_by(|hash, guessed| {
        kinds.extend(hash.hash_kind());
        matches(hash, guessed)
    });
    kinds.sort();
    (kinds, user)
}

#[test]
fn a_wrong_guess_is_the_same_work_whoever_it_names() {
    let costlier = user("carl", Password::Bcrypt(Secret::new(bcrypt::hash("three", 5).unwrap())));
    let users = [argon2ed("anna", "one"), bcrypted("bert", "two"), costlier, bcrypted("dora", "four"), plain("e", "5")];
    let authenticator = authenticator(&users);
    let (kinds, nobody) = work(&authenticator, "nobody:x");
    assert_eq!((kinds.len(), nobody), (3, None), "one hashing of each kind: {kinds:?}");
    for text in ["anna:x", "bert:x", "carl:x", "dora:x", "e:x", "anna:two", "e:four", "nobody:one"] {
        assert_eq!(work(&authenticator, text), (kinds.clone(), None), "{text}");
    }
    // A right one is known by the answer, so it need not pay for others.
    let kind = users[1].password.hash_kind().unwrap();
    assert_eq!(work(&authenticator, "bert:two"), (vec![kind], Some("bert".into())));
}

#[test]
fn malformed_credentials_are_refused() {
    let authenticator = authenticator(&[plain("anna", "pass"), plain("\u{e9}", "\u{fc}")]);
    let encoded = STANDARD.encode("anna:pass");
    assert_eq!(encoded, "YW5uYTpwYXNz");
    for good in ["Basic YW5uYTpwYXNz", "bASIC YW5uYTpwYXNz", "Basic   YW5uYTpwYXNz", &basic("\u{e9}:\u{fc}")] {
        assert!(ask(&authenticator, good).0.is_ok(), "{good}");
    }
    for bad in [
        "",
        "Basic",
        "Basic ",
        "BasicYW5uYTpwYXNz",
        "Basic\tYW5uYTpwYXNz",
        "Bearer YW5uYTpwYXNz",
        "Basic YW5uYTpwYXNz=",
        "Basic YW5uYTpwYXN",
        "Basic YW5u YTpwYXNz",
        "Basic YW5uYTpwYXNz, Basic YW5uYTpwYXNz",
        "Basic YTpiYw",
        "Basic YTpiYx==",
        "Basic YTpi\u{e9}",
        "Basic -_-_",
        &basic("no colon"),
        &basic("anna:pass\0"),
        &basic("anna:pa\nss"),
        &format!("Basic {}", STANDARD.encode(b"\xe9:\xfc")),
    ] {
        assert_eq!(ask(&authenticator, bad), (Err(Refusal::Malformed), false), "{bad}");
    }
    assert_eq!(authenticator.begin(None).err(), Some(Refusal::Missing));
    assert_eq!(authenticator.begin(Some(b"Basic \xff")).err(), Some(Refusal::Malformed));
}

#[test]
fn several_credentials_are_refused() {
    let mut fields = Fields::new();
    assert_eq!(credentials(&fields, "proxy-authorization"), Ok(None));
    fields.push("Proxy-Authorization", "Basic YTpi");
    assert_eq!(credentials(&fields, "proxy-authorization"), Ok(Some(&b"Basic YTpi"[..])));
    fields.push("proxy-authorization", "Basic YTpi");
    assert_eq!(credentials(&fields, "proxy-authorization"), Err(Refusal::Malformed));
}

#[test]
fn the_realm_is_quoted() {
    assert_eq!(challenge(r#"a "b" \c"#), r#"Basic realm="a \"b\" \\c", charset="UTF-8""#);
    assert_eq!(authenticator(&[]).challenge(), r#"Basic realm="proxy", charset="UTF-8""#);
}

#[test]
fn a_refusal_has_its_status() {
    for refusal in [Refusal::Missing, Refusal::Malformed, Refusal::Wrong] {
        assert_eq!(refusal.status(), 407);
    }
    assert_eq!(Refusal::Busy.status(), 503);
}

#[test]
fn digests_keep_parts_apart() {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &KEY);
    assert_ne!(digest(&key, &["ab", "c"]), digest(&key, &["a", "bc"]));
    assert_ne!(digest(&key, &["abc"]), digest(&key, &["abc", ""]));
    assert_ne!(digest(&key, &["a"]), digest(&hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]), &["a"]));
}

/// A wrong or right guess on its way to being hashed.
fn guess(authenticator: &Authenticator, text: &str) -> Guess {
    match authenticator.begin(Some(basic(text).as_bytes())) {
        Ok(Step::Verify(guess)) => guess,
        _ => panic!("{text} needs no hashing"),
    }
}

async fn is_pending(future: Pin<&mut impl Future>) -> bool {
    let mut future = future;
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn those_who_ask_the_same_at_once_share_one_hashing() {
    for (text, verdict) in [("anna:pass", Ok("anna".into())), ("anna:wrong", Err(Refusal::Wrong))] {
        let authenticator = authenticator(&[bcrypted("anna", "pass")]);
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let mut first = Box::pin(authenticator.settle(guess(&authenticator, text), async |guess: Guess| {
            is_done.await.unwrap();
            Ok(guess.verify())
        }));
        let unused = async |_| panic!("hashed twice");
        let mut second = Box::pin(authenticator.settle(guess(&authenticator, text), unused));
        assert!(is_pending(first.as_mut()).await && is_pending(second.as_mut()).await);
        // Another guess does not wait for them.
        let other = authenticator.settle(guess(&authenticator, "anna:other"), async |guess: Guess| Ok(guess.verify()));
        assert_eq!(other.await, Err(Refusal::Wrong));
        done.send(()).unwrap();
        assert_eq!(first.await, verdict);
        assert_eq!(second.await, verdict);
        assert!(authenticator.running.lock().is_empty());
    }
}

#[tokio::test]
async fn whoever_waits_takes_over_from_one_who_left_or_found_no_room() {
    let authenticator = authenticator(&[bcrypted("anna", "pass")]);
    let mut first = Box::pin(authenticator.settle(guess(&authenticator, "anna:pass"), |_| pending()));
    let mut second = Box::pin(authenticator.settle(guess(&authenticator, "anna:pass"), async |_| Err(Busy)));
    let verify = async |guess: Guess| Ok(guess.verify());
    let mut third = Box::pin(authenticator.settle(guess(&authenticator, "anna:pass"), verify));
    for waiting in
        [is_pending(first.as_mut()).await, is_pending(second.as_mut()).await, is_pending(third.as_mut()).await]
    {
        assert!(waiting);
    }
    drop(first);
    assert_eq!(second.await, Err(Refusal::Busy));
    assert_eq!(third.await, Ok("anna".into()));
    assert!(authenticator.running.lock().is_empty());
}
