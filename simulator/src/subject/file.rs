//! `subject.json` says how a proxy is run and what it can't do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use proxy::config::Problems;
use proxy::config::text::{self, Dialect, Span, schema_of};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::feature::Feature;

/// A proxy that scenarios can be played with
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectFile {
    /// What it is called in reports.
    pub title: String,
    /// What it is, and how it is used here, in a sentence.
    pub about: String,
    /// The command that installs it.
    pub install: String,
    /// The template of its configuration: a file beside this one. Left out: it is a netdrift, which reads the scenario's
    /// configuration as it stands and tells of itself by its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The command that starts it in the foreground: the program, then its arguments. Each may name the template's values.
    pub start: Vec<String>,
    /// The command that prints its version.
    pub version: Vec<String>,
    /// A command that ends with 0 once the proxy serves. Left out: it serves once its port accepts a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Vec<String>>,
    /// What makes it take another configuration. It must be given unless the proxy lacks `reload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<Order>,
    /// What makes it stop. Left out: SIGTERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Order>,
    /// The user as whom it works where it is started by root, which it gives up. Left out: it writes as whoever has started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How long it may take, once everything is healed, until requests succeed again and every upstream gets its share.
    pub comes_back_within: Span,
    /// What it can't do, with the reasons. Scenarios that ask for it are refused, and laws that rest on it don't judge it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lacks: BTreeMap<Feature, String>,
}

/// How a running proxy is told something
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The signal to its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<UnixSignal>,
    /// A command instead of a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// How long it takes until the order has been carried out. A proxy that tells nothing can't say when.
    #[serde(default)]
    pub takes: Span,
}

/// A signal
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum UnixSignal {
    /// SIGHUP
    Hup,
    /// SIGINT
    Int,
    /// SIGQUIT
    Quit,
    /// SIGTERM
    Term,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
    /// SIGWINCH
    Winch,
}

/// Values of a subject's file have no notation of their own.
struct Plain;

impl Dialect for Plain {}

impl SubjectFile {
    /// Reads the text of the file named `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub(super) fn read(file: &Path, bytes: &[u8]) -> Result<Self, Problems> {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(schema_of::<SubjectFile>);
        let mut problems = Problems::in_file(&file.display().to_string());
        let read = text::read(bytes, &mut problems).and_then(|mut json| {
            text::fit(&SCHEMA, &Plain, &mut json, &mut problems);
            if !problems.is_empty() {
                return None;
            }
            serde_json::from_value(json).map_err(|error| problems.add("", error.to_string())).ok()
        });
        if let Some(read) = &read {
            check(read, &mut problems);
        }
        read.filter(|_| problems.is_empty()).ok_or(problems)
    }
}

/// What no schema can say.
fn check(file: &SubjectFile, problems: &mut Problems) {
    if file.start.is_empty() {
        problems.add("start", "must name a program");
    }
    if file.version.is_empty() {
        problems.add("version", "must name a program");
    }
    match (&file.reload, file.lacks.contains_key(&Feature::Reload)) {
        (None, false) => problems.add("reload", "say how it reloads, or why it can't: \"lacks\": {\"reload\": \"…\"}"),
        (Some(_), true) => problems.add("reload", "it is said to lack this; leave out one of the two"),
        _ => {}
    }
    for (at, order) in [("reload", &file.reload), ("stop", &file.stop)] {
        if order.as_ref().is_some_and(|order| order.signal.is_some() == order.command.is_some()) {
            problems.add(at, "must have either a signal or a command");
        }
    }
    for (feature, why) in &file.lacks {
        if why.trim().is_empty() {
            problems.add(format!("lacks.{feature}"), "say why");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#""title": "X", "about": "x", "install": "x", "template": "x.conf", "start": ["x"], "version": ["x"],
        "comes_back_within": "1s""#;

    fn problems(text: &str) -> Vec<String> {
        let problems = SubjectFile::read(Path::new("subject.json"), text.as_bytes()).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_file_is_read() {
        let text = format!(r#"{{{SOUND}, "reload": {{"signal": "HUP", "takes": "1s"}}}}"#);
        let file = SubjectFile::read(Path::new("subject.json"), text.as_bytes()).unwrap();
        assert_eq!(file.reload.unwrap().signal, Some(UnixSignal::Hup));
        assert_eq!(file.stop, None);
    }

    #[test]
    fn each_problem_is_told_with_its_place() {
        for (more, expected) in [
            (r#""lack": {}"#, r#"lack: unknown field; did you mean "lacks"?"#),
            (r#""lacks": {"reload": " "}"#, "lacks.reload: say why"),
            (r#""lacks": {"reload": "x"}, "reload": {"signal": "HUP"}"#, "reload: it is said to lack this"),
            (r#""lacks": {"wings": "x"}"#, "wings"),
            (r#""lacks": {}"#, "reload: say how it reloads"),
            (r#""reload": {}"#, "reload: must have either a signal or a command"),
            (r#""reload": {"signal": "KILL"}"#, "reload.signal: "),
            (r#""reload": {"signal": "HUP"}, "stop": {"signal": "INT", "command": ["x"]}"#, "stop: must have either"),
            (r#""reload": {"signal": "HUP", "takes": 5}"#, "reload.takes: must be a time in quotes"),
        ] {
            let found = problems(&format!("{{{SOUND}, {more}}}"));
            assert!(found.iter().any(|one| one.contains(expected)), "{more}: {found:?}");
        }
        let empty = SOUND.replace(r#""start": ["x"]"#, r#""start": []"#);
        let found = problems(&format!(r#"{{{empty}, "lacks": {{"reload": "x"}}}}"#));
        assert_eq!(found, ["start: must name a program"]);
        let found = problems(r#"{"title": "X"}"#);
        assert!(found.contains(&"start: is missing".to_owned()), "{found:?}");
    }
}
