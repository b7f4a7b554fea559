//! Runs the checks against a subject.

use std::sync::Arc;

use super::bench::Bench;
use super::requirement::Requirement;
use super::requirements::all;
use crate::subject::{Feature, Subject};

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as demanded.
    Holds,
    /// It is otherwise; the text says what was seen.
    Broken(String),
    /// The subject lacks what the check needs; the text says why.
    NotChecked(String),
}

/// The requirements with what came of them.
pub struct Results {
    /// What the subject is called.
    pub title: String,
    /// In the order of the sections.
    pub outcomes: Vec<(&'static Requirement, Outcome)>,
}

impl Results {
    /// How many requirements are broken that count: those of level MUST, and where it is `strict` the others as well.
    pub fn broken(&self, strict: bool) -> usize {
        let broken = self.outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Broken(_)));
        broken.filter(|(requirement, _)| requirement.level.counts(strict)).count()
    }
}

/// Checks `subject` by all requirements whose section begins with `section`.
///
/// # Errors
/// The subject reads no HTTP, or does not start.
pub fn check(subject: &Arc<Subject>, section: &str) -> Result<Results, String> {
    let title = subject.file().title.clone();
    if let Some(why) = subject.lacks(Feature::Http) {
        return Err(format!("{title} lacks {}: {why}", Feature::Http));
    }
    let bench = Bench::start(subject, false)?;
    let mut with_user = None;
    let mut outcomes = Vec::new();
    for requirement in all().filter(|one| is_in(one.section, section)) {
        let lacks =
            requirement.needs.and_then(|feature| Some(format!("it lacks {feature}: {}", subject.lacks(feature)?)));
        let outcome = match (lacks, requirement.needs) {
            (Some(why), _) => Outcome::NotChecked(why),
            (None, Some(Feature::ClientAuthentication)) => {
                if with_user.is_none() {
                    with_user = Some(Bench::start(subject, true)?);
                }
                with_user.as_ref().map_or(Outcome::Holds, |bench| outcome(requirement, bench))
            }
            (None, _) => outcome(requirement, &bench),
        };
        outcomes.push((requirement, outcome));
    }
    Ok(Results { title, outcomes })
}

fn outcome(requirement: &Requirement, bench: &Bench) -> Outcome {
    (requirement.check)(bench).map_or_else(Outcome::Broken, |()| Outcome::Holds)
}

/// Whether `section` is `within` or a part of it: 9110-7.6.1 is in 9110-7.6, in 9110-7 and in 9110.
fn is_in(section: &str, within: &str) -> bool {
    section
        .strip_prefix(within)
        .is_some_and(|rest| within.is_empty() || rest.is_empty() || rest.starts_with(['.', '-']))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::conformance::Level;

    #[test]
    fn a_section_has_its_parts() {
        for (section, within, is) in [
            ("9110-7.6.1", "9110-7.6.1", true),
            ("9110-7.6.1", "9110-7.6", true),
            ("9110-7.6.1", "9110", true),
            ("9110-7.6.1", "", true),
            ("9110-15.2", "9110-1", false),
            ("9112-2.2", "9110", false),
        ] {
            assert_eq!(is_in(section, within), is, "{section} in {within}");
        }
    }

    /// Without a proxy nothing is mended, refused or marked; a mute one passes nothing on. No check holds with both.
    #[test]
    fn every_check_is_broken_without_a_proxy_or_by_a_mute_one() {
        let (direct, mute) = (Bench::direct(), Bench::of(drop));
        let blind = all().filter(|one| [&direct, &mute].iter().all(|bench| (one.check)(bench).is_ok()));
        assert_eq!(blind.map(|one| (one.section, one.text)).collect::<Vec<_>>(), []);
        let passed_on = all().filter(|one| (one.check)(&direct).is_ok()).map(|one| one.section);
        let passed_on: Vec<&str> = passed_on.collect();
        assert!(passed_on.contains(&"9110-5.1") && passed_on.contains(&"9110-15.2"), "{passed_on:?}");
    }

    #[test]
    fn no_check_holds_with_a_proxy_that_neither_answers_nor_ends() {
        let (held, holds) = std::sync::mpsc::channel();
        let silent = Bench::of(move |stream| drop(held.send(stream)));
        let blind = all().filter(|one| (one.check)(&silent).is_ok());
        assert_eq!(blind.map(|one| (one.section, one.text)).collect::<Vec<_>>(), []);
        drop(holds);
    }

    #[test]
    fn no_check_holds_with_a_proxy_that_is_gone_afterwards() {
        for one in all() {
            let refuses = |mut stream: TcpStream| {
                let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write(b"HTTP/1.1 400 Bad\r\n\r\n"));
            };
            let bench = Bench::of_one_connection(refuses);
            assert!((one.check)(&bench).is_err(), "{} {}", one.section, one.text);
        }
    }

    /// It reads the whole request before it answers, so that its client waits in vain for a word behind Expect.
    #[test]
    fn an_expectation_that_is_swallowed_is_broken() {
        let swallows = Bench::of(|mut stream: TcpStream| {
            let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
            while !got.ends_with(b"hello") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(length) => got.extend_from_slice(&buffer[..length]),
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        let expect = all().find(|one| one.section == "9110-10.1.1").unwrap();
        assert!((expect.check)(&swallows).is_err());
    }

    #[test]
    fn what_should_be_counts_where_it_is_strict() {
        let of = |level| all().find(|one| one.level == level).unwrap();
        let broken = || Outcome::Broken("x".to_owned());
        let outcomes =
            vec![(of(Level::Must), broken()), (of(Level::Should), broken()), (of(Level::Must), Outcome::Holds)];
        let outcomes = [outcomes, vec![(of(Level::May), broken())]].concat();
        let results = Results { title: "x".to_owned(), outcomes };
        assert_eq!((results.broken(false), results.broken(true)), (1, 2), "what may be never counts");
    }
}
