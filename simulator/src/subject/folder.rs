//! A subject is a proxy under test, as its folder describes it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use proxy::config::Problems;
use ring::digest::{Context, SHA256};
use serde_json::Value as Json;

use super::feature::Feature;
use super::file::SubjectFile;

/// The name of a subject's file in its folder.
pub(super) const FILE: &str = "subject.json";
/// The subject that is meant where none is named.
pub const NETDRIFT: &str = "netdrift";

/// A proxy under test.
#[derive(Clone, Debug)]
pub struct Subject {
    name: String,
    file: SubjectFile,
    /// The name and the text of the template of its configuration.
    template: Option<(String, String)>,
    /// SHA-256 of both files.
    digest: String,
}

impl Default for Subject {
    /// netdrift itself.
    fn default() -> Self {
        let text: &[u8] = include_bytes!("../../subjects/netdrift/subject.json");
        let file = SubjectFile::read(Path::new("subjects/netdrift/subject.json"), text);
        Subject {
            name: NETDRIFT.to_owned(),
            file: file.expect("a test reads it"),
            template: None,
            digest: digest(&[text]),
        }
    }
}

impl Subject {
    /// netdrift itself.
    pub fn netdrift() -> Arc<Self> {
        static NETDRIFT: LazyLock<Arc<Subject>> = LazyLock::new(Arc::default);
        Arc::clone(&NETDRIFT)
    }

    /// Reads the subject in `folder`, which reports call `name`.
    ///
    /// # Errors
    /// Everything that is wrong with its files.
    pub(super) fn read(name: &str, folder: &Path) -> Result<Self, Problems> {
        let path = folder.join(FILE);
        let bytes = bytes(&path)?;
        let file = SubjectFile::read(&path, &bytes)?;
        let mut problems = Problems::in_file(&path.display().to_string());
        for (at, words) in
            [("start", Some(&file.start)), ("version", Some(&file.version)), ("ready", file.ready.as_ref())]
        {
            for (index, word) in words.into_iter().flatten().enumerate() {
                if let Err(error) = environment().template_from_str(word) {
                    problems.add(format!("{at}[{index}]"), error.to_string());
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let template = match &file.template {
            None => None,
            Some(name) => {
                let path = folder.join(name);
                let mut problems = Problems::in_file(&path.display().to_string());
                let text = String::from_utf8_lossy(&self::bytes(&path)?).into_owned();
                if let Err(error) = environment().template_from_str(&text) {
                    problems.add("", error.to_string());
                    return Err(problems);
                }
                Some((name.clone(), text))
            }
        };
        let text = template.as_ref().map_or("", |(_, text)| text.as_str());
        let digest = digest(&[bytes.as_slice(), text.as_bytes()]);
        Ok(Subject { name: name.to_owned(), file, template, digest })
    }

    /// Its name, as the command line takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its files, as hexadecimal digits: who plays with another digest plays with another configuration.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The same with another limit for coming back.
    #[must_use]
    pub fn that_comes_back_within(&self, limit: Duration) -> Self {
        let file = SubjectFile { comes_back_within: limit.into(), ..self.file.clone() };
        Subject { file, ..self.clone() }
    }

    /// What its file says.
    pub fn file(&self) -> &SubjectFile {
        &self.file
    }

    /// Whether it is a netdrift, which tells of itself by its log. Another program tells nothing.
    pub fn tells(&self) -> bool {
        self.template.is_none()
    }

    /// The name of its configuration file, and that file with `values`; none for a netdrift, which reads the scenario's own.
    ///
    /// # Errors
    /// The template names a value that there is not.
    pub fn configuration(&self, values: &Json) -> Result<Option<(&str, String)>, String> {
        let Some((name, template)) = &self.template else { return Ok(None) };
        let text = render(template, values).map_err(|error| format!("{name}: {error}"))?;
        Ok(Some((name, text)))
    }

    /// The program and the arguments of one of its commands, with `values`. The program is looked for as a shell does, and in the folders
    /// of system programs.
    ///
    /// # Errors
    /// The program is not installed; the command names a value that there is not.
    pub fn command(&self, words: &[String], values: &Json) -> Result<(PathBuf, Vec<String>), String> {
        let words = words.iter().map(|word| render(word, values)).collect::<Result<Vec<_>, _>>()?;
        let [program, arguments @ ..] = words.as_slice() else { return Err("no command".to_owned()) };
        let path = find(program).ok_or_else(|| format!("{program}: not installed; {}", self.file.install))?;
        Ok((path, arguments.to_vec()))
    }

    /// Why it can't do `feature`, if it can't.
    pub fn lacks(&self, feature: Feature) -> Option<&str> {
        self.file.lacks.get(&feature).map(String::as_str)
    }
}

/// SHA-256 of `texts`, each with its length in front, so that none runs into the next.
fn digest(texts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for text in texts {
        context.update(&text.len().to_be_bytes());
        context.update(text);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(path: &Path) -> Result<Vec<u8>, Problems> {
    std::fs::read(path).map_err(|error| {
        let mut problems = Problems::in_file(&path.display().to_string());
        problems.add("", format!("can't read the file: {error}"));
        problems
    })
}

/// Templates fail where they name a value that there is not, and keep their last line end.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the usual marks are sound"));
    environment
}

fn render(template: &str, values: &Json) -> Result<String, String> {
    environment().render_str(template, Serde(values)).map_err(|error| error.to_string())
}

/// The path of the program called `name`.
fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|path| path.is_file())
}
