//! Reads the options of an action, which are written as `NAME=VALUE,NAME`.

use std::str::FromStr;
use std::time::Duration;

use crate::quantity;

/// The options of one action; what nobody takes is refused.
pub(super) struct Options<'a> {
    action: &'a str,
    pairs: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Options<'a> {
    pub(super) fn read(action: &'a str, text: &'a str) -> Result<Self, String> {
        let split = |option: &'a str| match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let pairs: Vec<_> = text.split(',').filter(|option| !option.is_empty()).map(split).collect();
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(other, _)| other == name) {
                return Err(format!("{action}: `{name}` stands there twice"));
            }
        }
        Ok(Options { action, pairs })
    }

    pub(super) fn pull(&mut self, name: &str) -> Option<Option<&'a str>> {
        let at = self.pairs.iter().position(|(other, _)| *other == name)?;
        Some(self.pairs.remove(at).1)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.pull(name).map(|value| value.unwrap_or_default().to_owned())
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.pull(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => Err(format!("{}: `{name}` takes no value (got `{value}`)", self.action)),
        }
    }

    pub(super) fn number<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        let action = self.action;
        let parse = |value: String| value.parse().map_err(|_| format!("{action}: {name}=`{value}` is no number"));
        self.take(name).map_or(Ok(default), parse)
    }

    pub(super) fn bytes(&mut self, name: &str, default: u64) -> Result<u64, String> {
        self.take(name).map_or(Ok(default), |value| quantity::bytes(&value))
    }

    /// The size of an echoed block: at least a byte, and small enough to lie in buffers on its way.
    pub(super) fn block(&mut self, default: u64) -> Result<usize, String> {
        let bytes = self.bytes("bytes", default)?;
        if !(1..=65_536).contains(&bytes) {
            return Err(format!("{}: bytes={bytes}: an echoed block has 1 to 64k", self.action));
        }
        Ok(bytes as usize)
    }

    pub(super) fn duration(&mut self, name: &str, default: Duration) -> Result<Duration, String> {
        self.take(name).map_or(Ok(default), |value| quantity::duration(&value))
    }

    pub(super) fn none_left(&self) -> Result<(), String> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("{}: `{name}` is no option of it", self.action)),
        }
    }
}
